//! Taking up a run that another agent process left, and keeping a supervisor at work on a run whose supervisor died.

use std::{io, sync::Arc};

use longhaul_proto::state::Cause;

use super::{Facts, run_task::RunTask};
use crate::{
    os,
    prepare::Problem,
    spool::{AttemptKind, Exit, OutcomeRecord, Plan, Running, Spool, Started, process_lives},
    supervisor::unseen,
};

/// Most supervisors that one agent process starts for one run before it waits for Stata's end itself.
const MAX_STARTS: u32 = 5;

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

/// Whether a supervisor is at work on a run, and what the markers show where none is.
enum Supervision {
    /// A supervisor is at work after all, or has just finished.
    AtWork,
    /// Nothing was started.
    NotStarted,
    /// Something was started, in this boot of the host or an earlier one.
    Lost(Boot),
}

/// The boot of this host in which a run's Stata was started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Boot {
    Present,
    Earlier,
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
            Ok((attempt, submission, outcome, dead, plan.filter(|_| !is_dead)))
        });
        let (attempt, submission, outcome, dead, plan) = match read.await {
            Ok(read) => read,
            Err(error) => return self.trouble(&error),
        };
        let Some(attempt) = attempt else { return self.status.send_modify(|status| status.read = true) };
        if attempt.kind == AttemptKind::Revoked || outcome.is_some() {
            // No other process writes here; an earlier agent may have been killed while it did.
            let _ = self.blocking(Spool::clear_unfinished).await;
        }
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

    /// Makes sure that a supervisor, or this task, waits for Stata's end.
    pub(super) async fn keep_supervised(&mut self) {
        if self.gone.is_some() || !self.due() {
            return;
        }
        let executor = Arc::clone(&self.context.executor);
        let found = self.blocking(move |spool| {
            if executor.alive(spool)? || spool.exit().exists() {
                return Ok(Supervision::AtWork);
            }
            match std::fs::read_to_string(spool.spawning()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Supervision::NotStarted),
                Err(error) => Err(error),
                Ok(boot) if boot != os::boot_id() => Ok(Supervision::Lost(Boot::Earlier)),
                Ok(_) => Ok(Supervision::Lost(Boot::Present)),
            }
        });
        match found.await {
            Ok(Supervision::AtWork) => {}
            Ok(Supervision::NotStarted) if self.starts < 2 => self.start_anew().await,
            Ok(Supervision::NotStarted) => {
                let attempt = self.attempt().map_or(0, |a| a.number);
                let text = "the supervisor ended twice before it started Stata; nothing was run. Its words are in \
                            supervisor.log in the run's spool"
                    .to_owned();
                self.end_unstarted(attempt, Problem { cause: Cause::SpawnFailed, text }).await;
            }
            Ok(Supervision::Lost(Boot::Earlier)) => self.conclude(Boot::Earlier).await,
            Ok(Supervision::Lost(Boot::Present)) if self.starts < MAX_STARTS => {
                tracing::warn!(run = %self.spool.run(), "the run's supervisor is gone; another takes over");
                self.start_supervisor().await;
            }
            Ok(Supervision::Lost(Boot::Present)) => self.conclude(Boot::Present).await,
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's markers could not be read"),
        }
    }

    /// Starts an attempt that provably never started.
    async fn start_anew(&mut self) {
        let attempt = self.attempt().map_or(0, |a| a.number);
        let read = self.blocking(|spool| match spool.submission() {
            Err(error) if error.is_damaged() => Ok(None),
            read => read.map_err(io::Error::other),
        });
        match read.await {
            Ok(Some(submission)) => self.start(submission, attempt).await,
            Ok(None) => {
                let text = "the request in the run's spool is missing or cannot be read; nothing was run".to_owned();
                self.end_unstarted(attempt, Problem { cause: Cause::SpawnFailed, text }).await;
            }
            Err(error) => self.trouble(&error),
        }
    }

    /// Writes the exit record instead of a supervisor that cannot, once Stata's process is gone.
    async fn conclude(&mut self, started_in: Boot) {
        let rebooted = started_in == Boot::Earlier;
        let now = self.context.clock.unix_ms();
        let limit = self.context.preparer.output_limit;
        let attempt = self.attempt().map_or(0, |a| a.number);
        let concluded = self.blocking(move |spool| {
            let Some(_lock) = os::FileLock::try_take(&spool.lock())? else { return Ok(None) };
            let mut damaged = vec![];
            let started = spool.read_or_name::<Started>(&spool.started(), &mut damaged)?;
            if !rebooted && (started.is_some() || !damaged.is_empty()) && process_lives(spool.run(), started.as_ref()) {
                return Ok(None);
            }
            let running = spool.read_or_name::<Running>(&spool.running(), &mut damaged)?;
            let exit = Exit { rebooted, ..unseen(spool, attempt, (started, running), limit, now)? };
            if !spool.exit().exists() {
                spool.write(&spool.exit(), &exit)?;
            }
            Ok(Some(exit))
        });
        match concluded.await {
            Ok(Some(exit)) => self.finish(exit).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet"),
        }
    }
}
