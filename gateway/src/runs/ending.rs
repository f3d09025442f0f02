//! The end of a run: the mirror is made whole and durable, then the end is recorded as the agent judged it.

use std::sync::Arc;

use longhaul_proto::{
    api::LocationView,
    faults,
    state::{Cause, RunState},
    wire,
};

use super::{
    Stream,
    keeper::{Keeper, Left},
};
use crate::{
    metrics::count,
    mirror::{Mirror, Sealed},
};

/// How often an output is fetched anew because its digest differed, before the record says that it does.
const REFETCHES: u32 = 3;

impl Keeper {
    /// Records the end; `false` when the output has to be fetched (again) first.
    pub(super) async fn end(&mut self, mirror: &Arc<Mirror>, outcome: &wire::Outcome) -> Result<bool, Left> {
        let (mut complete, mut longer) = (true, false);
        for (stream, len, sha256) in [
            (Stream::Log, outcome.log_len, &outcome.log_sha256),
            (Stream::Console, outcome.console_len, &outcome.console_sha256),
        ] {
            let sealed = match mirror.seal(stream, len, sha256).await {
                Ok(sealed) => sealed,
                Err(error) => {
                    tracing::error!(run = %self.record.run, %error, "cannot make the mirror durable; trying again");
                    return Ok(false);
                }
            };
            if sealed == Sealed::Differs && !mirror.is_cut(stream) && self.refetched < REFETCHES {
                tracing::warn!(run = %self.record.run, ?stream, "the mirror differs from the log; fetching it again");
                self.refetched += 1;
                count(&self.inner.metrics.mirror_refetched);
                if let Err(error) = mirror.restart(stream).await {
                    tracing::error!(run = %self.record.run, %error, "cannot start the mirror over");
                }
                return Ok(false);
            }
            complete &= sealed == Sealed::Same;
            longer |= sealed == Sealed::Longer;
        }
        let cut = mirror.is_cut(Stream::Log) || mirror.is_cut(Stream::Console);
        self.take_outcome(outcome, complete);
        if longer {
            self.add_note("the host lost the end of the output in a crash; the gateway has kept it");
        } else if cut {
            self.add_note("the output passed the gateway's limit per run; the rest is in the agent's spool");
        } else if !complete {
            self.add_note("the gateway's copy of the output differs from the digest that the agent recorded");
        }
        (self.live.log_len, self.live.console_len) = (mirror.len(Stream::Log), mirror.len(Stream::Console));
        (self.record.detail.log_len, self.record.detail.console_len) = (self.live.log_len, self.live.console_len);
        let (state, cause) = self.judged(outcome);
        faults::point("end.before_commit");
        self.step(state, cause, self.record.attempt, None).await?;
        faults::point("end.after_commit");
        self.seat = None;
        Ok(true)
    }

    /// The agent's word on how it ended, where the state machine has such an edge.
    fn judged(&mut self, outcome: &wire::Outcome) -> (RunState, Cause) {
        let told = (RunState::from_wire(outcome.state), Cause::from_wire(outcome.cause));
        match told {
            (Some(state), Some(cause)) if state.is_end() && self.record.state.may_become(state) => (state, cause),
            _ => {
                let note = format!(
                    "the agent told an end that this gateway does not know ({}, {})",
                    outcome.state, outcome.cause
                );
                self.add_note(&note);
                (RunState::Errored, Cause::Incomplete)
            }
        }
    }

    fn take_outcome(&mut self, outcome: &wire::Outcome, complete: bool) {
        let detail = self.detail();
        detail.rc = outcome.rc;
        detail.message.clone_from(&outcome.message);
        detail.command.clone_from(&outcome.command);
        detail.location = outcome.location.as_ref().map(|l| LocationView {
            file: l.file.clone(),
            line: l.line,
            callers: l.callers.clone(),
        });
        if outcome.started_at_ms > 0 {
            detail.started_ms = outcome.started_at_ms;
        }
        if outcome.running_at_ms > 0 {
            detail.running_ms = outcome.running_at_ms;
        }
        detail.duration_ms = (outcome.running_at_ms > 0).then_some(outcome.duration_ms);
        detail.leftovers.clone_from(&outcome.leftovers);
        detail.ended_by.clone_from(&outcome.ended_by);
        detail.note.clone_from(&outcome.note);
        detail.log_sha256.clone_from(&outcome.log_sha256);
        detail.console_sha256.clone_from(&outcome.console_sha256);
        detail.complete = complete;
    }

    fn add_note(&mut self, text: &str) {
        let note = &mut self.detail().note;
        if !note.is_empty() {
            note.push_str("; ");
        }
        note.push_str(text);
    }
}
