//! What is known of agents: their descriptions, their keys, and which hosts are drained.

use longhaul_proto::{transport::Fingerprint, wire};

use super::{Answer, InvitationStore};
use crate::model::Principal;

/// The agents that this gateway knows, for the fleet.
pub trait AgentStore: InvitationStore + Send + Sync + 'static {
    /// The id of this ledger; agents are bound to it.
    fn cluster_id(&self) -> &str;

    /// Stores an agent.
    fn put_agent(&self, agent: AgentRecord) -> Answer<'_, ()>;
    /// All stored agents.
    fn agents(&self) -> Answer<'_, Vec<AgentRecord>>;
    /// Removes agents, by id; those that are not stored are no error. Their keys' pins stay.
    fn forget_agents(&self, agent_ids: Vec<String>) -> Answer<'_, ()>;

    /// Stores a key's pin, replacing the earlier one.
    fn put_pin(&self, pin: PinRecord) -> Answer<'_, ()>;
    /// All pins.
    fn pins(&self) -> Answer<'_, Vec<PinRecord>>;

    /// Drains hosts; a host that is already drained gets the new record.
    fn drain(&self, hosts: Vec<DrainRecord>) -> Answer<'_, ()>;
    /// Ends the drain of hosts; those that were not drained stay as they are.
    fn resume(&self, hosts: Vec<String>) -> Answer<'_, ()>;
    /// All drained hosts, by name.
    fn drains(&self) -> Answer<'_, Vec<DrainRecord>>;
}

/// An agent as last heard.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// Its description of itself.
    pub info: wire::AgentInfo,
    /// When, Unix ms.
    pub heard_ms: i64,
}

/// What is decided about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// It belongs to an agent.
    Accepted,
    /// It waits for an operator.
    Waiting,
    /// It is refused until an operator approves it.
    Revoked,
}

impl PinState {
    /// Its name in the ledger and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Waiting => "waiting",
            Self::Revoked => "revoked",
        }
    }

    /// The state of this name.
    pub fn of(text: &str) -> Option<Self> {
        [Self::Accepted, Self::Waiting, Self::Revoked].into_iter().find(|state| state.as_str() == text)
    }
}

/// By what an agent's key became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinedBy {
    /// The agent proved the join secret.
    Secret,
    /// It had the token of an invitation.
    Invitation,
    /// It came by the socket of the gateway's own user.
    Socket,
}

impl JoinedBy {
    /// All of them.
    const ALL: [Self; 3] = [Self::Secret, Self::Invitation, Self::Socket];

    /// Its name in the ledger and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Invitation => "invitation",
            Self::Socket => "socket",
        }
    }

    /// The one of this name.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|joined| joined.as_str() == text)
    }
}

/// A key, and the agent that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRecord {
    /// The key's fingerprint.
    pub key: Fingerprint,
    /// The agent's id.
    pub agent_id: String,
    /// The agent's name.
    pub name: String,
    /// What was decided.
    pub state: PinState,
    /// Since when, Unix ms.
    pub at_ms: i64,
    /// Who decided it.
    pub by: String,
    /// By what the key became known.
    pub joined: JoinedBy,
    /// The principal whose runs it takes unless it says otherwise; `None` = nothing was said when it joined.
    pub serves: Option<Principal>,
}

/// A drained host: no new run starts there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainRecord {
    /// The agent's name, since that is what people mean by a host.
    pub host: String,
    /// Who asked.
    pub by: String,
    /// Why; empty = no reason given.
    pub reason: String,
    /// When, Unix ms.
    pub at_ms: i64,
}
