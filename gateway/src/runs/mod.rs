//! The state machine of every run. Each unfinished run has one task, and only that task changes the run's state.
//!
//! ```text
//!                      cancel, queue_timeout
//!            +-----------------------------------------> cancelled, timed_out
//!            |
//!  submit -> queued --a seat, attempt N+1--> starting --first log byte--> running --> succeeded | failed | errored
//!              ^                                |  |                         |         | timed_out | cancelled
//!              +-- proof that N never started --+  +-------- the end --------+
//!              +-- proof that N is dead (retry: if_proven_dead) -------------+
//!                                               |                            |
//!                                               +----> lost <----------------+   an operator's word, or `lost_after`
//!                                                       +--> any end, once, from the spool's own record
//! ```
//!
//! The submitter's `retry` decides what brings a run back to the queue: with `never` nothing does (an attempt that
//! never started then ends `errored`, `not_started`); with `if_not_started` the proof that the attempt never started
//! does; with `if_proven_dead` so does the recorded death of its host, or of Stata by a signal that neither gateway nor
//! agent sent. A call that provably never left the gateway counts as no attempt: it is made again under the same
//! number, whatever `retry` says.
//!
//! - [`check`] turns a request into a submission, or says what is wrong with it; [`requested_code`] finds its code, and
//!   [`stored_code`] keeps large code as blobs;
//! - [`lookup`] looks at what it names: hosts that exist, and the do-file on an agent;
//! - [`at_once`] gives a new run its seat before it is recorded, where one is free;
//! - [`quotas`] says what room a new run needs and what priority it may have, and [`timeouts`] what limit its pool sets;
//! - [`joining`] decides whether an earlier run may answer a request;
//! - [`new_record`] is the record that a submission makes;
//! - [`submit`] answers with an earlier run if there is one that may, and otherwise records a run and starts its task;
//! - [`run_task`] is the task that owns one unfinished run, from its record to its end;
//! - [`take_up`] takes up the runs that a start of the gateway finds, with their leases;
//! - [`supervise`] restarts a run's task after a panic, and holds the run's lease meanwhile;
//! - [`control`] sends a caller's commands to a run; [`commands`] serves them (cancel, adopt, supersede, declare dead), and the
//!   run's deadlines;
//! - [`restore_guard`] detects a ledger restored from a backup, and holds back the runs that it still has as queued;
//! - [`wait_for_lease`] is a run in the queue; [`step`] records each change of state;
//! - [`follow_attempt`] and [`follow_events`] follow an attempt at its agent, [`not_started`] proves that it never started, [`finish`] records its end, [`retry`] queues the run again
//!   when an attempt is proven dead and the submitter asked for that;
//! - [`adopt`] gives an unverified run to its principal, on an operator's command;
//! - [`files`] lists the files that an ended run left, copies those of its own folder, and reads them;
//! - [`data`] asks an agent what is in a data file on its host;
//! - [`do_files`] fetches the do-files that an ended run entered, before its spool is released;
//! - [`release`] tells agents to delete spools, and remembers which runs were removed;
//! - [`agent_calls`] answers agents: they register, send heartbeats, and learn what to do with
//!   each of their runs; [`reconcile`] decides that;
//! - [`seal`] recognises this gateway's own requests in an agent's spool;
//! - [`upkeep`] removes old records and asks agents to delete old spools;
//! - [`egress`] knows what of a run may leave to AI clients;
//! - [`told`] is what is told of a run's end, in the transaction that records the end;
//! - [`drain`] drains and resumes hosts on an operator's command;
//! - [`reads`] is what callers may read of runs;
//! - [`snapshot`] makes the published snapshot of a run, on a `watch` that never makes the run's task wait.

pub(crate) mod adopt;
pub(crate) mod agent_calls;
mod agents;
mod answered;
mod at_once;
pub(crate) mod check;
mod commands;
mod confirm;
mod control;
mod data;
mod do_files;
mod drain;
mod egress;
mod error;
mod feed;
mod files;
mod finish;
mod follow_attempt;
mod follow_events;
mod forget_host;
mod give_code;
mod help;
mod invitations;
mod joining;
mod journal;
mod kept_data;
mod learnt;
mod lookup;
mod new_record;
mod not_started;
mod not_there;
mod numbers;
mod picture;
mod quotas;
mod reads;
mod reconcile;
pub(crate) mod registry;
pub(crate) mod release;
mod requested_code;
mod rerun;
pub(crate) mod restore_guard;
mod retry;
mod run_task;
pub mod seal;
pub(crate) mod snapshot;
mod spans;
mod step;
mod stored_code;
pub(crate) mod submit;
mod supervise;
mod take_up;
#[cfg(test)]
pub(crate) mod tests;
mod timeouts;
mod told;
pub(crate) mod upkeep;
mod wait_for_lease;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use longhaul_proto::{
    api::{ClockTrusted, Joined, SubmitRequest},
    clock::rfc3339,
    faults,
    ids::RunId,
    wire,
};

