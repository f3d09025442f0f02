//! The registry of this process's unfinished runs: how other tasks reach the task of a run.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use longhaul_proto::{api::CancelMode, ids::RunId};
use tokio::sync::{mpsc, oneshot, watch};

use super::{ControlError, feed::Feed};
use crate::{
    ledger::Adoption,
    model::{Attempt, Placement, Principal, RunSnapshot},
};

/// Commands that may wait for one run's task; more than a few are repetitions.
const MAILBOX: usize = 16;

/// One unfinished run, as its task shows it to others.
pub(crate) struct RunHandle {
    pub(crate) run: RunId,
    owner: Mutex<Principal>,
    /// When its owner last looked at it, by the monotonic clock, ms.
    pub(crate) looked: AtomicU64,
    /// The latest snapshot; sending never waits for a reader.
    pub(crate) snapshot: watch::Sender<Arc<RunSnapshot>>,
    feed: Feed,
    pub(crate) mailbox: mpsc::Sender<Command>,
}

impl RunHandle {
    /// Publishes a snapshot, to those who watch the run and to those who follow all.
    pub(crate) fn publish(&self, snapshot: Arc<RunSnapshot>) {
        let before = self.snapshot.send_replace(snapshot.clone());
        self.feed.tell(Some(&before), &snapshot);
    }

    /// The run's principal; nobody while it is unverified.
    pub(crate) fn principal(&self) -> Principal {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answer to a command.
pub(crate) type Reply = oneshot::Sender<Result<Arc<RunSnapshot>, ControlError>>;

/// A command to a run's task.
pub(crate) enum Command {
    /// A client asks for its end.
    Cancel { by: String, mode: CancelMode, reply: Reply },
    /// An operator declares that its agent will never return.
    DeclareDead { by: String, reply: Reply },
    /// The same call was made before, and an agent has that run: this one need not start.
    Supersede { by: RunId, reply: oneshot::Sender<()> },
    /// An operator says whose this unverified run is.
    Claim { adoption: Box<Adoption>, reply: Reply },
    /// An agent reported another result for the attempt that this task follows.
    Contest { words: String },
    /// An agent holds an attempt that the ledger does not know.
    Adopt { at: Placement, attempt: Attempt },
}

/// The principal, and the key of the request.
type Call = (Principal, String);

/// While this is held, a call is being recorded.
pub(crate) struct Recording<'a>(&'a Registry, Call);

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let mut rows = self.0.rows();
        if let Some(at) = rows.recording.iter().position(|call| *call == self.1) {
            rows.recording.swap_remove(at);
        }
    }
}

/// The registry of all unfinished runs.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Rows>, Feed);

#[derive(Default)]
struct Rows {
    /// Each with the principal under whom it is counted in `of`.
    runs: HashMap<RunId, (Arc<RunHandle>, Principal)>,
    of: HashMap<Principal, usize>,
    /// Runs found in a spool that are being recorded, with the principal and the key of the request.
    importing: HashMap<RunId, Call>,
    /// Calls that are being recorded as new runs.
    recording: Vec<Call>,
    /// Submissions that were admitted and have no task yet, by principal.
    coming: HashMap<Principal, usize>,
}

/// Room for one submission, until its run has a task, or no run is made.
pub(crate) struct Admission {
    registry: Arc<Registry>,
    principal: Principal,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut rows = self.registry.rows();
        if let Some(n) = rows.coming.get_mut(&self.principal) {
            *n -= 1;
            if *n == 0 {
                rows.coming.remove(&self.principal);
            }
        }
    }
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The limit on queued runs of all principals.
    Queue,
    /// The limit on unfinished runs of this principal.
    Principal,
}

impl Rows {
    fn leave(&mut self, principal: &Principal) {
        if let Some(n) = self.of.get_mut(principal) {
            *n -= 1;
            if *n == 0 {
                self.of.remove(principal);
            }
        }
    }
}

