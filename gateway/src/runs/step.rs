//! The steps of a run's state: each is one conditional update in the ledger, and is published after it.

use std::time::Duration;

use longhaul_proto::{
    faults,
    state::{Cause, RunState},
};

use super::{
    Inner, egress,
    run_task::{Interrupted, RunTask},
    timeouts, told,
};
use crate::{
    ledger::{LeaseChange, LedgerError, Transition},
    metrics::count,
    model::{Attempt, Condition, Detail, Placement, Record, Wait},
};

/// Pause before a failed ledger write is retried.
const LEDGER_PAUSE: Duration = Duration::from_secs(1);

/// When the run reaches its submitter's queue limit, by the monotonic clock; `None` = there is no limit.
pub(super) fn queue_deadline(inner: &Inner, record: &Record) -> Option<Duration> {
    let limit = Some(record.detail.asked.queue_timeout_ms).filter(|limit| *limit > 0)?;
    let since = match record.detail.queue.limit_from_ms {
        0 => record.created_ms,
        at => at,
    };
    // While the clock is in doubt, nothing is known of the time before this start: the wait counts from now.
    let waited = match inner.wall_clock.in_doubt() {
        Some(_) => 0,
        None => u64::try_from(inner.wall_clock.now_ms() - since).unwrap_or_default(),
    };
    Some(inner.deps.clock.monotonic() + Duration::from_millis(limit.saturating_sub(waited)))
}

/// Notes when a wait in the queue began.
fn wait_begins(detail: &mut Detail, cause: Cause, at_ms: i64) {
    if faults::bug("queue_deadline_survives") {
        return;
    }
    detail.queue.since_ms = at_ms;
    if cause == Cause::ProvenDead {
        // An attempt that never started leaves the limit where it was: the submitter still waits for the first start.
        detail.queue.limit_from_ms = at_ms;
    }
}

/// What a step to this state does to the lease: from the commit of `starting` on Stata may run, until the run is back in
/// the queue, has ended, or is given up.
fn lease_change(to: RunState) -> LeaseChange {
    match to {
        RunState::Starting => LeaseChange::Take,
        RunState::Running => LeaseChange::Keep,
        _ if faults::bug("leases_outlive_runs") => LeaseChange::Keep,
        _ => LeaseChange::Free,
    }
}

impl RunTask {
    /// Moves the run to another state, with the attempt that it has.
    ///
    /// # Errors
    /// [`Interrupted::Moved`] when another writer had moved it, [`Interrupted::Superseded`] when another gateway had taken
    /// it over, [`Interrupted::Stopping`].
    pub(super) async fn step(&mut self, to: RunState, cause: Cause) -> Result<(), Interrupted> {
        self.record_step(to, cause, None).await
    }

    /// Moves the run to `starting` with a new attempt, which is given to an agent.
    ///
    /// # Errors
    /// As [`RunTask::step`].
    pub(super) async fn step_to_attempt(&mut self, attempt: Attempt, to: Placement) -> Result<(), Interrupted> {
        self.record_step(RunState::Starting, Cause::Dispatched, Some((attempt, to))).await
    }

    /// Makes a step durable, then publishes it.
    async fn record_step(
        &mut self,
        to: RunState,
        cause: Cause,
        given: Option<(Attempt, Placement)>,
    ) -> Result<(), Interrupted> {
        let at_ms = self.inner.wall_clock.now_ms();
        self.note_step(to, cause, at_ms);
        let mut detail = self.record.detail.clone();
        if let Some((attempt, at)) = given.clone() {
            detail.give(attempt, at);
            timeouts::placed(&self.inner.options, &mut detail);
        }
        egress::note(&self.inner, &mut detail);
        let told = told::of_end(&self.inner, &self.record, &detail, (to, cause), at_ms);
        let tells = told.is_some();
        let mut step = Transition {
            run: self.record.run,
            from: self.record.state,
            from_attempt: self.record.attempt(),
            to,
            cause,
            at_ms,
            detail,
            lease: lease_change(to),
            owner: self.inner.owner.clone(),
            told,
        };
        self.write_step(&mut step).await?;
        if tells {
            self.inner.notify.soon();
        }
        self.record.detail.queue.clone_from(&step.detail.queue);
        (self.record.state, self.record.cause) = (to, cause);
        self.record.finished_ms = if to.is_end() { step.at_ms } else { 0 };
        if let Some((attempt, at)) = given {
            self.record.detail.give(attempt, at);
            timeouts::placed(&self.inner.options, &mut self.record.detail);
        }
        egress::note(&self.inner, &mut self.record.detail);
        if to == RunState::Queued {
            self.queue_deadline = queue_deadline(&self.inner, &self.record);
        }
        if to == RunState::Running {
            self.inner.metrics.first_output(self.record.created_ms, at_ms);
        }
        if cause == Cause::Returned {
            count(&self.inner.metrics.returned);
        }
        self.live.waiting = None;
        (self.live.silent_for, self.live.contact, self.live.no_end_since) = (None, None, None);
        self.publish();
        self.trace_step(step.at_ms);
        Ok(())
    }

