//! Reads the folder of a run that an earlier agent process left.

use std::{io, sync::Arc};

use super::{Facts, Status, run_task::RunTask};
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

/// What the folder of a run says.
pub(super) struct Found {
    /// With [`Status::read`].
    pub(super) status: Status,
    /// What the executor calls its job.
    handle: Option<JobHandle>,
    /// Its verdict.
    outcome: Option<OutcomeRecord>,
}

impl Found {
    /// As it is published when the run has ended.
    pub(super) fn into_status(self) -> Status {
        let mut status = self.status;
        if let Some(outcome) = self.outcome {
            status.end(outcome);
        }
        status
    }
}

/// Reads the folder of a run that another agent process left.
///
/// # Errors
/// When it cannot be read; it is left as it is.
pub(super) fn read(spool: &Spool) -> io::Result<Found> {
    let mut status = Status { read: true, ..Status::default() };
    if let Some(outcome) = kept(spool)? {
        status.kept = Some(Arc::new(outcome));
        return Ok(Found { status, handle: None, outcome: None });
    }
    let Some(attempt) = spool.last_attempt()? else {
        if spool.exists() {
            clear(spool);
        }
        return Ok(Found { status, handle: None, outcome: None });
    };
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
    let plan = spool.read_or_name::<Plan>(&spool.plan(), &mut damaged)?.filter(|_| !is_dead);
    let (outcome, dead) = if is_dead { (None, outcome) } else { (outcome, None) };
    // Also that of a dead attempt: by it the executor is asked whether anything of that writes.
    let handle = spool.read_or_name::<JobHandle>(&spool.handle(), &mut damaged)?;
    if attempt.kind == AttemptKind::Revoked || outcome.is_some() {
        clear(spool);
    }
    status.attempt = attempt.number;
    status.revoked = attempt.kind == AttemptKind::Revoked;
    // See `set_attempt`.
    let bug = longhaul_proto::faults::bug("dead_attempts_forgotten");
    status.kept = dead.filter(|_| status.revoked && !bug).map(Arc::new);
    let asked = submission.as_ref().map(Facts::asked).unwrap_or_default();
    status.facts = Arc::new(match &plan {
        Some(plan) => asked.planned(plan),
        None => asked,
    });
    Ok(Found { status, handle, outcome })
}

/// Removes what is of no use where nothing runs.
fn clear(spool: &Spool) {
    // No other process writes here; an earlier agent may have been killed while it did.
    let _ = spool.clear_unfinished();
    // Of an attempt that has ended, or that was not accepted: then its files come again.
    let _ = longhaul_proto::durable::remove_folder(&spool.blobs());
}

impl RunTask {
    /// Reads the folder of a run for the first time.
    pub(super) async fn adopt(&mut self) {
        let Found { status, handle, outcome } = match self.blocking(read).await {
            Ok(found) => found,
            Err(error) => return self.trouble(&error),
        };
        self.execution.handle = handle;
        match outcome {
            Some(outcome) => {
                self.status.send_replace(Status { read: false, ..status });
                self.publish_end(outcome);
                self.status.send_modify(|status| status.read = true);
            }
            // Published before a step that may have to judge a long log.
            None => drop(self.status.send_replace(status)),
        }
        if self.unfinished() {
            self.read_markers().await;
        }
    }
}
