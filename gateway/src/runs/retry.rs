//! Another attempt after one that is proven dead, if the submitter asked for that (`if_proven_dead`).
//!
//! The proof is the end that the agent recorded: its host's boot id changed and no exit was recorded, or Stata ended by
//! a signal that neither gateway nor agent sent and all processes below it are gone. Silence proves nothing, and
//! neither does `lost`. An end caused by the do-file, the licence or the kernel's lack of memory would recur, so it
//! stays the end; so does the end of the last of [`ATTEMPTS`] attempts.
//!
//! No output is lost: the next attempt's output follows that of the dead one in the mirror, at [`Detail::log_base`].
//! Readers simply read on.

use std::sync::Arc;

use longhaul_proto::{
    api::Retry,
    state::{Cause, RunState},
    wire,
};

use super::run_task::{Interrupted, RunTask};
use crate::{
    ledger::{Detail, Earlier},
    metrics::count,
    mirror::Mirror,
    model::{Condition, Stream},
};

/// Attempts of one run that may start: what kills three will kill the fourth.
const ATTEMPTS: usize = 3;

impl RunTask {
    /// Whether another attempt may follow this end.
    pub(super) fn may_try_again(&self, state: RunState, cause: Cause) -> bool {
        let died = state == RunState::Errored && matches!(cause, Cause::HostRebooted | Cause::Killed);
        // No retry of a run that is lost or that a client asked to end, nor of an unverified one, which no client of
        // this gateway asked for.
        let wanted = self.record.detail.retry == Retry::IfProvenDead
            && !self.record.detail.unverified
            && self.record.cancel.is_none()
            && matches!(self.record.state, RunState::Starting | RunState::Running);
        died && wanted && self.record.detail.earlier.len() + 1 < ATTEMPTS
    }

    /// Returns the run to the queue; the output of the dead attempt stays before that of the next.
    pub(super) async fn try_again(
        &mut self,
        mirror: &Arc<Mirror>,
        outcome: &wire::Outcome,
        cause: Cause,
        complete: bool,
    ) -> Result<(), Interrupted> {
        let (log, console) = (mirror.len(Stream::Log), mirror.len(Stream::Console));
        let record = &mut self.record;
        tracing::warn!(run = %record.run, attempt = record.attempt, %cause, "the attempt is dead; another follows");
        let mut earlier = std::mem::take(&mut record.detail.earlier);
        earlier.push(Earlier {
            attempt: record.attempt,
            agent_id: record.agent_id.clone(),
            host: record.host.clone(),
            how: if outcome.message.is_empty() { cause.to_string() } else { outcome.message.clone() },
            log_len: outcome.log_len,
            log_sha256: outcome.log_sha256.clone(),
            console_len: outcome.console_len,
            console_sha256: outcome.console_sha256.clone(),
            complete,
            view: record.detail.view,
        });
        let was = std::mem::take(&mut record.detail);
        record.detail = Detail {
            earlier,
            log_base: log,
            console_base: console,
            log_len: log,
            console_len: console,
            // What was asked for, and nothing of the attempt's outcome.
            source: was.source,
            args: was.args,
            need: was.need,
            path: was.path,
            wanted_dir: was.wanted_dir.clone(),
            wanted_sha256: was.wanted_sha256,
            client: was.client,
            timeout_ms: was.timeout_ms,
            queue_timeout_ms: was.queue_timeout_ms,
            traceparent: was.traceparent,
            working_dir: was.wanted_dir,
            code_sha256: was.code_sha256,
            retry: was.retry,
            imported: was.imported,
            contested: was.contested,
            ..Detail::default()
        };
        if let Some(words) = words(&self.record.detail) {
            self.detail().set(Condition::EarlierAttempts, words);
        }
        (self.live.progress, self.live.activity) = (None, None);
        self.step(RunState::Queued, Cause::ProvenDead).await?;
        count(&self.inner.metrics.retried);
        mirror.begin_at(log, console);
        self.seat.free();
        (self.cancelled, self.refused, self.trouble) = (None, None, None);
        (self.refetched, self.from_start) = (0, false);
        (self.stata_ended, self.fruitless) = (false, 0);
        Ok(())
    }
}

/// What became of the earlier attempts, in words for people.
fn words(detail: &Detail) -> Option<String> {
    let last = detail.earlier.last()?;
    let all = deaths(detail);
    let bytes = detail.log_base;
    Some(format!("{all}; the first {bytes} bytes of the output are from before attempt {}", last.attempt + 1))
}

/// The message of a run that waited longer than its submitter allowed.
pub(super) fn waited_too_long(detail: &Detail) -> String {
    let limit = detail.queue_timeout_ms as f64 / 1000.0;
    match detail.earlier.last() {
        None => format!("it waited for {limit} s, its limit; the code never began"),
        Some(_) => format!("{}; it then waited for {limit} s for another, its limit", deaths(detail)),
    }
}

fn deaths(detail: &Detail) -> String {
    let told = |e: &Earlier| format!("attempt {} on {} died: {}", e.attempt, e.host, e.how);
    detail.earlier.iter().map(told).collect::<Vec<_>>().join("; ")
}
