//! The ledger: the gateway's durable record. Two writers can never both believe that they moved a run.
//!
//! A run is recorded before any message about it leaves: [`RunStore::insert`] returns when the row is on disk. From then
//! on every change of its state is one conditional update that names the expected state and attempt (the fencing
//! token). If it changes zero rows, another writer was first, and the update fails ([`LedgerError::Lost`]).
//!
//! What it stores has one trait for each kind of reader, with the values that it takes and gives: [`runs`] (and
//! [`joining`], which decides whether an earlier run answers a request), [`upkeep`], [`agents`], [`tokens`] and
//! [`stashes`]. [`Ledger`] is all of them.
//!
//! Two implementations: [`sqlite`], which a gateway uses, and `memory`, the model that defines what is meant and that
//! only tests have. One conformance suite (`conformance`) holds both to it. Output is never stored here: bytes belong to
//! the mirror.

pub mod agents;
#[cfg(any(test, feature = "testing"))]
pub mod bench;
#[cfg(test)]
mod conformance;
pub mod joining;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod runs;
pub mod sqlite;
pub mod stashes;
mod stored;
pub mod tokens;
pub mod upkeep;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use longhaul_proto::{ids::RunId, state::RunState};

pub use agents::{AgentRecord, AgentStore, DrainRecord, PinRecord, PinState};
pub(crate) use joining::UNKNOWN_BODY;
pub use joining::{Adoption, CALL, Dedupe, Inserted, NewRun, is_call};
pub use runs::{ListQuery, RunStore, Transition, TransitionRow};
pub use stashes::{Stash, StashStore};
pub use tokens::{TokenRecord, TokenStore};
pub use upkeep::{Ended, MirrorCopy, UpkeepStore};

/// Everything that the gateway must not forget.
pub trait Ledger: RunStore + UpkeepStore + AgentStore + TokenStore + StashStore {
    /// Whether it can be written now.
    fn check(&self) -> Answer<'_, ()>;
    /// Writes what is pending and closes.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a call to a ledger returns.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

/// What failed below the ledger.
type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Why the ledger did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The folder cannot hold a ledger.
    #[error("cannot keep the ledger in {folder}: {reason}")]
    Place {
        /// The folder.
        folder: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A newer program wrote this file.
    #[error("the ledger has format {found}, and this program knows up to {known}: use the newer longhaul again")]
    TooNew {
        /// Format in the file.
        found: i64,
        /// Newest format that this program knows.
        known: i64,
    },
    /// Zero rows: the run was no longer in the expected state and attempt.
    #[error("run {0} was changed by another writer in the meantime")]
    Lost(RunId),
    /// The state machine has no such edge.
    #[error("a run cannot go from {from} to {to}")]
    NoSuchEdge {
        /// State before.
        from: RunState,
        /// State asked for.
        to: RunState,
    },
    /// There is no room for another run.
    #[error("no room for another run")]
    Full,
    /// The key was used for another request.
    #[error("key used for another request")]
    KeyTaken(RunId),
    /// The outcome of the commit is not known: it is found out by looking the run up, by its id, attempt and state.
    #[error("the ledger did not answer whether it wrote")]
    Unknown(#[source] Source),
    /// Reading or writing failed, and nothing was written.
    #[error("the ledger cannot be read or written")]
    Unavailable(#[source] Source),
    /// A row that this program cannot understand.
    #[error("a record in the ledger cannot be understood: {0}")]
    Broken(String),
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
}
