//! What a run's task does with its executor: hands the attempt over, asks for it from time to time, and acts on the answer.
//!
//! An answer that takes long keeps no command waiting: the question is asked beside the task, one at a time.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use longhaul_proto::{state::Cause, wire};

use super::{begin::Unstarted, journal::About, run_task::RunTask};
use crate::{
    executor::{Accepted, Grounds, HandleLoss, Hint, Job, JobHandle, Probe, Proof, Supervision, Usage},
    metrics::Held,
    prepare::Problem,
    spool::{CancelMode, CancelRecord, Exit, Running, Spool, Started, file_facts},
};

/// Time between two questions about a job of which nothing tells that it is over.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Most starts of one job by one agent process: beyond that it is left to itself until its end is proven.
const MAX_STARTS: u32 = 5;
/// Most of them that may end before anything has begun.
const MAX_IN_VAIN: u32 = 2;
/// How long a command waits for an executor that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The job that carries out a run's attempt, as far as this agent process knows it.
#[derive(Default)]
pub(super) struct Execution {
    /// What the executor calls it.
    pub(super) handle: Option<JobHandle>,
    /// Resolves when it is probably over.
    pub(super) over: Option<Hint>,
    /// The question that is being answered.
    pub(super) probing: Option<BoxFuture<'static, Probe>>,
    /// When to ask next.
    ask_at: Duration,
    /// Starts by this process.
    pub(super) starts: u32,
    /// The run is counted as active.
    pub(super) active: Option<Held>,
    /// Why it waits to begin, as it was published.
    pending: Option<String>,
    /// Why its supervisor does not start Stata yet, as it was published.
    held: Option<String>,
    /// Why nothing is certain, as it was logged.
    unknown: Option<String>,
}

impl Execution {
    /// When to ask what became of the job, from now; `None` = it tells that it is over, or is being asked.
    pub(super) fn ask_in(&self, now: Duration) -> Option<Duration> {
        (self.over.is_none() && self.probing.is_none()).then(|| self.ask_at.saturating_sub(now))
    }
}

impl RunTask {
    fn job(&self) -> Job {
        Job { spool: self.spool.clone(), attempt: self.attempt().map_or(0, |attempt| attempt.number) }
    }

