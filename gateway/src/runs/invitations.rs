//! Commands of operators on invitations. Each is in the audit log, and durable, before it is answered.

use std::time::Duration;

use longhaul_proto::{
    api::{InvitationView, Invitations},
    clock::rfc3339,
    faults,
};

use super::{AgentsError, Runs, agents::operators};
use crate::{
    audit::{Event, Kind},
    fleet::invitations::{Invite, InviteError},
    ledger::InvitationRecord,
    model::{Identity, Principal},
};

/// What an operator asks for.
#[derive(Debug)]
pub struct Inviting {
    /// The name that the agent joins under.
    pub name: String,
    /// Whose runs it takes unless it says otherwise.
    pub principal: Principal,
    /// How long it can be used.
    pub expires: Duration,
    /// The address at which the agent finds this gateway.
    pub gateway: String,
}

impl From<InviteError> for AgentsError {
    fn from(error: InviteError) -> Self {
        match error {
            InviteError::Refused(words) => Self::Taken(words),
            InviteError::Malformed(words) => Self::Malformed(words),
            InviteError::Unknown(words) => Self::Unknown(words),
            InviteError::Ledger(error) => Self::Ledger(error),
        }
    }
}

impl Runs {
    /// Invites an agent; the answer has the token.
    ///
    /// # Errors
    /// See [`AgentsError`]; nothing has changed then.
    pub async fn invite_agent(&self, who: &Identity, inviting: Inviting) -> Result<InvitationView, AgentsError> {
        operators(who)?;
        let Inviting { name, principal, expires, gateway } = inviting;
        let by = who.principal.to_string();
        let invite = Invite { name, principal, expires, gateway };
        let (record, token) = self.0.fleet.prepare_invitation(invite, &by).await?;
        let event =
            Event::of(Kind::InvitationMade, who).with("agent", record.name.clone()).with("invitation", record.id());
        let event = event.with("for", record.principal.to_string()).with("expires_at", rfc3339(record.ends_ms));
        self.0.audit.must(event).await?;
        self.0.fleet.invite(record.clone()).await.map_err(AgentsError::Ledger)?;
        tracing::info!(by, agent = record.name, "an agent was invited");
        let view = view(&record, self.0.deps.clock.unix_ms());
        Ok(InvitationView { token: Some(token.text().to_owned()), gateway: Some(token.gateway.clone()), ..view })
    }

    /// All invitations that are remembered.
    ///
    /// # Errors
    /// See [`AgentsError`].
    pub async fn invitations(&self, who: &Identity) -> Result<Invitations, AgentsError> {
        operators(who)?;
        let (all, now_ms) = (self.0.fleet.invitations().await, self.0.deps.clock.unix_ms());
        let all = all.map_err(AgentsError::Ledger)?;
        Ok(Invitations { invitations: all.iter().map(|one| view(one, now_ms)).collect() })
    }

    /// Withdraws the invitations for this name, or with this id.
    ///
    /// # Errors
    /// See [`AgentsError`].
    pub async fn withdraw_invitations(&self, who: &Identity, word: &str) -> Result<Vec<InvitationView>, AgentsError> {
        operators(who)?;
        let mut withdrawn = Vec::new();
        for mut one in self.0.fleet.withdrawable(word).await? {
            let event = Event::of(Kind::InvitationWithdrawn, who).with("agent", one.name.clone());
            self.0.audit.must(event.with("invitation", one.id())).await?;
            faults::point("invitations.before_withdraw");
            if !self.0.fleet.withdraw(&one).await.map_err(AgentsError::Ledger)? {
                return Err(AgentsError::Taken(format!(
                    "agent {} has joined with invitation {} in this very moment: `longhaul agents revoke {}` removes it",
                    one.name,
                    one.id(),
                    one.name
                )));
            }
            let now_ms = self.0.deps.clock.unix_ms();
            one.withdrawn_ms = Some(now_ms);
            withdrawn.push(view(&one, now_ms));
        }
        Ok(withdrawn)
    }
}

fn view(one: &InvitationRecord, now_ms: i64) -> InvitationView {
    let state = match (one.used, one.withdrawn_ms) {
        (Some(_), _) => "used",
        (None, Some(_)) => "withdrawn",
        (None, None) if one.ends_ms <= now_ms => "expired",
        (None, None) => "open",
    };
    InvitationView {
        id: one.id().to_owned(),
        name: one.name.clone(),
        serves: one.principal.to_string(),
        by: one.by.clone(),
        made_at: rfc3339(one.made_ms).unwrap_or_default(),
        expires_at: rfc3339(one.ends_ms).unwrap_or_default(),
        state: state.to_owned(),
        used_at: one.used.and_then(|(at, _)| rfc3339(at)),
        used_by: one.used.map(|(_, key)| key.to_string()),
        token: None,
        gateway: None,
        warning: None,
    }
}

impl Runs {
    /// When the gateway's own certificate for its agents ends, Unix seconds.
    pub fn gateway_certificate_end(&self) -> Option<i64> {
        self.0.fleet.own_certificate_end()
    }

    /// When each agent's certificate ends (Unix seconds), by name.
    pub fn certificate_ends(&self) -> Vec<(String, i64)> {
        self.0.fleet.certificate_ends()
    }

    /// What an operator should know of certificates between gateway and agents.
    pub fn certificate_note(&self) -> Option<String> {
        self.0.fleet.certificate_note()
    }
}
