//! The task of one run: carries out commands one at a time and reads the spool's markers in between.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use longhaul_proto::{faults, telemetry::Kind, wire};
use tokio::sync::{mpsc, watch};

use super::{
    Command, Context, Handle, Status, activity::Sampler, execute::Execution, journal, journal::About,
    neighbours::Neighbour, registry::REST_AFTER, spans, status, unreadable::Unreadable,
};
use crate::{
    executor::{Hint, Probe},
    follow::{Changes, LiveReader, POLL, Trigger, Watched, entered, poll},
    outcome,
    spool::{
        Attempt, AttemptKind, Exit, OutcomeRecord, Running, Spool, Started, Waiting, is_damaged, missing_if_damaged,
    },
};

/// Wake-ups within this time are handled as one: a log that grows fast must not keep the task busy.
const GATHER: Duration = Duration::from_millis(10);
/// Most steps of 256 KiB that are read of a log at a time, and before a question about it is answered.
const STEPS: u32 = 32;
const CAUGHT_UP: u32 = 256;

pub(super) struct RunTask {
    pub(super) context: Arc<Context>,
    pub(super) spool: Spool,
    pub(super) status: watch::Sender<Status>,
    changes: Changes,
    trigger: Trigger,
    /// The job that carries out its attempt.
    pub(super) execution: Execution,
    pub(super) live: Option<LiveReader>,
    /// Notes the do-files that the run enters; `None` = not started yet.
    pub(super) entered: Option<entered::Reader>,
    pub(super) sampler: Sampler,
    /// Since when the attempt that this process accepted waits for its Stata, and under which span.
    pub(super) accepted: Option<(wire::TraceContext, i64)>,
    /// The exit record exists and cannot be read.
    pub(super) unreadable: Option<Unreadable>,
    /// The run among those that share its folder; `None` = its folder is its own, or not known yet.
    pub(super) neighbour: Option<Neighbour>,
    /// What the last look at the markers left to do.
    left: Left,
}

/// What a look at the markers leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing until something changes.
    Nothing,
    /// It could not do something, which is tried again soon.
    Something,
}

/// Starts the task of the run in `spool`.
pub(super) fn spawn(context: Arc<Context>, spool: Spool) -> Handle {
    let (commands, receiver) = mpsc::channel(16);
    let (status, watcher) = watch::channel(Status::default());
    let (trigger, changes) = watch::channel(Watched::No);
    context.watcher.add(&spool, &trigger);
    let output_limit = context.preparer.output_limit;
    let handle = Handle { spool: spool.clone(), status: watcher, changes: changes.clone(), output_limit, commands };
    let (tasks, sampler) = (context.tasks.clone(), Sampler::new(context.clock.monotonic()));
    let task = RunTask {
        context,
        spool,
        status,
        changes,
        trigger,
        execution: Execution::default(),
        live: None,
        entered: None,
        sampler,
        accepted: None,
        unreadable: None,
        neighbour: None,
        left: Left::Nothing,
    };
    tasks.spawn_until_stop(task.run(receiver));
    handle
}

