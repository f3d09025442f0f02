//! The commands that decide: start, cancel, revoke.

use std::{io, sync::Arc};

use longhaul_proto::{
    faults,
    state::{Cause, RunState},
    telemetry, wire,
};
use tracing::Instrument;

use super::{Facts, Refused, Status, run_task::RunTask};
use crate::{
    executor::Gone,
    outcome,
    prepare::Problem,
    spool::{AttemptKind, CancelMode, CancelRecord, Decision, Exit},
    supervisor::file_facts,
};

impl RunTask {
    pub(super) async fn begin(&mut self, submission: wire::Submission, attempt: u32) -> Result<(), Refused> {
        self.usable().map_err(Refused::Io)?;
        match self.attempt() {
            Some(known) if known.number > attempt && !faults::bug("lower_attempt_accepted") => {
                return Err(Refused::Older { asked: attempt, known: known.number });
            }
            Some(known) if known.number == attempt => {
                return match known.kind {
                    AttemptKind::Started => Ok(()),
                    AttemptKind::Revoked => Err(Refused::Revoked(attempt)),
                };
            }
            Some(known) if known.kind == AttemptKind::Started && !self.may_follow(&submission) => {
                return Err(Refused::Started(known.number));
            }
            None if self.was_freed().await.map_err(Refused::Io)? => return Err(Refused::Freed),
            _ => {}
        }
        let span = tracing::info_span!(
            "longhaul.start",
            longhaul.run.id = %self.spool.run(),
            longhaul.run.attempt = attempt,
        );
        if let Some(trace) = &submission.trace {
            telemetry::set_parent(&span, trace);
        }
        async {
            let now = self.context.clock.unix_ms();
            let request = submission.clone();
            let decided = self.blocking(move |spool| spool.accept(&request, attempt, now));
            match decided.await.map_err(Refused::Io)? {
                Decision::Mine | Decision::Was(AttemptKind::Started) => {}
                Decision::Was(AttemptKind::Revoked) => {
                    self.set_attempt(attempt, AttemptKind::Revoked);
                    return Err(Refused::Revoked(attempt));
                }
            }
            // The folder may be new: it could not be watched before.
            self.watch_again();
            self.set_attempt(attempt, AttemptKind::Started);
            if let Err(error) = self.put_dead_attempt_aside().await {
                // Tried again with every tick until it succeeds; the attempt does not start before.
                tracing::warn!(run = %self.spool.run(), %error, "what an earlier attempt left cannot be put aside yet");
                return Ok(());
            }
            self.start(submission, attempt).await;
            Ok(())
        }
        .instrument(span)
        .await
    }

    /// Whether the attempt that was started here is proven dead, and the run's retry policy allows another.
    fn may_follow(&self, submission: &wire::Submission) -> bool {
        submission.retry == wire::RetryPolicy::IfProvenDead as i32 && self.died()
    }

    /// Whether the attempt that was started here ended by its host's restart, or by a signal that Longhaul did not
    /// send.
    fn died(&self) -> bool {
        self.status.borrow().outcome.as_ref().is_some_and(|outcome| {
            outcome.state == RunState::Errored && matches!(outcome.cause, Cause::HostRebooted | Cause::Killed)
        })
    }

