//! Commands of operators on agents' keys. They are made durable before they take effect.

use longhaul_proto::api::AgentKeys;

use super::Runs;
use crate::{
    audit::{Event, Kind, NotAudited},
    fleet::PinError,
    ledger::LedgerError,
    model::Identity,
};

/// Why an operator's command on an agent has no effect.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// The caller's token does not permit it.
    #[error(
        "listing, approving and revoking agents needs a token with scope `operate`: ask the operator of this gateway"
    )]
    Forbidden,
    /// It makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// No agent has the name.
    #[error("{0}")]
    Unknown(String),
    /// Another agent's key stands in the way.
    #[error("{0}")]
    Taken(String),
    /// It must be in the audit log, and cannot be.
    #[error(transparent)]
    Unaudited(#[from] NotAudited),
    /// The command could not be made durable.
    #[error("the gateway could not record it, so nothing has changed: try again, and see the gateway's log")]
    Ledger(#[source] LedgerError),
}

impl From<PinError> for AgentsError {
    fn from(error: PinError) -> Self {
        match error {
            PinError::Unknown { .. } => Self::Unknown(error.to_string()),
            PinError::Taken(_) => Self::Taken(error.to_string()),
            PinError::Ledger(error) => Self::Ledger(error),
        }
    }
}

pub(super) fn operators(who: &Identity) -> Result<(), AgentsError> {
    if who.may_operate() { Ok(()) } else { Err(AgentsError::Forbidden) }
}

impl Runs {
    /// All keys of agents: approved, waiting and revoked.
    ///
    /// # Errors
    /// When the caller may not see them.
    pub async fn agents(&self, who: &Identity) -> Result<AgentKeys, AgentsError> {
        operators(who)?;
        Ok(AgentKeys { agents: self.0.fleet.agent_keys().await })
    }

    /// Approves the key of this name that waits, or was revoked.
    ///
    /// # Errors
    /// See [`AgentsError`]; nothing has changed then.
    pub async fn approve_agent(&self, who: &Identity, name: &str) -> Result<AgentKeys, AgentsError> {
        operators(who)?;
        let key = self.0.fleet.keys_meant(name, true).await;
        self.0.audit.must(Event::of(Kind::AgentApproved, who).with("agent", name).with("key", key)).await?;
        Ok(AgentKeys { agents: vec![self.0.fleet.approve(name, &who.principal.to_string()).await?] })
    }

    /// Refuses the keys of this name from now on; its connections have ended when this returns.
    ///
    /// # Errors
    /// See [`AgentsError`].
    pub async fn revoke_agent(&self, who: &Identity, name: &str) -> Result<AgentKeys, AgentsError> {
        operators(who)?;
        let key = self.0.fleet.keys_meant(name, false).await;
        self.0.audit.must(Event::of(Kind::AgentRevoked, who).with("agent", name).with("key", key)).await?;
        Ok(AgentKeys { agents: self.0.fleet.revoke(name, &who.principal.to_string()).await? })
    }
}