impl RunTask {
    /// What is large is boxed: the task of an ended run stays as long as its spool, and only waits for commands.
    async fn run(mut self, mut commands: mpsc::Receiver<Box<Command>>) {
        Box::pin(self.recover()).await;
        loop {
            let watching = self.count_active();
            let (look_in, sample_in) = (self.look_in(), self.sample_in(self.context.clock.monotonic()));
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => if Box::pin(self.carry_out(*command)).await { break },
                    None => break,
                },
                woken = wake(&mut self.changes, &mut self.execution, look_in, sample_in), if watching => match woken {
                    Woken::Answered(probe) => {
                        self.execution.probing = None;
                        Box::pin(self.probed(probe)).await;
                    }
                    Woken::Over => self.execution.over = None,
                    Woken::Look => {}
                    // Nothing has changed in the spool: a silent run costs a look at its processes, and no more.
                    Woken::Sample => {
                        Box::pin(self.sample()).await;
                        continue;
                    }
                },
                () = tokio::time::sleep(REST_AFTER), if !watching && self.may_rest() => if self.rest(&commands) { return },
            }
            if self.unfinished() {
                Box::pin(self.read_markers()).await;
            }
        }
        self.context.watcher.remove(&self.spool);
        self.leave(commands).await;
    }

    /// An attempt was started here and has no verdict.
    pub(super) fn unfinished(&self) -> bool {
        let status = self.status.borrow();
        status.attempt > 0 && !status.revoked && status.outcome.is_none() && status.trouble.is_empty()
    }

    /// When to look at the markers although nothing changed.
    fn look_in(&self) -> Duration {
        if self.left == Left::Something || self.unreadable.is_some() {
            return POLL;
        }
        let asks = self.execution.ask_in(self.context.clock.monotonic());
        asks.map_or(poll(&self.changes), |ask_in| ask_in.min(poll(&self.changes)))
    }

    pub(super) fn attempt(&self) -> Option<Attempt> {
        let status = self.status.borrow();
        let kind = if status.revoked { AttemptKind::Revoked } else { AttemptKind::Started };
        (status.attempt > 0).then_some(Attempt { number: status.attempt, kind })
    }

    /// Since when this process has followed the run's log.
    fn followed_since(&self) -> entered::Since {
        if self.execution.starts == 0 { entered::Since::Later } else { entered::Since::Start }
    }

    /// Carries out a command. `true`: the run is gone.
    async fn carry_out(&mut self, command: Command) -> bool {
        match command {
            Command::Begin { submission, attempt, trace, reply } => {
                let _ = reply.send(self.begin(*submission, attempt, trace).await);
            }
            Command::Cancel { mode, by, reply } => {
                let _ = reply.send(self.cancel(mode, by).await);
            }
            Command::Revoke { attempt, reply } => {
                let _ = reply.send(self.revoke(attempt).await);
            }
            Command::Changed { attempt, reply } => {
                let _ = reply.send(self.changed(attempt).await);
            }
            Command::Forget { request, reply } => return self.forget(&request, reply).await,
        }
        false
    }

    /// Reads the markers and does what follows from them.
    pub(super) async fn read_markers(&mut self) {
        self.left = Left::Nothing;
        self.meet_neighbours();
        let read = self.blocking(|spool| {
            let started = spool.read(&spool.started()).or_else(missing_if_damaged)?;
            let running = spool.read(&spool.running()).or_else(missing_if_damaged)?;
            let exit = spool.read::<Exit>(&spool.exit());
            let waiting = match (&started, &exit) {
                (None, Ok(None)) => spool.read::<Waiting>(&spool.waiting()).or_else(missing_if_damaged)?,
                _ => None,
            };
            let about = if matches!(exit, Ok(Some(_))) { About::in_spool(spool) } else { None };
            Ok((started, running, waiting, exit, about))
        });
        let (started, running, waiting, exit, about) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(run = %self.spool.run(), %error, "the run's markers could not be read");
                return self.left = Left::Something;
            }
        };
        let (started, running): (Option<Started>, Option<Running>) = (started, running);
        self.note_waiting(waiting.map(|waiting| waiting.reason));
        let (exit, damaged) = match exit {
            Ok(exit) => (exit, None),
            Err(error) if is_damaged(&error) && faults::bug("spoiled_exit_given_up") => return self.trouble(&error),
            Err(error) => (None, Some(error)),
        };
        if damaged.is_none() {
            self.unreadable = None;
        }
        if exit.as_ref().is_some_and(|exit| (1..self.status.borrow().attempt).contains(&exit.attempt)) {
            // They are a previous attempt's, and the next one has not started.
            if let Err(error) = self.put_dead_attempt_aside().await {
                tracing::debug!(run = %self.spool.run(), %error, "not put aside yet");
            }
            return self.left = Left::Something;
        }
        self.status.send_if_modified(|status| {
            let times = (started.as_ref().map_or(0, |s| s.at_ms), running.map_or(0, |r| r.at_ms));
            let changed = times != (status.started_at_ms, status.running_at_ms);
            (status.started_at_ms, status.running_at_ms) = times;
            changed
        });
        spans::supervisor(self.spool.run(), &mut self.accepted, started.as_ref());
        let Some(exit) = exit else {
            self.read_log().await;
            self.sample().await;
            if let Some(error) = damaged {
                self.note_unreadable(&error);
            }
            return self.ask_when_due();
        };
        self.finish(exit, about).await;
    }

    /// Judges the run and publishes its end.
    pub(super) async fn finish(&mut self, exit: Exit, about: Option<About>) {
        let trace = about.as_ref().and_then(|about| about.trace.clone()).unwrap_or_default();
        let mut span = spans::begin("longhaul.finish", Kind::Internal, self.spool.run(), &trace);
        span.set_count("longhaul.run.attempt", exit.attempt);
        let ended = exit.clone();
        let (live, entered, since) = (self.live.take(), self.entered.take(), self.followed_since());
        let (banners, others) = (self.context.banners.clone(), self.neighbours());
        let now = self.context.clock.unix_ms();
        let judged = self.blocking(move |spool| {
            banners.read(spool, now);
            Ok((entered::note(entered, spool, since, u32::MAX), outcome::finish(spool, &exit, live, &others)))
        });
        match span.around(judged).await.and_then(|(entered, judged)| {
            self.entered = entered.filter(|_| judged.is_err());
            judged
        }) {
            Ok(outcome) => {
                span.set_text("longhaul.run.result", outcome.state.meaning().map_or("", |m| m.result));
                drop(span);
                spans::stata(self.spool.run(), &trace, &ended, &outcome);
                journal::ended(self.spool.run(), &outcome, about.as_ref());
                self.count_end(outcome);
            }
            Err(error) => {
                // Most often a full disk: tried again with the next tick.
                tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet");
                self.left = Left::Something;
            }
        }
    }

    pub(super) fn publish_end(&mut self, outcome: OutcomeRecord) {
        // With what a late answer holds.
        self.execution.probing = None;
        self.neighbour = None;
        self.status.send_modify(|status| status.end(outcome));
        self.context.watcher.remove(&self.spool);
        if faults::bug("pulse_lost_at_end") {
            self.trigger = watch::channel(Watched::No).0;
        }
    }

    async fn read_log(&mut self) {
        let Some(mut reader) = self.live.take().or_else(|| Some(LiveReader::new(&self.spool))) else { return };
        let (entered, spool, since) = (self.entered.take(), self.spool.clone(), self.followed_since());
        let read = longhaul_proto::tasks::blocking(move || {
            // A bounded number of steps (8 MiB): the task must return to its commands.
            let more = (0..STEPS).all(|_| reader.advance().unwrap_or(false));
            let found = (reader.view(), reader.progress(), more);
            (reader, found, entered::note(entered, &spool, since, STEPS))
        });
        let Ok((reader, (view, progress, more), entered)) = read.await else { return };
        if more || entered.as_ref().is_some_and(|reader| !reader.is_at_end()) {
            self.left = Left::Something;
        }
        (self.live, self.entered) = (Some(reader), entered);
        let now = self.context.clock.unix_ms();
        self.status.send_if_modified(|status| {
            let known = status.progress.as_ref().map(|p| (p.percent, p.text.as_str()));
            let news = !progress.text.is_empty() && known != Some((progress.percent, progress.text.as_str()));
            if news {
                status.progress = Some(status::progress(&progress, now));
            }
            let moved = view.is_some() && status.view != view;
            status.view = view.or(status.view);
            news || moved
        });
    }

    /// Whether the do-files of an attempt have changed since.
    async fn changed(&mut self, attempt: u32) -> std::io::Result<wire::ChangedReply> {
        if self.attempt() != Some(Attempt { number: attempt, kind: AttemptKind::Started }) {
            return Ok(wire::ChangedReply::default());
        }
        if !self.unfinished() {
            return self.blocking(entered::check_again).await;
        }
        let (entered, since) = (self.entered.take(), self.followed_since());
        let checked = self.blocking(move |spool| {
            // The log as it is at this moment counts.
            let entered = entered::note(entered, spool, since, CAUGHT_UP);
            let mut reply = entered::check_again(spool)?;
            if entered.as_ref().is_some_and(|reader| !reader.is_at_end()) && reply.unsure.is_empty() {
                reply.unsure = "the agent is still reading its log".to_owned();
            }
            reply.ending = spool.ending().exists() || spool.cancel().exists();
            Ok((reply, entered))
        });
        let (reply, entered) = checked.await?;
        self.entered = entered;
        Ok(reply)
    }

    /// Records that this run cannot be handled, and leaves it alone.
    pub(super) fn trouble(&mut self, error: &dyn std::error::Error) {
        tracing::error!(run = %self.spool.run(), %error, "the run's spool cannot be read; it is left as it is");
        let text = error.to_string();
        self.status.send_modify(|status| {
            status.trouble = text;
            status.read = true;
        });
    }

    /// Runs file work on a blocking thread.
    pub(super) fn blocking<T, F>(&self, work: F) -> impl Future<Output = std::io::Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Spool) -> std::io::Result<T> + Send + 'static,
    {
        let spool = self.spool.clone();
        async move { longhaul_proto::tasks::blocking(move || work(&spool)).await? }
    }

    /// Watches the folder, which may be new, or may not have been watched since an attempt's end.
    pub(super) fn watch_again(&mut self) {
        self.context.watcher.add(&self.spool, &self.trigger);
    }
}

