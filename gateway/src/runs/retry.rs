//! Another attempt after one that is proven dead, if the submitter asked for that (`if_proven_dead`).
//!
//! The proof is the end that the agent recorded: its host's boot id changed and no exit was recorded, or Stata ended by
//! a signal that neither gateway nor agent sent and all processes below it are gone. Silence proves nothing, and
//! neither does `lost`. An end caused by the do-file, the licence or the kernel's lack of memory would recur, so it
//! stays the end; so does the end of the last of [`ATTEMPTS`] attempts.
//!
//! No output is lost: the next attempt's output follows that of the dead one in the mirror, at [`Detail::base`].
//! Readers simply read on.

use std::sync::Arc;

use longhaul_proto::{
    api::Retry,
    state::{Cause, RunState},
    wire,
};

use super::run_task::{Interrupted, RunTask};
use crate::{
    metrics::count,
    mirror::Mirror,
    model::{AttemptRecord, Condition, Death, Detail, OutputLengths, Stream},
};

/// Attempts of one run that may start: what kills three will kill the fourth.
const ATTEMPTS: usize = 3;

impl RunTask {
    /// Whether another attempt may follow this end.
    pub(super) fn may_try_again(&self, state: RunState, cause: Cause) -> bool {
        let died = state == RunState::Errored && matches!(cause, Cause::HostRebooted | Cause::Killed);
        // No retry of a run that is lost or that a client asked to end, nor of an unverified one, which no client of
        // this gateway asked for.
        let wanted = self.record.detail.asked.retry == Retry::IfProvenDead
            && !self.record.detail.origin.is_unverified()
            && self.record.cancel.is_none()
            && matches!(self.record.state, RunState::Starting | RunState::Running);
        died && wanted && self.record.detail.dead().count() + 1 < ATTEMPTS
    }

    /// Returns the run to the queue; the output of the dead attempt stays before that of the next.
    pub(super) async fn try_again(
        &mut self,
        mirror: &Arc<Mirror>,
        outcome: &wire::Outcome,
        cause: Cause,
        complete: bool,
    ) -> Result<(), Interrupted> {
        let output = OutputLengths { log: mirror.len(Stream::Log), console: mirror.len(Stream::Console) };
        let record = &mut self.record;
        tracing::warn!(run = %record.run, attempt = record.attempt_number(), %cause, "the attempt is dead; another follows");
        let how = if outcome.message.is_empty() { cause.to_string() } else { outcome.message.clone() };
        record.detail.attempt_died(Death { how, complete }, output);
        if let Some(words) = words(&self.record.detail) {
            self.detail().conditions.set(Condition::EarlierAttempts, words);
        }
        (self.live.progress, self.live.activity) = (None, None);
        self.step(RunState::Queued, Cause::ProvenDead).await?;
        count(&self.inner.metrics.retried);
        mirror.begin_at(output.log, output.console);
        self.seat.free();
        (self.cancelled, self.refused, self.trouble) = (None, None, None);
        (self.refetched, self.from_start) = (0, false);
        (self.stata_ended, self.lease_to_free, self.fruitless) = (false, false, 0);
        Ok(())
    }
}

/// What became of the earlier attempts, in words for people.
fn words(detail: &Detail) -> Option<String> {
    let last = detail.dead().next_back()?;
    let all = deaths(detail);
    let bytes = detail.base().log;
    let next = last.number.number() + 1;
    Some(format!("{all}; the first {bytes} bytes of the output are from before attempt {next}"))
}

/// The message of a run that waited longer than its submitter allowed.
pub(super) fn waited_too_long(detail: &Detail) -> String {
    let limit = detail.asked.queue_timeout_ms as f64 / 1000.0;
    match detail.dead().next() {
        None => format!("it waited for {limit} s, its limit; the code never began"),
        Some(_) => format!("{}; it then waited for {limit} s for another, its limit", deaths(detail)),
    }
}

fn deaths(detail: &Detail) -> String {
    let words = |dead: &AttemptRecord| {
        let how = dead.death.as_ref().map_or("", |death| &death.how);
        format!("attempt {} on {} died: {how}", dead.number, dead.at.host)
    };
    detail.dead().map(words).collect::<Vec<_>>().join("; ")
}
