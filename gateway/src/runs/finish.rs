//! The end of a run: first its mirror is completed and made durable, then the end is recorded as the agent judged it.

use std::sync::Arc;

use longhaul_proto::{
    api::{LocationView, ProcessView},
    faults,
    state::{Cause, RunState},
    wire,
};

use super::{
    do_files,
    run_task::{Interrupted, RunTask},
};
use crate::{
    metrics::count,
    mirror::{Mirror, Recorded, RecordedDigest, Sealed},
    model::{AttemptRecord, Condition, Diagnosis, OutputLengths, Stream},
};

/// How often an output is fetched again because its digest differed, before the record says that it differs.
const REFETCHES: u32 = 3;

/// Why a run gets no further attempt after a dead one, although its submitter asked for that.
const NOT_AGAIN: &str = "it was not tried again: its output had passed the gateway's limit per run (max_output), so that \
                         nothing of another attempt could be shown";

/// The output that an end is recorded with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// All that the agent recorded; what differs is fetched again.
    Awaited,
    /// All that there is: the agent has no more.
    AllThereIs,
}

/// Why the gateway's copy of the output is not what the agent recorded, in words.
fn incomplete(complete: bool, longer: bool, cut: bool) -> Option<&'static str> {
    match (longer, cut, complete) {
        (true, ..) => Some("the host lost the end of the output in a crash; the gateway has kept it"),
        (false, true, _) => Some(
            "the output passed the gateway's limit per run; the rest is in the agent's spool, as long as this record",
        ),
        (false, false, false) => {
            Some("the gateway's copy of the output differs from the digest that the agent recorded")
        }
        (false, false, true) => None,
    }
}

impl RunTask {
    /// Records the end; `false` when the output has to be fetched (again) first.
    pub(super) async fn end(&mut self, mirror: &Arc<Mirror>, outcome: &wire::Outcome) -> Result<bool, Interrupted> {
        self.end_with(mirror, outcome, Output::Awaited).await
    }

    /// Records the end with the output that there is, since the agent has no more; `false` when the disk fails.
    pub(super) async fn end_short(
        &mut self,
        mirror: &Arc<Mirror>,
        outcome: &wire::Outcome,
    ) -> Result<bool, Interrupted> {
        self.end_with(mirror, outcome, Output::AllThereIs).await
    }

    async fn end_with(
        &mut self,
        mirror: &Arc<Mirror>,
        outcome: &wire::Outcome,
        output: Output,
    ) -> Result<bool, Interrupted> {
        let (mut complete, mut longer) = (true, false);
        let (log_len, console_len) = self.lengths(outcome);
        let sealed = mirror.seal(
            Recorded { len: log_len, digest: RecordedDigest::of(&outcome.log_blake3, &outcome.log_sha256) },
            Recorded { len: console_len, digest: RecordedDigest::of(&outcome.console_blake3, &outcome.console_sha256) },
        );
        let sealed = match self.during(None, sealed).await? {
            Ok(sealed) => sealed,
            Err(error) => {
                tracing::error!(run = %self.record.run, %error, "cannot make the mirror durable; trying again");
                return Ok(false);
            }
        };
        for (stream, sealed) in sealed {
            let again = output == Output::Awaited && !mirror.is_cut(stream) && self.refetched < REFETCHES;
            if sealed == Sealed::Differs && again {
                self.fetch_again(mirror, stream).await?;
                return Ok(false);
            }
            complete &= sealed == Sealed::Same;
            longer |= sealed == Sealed::Longer;
        }
        let cut = mirror.is_cut(Stream::Log) || mirror.is_cut(Stream::Console);
        self.take_outcome(outcome, complete);
        if output == Output::AllThereIs {
            let words = self.short_words(mirror, outcome);
            tracing::warn!(run = %self.record.run, words, "the output is not whole");
            self.detail().conditions.set(Condition::Incomplete, words);
        } else if let Some(words) = incomplete(complete, longer, cut) {
            self.detail().conditions.set(Condition::Incomplete, words);
        }
        (self.live.log_len, self.live.console_len) = (mirror.len(Stream::Log), mirror.len(Stream::Console));
        self.record.detail.end.output = self.live.output();
        let (state, cause) = self.judged(outcome);
        if self.may_try_again(state, cause) {
            if !cut {
                self.try_again(mirror, outcome, cause, complete).await?;
                return Ok(true);
            }
            // The next attempt's output would follow this one's in the mirror, which takes no more: none of it could be
            // read.
            self.add_note(NOT_AGAIN);
        }
        faults::point("end.before_commit");
        self.step(state, cause).await?;
        faults::point("end.after_commit");
        do_files::fetch_soon(&self.inner, self.record.run);
        self.seat.free();
        Ok(true)
    }

