//! Starting, cancelling and revoking an attempt.

use std::{io, sync::Arc};

use longhaul_proto::{
    durable, faults,
    ids::RunId,
    state::{Cause, RunState},
    telemetry::{self, Kind},
    wire::{self, submission::Source},
};

use super::{
    Command, Context, Facts, Handle, Refused, Runs, Status, execute::Execution, incoming_code::Closed, journal,
    journal::About, run_task::RunTask, spans,
};
use crate::{
    executor::{Grounds, Job, Probe, Proof},
    metrics::count,
    outcome,
    prepare::Problem,
    spool::{AttemptKind, CancelMode, CancelRecord, Decision, Ending, Exit, Incoming, Spool, file_facts},
};

/// Why an attempt ends without having begun.
pub(super) enum Unstarted {
    /// It could not be started.
    Failed(Problem),
    /// Its end was requested before.
    Cancelled,
}

/// The files of stored code that came before their run.
struct Arrived {
    incoming: Incoming,
    files: Vec<wire::StoredFile>,
    closed: Closed,
}

impl Runs {
    /// Starts an attempt, or joins it when it has started; `trace` = the context of the span that it is a part of.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn begin(
        &self,
        run: RunId,
        submission: wire::Submission,
        attempt: u32,
        trace: wire::TraceContext,
    ) -> Result<Handle, Refused> {
        let answer = self.start(run, submission, attempt, trace).await;
        if let Err(refused) = &answer {
            self.context.metrics.refuse(refused.kind_word());
        }
        answer
    }

    async fn start(
        &self,
        run: RunId,
        submission: wire::Submission,
        attempt: u32,
        trace: wire::TraceContext,
    ) -> Result<Handle, Refused> {
        if !self.context.registry.has_started(run, attempt)
            && let Some(problem) = self.problem()
        {
            return Err(match &self.context.preparer.engine {
                Err(_) => Refused::NoEngine(problem),
                Ok(_) => Refused::NoRoom(problem),
            });
        }
        let submission = Box::new(submission);
        let answer = self.ask_task_of(run, |reply| Command::Begin { submission, attempt, trace, reply }).await;
        answer.unwrap_or(Err(Refused::Stopping)).map(|()| self.handle(&self.context.root.of(run)))
    }
}