    /// Notes in the record what belongs to a step.
    fn note_step(&mut self, to: RunState, cause: Cause, at_ms: i64) {
        if to == RunState::Queued {
            wait_begins(self.detail(), cause, at_ms);
        }
        if to == RunState::Running
            && let Some(attempt) = self.detail().present_mut().filter(|attempt| attempt.execution.running_ms == 0)
        {
            attempt.execution.running_ms = at_ms;
        }
        if to.is_end() {
            self.settle_start(at_ms);
        }
        if to.is_end() && self.record.state == RunState::Queued && self.record.detail.dead().next().is_some() {
            // No further attempt follows, so the output of the dead ones is all there is.
            self.record.detail.end.complete = self.record.detail.dead_complete();
        }
    }

    /// Writes a step into the ledger, trying again until it is there. Afterwards `step` has the times that are there.
    async fn write_step(&mut self, step: &mut Transition) -> Result<(), Interrupted> {
        let mut tried = self.inner.ledger.transition(step.clone()).await;
        loop {
            match tried {
                Ok(()) => break,
                Err(LedgerError::Lost(_)) => {
                    // A commit whose answer was lost looks like this too: then the run already is where it should be.
                    match self.inner.ledger.get(self.record.run).await {
                        Ok(Some(record)) => {
                            self.record = record;
                            if self.record.owner != self.inner.owner {
                                tracing::error!(run = %step.run, owner = %self.record.owner.gateway, "another gateway has taken this run over; it is left alone here");
                                self.publish();
                                return Err(Interrupted::Superseded);
                            }
                            if (self.record.state, self.record.attempt()) == (step.to, step.attempt()) {
                                step.detail.queue.clone_from(&self.record.detail.queue);
                                break;
                            }
                        }
                        // Only ended runs are removed: its end was recorded, and its record was old enough to go.
                        Ok(None) if step.to.is_end() => break,
                        Ok(None) | Err(_) => {}
                    }
                    tracing::warn!(run = %step.run, from = %step.from, to = %step.to, "another writer changed the state of this run");
                    self.publish();
                    return Err(Interrupted::Moved);
                }
                Err(error) => {
                    tracing::error!(run = %step.run, to = %step.to, error = &error as &dyn std::error::Error, "cannot record a step; trying again");
                    self.waiting(Some(Wait::LedgerFails));
                    // The caller's intent is recorded, however long its consequence takes.
                    if !faults::bug("cancel_waits_for_the_ledger")
                        && let Some(reply) = self.unanswered.take()
                    {
                        let _ = reply.send(Ok(self.snapshot()));
                    }
                    tried = self.try_step_again(step, error).await?;
                }
            }
        }
        Ok(())
    }

    /// Removes the lease from the ledger though the run takes no step: its attempt holds no Stata any more. Where that
    /// fails, the next step of the run does it, and a gateway that starts before that holds the seat a little longer.
    pub(super) async fn free_recorded_lease(&mut self) -> Result<(), Interrupted> {
        let (ledger, owner) = (self.inner.ledger.clone(), self.inner.owner.clone());
        let (run, attempt) = (self.record.run, self.record.attempt());
        if let Err(error) = self.during(None, async move { ledger.free_lease(run, attempt, owner).await }).await? {
            tracing::warn!(%run, error = &error as &dyn std::error::Error, "cannot record that a seat is free");
        }
        Ok(())
    }

    /// Makes the recorded start of an ended run agree with its end: by the same clock, and never after it. The gateway
    /// may have been away when the run started, and the host's clock is another.
    fn settle_start(&mut self, ended_ms: i64) {
        let created_ms = self.record.created_ms;
        let detail = self.detail();
        detail.conditions.clear(Condition::Collecting);
        let queued_ms = detail.queue.since_ms;
        let Some(execution) = detail.present_mut().map(|attempt| &mut attempt.execution) else { return };
        if execution.running_ms == 0 && execution.host_running_ms == 0 {
            return;
        }
        if faults::bug("started_by_the_hosts_clock") {
            execution.running_ms = execution.host_running_ms;
            return;
        }
        let took_ms = i64::try_from(execution.duration_ms.unwrap_or_default()).unwrap_or(i64::MAX);
        let latest = ended_ms.saturating_sub(took_ms).max(created_ms.max(queued_ms)).min(ended_ms);
        execution.running_ms = if execution.running_ms == 0 { latest } else { execution.running_ms.min(latest) };
    }

    /// Retries a step after a pause, in which commands are answered with the error.
    async fn try_step_again(
        &mut self,
        step: &mut Transition,
        error: LedgerError,
    ) -> Result<Result<(), LedgerError>, Interrupted> {
        let inner = self.inner.clone();
        let again = async {
            tokio::time::sleep(LEDGER_PAUSE).await;
            if (step.to, step.cause) == (RunState::Queued, Cause::ProvenDead) {
                // The new wait has its whole limit, however long it took to record its beginning.
                step.at_ms = inner.wall_clock.now_ms();
                wait_begins(&mut step.detail, step.cause, step.at_ms);
            }
            inner.ledger.transition(step.clone()).await
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
}
