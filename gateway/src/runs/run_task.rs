//! The task of one unfinished run, from its record to its end. Neither an unresponsive agent nor a failing disk can
//! keep it from answering commands.
//!
//! [`RunTask::keep`] reads in order: wait for a lease, make the attempt durable, hand the run over, follow it to its
//! end ([`super::follow_attempt`]), record that end ([`super::finish`]). Every long wait goes through
//! [`RunTask::during`], which also serves commands and deadlines. While a step cannot be recorded, commands are
//! answered with that error.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    future::pending,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use longhaul_proto::{
    api::CancelMode,
    faults,
    state::{Cause, RunState},
    wire,
};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{
    Inner,
    registry::{Command, RunHandle},
    restore_guard,
    supervise::LeaseCell,
    view::{Live, view},
};
use crate::{
    fleet::{
        Lease,
        connection::{self, Connection},
    },
    ledger::{Condition, Detail, LedgerError, Record, Transition},
    metrics::count,
    mirror::Mirror,
    model::{Attempt, Need, Placement},
};

/// Longest back-off before a run that was given back is placed again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Waits for a seat that are shorter than this are not reported, ms.
const WAITED: u64 = 1_000;
/// Pause before a failed ledger write is retried.
const LEDGER_PAUSE: Duration = Duration::from_secs(1);

/// Why the task leaves what it was doing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The gateway is stopping; the run goes on at its agent.
    Stopping,
    /// The run's state has changed: decide again what to do.
    Moved,
}

/// How a run's task ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TaskEnd {
    /// The run has ended, and its end is recorded and published.
    Ended,
    /// The gateway is stopping.
    Stopping,
}

pub(crate) struct RunTask {
    pub(super) inner: Arc<Inner>,
    pub(super) active: Arc<RunHandle>,
    pub(super) mailbox: OwnedMutexGuard<mpsc::Receiver<Command>>,
    pub(super) record: Record,
    /// The request, if it is small and this process has not dispatched it yet; otherwise it is read from the ledger.
    pub(super) submission: Option<wire::Submission>,
    pub(super) live: Live,
    pub(super) mirror: Option<Arc<Mirror>>,
    pub(super) seat: LeaseCell,
    /// The `Run` call of this attempt has provably not left the gateway.
    pub(super) unsent: bool,
    /// The run is `lost`: only the spool's own record may still change it.
    pub(super) correcting: bool,
    /// Agents that reported to have the do-file, and those that reported a problem, with their words.
    pub(super) fit: HashSet<String>,
    pub(super) unfit: BTreeMap<String, String>,
    /// What the agent answered when it refused the attempt.
    pub(super) refused: Option<tonic::Status>,
    pub(super) refetched: u32,
    /// The agent has reported the end of this attempt: no Stata process of it lives, and it holds no lease.
    pub(super) stata_ended: bool,
    /// How many times in a row the agent then broke off without a new byte.
    pub(super) fruitless: u32,
    /// Follow from offset 0, because the agent has less output than the mirror.
    pub(super) from_start: bool,
    /// Why the agent, although connected, cannot look after this run.
    pub(super) trouble: Option<String>,
    pub(super) queue_deadline: Option<Duration>,
    /// Why a step of this run cannot be recorded now: commands are answered with this error, and no other step is
    /// started.
    pub(super) stuck: Option<LedgerError>,
    /// Commands that arrived meanwhile and wait until the step is recorded.
    pub(super) deferred: VecDeque<Command>,
    tick: tokio::time::Interval,
    pub(super) cancelling: Option<BoxFuture<'static, Result<CancelMode, String>>>,
    /// The cancel mode that the agent has accepted.
    pub(super) cancelled: Option<CancelMode>,
    /// A cancel has failed and is retried at the next tick.
    pub(super) cancel_resting: bool,
}

/// When the run reaches its submitter's queue limit, by the monotonic clock; `None` = there is no limit.
fn queue_deadline(inner: &Inner, record: &Record) -> Option<Duration> {
    let limit = Some(record.detail.queue_timeout_ms).filter(|limit| *limit > 0)?;
    let since = match record.detail.queue_limit_from_ms {
        0 => record.created_ms,
        at => at,
    };
    // While the clock is in doubt, nothing is known of the time before this start: the wait counts from now.
    let waited = match inner.wall.in_doubt() {
        Some(_) => 0,
        None => u64::try_from(inner.wall.now_ms() - since).unwrap_or_default(),
    };
    Some(inner.deps.clock.monotonic() + Duration::from_millis(limit.saturating_sub(waited)))
}

