//! The ledger as a plain model, without a disk: it defines what is meant. Tests use it, and the conformance suite
//! compares both.

mod agents;
mod blobs;
mod changes;
mod do_files;
mod invitations;
mod leases;
mod notifications;
mod quotas;
mod run_files;
mod runs;
mod stashes;
mod tokens;
mod upkeep;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_proto::{digest::ContentDigest, ids::RunId, transport::Fingerprint, wire};

use super::{
    AgentRecord, Answer, AttemptRow, Blob, Dedupe, DoFiles, DrainRecord, InvitationRecord, LeaseHolder, LeaseRecord,
    Ledger, LedgerError, MirrorCopy, Notification, NotificationKey, PinRecord, ReceiverRecord, RunFiles, Signing,
    Stash, StepCursor, TokenRecord, TransitionRow, Upload,
};
use crate::model::{Principal, Record, Removed};

/// A ledger that is gone when its process ends.
pub struct MemoryLedger {
    cluster_id: String,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    runs: BTreeMap<RunId, Row>,
    keys: HashMap<(Principal, String), (RunId, String)>,
    tokens: BTreeMap<String, TokenRecord>,
    agents: BTreeMap<String, AgentRecord>,
    drains: BTreeMap<String, DrainRecord>,
    pins: BTreeMap<Fingerprint, PinRecord>,
    invitations: Vec<InvitationRecord>,
    stashes: BTreeMap<(String, String), Stash>,
    removed: BTreeMap<RunId, (i64, Removed)>,
    leases: BTreeMap<LeaseHolder, LeaseRecord>,
    blobs: BTreeMap<ContentDigest, Blob>,
    /// When a principal uploaded a blob.
    uploaded: BTreeMap<(Principal, ContentDigest), i64>,
    /// What is being uploaded, and when that was last used.
    uploads: BTreeMap<(Principal, ContentDigest), (Upload, i64)>,
    receivers: BTreeMap<(Principal, String), ReceiverRecord>,
    notifications: BTreeMap<NotificationKey, Notification>,
    signing: BTreeMap<Principal, Signing>,
    /// The run of each step.
    steps: BTreeMap<StepCursor, RunId>,
    /// The number of the latest change, and the latest epoch.
    changes: u64,
    epoch: u64,
}

#[derive(Clone)]
struct Row {
    record: Record,
    submission: wire::Submission,
    dedupe: Dedupe,
    history: Vec<TransitionRow>,
    attempts: Vec<AttemptRow>,
    /// Its latest change.
    changed: u64,
    spool_held: bool,
    files_held: bool,
    copy: MirrorCopy,
    /// What it holds.
    blobs: Vec<ContentDigest>,
    /// What it entered.
    do_files: Option<DoFiles>,
    /// What it left.
    files: Option<RunFiles>,
    /// Who is told of its end, besides the receivers of its principal.
    receivers: BTreeSet<String>,
}

impl MemoryLedger {
    /// An empty ledger with this id.
    pub fn new(cluster_id: &str) -> Self {
        Self { cluster_id: cluster_id.to_owned(), state: Mutex::default() }
    }

    /// A ledger with what this one has now.
    pub fn copy(&self) -> Self {
        Self { cluster_id: self.cluster_id.clone(), state: Mutex::new(self.state().clone()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<T: Send + 'static>(&self, work: impl FnOnce(&mut State) -> Result<T, LedgerError>) -> Answer<'_, T> {
        let result = work(&mut self.state());
        async { result }.boxed()
    }
}

impl State {
    fn remove(&mut self, run: RunId, at_ms: i64) {
        let Some(row) = self.runs.remove(&run) else { return };
        self.keys.retain(|_, (named, _)| *named != run);
        self.leases.remove(&LeaseHolder::run(run));
        if let Some(removed) = row.record.removed() {
            self.removed.insert(run, (at_ms, removed));
        }
    }
}

impl Ledger for MemoryLedger {
    fn check(&self) -> Answer<'_, ()> {
        self.answer(|_| Ok(()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