/// Waits until something changed, the job is probably over, a look or a sample is due, or a question is answered.
async fn wake(
    changes: &mut Changes,
    execution: &mut Execution,
    look_in: Duration,
    sample_in: Option<Duration>,
) -> Woken {
    let Execution { over, probing, .. } = execution;
    // Within an arm, so that an end or an answer is not kept waiting by it.
    let gathered = async {
        match changes.changed().await {
            Ok(()) => tokio::time::sleep(GATHER).await,
            // The sender is dropped only with the run.
            Err(_) => std::future::pending().await,
        }
    };
    let sample = async {
        match sample_in {
            Some(sample_in) => tokio::time::sleep(sample_in).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        probe = answer(probing) => Woken::Answered(probe),
        () = ended(over) => Woken::Over,
        () = gathered => Woken::Look,
        () = tokio::time::sleep(look_in) => Woken::Look,
        () = sample => Woken::Sample,
    }
}

/// Why a task went on.
enum Woken {
    Answered(Probe),
    Over,
    Look,
    Sample,
}

async fn answer(probing: &mut Option<BoxFuture<'static, Probe>>) -> Probe {
    match probing {
        Some(probing) => probing.await,
        None => std::future::pending().await,
    }
}

async fn ended(over: &mut Option<Hint>) {
    match over {
        Some(over) => over.await,
        None => std::future::pending().await,
    }
}