    /// Drops a mirror that differs from the log, so that the output is fetched from its beginning.
    async fn fetch_again(&mut self, mirror: &Arc<Mirror>, stream: Stream) -> Result<(), Interrupted> {
        tracing::warn!(run = %self.record.run, ?stream, "the mirror differs from the log; fetching it again");
        self.refetched += 1;
        count(&self.inner.metrics.mirror_refetched);
        if stream == Stream::Log {
            // The view belonged to a wrong copy; the agent sends it again with the bytes.
            if let Some(attempt) = self.detail().present_mut() {
                attempt.user_part = None;
            }
        }
        if let Err(error) = self.during(None, mirror.restart(stream)).await? {
            tracing::error!(run = %self.record.run, %error, "cannot start the mirror over");
        }
        Ok(())
    }

    /// Says which bytes are missing when the agent has fewer than it recorded.
    fn short_words(&self, mirror: &Mirror, outcome: &wire::Outcome) -> String {
        let base = self.record.detail.base();
        let missing = [
            ("log", outcome.log_len, mirror.len(Stream::Log).saturating_sub(base.log)),
            ("console", outcome.console_len, mirror.len(Stream::Console).saturating_sub(base.console)),
        ];
        let missing = missing.iter().filter(|(_, recorded, here)| here < recorded);
        let words =
            missing.map(|(what, recorded, here)| format!("{recorded} bytes of {what} and has only {here} of them"));
        let words = words.collect::<Vec<_>>().join(", ");
        format!("agent {} recorded {words}: its spool was damaged; all that there was is here", self.record.host())
    }

    /// The length of the mirror when it has all of this attempt.
    pub(super) fn lengths(&self, outcome: &wire::Outcome) -> (u64, u64) {
        let base = self.record.detail.base();
        (base.log.saturating_add(outcome.log_len), base.console.saturating_add(outcome.console_len))
    }

    /// The end as the agent judged it, if the state machine has that edge.
    fn judged(&mut self, outcome: &wire::Outcome) -> (RunState, Cause) {
        let (told, cause) = (outcome.state, outcome.cause);
        let state = RunState::from_wire(told).filter(|s| s.is_end() && self.record.state.may_become(*s));
        match (state, Cause::from_wire(cause)) {
            (Some(state), Some(cause)) => (state, cause),
            // A newer agent has a finer cause; the state says what it means to the submitter.
            (Some(state), None) => {
                self.add_note(&format!("the agent gave a cause that this gateway does not know ({cause}): upgrade it"));
                (state, state.plain_cause().unwrap_or(Cause::Incomplete))
            }
            (None, _) => {
                self.add_note(&format!("the agent told an end that this gateway does not know ({told}, {cause})"));
                (RunState::Errored, Cause::Incomplete)
            }
        }
    }

    fn take_outcome(&mut self, outcome: &wire::Outcome, complete: bool) {
        let detail = self.detail();
        let end = &mut detail.end;
        end.rc = outcome.rc;
        end.message.clone_from(&outcome.message);
        end.command.clone_from(&outcome.command);
        end.location = outcome.location.as_ref().map(|l| LocationView {
            file: l.file.clone(),
            line: l.line,
            callers: l.callers.clone(),
        });
        end.diagnosis = outcome.diagnosis.as_ref().map(Diagnosis::from).unwrap_or_default();
        end.note.clone_from(&outcome.note);
        end.complete = complete;
        if let Some(attempt) = detail.present_mut() {
            take_execution(attempt, outcome);
        }
    }

    pub(super) fn add_note(&mut self, text: &str) {
        let note = &mut self.detail().end.note;
        if !note.is_empty() {
            note.push_str("; ");
        }
        note.push_str(text);
    }
}

/// Notes what the agent recorded of the attempt.
fn take_execution(attempt: &mut AttemptRecord, outcome: &wire::Outcome) {
    let execution = &mut attempt.execution;
    if outcome.started_at_ms > 0 {
        execution.started_ms = outcome.started_at_ms;
    }
    if outcome.running_at_ms > 0 {
        execution.host_running_ms = outcome.running_at_ms;
    }
    execution.host_ended_ms = outcome.ended_at_ms;
    execution.duration_ms = (outcome.running_at_ms > 0).then_some(outcome.duration_ms);
    execution.leftovers.clone_from(&outcome.leftovers);
    execution.ended_by.clone_from(&outcome.ended_by);
    execution.process = ProcessView::of(outcome);
    attempt.log_sha256.clone_from(&outcome.log_sha256);
    attempt.console_sha256.clone_from(&outcome.console_sha256);
    attempt.recorded = Some(OutputLengths { log: outcome.log_len, console: outcome.console_len });
}