use crate::{
    Deps, Options,
    audit::{Audit, Event, Kind},
    blobs::Blobs,
    fleet::Fleet,
    ledger::Ledger,
    metrics::Metrics,
    mirror::Mirrors,
    model::{Identity, Owner, Principal, RunSnapshot},
    notify::Notify,
    wall_clock::WallClock,
};
use reads::{Look, may};
use registry::Registry;
use restore_guard::RestoreGuard;
use seal::SealKey;

pub use crate::ledger::RunFilter;
pub use agents::AgentsError;
pub use confirm::Unconfirmed;
pub use data::{DataAsk, DataBytes, DataError};
pub use do_files::{DoFileError, Entered, Left};
pub use error::{ControlError, DrainError, FindError, ReadError, SubmitError};
#[cfg(test)]
pub(crate) use feed::BACKLOG;
pub(crate) use feed::News;
pub use files::{ArtifactError, Fetched, Listed, Made, OpenFile};
pub use help::{HelpAsked, HelpError};
pub use invitations::Inviting;
pub use joining::Unjoined;
pub use kept_data::{READ_DATA, asked_of_child};
pub use not_there::NotThere;
pub use rerun::RerunError;

/// A parsed request with what its transport knows.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What is asked for.
    pub submit: SubmitRequest,
    /// The client's own name for this call, starting with [`crate::ledger::CALL`]; it stands for the whole request, and
    /// may be repeated.
    pub call: Option<String>,
    /// The caller's trace; empty = none, and the run gets a root of its own.
    pub trace: wire::TraceContext,
    /// Largest code or bundle in a request by this transport, bytes.
    pub max_code: usize,
    /// Likewise, where its files were uploaded before; `None` = the same.
    pub max_stored: Option<u64>,
    /// What a person agreed to whom its client asked ([`Unconfirmed::about`]).
    pub elicited: Option<String>,
}

/// Which runs to list: a filter.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// At most this many (1..=500).
    pub limit: u32,
    /// Only runs older than this one.
    pub before: Option<RunId>,
    /// Only those of this principal, which only operators may ask for others than themselves.
    pub principal: Option<Principal>,
    /// Only runs that it lets through.
    pub which: RunFilter,
}

/// The answer to a submission.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The run, new or joined.
    pub run: Arc<RunSnapshot>,
    /// Why the answer is an earlier run instead of a new one.
    pub joined: Option<Joined>,
}

/// A page of runs, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<Arc<RunSnapshot>>,
    /// Pass as `before` to get the next page; `None` on the last.
    pub next: Option<RunId>,
}

/// Some bytes of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// The bytes from the asked offset.
    pub bytes: Bytes,
    /// The offset at which the next read starts.
    pub next: u64,
    /// The run has ended and nothing follows these bytes.
    pub complete: bool,
}

/// Most bytes of one [`Runs::read`].
pub const MAX_READ: usize = 256 * 1024;

/// Most runs of one page.
pub const MAX_PAGE: u32 = 500;

pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// The run that a waiting run waits for, when both have the same owner.
#[derive(Clone, Debug)]
pub struct Behind {
    /// The run that holds the seat.
    pub run: Arc<RunSnapshot>,
    /// No call waits for it, and its owner has not looked at it lately.
    pub forgotten: bool,
}

/// The handle on all runs. Cheap to clone; every method may be dropped at any await without harm.
#[derive(Clone)]
pub struct Runs(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) options: Arc<Options>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) fleet: Fleet,
    pub(crate) mirrors: Mirrors,
    pub(crate) blobs: Blobs,
    pub(crate) audit: Audit,
    pub(crate) notify: Notify,
    pub(crate) restore_guard: RestoreGuard,
    pub(crate) wall_clock: WallClock,
    pub(crate) seal: SealKey,
    /// This gateway, as the owner of the runs that it moves.
    pub(crate) owner: Owner,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) deps: Deps,
    pub(crate) registry: Arc<Registry>,
    /// What dead attempts of removed runs left with agents that could not be asked.
    pub(crate) unfreed: release::Unfreed,
    /// Do-files that are being fetched.
    fetches: do_files::Fetches,
    copies: files::Copies,
    kept_data: kept_data::Readers,
    /// Ends that were shown to their owner and are being noted in the ledger.
    pub(crate) shown: joining::Shown,
    /// Held while hosts are drained or resumed, so that ledger and fleet apply such commands in the same order.
    pub(crate) draining: tokio::sync::Mutex<()>,
}