impl Registry {
    /// Where news of all runs is told.
    pub(crate) fn feed(&self) -> &Feed {
        &self.1
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a run; `None` when it already has a task.
    pub(crate) fn add(
        &self,
        run: RunId,
        principal: Principal,
        snapshot: RunSnapshot,
    ) -> Option<(Arc<RunHandle>, mpsc::Receiver<Command>)> {
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let (looked, snapshot) = (AtomicU64::new(0), watch::Sender::new(Arc::new(snapshot)));
        let first = snapshot.borrow().clone();
        let (owner, feed) = (Mutex::new(principal.clone()), self.1.clone());
        let active = Arc::new(RunHandle { run, owner, looked, snapshot, feed, mailbox });
        let mut rows = self.rows();
        if rows.runs.contains_key(&run) {
            return None;
        }
        self.1.tell(None, &first);
        *rows.of.entry(principal.clone()).or_default() += 1;
        rows.runs.insert(run, (active.clone(), principal));
        Some((active, inbox))
    }

    pub(crate) fn remove(&self, run: RunId) {
        let mut rows = self.rows();
        let Some((_, principal)) = rows.runs.remove(&run) else { return };
        rows.leave(&principal);
    }

    /// Counts the run under another principal from now on.
    pub(crate) fn claimed(&self, run: RunId, principal: &Principal) {
        let mut rows = self.rows();
        let Some((handle, counted)) = rows.runs.get_mut(&run) else { return };
        handle.owner.lock().unwrap_or_else(PoisonError::into_inner).clone_from(principal);
        let before = std::mem::replace(counted, principal.clone());
        rows.leave(&before);
        *rows.of.entry(principal.clone()).or_default() += 1;
    }

    pub(crate) fn get(&self, run: RunId) -> Option<Arc<RunHandle>> {
        self.rows().runs.get(&run).map(|(active, _)| active.clone())
    }

    /// Admits a submission if there is room beside all runs that are unfinished or coming, so that concurrent
    /// submissions cannot exceed the limits. `queued` runs wait already.
    pub(crate) fn admit(
        self: &Arc<Self>,
        principal: &Principal,
        queued: usize,
        max_queued: usize,
        max_per_principal: usize,
    ) -> Result<Admission, NoRoom> {
        let mut rows = self.rows();
        let coming: usize = rows.coming.values().sum();
        let of = |map: &HashMap<Principal, usize>| map.get(principal).copied().unwrap_or_default();
        if queued + coming >= max_queued {
            return Err(NoRoom::Queue);
        }
        if of(&rows.of) + of(&rows.coming) >= max_per_principal {
            return Err(NoRoom::Principal);
        }
        *rows.coming.entry(principal.clone()).or_default() += 1;
        Ok(Admission { registry: self.clone(), principal: principal.clone() })
    }

    /// Who has unfinished runs.
    pub(crate) fn principals(&self) -> BTreeSet<Principal> {
        self.rows().of.keys().cloned().collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<RunHandle>> {
        self.rows().runs.values().map(|(active, _)| active.clone()).collect()
    }

    /// Whether the caller is to import this run now; it then calls [`Registry::imported`].
    pub(crate) fn importing(&self, run: RunId, principal: &Principal, key: &str) -> bool {
        let mut rows = self.rows();
        if rows.runs.contains_key(&run) || rows.importing.contains_key(&run) {
            return false;
        }
        rows.importing.insert(run, (principal.clone(), key.to_owned()));
        true
    }

    /// Starts to record a call as a new run; `None` while the run of the same call is being imported. So either the
    /// recording finds the imported run's key in the ledger, or the import finds what was recorded.
    pub(crate) fn recording(&self, principal: &Principal, key: &str) -> Option<Recording<'_>> {
        let call = (principal.clone(), key.to_owned());
        let mut rows = self.rows();
        if rows.importing.values().any(|other| *other == call) {
            return None;
        }
        rows.recording.push(call.clone());
        drop(rows);
        Some(Recording(self, call))
    }

    /// Whether this call is being recorded.
    pub(crate) fn records_call(&self, principal: &Principal, key: &str) -> bool {
        self.rows().recording.iter().any(|(p, k)| p == principal && k == key)
    }

    pub(crate) fn imported(&self, run: RunId) {
        self.rows().importing.remove(&run);
    }
}