/// What woke [`RunTask::during`].
enum Woken {
    Command(Option<Command>),
    Cancelled(Result<CancelMode, String>),
    Tick,
    Stop,
}

impl RunTask {
    pub(super) fn new(
        inner: Arc<Inner>,
        active: Arc<RunHandle>,
        mailbox: OwnedMutexGuard<mpsc::Receiver<Command>>,
        record: Record,
        submission: Option<wire::Submission>,
        seat: LeaseCell,
    ) -> Self {
        let mut tick = tokio::time::interval(inner.options.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let queue_deadline = queue_deadline(&inner, &record);
        Self {
            live: Live::of(&record),
            correcting: record.state == RunState::Lost,
            inner,
            active,
            mailbox,
            record,
            submission,
            mirror: None,
            seat,
            unsent: false,
            fit: HashSet::new(),
            unfit: BTreeMap::new(),
            refused: None,
            refetched: 0,
            stata_ended: false,
            fruitless: 0,
            from_start: false,
            trouble: None,
            queue_deadline,
            stuck: None,
            deferred: VecDeque::new(),
            tick,
            cancelling: None,
            cancelled: None,
            cancel_resting: false,
        }
    }

    /// Runs to the end of the run, or until the gateway stops.
    pub(super) async fn keep(mut self) -> TaskEnd {
        let counted = self.correcting;
        while !self.record.state.is_end() || self.correcting {
            let left = match self.record.state {
                RunState::Queued => Box::pin(self.wait_for_seat()).await,
                _ => Box::pin(self.attend()).await,
            };
            if left == Err(Interrupted::Stopping) {
                return TaskEnd::Stopping;
            }
            self.correcting &= self.record.state == RunState::Lost;
        }
        if counted && self.record.state == RunState::Lost {
            // It was lost before, came back, and was given up again.
            self.inner.table.remove(self.record.run);
            return TaskEnd::Ended;
        }
        let meaning = self.record.state.meaning();
        let span = tracing::info_span!(
            "longhaul.record",
            longhaul.run.id = %self.record.run,
            longhaul.run.result = meaning.map(|m| m.result),
            longhaul.run.state = %self.record.state,
            longhaul.run.cause = %self.record.cause,
        );
        self.in_trace(&span);
        span.in_scope(|| tracing::info!(run = %self.record.run, state = %self.record.state, cause = %self.record.cause, "run ended"));
        self.inner.metrics.ended(self.record.state);
        self.inner.table.remove(self.record.run);
        TaskEnd::Ended
    }

    /// Makes a span part of the run's trace.
    pub(super) fn in_trace(&self, span: &tracing::Span) {
        let traceparent = self.record.detail.traceparent.clone();
        longhaul_proto::telemetry::set_parent(span, &wire::TraceContext { traceparent, ..Default::default() });
    }

    async fn wait_for_seat(&mut self) -> Result<(), Interrupted> {
        self.seat.free();
        if self.record.cancel.is_some() {
            return self.step(RunState::Cancelled, Cause::CancelRequested).await;
        }
        if self.record.detail.unverified {
            // Its request rests on an agent's word alone, so it must not be executed.
            self.waiting(Some(super::adopt::WAITS.to_owned()));
            return self.during(None, pending()).await;
        }
        let mut seat = None;
        if self.record.attempt > 0 && !self.inner.past.holds(&self.record) {
            // An agent gave it back: for a while it is not offered to the same agent again, with growing back-off.
            let pause = self.inner.options.backoff.0 * 2u32.saturating_pow(self.record.attempt.min(16));
            seat = self.take_turn(Some(pause.min(LONGEST_PAUSE))).await?;
        }
        if seat.is_none() && !self.inner.past.holds(&self.record) {
            seat = self.take_turn(None).await?;
        }
        if self.inner.past.holds(&self.record) {
            // That it is held back may have become known only when the agent of this lease connected: free the seat for
            // other runs.
            drop(seat);
            self.live.no_end_since_ms = self.inner.deps.clock.unix_ms();
            self.waiting(Some(restore_guard::HELD.to_owned()));
            return self.during(None, pending()).await;
        }
        let Some(seat) = seat else { return Err(Interrupted::Stopping) };
        if !self.has_the_file(&seat).await? {
            return Ok(());
        }
        if self.inner.fleet.drains(&seat.at.host) {
            // An operator started to drain the host while its agent was asked.
            return Ok(());
        }
        self.hand_over(seat).await
    }

    /// Waits in the queue until there is a lease; with `avoid_for` at most that long, and not for a seat of the agent
    /// that gave the run back.
    async fn take_turn(&mut self, avoid_for: Option<Duration>) -> Result<Option<Lease>, Interrupted> {
        let mut need = self.record.detail.need.clone();
        need.unfit.clone_from(&self.unfit);
        if avoid_for.is_some() {
            let said = match &self.refused {
                Some(status) => &connection::said(status),
                None if self.record.cause == Cause::ProvenDead => "the attempt before died there",
                None => "it gave it back",
            };
            need.unfit.insert(self.record.agent_id.clone(), format!("{said}; it is asked again soon"));
        }
        for dead in self.record.detail.earlier.iter().filter(|dead| !self.inner.fleet.puts_aside(&dead.agent_id)) {
            let why = "an attempt died there, and this version of its agent cannot begin another; install a newer one";
            need.unfit.insert(dead.agent_id.clone(), why.to_owned());
        }
        let (run, principal) = (self.record.run, self.record.principal.clone());
        let fleet = self.inner.fleet.clone();
        self.live.waiting = None;
        let mut entry = fleet.enqueue(run, &principal, need, self.active.view.clone());
        let granted = async {
            match avoid_for {
                None => entry.seat().await,
                Some(pause) => tokio::time::timeout(pause, entry.seat()).await.unwrap_or_default(),
            }
        };
        self.during(None, granted).await
    }

    /// Asks the agent for the do-file before the attempt: on a host without it an attempt would be spent for nothing.
    async fn has_the_file(&mut self, seat: &Lease) -> Result<bool, Interrupted> {
        let Some(path) = self.record.detail.path.clone() else { return Ok(true) };
        if self.fit.contains(&seat.at.agent_id) {
            return Ok(true);
        }
        let fleet = self.inner.fleet.clone();
        let need = Need { host: seat.at.host.clone(), ..Default::default() };
        let working_dir = self.record.detail.wanted_dir.clone();
        let principal = self.record.principal.clone();
        let seen =
            self.during(None, async move { fleet.inspect(&need, &principal, &path, &working_dir).await }).await?;
        let wanted = &self.record.detail.wanted_sha256;
        for answer in seen.into_iter().filter(|a| a.agent_id == seat.at.agent_id) {
            let problem = match answer.reply.problem {
                problem if !problem.is_empty() => problem,
                _ if !wanted.is_empty() && *wanted != answer.reply.sha256 => {
                    "the do-file has other bytes there".to_owned()
                }
                _ => continue,
            };
            self.unfit.insert(answer.agent_id, problem);
            return Ok(false);
        }
        // No agent reported a problem; one that could not answer in time reports it when it gets the run.
        self.fit.insert(seat.at.agent_id.clone());
        Ok(true)
    }

    /// Makes the attempt durable before any call leaves the gateway.
    async fn hand_over(&mut self, seat: Lease) -> Result<(), Interrupted> {
        // Only this wait counts: the time of an earlier attempt was no waiting.
        let since = match self.record.detail.queued_ms {
            0 => self.record.created_ms,
            at => at,
        };
        let queued_for = self.inner.deps.clock.unix_ms() - since;
        let span = tracing::info_span!("longhaul.queue", longhaul.run.id = %self.record.run, longhaul.queue.waited_ms = queued_for);
        self.in_trace(&span);
        self.inner.metrics.queue_wait.record(Duration::from_millis(u64::try_from(queued_for).unwrap_or_default()));
        drop(span);
        let waited_for = seat.waited_for.clone();
        let waited_ms = u64::try_from(queued_for).unwrap_or_default();
        let detail = self.detail();
        (detail.waited_ms, detail.waited_for) =
            if waited_ms < WAITED { (0, String::new()) } else { (waited_ms, waited_for) };
        self.live.waiting = None;
        let given_to = seat.at.clone();
        // Before the commit: after it the attempt may be taken up from the ledger, and must have its lease.
        self.seat.put(seat);
        self.step_to_attempt(Attempt::after(Attempt::known(self.record.attempt)), given_to).await?;
        self.unsent = true;
        (self.stata_ended, self.fruitless) = (false, 0);
        self.refused = None;
        Ok(())
    }

    /// Does some work that may take long, and meanwhile serves commands and deadlines; with a connection it also sends
    /// a pending cancel to the agent.
    pub(super) async fn during<T>(
        &mut self,
        connection: Option<&Arc<Connection>>,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        let mut work = pin!(work);
        let stop = self.inner.deps.tasks.stopping();
        loop {
            if self.stuck.is_none()
                && let Some(command) = self.deferred.pop_front()
            {
                self.obey(command).await?;
            }
            if let Some(connection) = connection {
                self.start_cancelling(connection);
            }
            // Queued runs without a deadline do not tick: a queue of ten thousand would wake up every second for
            // nothing.
            let timed =
                self.stuck.is_none() && (self.record.state != RunState::Queued || self.queue_deadline.is_some());
            let Self { mailbox, cancelling, tick, .. } = self;
            let cancel = async {
                match cancelling {
                    Some(call) => call.await,
                    None => pending().await,
                }
            };
            let woken = tokio::select! {
                // In a fixed order, so that it can be replayed. The work comes last, so that an output that never
                // pauses cannot hold up commands.
                biased;
                () = stop.cancelled() => Woken::Stop,
                command = mailbox.recv() => Woken::Command(command),
                result = cancel => Woken::Cancelled(result),
                _ = tick.tick(), if timed => Woken::Tick,
                done = &mut work => return Ok(done),
            };
            match woken {
                Woken::Command(Some(command)) => self.obey(command).await?,
                Woken::Command(None) | Woken::Stop => return Err(Interrupted::Stopping),
                Woken::Tick => self.look_at_time().await?,
                Woken::Cancelled(result) => {
                    self.cancelling = None;
                    match result {
                        Ok(mode) => {
                            self.cancelled = Some(mode);
                            self.live.cancel_told = self.record.cancel.as_ref().is_some_and(|wish| wish.mode == mode);
                            self.publish();
                        }
                        Err(problem) => {
                            tracing::debug!(run = %self.record.run, %problem, "the agent did not take the cancel yet");
                            self.cancel_resting = true;
                        }
                    }
                }
            }
        }
    }

    /// Moves the run to another state, with the attempt that it has.
    ///
    /// # Errors
    /// [`Interrupted::Moved`] when another writer had moved it, [`Interrupted::Stopping`].
    pub(super) async fn step(&mut self, to: RunState, cause: Cause) -> Result<(), Interrupted> {
        self.record_step(to, cause, self.record.attempt, None).await
    }

    /// Moves the run to `starting` with a new attempt, which is given to an agent.
    ///
    /// # Errors
    /// As [`RunTask::step`].
    pub(super) async fn step_to_attempt(&mut self, attempt: Attempt, to: Placement) -> Result<(), Interrupted> {
        self.record_step(RunState::Starting, Cause::Dispatched, attempt.number(), Some(to)).await
    }

    /// Makes a step durable, then publishes it.
    async fn record_step(
        &mut self,
        to: RunState,
        cause: Cause,
        attempt: u32,
        given_to: Option<Placement>,
    ) -> Result<(), Interrupted> {
        let at_ms = self.inner.wall.now_ms();
        if to == RunState::Queued && !faults::bug("queue_deadline_survives") {
            self.detail().queued_ms = at_ms;
            if cause == Cause::ProvenDead {
                // An attempt that never started leaves the limit where it was: the submitter still waits for the first
                // start.
                self.detail().queue_limit_from_ms = at_ms;
            }
        }
        if to == RunState::Running && self.record.detail.running_ms == 0 {
            self.detail().running_ms = at_ms;
        }
        if to.is_end() {
            self.settle_start(at_ms);
        }
        if to.is_end() && self.record.state == RunState::Queued && !self.record.detail.earlier.is_empty() {
            // No further attempt follows, so the output of the dead ones is all there is.
            self.record.detail.complete = self.record.earlier_whole();
        }
        let step = Transition {
            run: self.record.run,
            from: self.record.state,
            from_attempt: self.record.attempt,
            to,
            cause,
            attempt,
            at_ms,
            given_to: given_to.clone().map(|at| (at.agent_id, at.host, at.pool)),
            detail: Some(self.record.detail.clone()),
        };
        let mut tried = self.inner.ledger.transition(step.clone()).await;
        loop {
            match tried {
                Ok(()) => break,
                Err(LedgerError::LostRace(_)) => {
                    // A commit whose answer was lost looks like this too: then the run already is where it should be.
                    match self.inner.ledger.get(self.record.run).await {
                        Ok(Some(record)) => {
                            self.record = record;
                            if (self.record.state, self.record.attempt) == (to, attempt) {
                                break;
                            }
                        }
                        // Only ended runs are removed: its end was recorded, and its record was old enough to go.
                        Ok(None) if to.is_end() => break,
                        Ok(None) | Err(_) => {}
                    }
                    tracing::warn!(run = %step.run, from = %step.from, %to, "another writer changed the state of this run");
                    self.publish();
                    return Err(Interrupted::Moved);
                }
                Err(error) => {
                    tracing::error!(run = %step.run, %to, error = &error as &dyn std::error::Error, "cannot record a step; trying again");
                    self.waiting(Some("the gateway cannot write its ledger; see its log".to_owned()));
                    tried = self.try_step_again(step.clone(), error).await?;
                }
            }
        }
        (self.record.state, self.record.cause, self.record.attempt) = (to, cause, attempt);
        self.record.finished_ms = if to.is_end() { step.at_ms } else { 0 };
        if let Some(at) = given_to {
            (self.record.agent_id, self.record.host, self.record.pool) = (at.agent_id, at.host, at.pool);
        }
        if to == RunState::Queued {
            self.queue_deadline = queue_deadline(&self.inner, &self.record);
            if cause == Cause::ProvenDead && !faults::bug("queue_deadline_survives") {
                // A new wait, from now on: it may have taken the ledger a while to record it.
                let limit = Duration::from_millis(self.record.detail.queue_timeout_ms);
                self.queue_deadline = self.queue_deadline.map(|_| self.inner.deps.clock.monotonic() + limit);
            }
        }
        if cause == Cause::Returned {
            count(&self.inner.metrics.returned);
        }
        self.live.waiting = None;
        (self.live.silent_for, self.live.contact, self.live.no_end_since_ms) = (None, None, 0);
        self.publish();
        Ok(())
    }

    /// Makes the recorded start of an ended run agree with its end: by the same clock, and never after it. The gateway
    /// may have been away when the run started, and the host's clock is another.
    fn settle_start(&mut self, ended_ms: i64) {
        let created_ms = self.record.created_ms;
        let detail = self.detail();
        detail.clear(Condition::Collecting);
        if detail.running_ms == 0 && detail.host_running_ms == 0 {
            return;
        }
        if faults::bug("started_by_the_hosts_clock") {
            detail.running_ms = detail.host_running_ms;
            return;
        }
        let took_ms = i64::try_from(detail.duration_ms.unwrap_or_default()).unwrap_or(i64::MAX);
        let latest = ended_ms.saturating_sub(took_ms).max(created_ms.max(detail.queued_ms)).min(ended_ms);
        detail.running_ms = if detail.running_ms == 0 { latest } else { detail.running_ms.min(latest) };
    }

    /// Retries a step after a pause, in which commands are answered with the error.
    async fn try_step_again(
        &mut self,
        step: Transition,
        error: LedgerError,
    ) -> Result<Result<(), LedgerError>, Interrupted> {
        let ledger = self.inner.ledger.clone();
        let again = async move {
            tokio::time::sleep(LEDGER_PAUSE).await;
            ledger.transition(step).await
        };
        if faults::bug("deaf_while_ledger_full") {
            let stop = self.inner.deps.tasks.stopping();
            return stop.run_until_cancelled(again).await.ok_or(Interrupted::Stopping);
        }
        let before = self.stuck.replace(error);
        let tried = self.during(None, again).await;
        self.stuck = before;
        tried
    }

    pub(super) fn waiting(&mut self, why: Option<String>) {
        if self.live.waiting != why {
            self.live.waiting = why;
            self.publish();
        }
    }

    /// Publishes the run's view to all watchers.
    pub(super) fn publish(&self) {
        let mut new = view(&self.record, &self.live);
        self.active.view.send_modify(|old| {
            // While the run is queued, the fleet writes why it waits.
            if self.record.state == RunState::Queued && new.waiting.is_none() {
                new.waiting.clone_from(&old.waiting);
                new.no_end_since.clone_from(&old.no_end_since);
            }
            *old = Arc::new(new);
        });
    }

    /// The run's detail, to be changed before a step records it.
    pub(super) fn detail(&mut self) -> &mut Detail {
        &mut self.record.detail
    }
}
