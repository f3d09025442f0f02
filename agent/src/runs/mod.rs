//! The agent's runs: one task per run, the only one that decides about it.
//!
//! ```text
//! Run, Cancel, Revoke, Forget --> owner task --> attempt file, plan, supervisor
//!                                    |  ^
//!             followers <-- status --+  +-- markers in the spool (kernel watch, poll behind it)
//! ```
//!
//! Everything a run's task knows is in the spool, so an agent that comes back recovers each run by reading its folder: a
//! live supervisor is watched, a dead one is replaced by one that never starts Stata again, an exit record is judged,
//! and an attempt that provably never started is started. A run that has ended and is not used has no task ([`registry`]).

mod activity;
mod ask;
mod begin;
mod execute;
mod forget;
mod incoming_code;
mod journal;
mod limits;
mod neighbours;
mod numbers;
mod recover;
mod registry;
mod run_task;
mod sizes;
mod spans;
mod status;
mod take_up;
mod unreadable;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use longhaul_proto::{
    clock::Clock,
    faults,
    ids::RunId,
    tasks::{Tasks, blocking},
    wire,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use incoming_code::{NotTaken, Receiver};
pub(crate) use sizes::Sizes;
pub use status::{Facts, Status};

use ask::ask;
use incoming_code::IncomingCode;
use neighbours::Neighbours;
use registry::Registry;

use crate::{
    executor::Executor,
    follow::{Changes, Watcher},
    metrics::Metrics,
    prepare::{BannerCache, Preparer},
    spool::{CancelMode, Incoming, MinFree, Proofs, Spool, SpoolRoot, free_space},
};

/// How long the agent must have run before it removes old proofs, and the time between two checks of them.
const PROOFS_EVERY: Duration = Duration::from_secs(3600);

/// Why an attempt was not started. Nothing was recorded except perhaps in [`Refused::Io`].
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A higher attempt is known.
    #[error("attempt {asked} is older than attempt {known}, which this agent has seen")]
    Older {
        /// In the call.
        asked: u32,
        /// In the spool.
        known: u32,
    },
    /// The attempt was revoked.
    #[error("attempt {0} was revoked here and will not start")]
    Revoked(u32),
    /// An earlier attempt was started here.
    #[error("attempt {0} of this run was started here; a run is never started twice")]
    Started(u32),
    /// The run was executed here, and its spool was deleted.
    #[error("this run was executed here and its spool was freed, as its gateway said; a run is never started twice")]
    Freed,
    /// The spool has no room.
    #[error("{0}")]
    NoRoom(String),
    /// There is no engine to run it with.
    #[error("{0}")]
    NoEngine(String),
    /// Files of its code did not come before it.
    #[error("{0}")]
    NoBlobs(String),
    /// The spool failed.
    #[error("the spool could not be written")]
    Io(#[source] io::Error),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Why a run was not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum NotForgotten {
    /// The agent has no run of that id.
    #[error("this agent has no such run")]
    Unknown,
    /// It has not ended.
    #[error("the run has not ended")]
    Unfinished,
    /// The caller repeated other lengths or digests.
    #[error("length or digest differ from the run's record: log {log_len} bytes, console {console_len} bytes")]
    Differs {
        /// As recorded.
        log_len: u64,
        /// As recorded.
        console_len: u64,
    },
    /// The spool failed.
    #[error("the spool could not be removed")]
    Io(#[source] io::Error),
}

/// What is left of a run that was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// The proof that it was here.
    Whole,
    /// Also the folder with its files.
    ButItsFiles,
}

pub(crate) enum Command {
    Begin {
        submission: Box<wire::Submission>,
        attempt: u32,
        /// The span that it is a part of.
        trace: wire::TraceContext,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    Cancel {
        mode: CancelMode,
        by: String,
        reply: oneshot::Sender<io::Result<wire::CancelReply>>,
    },
    Revoke {
        attempt: u32,
        reply: oneshot::Sender<io::Result<bool>>,
    },
    Forget {
        request: wire::ForgetRequest,
        reply: oneshot::Sender<Result<Forgotten, NotForgotten>>,
    },
    Changed {
        attempt: u32,
        reply: oneshot::Sender<io::Result<wire::ChangedReply>>,
    },
}

/// What followers need of a run. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// Its folder.
    pub spool: Spool,
    /// The run's status.
    pub status: watch::Receiver<Status>,
    /// Fires when its files change.
    pub changes: Changes,
    /// Bytes of each stream that readers may have.
    pub output_limit: u64,
    commands: mpsc::Sender<Box<Command>>,
}

/// What runs may take of the disk.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// What must stay free.
    pub min_free: MinFree,
    /// Most bytes of all spools; 0 = no limit.
    pub max_spool: u64,
}