/// What is kept in files: the output of runs, blobs, and who did what; and who is told of ends.
pub(crate) struct Kept {
    pub(crate) mirrors: Mirrors,
    pub(crate) blobs: Blobs,
    pub(crate) audit: Audit,
    pub(crate) notify: Notify,
}

/// The guards: what holds runs back or keeps records while the ledger or the clock may be wrong, the key that tells this
/// gateway's requests from others, and the fence between it and a gateway after it.
pub(crate) struct Guards {
    pub(crate) restore_guard: RestoreGuard,
    pub(crate) wall_clock: WallClock,
    pub(crate) seal: SealKey,
    pub(crate) owner: Owner,
}

impl Runs {
    pub(crate) fn new(
        options: Arc<Options>,
        ledger: Arc<dyn Ledger>,
        fleet: Fleet,
        kept: Kept,
        guards: Guards,
        metrics: Arc<Metrics>,
        deps: Deps,
    ) -> Self {
        let Guards { restore_guard, wall_clock, seal, owner } = guards;
        let Kept { mirrors, blobs, audit, notify } = kept;
        Self(Arc::new(Inner {
            options,
            ledger,
            fleet,
            mirrors,
            blobs,
            audit,
            notify,
            restore_guard,
            wall_clock,
            seal,
            owner,
            metrics,
            deps,
            registry: Arc::default(),
            unfreed: release::Unfreed::default(),
            fetches: do_files::Fetches::default(),
            copies: files::Copies::default(),
            kept_data: kept_data::Readers::default(),
            shown: joining::Shown::default(),
            draining: tokio::sync::Mutex::default(),
        }))
    }

    /// Records a run durably before it answers, or answers with the run that this request already made.
    ///
    /// # Errors
    /// See [`SubmitError`]; no error leaves a run behind.
    pub async fn submit(&self, who: &Identity, request: Request) -> Result<Accepted, SubmitError> {
        Box::pin(submit::submit(&self.0, who, request)).await
    }

    /// The ends of these runs were shown to their owner: they no longer answer an equal request. Noted in the
    /// background; a request that comes after this call waits for the note.
    pub fn seen(&self, runs: Vec<RunId>) {
        if runs.is_empty() || faults::bug("nothing_is_seen") {
            return;
        }
        self.0.shown.noting(&runs);
        let inner = self.0.clone();
        self.0.deps.tasks.spawn(async move {
            if let Err(error) = inner.ledger.mark_shown(runs.clone(), inner.deps.clock.unix_ms()).await {
                // An equal request may then be answered with one of them once more; its first line says so.
                tracing::warn!(?runs, error = &error as &dyn std::error::Error, "cannot note that ends were seen");
            }
            inner.shown.noted(&runs);
        });
    }

    /// The only principal whose runs agents take that have neither `--serve` nor `--serve-all`; `None` = everybody's.
    pub fn serves_first_only(&self) -> Option<Principal> {
        self.0.fleet.first_only()
    }

    /// Tokens were made or revoked: the number of principals decides whose runs agents take that have neither `--serve`
    /// nor `--serve-all`.
    pub(crate) async fn principals_changed(&self) {
        match self.0.ledger.token_list().await {
            Ok(tokens) => self.0.fleet.principals(&tokens).await,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot count the principals");
                self.0.fleet.principals_unknown().await;
            }
        }
    }

    /// Whether the gateway can accept submissions.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn ready(&self) -> Result<(), String> {
        if self.0.deps.tasks.stopping().is_cancelled() {
            return Err("the gateway is stopping".to_owned());
        }
        self.0.ledger.check().await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "the ledger is not ready");
            format!("{error}: look at the disk of the data folder and the gateway's log")
        })
    }

    /// Why no record is removed by its age now, and what to do; `None` = old records are removed as usual.
    pub fn sweep_paused(&self) -> Option<String> {
        self.0.wall_clock.in_doubt()
    }

    /// An operator confirms that the wall clock is right, however far it is from what the ledger leads the gateway to
    /// expect.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`].
    pub fn trust_clock(&self, who: &Identity) -> Result<ClockTrusted, ControlError> {
        if !who.may_operate() {
            return Err(ControlError::Forbidden("trusting the clock needs a token with scope `operate`".to_owned()));
        }
        self.0.audit.note(Event::of(Kind::ClockTrusted, who));
        self.0.wall_clock.trust();
        let now = rfc3339(self.0.deps.clock.unix_ms()).unwrap_or_default();
        tracing::warn!(by = %who.principal, now, "an operator says that the clock is right");
        Ok(ClockTrusted { now })
    }
}
