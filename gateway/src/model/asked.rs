//! What was asked for.

use longhaul_proto::{
    api::{Priority, Retry},
    risk::{Confirmed, Risk},
};

use super::{Need, Principal};

/// What a submission asked for. It is written once, when the run is recorded, and no attempt changes it; but a limit on
/// running that is its pool's comes with the attempt that gets a seat there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The path, `text`, or `bundle: entry`.
    pub source: String,
    /// What the caller calls the run; empty = nothing, as the next two.
    pub name: String,
    /// What the caller noted about it.
    pub note: String,
    /// Of a text: the name of the file that it was read from.
    pub file_name: String,
    /// Arguments of the do-file.
    pub args: Vec<String>,
    /// What it requires of an agent.
    pub need: Need,
    /// The do-file on the agent's host, when the code comes from there.
    pub path: Option<String>,
    /// Folder that the caller requested; empty = none.
    pub working_dir: String,
    /// Digest that the caller requires; empty = none.
    pub required_sha256: String,
    /// Digest of the code as it was found at submission; empty = not known then.
    pub found_sha256: String,
    /// Name and version of the client.
    pub client: String,
    /// Limit on running, ms; 0 = none.
    pub timeout_ms: u64,
    /// The pool whose default that limit is; empty = the caller's own.
    pub timeout_of: String,
    /// Limit on waiting, ms; 0 = none.
    pub queue_timeout_ms: u64,
    /// W3C `traceparent` of the run.
    pub traceparent: String,
    /// W3C `tracestate` of the run, where it is no longer than [`TRACE_STATE`]; empty = none.
    pub tracestate: String,
    /// When another attempt may follow.
    pub retry: Retry,
    /// Most cores that its Stata may use; 0 = as many as its agent allows.
    pub cores: u32,
    /// Risky commands in its code as it was submitted.
    pub risks: Vec<Risk>,
    /// Who agreed to them.
    pub confirmed: Option<Confirmed>,
    /// Sooner or later than others.
    pub urgency: Urgency,
}

/// How much sooner or later than others a run is to have a seat, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Urgency {
    /// How much.
    pub priority: Priority,
    /// Why, as its submitter says.
    pub reason: String,
    /// An operator gave it: it counts between principals, too.
    pub between_principals: bool,
}

/// The longest `tracestate` that a record keeps, bytes: what W3C asks everybody to pass on.
pub const TRACE_STATE: usize = 512;

/// How a run came to this gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A client submitted it here.
    #[default]
    Submitted,
    /// It was imported from a spool.
    Imported,
    /// It was imported from a spool without this gateway's seal on its request: it has no principal until an operator
    /// adopts it.
    Unverified {
        /// The principal that the spool names.
        claims: Principal,
    },
}

impl Origin {
    /// Whether it came from a spool.
    pub fn is_import(&self) -> bool {
        *self != Self::Submitted
    }

    /// Whether it waits for an operator to adopt it.
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Unverified { .. })
    }

    /// The principal that the spool of an unverified run names; none for other runs.
    pub fn claims(&self) -> Principal {
        match self {
            Self::Unverified { claims } => claims.clone(),
            Self::Submitted | Self::Imported => Principal::default(),
        }
    }
}