pub(crate) struct Context {
    root: SpoolRoot,
    preparer: Arc<Preparer>,
    executor: Arc<dyn Executor>,
    watcher: Watcher,
    min_free: MinFree,
    incoming_code: IncomingCode,
    banners: BannerCache,
    clock: Clock,
    tasks: Tasks,
    /// The sizes of the spools.
    sizes: Sizes,
    /// All runs.
    registry: Registry,
    /// Which runs share a folder.
    neighbours: Neighbours,
    metrics: Metrics,
}

/// All runs of this agent. Cheap to clone.
#[derive(Clone)]
pub struct Runs {
    context: Arc<Context>,
    /// Fires when all folders that were there at the start have been read. It wakes those who wait in their order, as a
    /// simulation needs it, which a `watch` does not.
    taken_up: CancellationToken,
}

impl Runs {
    /// Opens the spools below `root` and takes up every run in them. What is `incoming` is deleted.
    ///
    /// # Errors
    /// When the spools cannot be listed.
    #[expect(clippy::too_many_arguments, reason = "what they are made of, each once")]
    pub(crate) fn open(
        root: SpoolRoot,
        incoming: PathBuf,
        preparer: Preparer,
        executor: Arc<dyn Executor>,
        room: Room,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
    ) -> io::Result<Self> {
        root.remove_forgotten()?;
        if faults::bug("proofs_by_the_wall_clock") {
            root.drop_proofs(clock.unix_ms())?;
        }
        let spools = root.list()?;
        let banner = root.path().with_file_name("banner.json");
        let context = Context {
            root,
            preparer: Arc::new(preparer),
            executor,
            watcher: Watcher::new(&tasks),
            min_free: room.min_free,
            incoming_code: IncomingCode::new(Incoming::open(incoming)?, room.max_spool),
            banners: BannerCache::open(banner),
            clock,
            tasks,
            sizes: Sizes::default(),
            registry: Registry::default(),
            neighbours: Neighbours::default(),
            metrics,
        };
        let runs = Self { context: Arc::new(context), taken_up: CancellationToken::new() };
        runs.take_up(spools);
        runs.context.tasks.spawn_until_stop(runs.clone().drop_proofs());
        runs.context.tasks.spawn_until_stop(runs.clone().sweep_incoming_code());
        Ok(runs)
    }

    /// Removes old proofs from time to time: the first check comes late enough for a clock to have been set meanwhile.
    async fn drop_proofs(self) {
        let mut warned = false;
        loop {
            tokio::time::sleep(PROOFS_EVERY).await;
            let (root, now) = (self.context.root.clone(), self.context.clock.unix_ms());
            match blocking(move || root.drop_proofs(now)).await.and_then(|dropped| dropped) {
                Ok(Proofs::Removed(_)) => warned = false,
                Ok(Proofs::ClockAhead(ms)) => {
                    if !std::mem::replace(&mut warned, true) {
                        let days = ms / (24 * 3600 * 1000);
                        tracing::warn!(
                            days,
                            "this host's clock is far beyond the newest run here: old proofs stay until a new run \
                             confirms the time"
                        );
                    }
                }
                Err(error) => tracing::warn!(%error, "old proofs stay for now"),
            }
        }
    }

    fn handle(&self, spool: &Spool) -> Handle {
        self.context.registry.handle(&self.context, spool)
    }

    /// The sizes of the spools, as last measured.
    pub(crate) fn sizes(&self) -> &Sizes {
        &self.context.sizes
    }

    /// Bytes of all spools and of what is on its way into them; `None` = not all have been measured yet.
    pub(crate) fn spool_bytes(&self) -> Option<u64> {
        self.context.sizes.sum().map(|sum| sum.saturating_add(self.context.incoming_code.bytes()))
    }

