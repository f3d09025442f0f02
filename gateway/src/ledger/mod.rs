//! The ledger: the gateway's durable record. Two writers can never both believe that they moved a run.
//!
//! A run is recorded before any message about it leaves: [`RunStore::insert`] returns when the row is on disk. From then
//! on every change of its state is one conditional update that names the expected state and attempt (the fencing
//! token), and the owner under whose epoch the run is moved ([`crate::model::Owner`]). If it changes zero rows, another writer was
//! first, and the update fails ([`LedgerError::Lost`]). The same transaction writes the rows that belong to the step: its
//! history, its attempt, and its lease, so that no reader sees one without the others. A key is bound in the write that
//! records or adopts its run.
//!
//! What it stores has one trait for each kind of reader, with the values that it takes and gives: [`runs`] (and
//! [`joining`], which decides whether an earlier run answers a request), [`leases`], [`changes`], [`upkeep`], [`agents`],
//! [`tokens`], [`stashes`], [`quotas`], [`blobs`], [`do_files`] and [`notifications`]. [`Ledger`] is all of them.
//!
//! Two implementations: [`sqlite`], which a gateway uses, and `memory`, the model that defines what is meant and that
//! only tests have. One conformance suite (`conformance`) holds both to it, and a third ledger too, which tests put before
//! another one (`unreliable`): it does not always answer, and what is read to be shown is older there. Output is never
//! stored here: bytes belong to the mirror.

pub mod agents;
#[cfg(any(test, feature = "testing"))]
pub mod agreement;
#[cfg(any(test, feature = "testing"))]
pub mod bench;
pub mod blobs;
pub mod changes;
#[cfg(test)]
mod conformance;
pub mod do_files;
pub mod invitations;
mod joining;
pub mod leases;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
#[cfg(any(test, feature = "testing"))]
mod methods;
pub mod notifications;
pub mod quotas;
pub mod run_files;
pub mod runs;
pub mod sqlite;
pub mod stashes;
mod stored;
pub mod tokens;
#[cfg(any(test, feature = "testing"))]
pub mod unreliable;
pub mod upkeep;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use longhaul_proto::{digest::ContentDigest, ids::RunId, state::RunState};

use crate::model::OverQuota;

#[cfg(test)]
pub(crate) use conformance::ended_run as conformance_run;

pub use agents::{AgentRecord, AgentStore, DrainRecord, JoinedBy, PinRecord, PinState};
pub use blobs::{Blob, BlobBounds, BlobFile, BlobStore, BlobsSwept, Finished, NewUpload, Upload, UploadBegun};
pub use changes::{Change, ChangeStore, StepCursor, StepRow};
pub use do_files::{DoFile, DoFileStore, DoFiles, KeptResults};
pub use invitations::{InvitationRecord, InvitationStore, KEEP_INVITATIONS_MS};
pub(crate) use joining::UNKNOWN_BODY;
pub use joining::{Adoption, CALL, Dedupe, Inserted, NewRun, is_call};
pub use leases::{HolderKind, LeaseChange, LeaseHolder, LeaseRecord, LeaseStore};
pub use notifications::{
    Notification, NotificationKey, NotificationState, NotificationStore, ReceiverAdded, ReceiverRecord, Signing,
    SigningChange, Tried, Waiting,
};
pub use quotas::{QuotaStore, Room, Usage};
pub use run_files::{KeptMadeWith, RunFile, RunFileStore, RunFiles};
pub use runs::{
    AttemptChange, AttemptEnd, AttemptRow, ListQuery, Read, RunFilter, RunStore, Transition, TransitionRow,
};
pub use stashes::{Stash, StashStore};
pub use tokens::{Rotation, SecretBefore, TokenRecord, TokenStore};
pub use upkeep::{Ended, MirrorCopy, UpkeepStore};

/// Everything that the gateway must not forget.
pub trait Ledger:
    RunStore
    + LeaseStore
    + ChangeStore
    + UpkeepStore
    + AgentStore
    + TokenStore
    + StashStore
    + QuotaStore
    + BlobStore
    + DoFileStore
    + RunFileStore
    + NotificationStore
{
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
    /// Zero rows: the run was no longer in the expected state and attempt, or another gateway took it over.
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
    /// The principal of a new run may not name these blobs: they are not there, or others uploaded them.
    #[error("no such blobs")]
    NoSuchBlobs(Vec<ContentDigest>),
    /// There is no room for another run.
    #[error("no room for another run")]
    Full,
    /// A quota has no room for another run.
    #[error("{0}")]
    OverQuota(Box<OverQuota>),
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