impl RunTask {
    pub(super) async fn begin(
        &mut self,
        submission: wire::Submission,
        attempt: u32,
        trace: wire::TraceContext,
    ) -> Result<(), Refused> {
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
            _ => {}
        }
        let mut span = spans::begin("longhaul.start", Kind::Consumer, self.spool.run(), &trace);
        span.set_count("longhaul.run.attempt", attempt);
        let about = About::of(&submission);
        let work = async {
            let now = self.context.clock.unix_ms();
            let request = submission.clone();
            let (ready_mark, is_new) = (self.context.executor.ready_mark(), self.attempt().is_none());
            let context = Arc::clone(&self.context);
            let code = arrived(&context, self.spool.run(), &submission).await;
            // In one step: each costs a change of threads, and the run waits for all of them.
            let decided = self.blocking(move |spool| {
                if is_new && spool.was_freed() {
                    return Ok(Err(Refused::Freed));
                }
                if let Some(Arrived { incoming, files, closed }) = code {
                    match incoming.move_into(spool, &files) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {
                            return Ok(Err(Refused::NoBlobs(error.to_string())));
                        }
                        moved => moved?,
                    }
                    drop(closed);
                }
                Ok(Ok((spool.accept(&request, attempt, &ready_mark, now)?, spool.dead_attempt()?)))
            });
            let (decision, dead) = decided.await.map_err(Refused::Io)??;
            self.context.incoming_code.gone(self.spool.run());
            if decision == Decision::Was(AttemptKind::Revoked) {
                self.set_attempt(attempt, AttemptKind::Revoked);
                return Err(Refused::Revoked(attempt));
            }
            self.set_attempt(attempt, AttemptKind::Started);
            self.accepted = span.is_recorded().then(|| (span.context(), self.context.clock.unix_ms()));
            if let Some(dead) = dead
                && let Err(error) = self.put_aside(dead).await
            {
                // Tried again with every tick until it succeeds; the attempt does not start before.
                tracing::warn!(run = %self.spool.run(), %error, "what an earlier attempt left cannot be put aside yet");
                self.watch_again();
                return Ok(());
            }
            self.start(submission, attempt, None).await;
            // Its folders may be new: they could not be watched before. What happened meanwhile is seen with the next look,
            // which this causes.
            self.watch_again();
            Ok(())
        };
        let started = span.around(work).await;
        if let Err(refused) = &started {
            let words = if telemetry::details() { refused.to_string() } else { "the attempt was refused".to_owned() };
            span.failed("refused", &words);
        }
        drop(span);
        if started.is_ok() {
            count(&self.context.metrics.counters.started);
            journal::started(self.spool.run(), attempt, &about);
        }
        started
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

    /// Moves a dead attempt's files aside for the next one, with proof that nothing of it writes any more.
    pub(super) async fn put_dead_attempt_aside(&mut self) -> io::Result<()> {
        match self.blocking(Spool::dead_attempt).await? {
            Some(dead) => self.put_aside(dead).await,
            None => Ok(()),
        }
    }

    async fn put_aside(&mut self, dead: u32) -> io::Result<()> {
        let proof = match self.ask(Job { spool: self.spool.clone(), attempt: dead }).await {
            Probe::Gone(proof) => proof,
            _ => {
                let words = "what carried out the attempt before is still here";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, words));
            }
        };
        let put = self.blocking(move |spool| {
            spool.put_aside(dead)?;
            drop(proof);
            Ok(())
        });
        put.await?;
        (self.live, self.entered, self.execution) = (None, None, Execution::default());
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

    /// Lays out the run and hands it over. A failure is recorded as the run's end, like any other. `proof` = that an
    /// earlier start of this attempt came to nothing.
    pub(super) async fn start(&mut self, submission: wire::Submission, attempt: u32, proof: Option<Proof>) {
        let context = Arc::clone(&self.context);
        let asked = Facts::asked(&submission);
        let laid_out = self.blocking(move |spool| {
            let prepared = context.preparer.prepare(spool, &submission, attempt, &context.banners.printed());
            faults::point("agent.before_supervisor");
            Ok((prepared, proof))
        });
        match laid_out.await {
            Ok((Ok(plan), proof)) => {
                self.status.send_modify(|status| status.facts = Arc::new(asked.planned(&plan)));
                drop(proof);
                self.hand_over().await;
            }
            Ok((Err(problem), proof)) => {
                self.status.send_modify(|status| status.facts = Arc::new(asked));
                self.end_unstarted(attempt, Unstarted::Failed(problem), proof).await;
            }
            Err(error) => {
                let text = format!("the run could not be prepared: {error}");
                let problem = Problem { cause: Cause::SpawnFailed, text };
                self.end_unstarted(attempt, Unstarted::Failed(problem), None).await;
            }
        }
    }

    /// Ends an attempt that did not begin, with proof that it will not.
    pub(super) async fn end_unstarted(&mut self, attempt: u32, why: Unstarted, proof: Option<Proof>) {
        let proof = match proof {
            Some(proof) => Probe::Gone(proof),
            None => self.ask(Job { spool: self.spool.clone(), attempt }).await,
        };
        let proof = match proof {
            Probe::Gone(proof) if matches!(proof.grounds(), Grounds::NeverBegan | Grounds::Recorded) => proof,
            other => {
                tracing::warn!(run = %self.spool.run(), ?other, "the run's end could not be recorded yet");
                return;
            }
        };
        let now = self.context.clock.unix_ms();
        let limit = self.context.preparer.output_limit;
        let ended = self.blocking(move |spool| {
            let exit = match spool.read::<Exit>(&spool.exit())? {
                Some(exit) => exit,
                None => write_unstarted(spool, attempt, why, limit, now)?,
            };
            drop(proof);
            outcome::finish(spool, &exit, None, &[])
        });
        match ended.await {
            Ok(outcome) => self.count_end(outcome),
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet"),
        }
    }

    pub(super) async fn cancel(&mut self, mode: CancelMode, by: String) -> io::Result<wire::CancelReply> {
        let finished = self.status.borrow().outcome.is_some();
        let known = self.attempt().is_some_and(|a| a.kind == AttemptKind::Started);
        if known && !finished {
            journal::cancel_requested(self.spool.run(), &by, mode);
            let request = CancelRecord { mode, by, at_ms: self.context.clock.unix_ms() };
            self.blocking(move |spool| spool.request_end(&request)).await?;
            self.pass_on(mode).await;
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
            let decision = spool.decide(attempt, AttemptKind::Revoked)?;
            if decision == Decision::Mine {
                // Files of its code, if its acceptance failed after they had come: for another attempt they come again.
                durable::remove_folder(&spool.blobs())?;
            }
            Ok(decision)
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

/// The files of stored code, of which no more may come from now on.
async fn arrived(context: &Context, run: RunId, submission: &wire::Submission) -> Option<Arrived> {
    let Some(Source::Stored(code)) = &submission.source else { return None };
    let closed = context.incoming_code.close(run, context.clock.monotonic()).await;
    Some(Arrived { incoming: context.incoming_code.folder().clone(), files: code.files.clone(), closed })
}

/// Writes the exit record of an attempt that did not begin.
fn write_unstarted(spool: &Spool, attempt: u32, why: Unstarted, limit: u64, now_ms: i64) -> io::Result<Exit> {
    let mut exit = Exit {
        attempt,
        ended_at_ms: now_ms,
        log: file_facts(&spool.log(), limit)?,
        console: file_facts(&spool.console(), limit)?,
        by: "agent".to_owned(),
        ..Exit::default()
    };
    match why {
        Unstarted::Failed(problem) => (exit.spawn_error, exit.spawn_cause) = (Some(problem.text), Some(problem.cause)),
        Unstarted::Cancelled => {
            let by = spool.read::<CancelRecord>(&spool.cancel())?.map_or_else(String::new, |request| request.by);
            let ending = Ending { cause: Cause::CancelRequested, by, at_ms: now_ms, words: String::new() };
            spool.write(&spool.ending(), &ending)?;
            exit.ending = Some(ending);
        }
    }
    spool.write_exit(&exit)?;
    Ok(exit)
}