    /// The run, if this agent has it.
    pub fn get(&self, run: RunId) -> Option<Handle> {
        self.context.registry.get(&self.context, run)
    }

    /// Records a request to end a run, then acts on it.
    ///
    /// # Errors
    /// When the request could not be recorded.
    pub async fn cancel(&self, run: RunId, mode: CancelMode, by: String) -> io::Result<wire::CancelReply> {
        let Some(handle) = self.get(run) else { return Ok(wire::CancelReply::default()) };
        ask(&handle, |reply| Command::Cancel { mode, by, reply }).await.unwrap_or_else(|| Err(stopping()))
    }

    /// Whether it is certain now that this attempt did not and will not start here.
    ///
    /// # Errors
    /// When the spool failed; nothing is certain then.
    pub async fn revoke(&self, run: RunId, attempt: u32) -> io::Result<bool> {
        let revoked = self.ask_task_of(run, |reply| Command::Revoke { attempt, reply });
        revoked.await.unwrap_or_else(|| Err(stopping()))
    }

    /// Deletes a finished run, if the request repeats its lengths and digests.
    ///
    /// # Errors
    /// See [`NotForgotten`].
    pub async fn forget(&self, run: RunId, request: wire::ForgetRequest) -> Result<Forgotten, NotForgotten> {
        let handle = self.get(run).ok_or(NotForgotten::Unknown)?;
        let answer = ask(&handle, |reply| Command::Forget { request, reply }).await;
        let forgotten = answer.unwrap_or(Err(NotForgotten::Unknown));
        self.context.sizes.changed(run);
        if forgotten.as_ref().is_ok_and(|what| *what == Forgotten::Whole) {
            self.context.registry.remove(&handle);
        }
        forgotten
    }

    /// Whether the do-files that an attempt entered have changed since.
    ///
    /// # Errors
    /// When the spool failed.
    pub async fn changed(&self, run: RunId, attempt: u32) -> io::Result<wire::ChangedReply> {
        let Some(handle) = self.get(run) else { return Ok(wire::ChangedReply::default()) };
        ask(&handle, |reply| Command::Changed { attempt, reply }).await.unwrap_or_else(|| Err(stopping()))
    }

    /// The spool of a run, to read what it entered; whether it is there is told by reading.
    pub(crate) fn spool(&self, run: RunId) -> Spool {
        self.context.root.of(run)
    }

    /// Waits until the folder of every run has been read, so that [`Runs::summaries`] is complete.
    pub async fn ready(&self) {
        self.taken_up.cancelled().await;
        for mut handle in self.context.registry.tasks() {
            // An error means that the run's task is gone, and the run with it.
            let _ = handle.status.wait_for(|status| status.read).await;
        }
    }

    /// The runs here, for the gateway.
    pub fn summaries(&self) -> Vec<wire::RunSummary> {
        status::in_order(self.context.registry.summaries())
    }

    /// Runs of which only files are kept, for a gateway whose record of them may be gone.
    pub fn leftovers(&self) -> Vec<wire::RunSummary> {
        if faults::bug("leftovers_untold") {
            return Vec::new();
        }
        status::in_order(self.context.registry.leftovers())
    }

    /// Why no run is accepted now, in words for people; `None` = runs are accepted.
    pub fn problem(&self) -> Option<String> {
        if let Err(problem) = &self.context.preparer.engine {
            return Some(problem.clone());
        }
        let path = self.context.root.path();
        match free_space(path) {
            Ok(space) => self.context.min_free.problem(space, path),
            Err(error) => Some(format!("the spool {} cannot be used: {error}", path.display())),
        }
    }

    /// Free bytes in the spool's file system.
    pub fn free_bytes(&self) -> u64 {
        free_space(self.context.root.path()).map_or(0, |space| space.free)
    }

    /// The latest banner of Stata.
    pub(crate) fn banners(&self) -> &BannerCache {
        &self.context.banners
    }

    /// The agent's clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.context.clock
    }

    /// How runs are prepared here.
    pub fn preparer(&self) -> &Arc<Preparer> {
        &self.context.preparer
    }
}

fn stopping() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the agent is stopping")
}