    /// Asks the executor, for an answer that is awaited.
    pub(super) fn ask(&self, job: Job) -> BoxFuture<'static, Probe> {
        let (executor, handle) = (Arc::clone(&self.context.executor), self.execution.handle.clone());
        Box::pin(async move { executor.probe(&job, handle.as_ref()).await })
    }

    /// Begins to ask what became of the job, if it is time to.
    pub(super) fn ask_when_due(&mut self) {
        let now = self.context.clock.monotonic();
        if self.execution.ask_in(now) != Some(Duration::ZERO) {
            return;
        }
        self.execution.ask_at = now + ASK_EVERY;
        self.execution.probing = Some(self.ask(self.job()));
    }

    /// Acts on what is known of the job.
    pub(super) async fn probed(&mut self, probe: Probe) {
        if !matches!(probe, Probe::Unknown(_)) {
            self.execution.unknown = None;
        }
        match probe {
            _ if !self.unfinished() => {}
            probe if self.unreadable.is_some() => self.exit_unreadable(probe).await,
            Probe::Pending(reason) => self.waits(reason).await,
            Probe::Alive(Supervision::Attended) => self.waits_no_more(),
            Probe::Alive(Supervision::Orphaned) if self.execution.starts < MAX_STARTS => {
                tracing::warn!(run = %self.spool.run(), "the run's supervisor is gone; another takes over");
                self.hand_over().await;
            }
            Probe::Alive(Supervision::Orphaned) => {}
            Probe::Gone(proof) => self.gone(proof).await,
            Probe::Unknown(why) => {
                if self.execution.unknown.as_ref() != Some(&why) {
                    tracing::warn!(run = %self.spool.run(), why, "what became of the run is not known now");
                    self.execution.unknown = Some(why);
                }
            }
        }
    }

    /// Acts on a proof that nothing of the attempt runs.
    async fn gone(&mut self, proof: Proof) {
        match proof.grounds() {
            // Read with the next look at the markers.
            Grounds::Recorded => {}
            Grounds::NeverBegan if self.cancel_requested().await => {
                self.end_unstarted(self.job().attempt, Unstarted::Cancelled, Some(proof)).await;
            }
            Grounds::NeverBegan if self.execution.starts < MAX_IN_VAIN => self.start_anew(proof).await,
            Grounds::NeverBegan => {
                let problem = Problem { cause: Cause::SpawnFailed, text: proof.words().to_owned() };
                self.end_unstarted(self.job().attempt, Unstarted::Failed(problem), Some(proof)).await;
            }
            Grounds::Unrecorded if self.execution.starts < MAX_STARTS => {
                tracing::warn!(run = %self.spool.run(), "the run's supervisor is gone; another records its end");
                drop(proof);
                self.hand_over().await;
            }
            Grounds::Unrecorded | Grounds::Lost | Grounds::HostRestarted => self.conclude(proof, None).await,
        }
    }

    /// Hands the attempt over to the executor, or another time when that comes to nothing. What the executor calls the job
    /// is kept before this returns.
    pub(super) async fn hand_over(&mut self) {
        // An earlier question must not be answered with what is true no more.
        if let Some(probing) = self.execution.probing.take() {
            drop(probing.await);
        }
        let executor = Arc::clone(&self.context.executor);
        let accepted = executor.start(std::slice::from_ref(&self.job())).await.pop();
        self.execution.starts += 1;
        match accepted {
            Some(Ok(Accepted { handle, over })) => {
                self.execution.over = over;
                if self.execution.handle.as_ref() != Some(&handle) {
                    self.keep(handle, executor.handle_loss()).await;
                }
            }
            Some(Err(error)) => tracing::error!(run = %self.spool.run(), %error, "the run could not be handed over"),
            None => tracing::error!(run = %self.spool.run(), "the executor did not answer to a start"),
        }
    }

    async fn keep(&mut self, handle: JobHandle, loss: HandleLoss) {
        let kept = handle.clone();
        let written = self.blocking(move |spool| match loss {
            HandleLoss::MustSurviveTheHost => spool.write(&spool.handle(), &kept),
            HandleLoss::EndsWithTheHost => spool.write_unsynced(&spool.handle(), &kept),
        });
        if let Err(error) = written.await {
            // The executor finds the job without it, at the cost of a search.
            tracing::warn!(run = %self.spool.run(), %error, "the handle of the run's job could not be kept");
        }
        self.execution.handle = Some(handle);
    }

    /// Hands over again what provably never began. It is laid out anew while nothing of it can begin.
    async fn start_anew(&mut self, proof: Proof) {
        let attempt = self.job().attempt;
        let read = self.blocking(|spool| match spool.submission() {
            Err(error) if error.is_damaged() => Ok(None),
            read => read.map_err(io::Error::other),
        });
        match read.await {
            Ok(Some(submission)) => self.start(submission, attempt, Some(proof)).await,
            Ok(None) => {
                let text = "the request in the run's spool is missing or cannot be read; nothing was run".to_owned();
                let problem = Problem { cause: Cause::SpawnFailed, text };
                self.end_unstarted(attempt, Unstarted::Failed(problem), Some(proof)).await;
            }
            Err(error) => self.trouble(&error),
        }
    }

    /// Writes the exit record instead of a supervisor that cannot. `unreadable` = why the record that was there could not
    /// be read.
    pub(super) async fn conclude(&mut self, proof: Proof, unreadable: Option<String>) {
        let now = self.context.clock.unix_ms();
        let limit = self.context.preparer.output_limit;
        let attempt = self.job().attempt;
        let concluded = self.blocking(move |spool| {
            let rebooted = proof.grounds() == Grounds::HostRestarted;
            let exit = Exit { rebooted, unreadable, ..without_supervisor(spool, attempt, limit, now)? };
            if !spool.exit().exists() {
                spool.write_exit(&exit)?;
            }
            drop(proof);
            Ok((exit, About::in_spool(spool)))
        });
        match concluded.await {
            Ok((exit, about)) => self.finish(exit, about).await,
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet"),
        }
    }

    /// The job waits to begin: followers learn why, and a request to end it is passed on again.
    async fn waits(&mut self, reason: String) {
        if self.execution.pending.as_ref() != Some(&reason) {
            self.execution.pending = Some(reason.clone());
            self.show_reason(reason);
        }
        let asked = self.blocking(|spool| spool.read::<CancelRecord>(&spool.cancel())).await;
        if let Ok(Some(request)) = asked {
            self.pass_on(request.mode).await;
        }
    }

    fn waits_no_more(&mut self) {
        // What its supervisor waits for is told by that.
        if self.execution.pending.take().is_some() && self.execution.held.is_none() {
            self.show_reason(String::new());
        }
    }

    /// Its supervisor waits before it starts Stata, and says why; or it does not.
    pub(super) fn note_waiting(&mut self, reason: Option<String>) {
        if self.execution.held != reason {
            self.show_reason(reason.clone().unwrap_or_default());
            self.execution.held = reason;
        }
    }

    /// Where progress is shown when the job runs; empty = there is nothing to say any more.
    fn show_reason(&self, text: String) {
        let at_ms = self.context.clock.unix_ms();
        self.status.send_modify(|status| {
            if status.running_at_ms == 0 || text.is_empty() {
                status.progress = Some(wire::Progress { percent: None, waits: !text.is_empty(), text, at_ms });
            }
        });
    }

    /// What the job uses; `None` = not known, or not in time.
    pub(super) async fn usage(&mut self) -> Option<Usage> {
        let (executor, job) = (Arc::clone(&self.context.executor), self.job());
        let activity = executor.activity(&job, self.execution.handle.as_ref());
        tokio::time::timeout(PATIENCE, activity).await.ok().flatten()
    }

    async fn cancel_requested(&mut self) -> bool {
        self.blocking(|spool| Ok(spool.cancel().exists())).await.unwrap_or(false)
    }

    /// Passes on a request to end the run that is in its spool.
    pub(super) async fn pass_on(&mut self, mode: CancelMode) {
        let (executor, job) = (Arc::clone(&self.context.executor), self.job());
        let end = executor.end(&job, self.execution.handle.as_ref(), mode);
        let passed = tokio::time::timeout(PATIENCE, end).await;
        if let Err(error) = passed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            tracing::warn!(run = %self.spool.run(), %error, "the request to end the run is recorded, and not passed on yet");
        }
    }
}

/// The record of an attempt of which no supervisor wrote one, as far as its spool shows: Stata's exit status is not known.
fn without_supervisor(spool: &Spool, attempt: u32, limit: u64, now_ms: i64) -> io::Result<Exit> {
    let mut damaged = vec![];
    let started = spool.read_or_name::<Started>(&spool.started(), &mut damaged)?;
    let running = spool.read_or_name::<Running>(&spool.running(), &mut damaged)?;
    Ok(Exit {
        attempt,
        spawned: true,
        status_lost: true,
        started_at_ms: started.map_or(0, |s| s.at_ms),
        running_at_ms: running.map_or(0, |r| r.at_ms),
        ended_at_ms: now_ms,
        log: file_facts(&spool.log(), limit)?,
        console: file_facts(&spool.console(), limit)?,
        by: "agent".to_owned(),
        ..Exit::default()
    })
}
