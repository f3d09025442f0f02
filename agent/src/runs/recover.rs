//! Reads the folder of a run that an earlier agent process left.

use std::{io, sync::Arc};

use super::{Facts, Status, run_task::RunTask};
use crate::{
    executor::JobHandle,
    metrics::count,
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
struct Found {
    /// With [`Status::read`].
    status: Status,
    /// What the executor calls its job.
    handle: Option<JobHandle>,
    /// Its verdict.
    outcome: Option<OutcomeRecord>,
}

/// Reads the folder of a run that has ended, and in which nothing is left to do; `None` = it needs its task. Changes
/// nothing, since the run's task may be at work meanwhile.
pub(super) fn ended(spool: &Spool) -> Option<Status> {
    let left = spool.was_freed() || spool.blobs().exists() || !spool.unfinished().ok()?.is_empty();
    if left {
        return None;
    }
    let Found { mut status, outcome, .. } = look(spool).ok()?;
    status.end(outcome?);
    Some(status)
}

/// Reads the folder of a run that another agent process left, and removes what is of no use there. Only the run's task may
/// do that.
///
/// # Errors
/// When it cannot be read; it is left as it is.
fn read(spool: &Spool) -> io::Result<Found> {
    if let Some(outcome) = kept(spool)? {
        let status = Status { read: true, kept: Some(Arc::new(outcome)), ..Status::default() };
        return Ok(Found { status, handle: None, outcome: None });
    }
    let found = look(spool)?;
    let idle = found.status.attempt == 0 || found.status.revoked || found.outcome.is_some();
    if idle && spool.exists() {
        clear(spool);
    }
    Ok(found)
}

/// Reads what another agent process left.
fn look(spool: &Spool) -> io::Result<Found> {
    let mut status = Status { read: true, ..Status::default() };
    let Some(attempt) = spool.last_attempt()? else {
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
    pub(super) async fn recover(&mut self) {
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
            count(&self.context.metrics.counters.adopted);
            self.read_markers().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::spool::SpoolRoot;

    /// A spool of a run that has ended, as an earlier version left it.
    fn place(folder: &Path) -> Spool {
        let run = "01a20499-259a-7311-918e-5dff3c4447a1";
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1/cancelled").join(run);
        let root = SpoolRoot::open(folder.join("runs")).unwrap();
        let path = root.path().join(run);
        fs::create_dir(&path).unwrap();
        for entry in fs::read_dir(golden).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
        }
        root.of(run.parse().unwrap())
    }

    /// A run whose task may be at work is only looked at; what is left to do is its task's.
    #[test]
    fn what_is_left_to_do_is_left_to_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let spool = place(folder.path());
        let status = ended(&spool).unwrap();
        assert!(status.read && status.outcome.is_some() && status.attempt == 1);
        let unfinished = spool.path().join("plan.json.4711.tmp");
        fs::write(&unfinished, "half").unwrap();
        assert!(spool.unfinished().unwrap().contains(&unfinished), "a temporary name");
        assert!(ended(&spool).is_none() && unfinished.exists());
        assert!(read(&spool).unwrap().outcome.is_some() && !unfinished.exists());
        assert!(ended(&spool).is_some());
        fs::remove_file(spool.outcome()).unwrap();
        assert!(ended(&spool).is_none(), "its verdict is to be written");
    }
}
