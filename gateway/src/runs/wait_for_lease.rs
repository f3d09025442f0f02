//! A queued run: it waits for a lease, its do-file is looked for on the agent, and the attempt is recorded.

use std::{future::pending, pin::pin, time::Duration};

use longhaul_proto::state::{Cause, RunState};

use super::run_task::{Interrupted, RunTask};
use crate::{
    fleet::{Lease, QueueNews},
    model::{Attempt, Need, QueueReason, UnixMs, Wait},
};

/// Longest back-off before a run that was given back is placed again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Waits for a seat that are shorter than this are not reported, ms.
const WAITED: u64 = 1_000;

impl RunTask {
    pub(super) async fn wait_for_lease(&mut self) -> Result<(), Interrupted> {
        self.seat.free();
        if self.record.cancel.is_some() {
            return self.step(RunState::Cancelled, Cause::CancelRequested).await;
        }
        if self.record.detail.origin.is_unverified() {
            // Its request rests on an agent's word alone, so it must not be executed.
            self.waiting(Some(Wait::Unverified));
            return self.during(None, pending()).await;
        }
        let mut seat = None;
        if self.record.attempt().is_some() && !self.inner.restore_guard.holds(&self.record) {
            // An agent gave it back: for a while it is not offered to the same agent again, with growing back-off.
            let pause = self.inner.options.backoff.0 * 2u32.saturating_pow(self.record.attempt_number().min(16));
            seat = self.take_turn(Some(pause.min(LONGEST_PAUSE))).await?;
        }
        if seat.is_none() && !self.inner.restore_guard.holds(&self.record) {
            seat = self.take_turn(None).await?;
        }
        if self.inner.restore_guard.holds(&self.record) {
            // That it is held back may have become known only when the agent of this lease connected: free the seat for
            // other runs.
            drop(seat);
            self.live.no_end_since = UnixMs::stored(self.inner.deps.clock.unix_ms());
            self.waiting(Some(Wait::Restored));
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
        let mut need = self.record.detail.asked.need.clone();
        need.unfit.clone_from(&self.unfit);
        if avoid_for.is_some() {
            let said = match &self.refused {
                Some(refused) => refused.words.as_str(),
                None if self.record.cause == Cause::ProvenDead => "the attempt before died there",
                None => "it gave it back",
            };
            need.unfit.insert(self.record.agent_id().to_owned(), format!("{said}; it is asked again soon"));
        }
        for dead in self.record.detail.dead().filter(|dead| !self.inner.fleet.puts_aside(&dead.at.agent_id)) {
            let why = "an attempt died there, and this version of its agent cannot begin another; install a newer one";
            need.unfit.insert(dead.at.agent_id.clone(), why.to_owned());
        }
        let (run, principal) = (self.record.run, self.record.principal.clone());
        let fleet = self.inner.fleet.clone();
        let urgency = self.record.detail.asked.urgency.clone();
        let mut entry = fleet.enqueue(run, &principal, need, &urgency).await;
        if let Some(why) = entry.reason() {
            self.waits_because(why);
        }
        let mut given_up = pin!(async {
            match avoid_for {
                None => pending().await,
                Some(pause) => tokio::time::sleep(pause).await,
            }
        });
        loop {
            let news = async {
                tokio::select! {
                    biased;
                    news = entry.news() => news,
                    () = &mut given_up => QueueNews::Lease(None),
                }
            };
            match self.during(None, news).await? {
                QueueNews::Lease(lease) => return Ok(lease),
                QueueNews::Reason(why) => self.waits_because(why),
            }
        }
    }

    /// Publishes why the run waits in the queue.
    fn waits_because(&mut self, why: QueueReason) {
        // Since when nothing moves it on, even if the words have changed.
        let since = self.live.no_end_since.or_else(|| UnixMs::stored(self.inner.deps.clock.unix_ms()));
        self.live.no_end_since = since.filter(|_| why.no_end);
        self.live.waiting = Some(Wait::Queued(why));
        self.publish();
    }

    /// Asks the agent for the do-file before the attempt: on a host without it an attempt would be spent for nothing.
    async fn has_the_file(&mut self, seat: &Lease) -> Result<bool, Interrupted> {
        let Some(path) = self.record.detail.asked.path.clone() else { return Ok(true) };
        if self.fit.contains(&seat.at.agent_id) {
            return Ok(true);
        }
        let fleet = self.inner.fleet.clone();
        let need = Need { host: seat.at.host.clone(), ..Default::default() };
        let working_dir = self.record.detail.asked.working_dir.clone();
        let principal = self.record.principal.clone();
        let seen =
            self.during(None, async move { fleet.inspect(&need, &principal, &path, &working_dir).await }).await?;
        let asked = &self.record.detail.asked;
        let (wanted, need) = (&asked.required_sha256, &asked.need);
        if !need.only_roots.is_empty() && !seen.iter().any(|answer| answer.agent_id == seat.at.agent_id) {
            self.unfit.insert(seat.at.agent_id.clone(), "it did not say where the do-file is there".to_owned());
            return Ok(false);
        }
        for answer in seen.into_iter().filter(|a| a.agent_id == seat.at.agent_id) {
            let problem = match answer.reply.problem {
                problem if !problem.is_empty() => problem,
                _ if !wanted.is_empty() && *wanted != answer.reply.sha256 => {
                    "the do-file has other bytes there".to_owned()
                }
                _ if !need.permits_path(&answer.reply.resolved) => format!(
                    "the token that it was submitted with is limited to {}, and the do-file is elsewhere there",
                    need.only_roots.join(", ")
                ),
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
        let since = match self.record.detail.queue.since_ms {
            0 => self.record.created_ms,
            at => at,
        };
        let queued_for = self.inner.deps.clock.unix_ms() - since;
        self.inner.metrics.queue_wait.record(Duration::from_millis(u64::try_from(queued_for).unwrap_or_default()));
        let waited_for = seat.waited_for.clone();
        let waited_ms = u64::try_from(queued_for).unwrap_or_default();
        let queue = &mut self.detail().queue;
        (queue.waited_ms, queue.waited_for) =
            if waited_ms < WAITED { (0, String::new()) } else { (waited_ms, waited_for) };
        self.live.waiting = None;
        let given_to = seat.at.clone();
        // Before the commit: after it the attempt may be taken up from the ledger, and must have its lease.
        self.seat.put(seat);
        self.step_to_attempt(Attempt::after(self.record.attempt()), given_to).await?;
        self.unsent = true;
        (self.stata_ended, self.lease_to_free, self.fruitless) = (false, false, 0);
        self.refused = None;
        Ok(())
    }
}