    /// Moves a dead attempt's files aside for the next one. Under the lock: it waits for a supervisor that is still
    /// leaving.
    pub(super) async fn put_dead_attempt_aside(&mut self) -> io::Result<()> {
        let put = self.blocking(|spool| {
            let Some(dead) = spool.dead_attempt()? else { return Ok(false) };
            let Some(_lock) = crate::os::FileLock::try_take(&spool.lock())? else {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "the supervisor of the attempt before is still here",
                ));
            };
            spool.put_aside(dead).map(|()| true)
        });
        if put.await? {
            (self.live, self.entered, self.starts) = (None, None, 0);
        }
        Ok(())
    }

    /// Refuses a spool that could not be read (another version's, or damaged); it is left as it is.
    fn usable(&self) -> io::Result<()> {
        let status = self.status.borrow();
        if status.trouble.is_empty() { Ok(()) } else { Err(io::Error::other(status.trouble.clone())) }
    }

    fn was_freed(&self) -> impl Future<Output = io::Result<bool>> + Send + use<> {
        self.blocking(|spool| Ok(spool.was_freed()))
    }

    fn set_attempt(&mut self, attempt: u32, kind: AttemptKind) {
        let revoked = kind == AttemptKind::Revoked;
        self.status.send_modify(|status| {
            if status.attempt < attempt {
                // The status of a previous attempt is not this one's. But where this one never starts here, the files of
                // a dead one stay until the gateway repeats its end.
                let dead = status.outcome.take().or_else(|| status.kept.take());
                let kept = dead.filter(|_| revoked && !faults::bug("dead_attempts_forgotten"));
                *status = Status { read: true, facts: Arc::clone(&status.facts), kept, ..Status::default() };
            }
            status.attempt = attempt;
            status.revoked = revoked;
        });
    }

    /// Lays out the run and starts its supervisor. A failure is recorded as the run's end, like any other.
    pub(super) async fn start(&mut self, submission: wire::Submission, attempt: u32) {
        let context = Arc::clone(&self.context);
        let asked = Facts::asked(&submission);
        let laid_out = self.blocking(move |spool| {
            let prepared = context.preparer.prepare(spool, &submission, attempt);
            faults::point("agent.before_supervisor");
            Ok(prepared.map(|plan| (plan, context.executor.start(spool))))
        });
        match laid_out.await {
            Ok(Ok((plan, started))) => {
                self.status.send_modify(|status| status.facts = Arc::new(asked.planned(&plan)));
                self.supervised(started);
            }
            Ok(Err(problem)) => {
                self.status.send_modify(|status| status.facts = Arc::new(asked));
                self.end_unstarted(attempt, problem).await;
            }
            Err(error) => {
                let text = format!("the run could not be prepared: {error}");
                self.end_unstarted(attempt, Problem { cause: Cause::SpawnFailed, text }).await;
            }
        }
    }

    /// Ends a run that did not start, under the lock, so that no supervisor can start it meanwhile.
    pub(super) async fn end_unstarted(&mut self, attempt: u32, problem: Problem) {
        let now = self.context.clock.unix_ms();
        let limit = self.context.preparer.output_limit;
        let ended = self.blocking(move |spool| {
            let Some(_lock) = crate::os::FileLock::try_take(&spool.lock())? else {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "a supervisor is at work"));
            };
            if let Some(exit) = spool.read::<Exit>(&spool.exit())? {
                return outcome::finish(spool, &exit, None);
            }
            if spool.spawning().exists() {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "the run has started"));
            }
            let exit = Exit {
                attempt,
                spawn_error: Some(problem.text),
                spawn_cause: Some(problem.cause),
                ended_at_ms: now,
                log: file_facts(&spool.log(), limit)?,
                console: file_facts(&spool.console(), limit)?,
                by: "agent".to_owned(),
                ..Exit::default()
            };
            spool.write(&spool.exit(), &exit)?;
            outcome::finish(spool, &exit, None)
        });
        match ended.await {
            Ok(outcome) => self.publish_end(outcome),
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet"),
        }
    }

    pub(super) async fn start_supervisor(&mut self) {
        let executor = Arc::clone(&self.context.executor);
        let started = self.blocking(move |spool| executor.start(spool)).await;
        self.supervised(started);
    }

    fn supervised(&mut self, started: io::Result<Gone>) {
        self.starts += 1;
        match started {
            Ok(gone) => self.gone = Some(gone),
            Err(error) => tracing::error!(run = %self.spool.run(), %error, "the supervisor could not be started"),
        }
    }

    pub(super) async fn cancel(&mut self, mode: CancelMode, by: String) -> io::Result<wire::CancelReply> {
        let finished = self.status.borrow().outcome.is_some();
        let known = self.attempt().is_some_and(|a| a.kind == AttemptKind::Started);
        if known && !finished {
            let executor = Arc::clone(&self.context.executor);
            let request = CancelRecord { mode, by, at_ms: self.context.clock.unix_ms() };
            self.blocking(move |spool| executor.cancel(spool, &request)).await?;
        }
        Ok(wire::CancelReply { known, finished })
    }

    pub(super) async fn revoke(&mut self, attempt: u32) -> io::Result<bool> {
        self.usable()?;
        match self.attempt() {
            Some(known) if known.number == attempt => return Ok(known.kind == AttemptKind::Revoked),
            // A run that was started under another number must not be placed again by the caller.
            Some(known) if known.kind == AttemptKind::Started && !(known.number < attempt && self.died()) => {
                return Ok(false);
            }
            // It was executed and deleted, and the caller's ledger is a restored backup.
            None if self.was_freed().await? => return Ok(false),
            _ => {}
        }
        let decided = self.blocking(move |spool| {
            spool.create()?;
            spool.decide(attempt, AttemptKind::Revoked)
        });
        let kind = match decided.await? {
            Decision::Mine => AttemptKind::Revoked,
            Decision::Was(kind) => kind,
        };
        if self.attempt().is_none_or(|known| known.number < attempt) {
            self.set_attempt(attempt, kind);
        }
        Ok(kind == AttemptKind::Revoked)
    }
}
