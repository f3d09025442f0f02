//! Taking up a run that another agent process left.

use std::{io, sync::Arc};

use super::{Facts, run_task::RunTask};
use crate::{
    executor::JobHandle,
    spool::{AttemptKind, OutcomeRecord, Plan, Spool},
};

/// The end of a run that was deleted except for its files; a deletion that a crash interrupted is completed.
fn kept(spool: &Spool) -> io::Result<Option<OutcomeRecord>> {
    if !spool.exists() || !spool.was_freed() {
        return Ok(None);
    }
    let outcome = spool.read_or_name::<OutcomeRecord>(&spool.outcome(), &mut vec![])?;
    if outcome.is_some() && spool.has_work() {
        spool.keep_work()?;
        return Ok(outcome);
    }
    // The whole folder was to be deleted.
    spool.remove()?;
    Ok(None)
}

impl RunTask {
    /// Reads the folder of a run for the first time.
    pub(super) async fn adopt(&mut self) {
        match self.blocking(kept).await {
            Ok(None) => {}
            Ok(Some(outcome)) => {
                return self.status.send_modify(|status| (status.kept, status.read) = (Some(Arc::new(outcome)), true));
            }
            Err(error) => return self.trouble(&error),
        }
        let read = self.blocking(|spool| {
            let attempt = spool.last_attempt()?;
            let submission = match spool.submission() {
                Err(error) if error.is_damaged() => {
                    tracing::warn!(run = %spool.run(), %error, "the run goes on without its request");
                    None
                }
                read => read.map_err(io::Error::other)?,
            };
            let mut damaged = vec![];
            // The files of a previous attempt say nothing about this one.
            let is_dead = spool.dead_attempt()?.is_some();
            // A verdict that cannot be read is made again, from the exit record.
            let outcome = spool.read_or_name::<OutcomeRecord>(&spool.outcome(), &mut damaged)?;
            let plan = spool.read_or_name::<Plan>(&spool.plan(), &mut damaged)?;
            let (outcome, dead) = if is_dead { (None, outcome) } else { (outcome, None) };
            // Also that of a dead attempt: by it the executor is asked whether anything of that writes.
            let handle = spool.read_or_name::<JobHandle>(&spool.handle(), &mut damaged)?;
            Ok((attempt, submission, outcome, dead, plan.filter(|_| !is_dead), handle))
        });
        let (attempt, submission, outcome, dead, plan, handle) = match read.await {
            Ok(read) => read,
            Err(error) => return self.trouble(&error),
        };
        if attempt.is_none_or(|attempt| attempt.kind == AttemptKind::Revoked) || outcome.is_some() {
            // No other process writes here; an earlier agent may have been killed while it did.
            let _ = self.blocking(Spool::clear_unfinished).await;
            // Of an attempt that has ended, or that was not accepted: then its files come again.
            let _ = self.blocking(|spool| longhaul_proto::durable::remove_folder(&spool.blobs())).await;
        }
        let Some(attempt) = attempt else { return self.status.send_modify(|status| status.read = true) };
        self.execution.handle = handle;
        let asked = submission.as_ref().map(Facts::asked).unwrap_or_default();
        self.status.send_modify(|status| {
            status.attempt = attempt.number;
            status.revoked = attempt.kind == AttemptKind::Revoked;
            // See `set_attempt`.
            let bug = longhaul_proto::faults::bug("dead_attempts_forgotten");
            status.kept = dead.filter(|_| status.revoked && !bug).map(Arc::new);
            status.facts = Arc::new(match &plan {
                Some(plan) => asked.planned(plan),
                None => asked,
            });
        });
        if let Some(outcome) = outcome {
            self.publish_end(outcome);
        }
        // Set before a step that may have to judge a long log.
        self.status.send_modify(|status| status.read = true);
        if self.unfinished() {
            self.read_markers().await;
        }
    }
}
