//! The task of one run: carries out commands one at a time and reads the spool's markers in between.

use std::{sync::Arc, time::Duration};

use longhaul_proto::faults;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;

use super::{
    Command, Context, Forgotten, Handle, NotForgotten, Status, activity::Sampler, status, unreadable::Unreadable,
};
use crate::{
    executor::Gone,
    follow::{Changes, LiveReader, POLL, Trigger, entered},
    outcome,
    spool::{Attempt, AttemptKind, Exit, OutcomeRecord, Running, Spool, Started, is_damaged},
    stata::view::View,
};

/// Wake-ups within this time are handled as one: a log that grows fast must not keep the task busy.
const GATHER: Duration = Duration::from_millis(10);
/// Most steps of 256 KiB that are read of a log at a time, and before a question about it is answered.
const STEPS: u32 = 32;
const CAUGHT_UP: u32 = 256;
/// Time between two checks whether a supervisor lives that this process did not start.
pub(super) const ALIVE: Duration = Duration::from_secs(1);

pub(super) struct RunTask {
    pub(super) context: Arc<Context>,
    pub(super) spool: Spool,
    pub(super) status: watch::Sender<Status>,
    changes: Changes,
    trigger: Trigger,
    /// Resolves when the supervisor that this process started is gone.
    pub(super) gone: Option<Gone>,
    /// When to check again for a supervisor that this process did not start.
    pub(super) check_at: Duration,
    /// Supervisors started by this process for this run.
    pub(super) starts: u32,
    pub(super) live: Option<LiveReader>,
    /// Notes the do-files that the run enters; `None` = not started yet.
    pub(super) entered: Option<entered::Reader>,
    pub(super) sampler: Sampler,
    /// The exit record exists and cannot be read.
    pub(super) unreadable: Option<Unreadable>,
}

/// Starts the task of the run in `spool`.
pub(super) fn spawn(context: Arc<Context>, spool: Spool) -> Handle {
    let (commands, receiver) = mpsc::channel(16);
    let (status, watcher) = watch::channel(Status::default());
    let (trigger, changes) = watch::channel(());
    context.watcher.add(spool.path(), &trigger);
    let output_limit = context.preparer.output_limit;
    let handle = Handle { spool: spool.clone(), status: watcher, changes: changes.clone(), output_limit, commands };
    let tasks = context.tasks.clone();
    let sampler = Sampler::new(context.clock.monotonic());
    let task = RunTask {
        context,
        spool,
        status,
        changes,
        trigger,
        gone: None,
        check_at: Duration::ZERO,
        starts: 0,
        live: None,
        entered: None,
        sampler,
        unreadable: None,
    };
    tasks.spawn_until_stop(task.run(receiver));
    handle
}

impl RunTask {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.adopt().await;
        loop {
            let watching = self.unfinished();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => if self.carry_out(command).await { break },
                    None => break,
                },
                () = wake(&mut self.changes, &mut self.gone), if watching => {}
            }
            if self.unfinished() {
                self.read_markers().await;
            }
        }
        self.context.watcher.remove(self.spool.path());
    }

    /// An attempt was started here and has no verdict.
    pub(super) fn unfinished(&self) -> bool {
        let status = self.status.borrow();
        status.attempt > 0 && !status.revoked && status.outcome.is_none() && status.trouble.is_empty()
    }

    pub(super) fn attempt(&self) -> Option<Attempt> {
        let status = self.status.borrow();
        let kind = if status.revoked { AttemptKind::Revoked } else { AttemptKind::Started };
        (status.attempt > 0).then_some(Attempt { number: status.attempt, kind })
    }

    /// Since when this process has followed the run's log.
    fn followed_since(&self) -> entered::Since {
        if self.starts == 0 { entered::Since::Later } else { entered::Since::Start }
    }

    /// Carries out a command. `true`: the run is gone.
    async fn carry_out(&mut self, command: Command) -> bool {
        match command {
            Command::Begin { submission, attempt, reply } => {
                let _ = reply.send(self.begin(*submission, attempt).await);
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

    async fn forget(
        &mut self,
        request: &longhaul_proto::wire::ForgetRequest,
        reply: oneshot::Sender<Result<Forgotten, NotForgotten>>,
    ) -> bool {
        let (outcome, only_files) = {
            let status = self.status.borrow();
            (status.outcome.clone().or_else(|| status.kept.clone()), status.attempt == 0)
        };
        let checked = match outcome {
            None => Err(NotForgotten::Unfinished),
            Some(o) => {
                let same = (request.log_len, request.console_len) == (o.log.len, o.console.len)
                    && request.log_sha256 == o.log.sha256
                    && request.console_sha256 == o.console.sha256;
                let differs = NotForgotten::Differs { log_len: o.log.len, console_len: o.console.len };
                if same || faults::bug("forget_without_digest") { Ok(()) } else { Err(differs) }
            }
        };
        let keep = request.keep_work && !faults::bug("work_goes_with_the_log");
        let work = if keep { WorkFolder::Keep } else { WorkFolder::Delete };
        let done = match checked {
            Ok(()) => self.blocking(move |spool| delete_spool(spool, work)).await.map_err(NotForgotten::Io),
            Err(error) => Err(error),
        };
        if matches!(done, Ok(Forgotten::ButItsFiles)) && !only_files {
            // Only files of it are left: as after a start that finds them.
            self.context.watcher.remove(self.spool.path());
            self.status.send_modify(|status| {
                let kept = status.outcome.take().or_else(|| status.kept.take());
                *status = Status { read: true, kept, ..Status::default() };
            });
        }
        let gone = matches!(done, Ok(Forgotten::Whole));
        let _ = reply.send(done);
        gone
    }

    /// Reads the markers and does what follows from them.
    pub(super) async fn read_markers(&mut self) {
        let read = self.blocking(|spool| {
            // The run's own code may have damaged them; only their times are needed.
            let started = spool.read(&spool.started()).or_else(missing_if_damaged)?;
            let running = spool.read(&spool.running()).or_else(missing_if_damaged)?;
            Ok((started, running, spool.read::<Exit>(&spool.exit())))
        });
        let (started, running, exit) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(run = %self.spool.run(), %error, "the run's markers could not be read");
                return;
            }
        };
        let (started, running): (Option<Started>, Option<Running>) = (started, running);
        let (exit, damaged) = match exit {
            Ok(exit) => (exit, None),
            Err(error) if is_damaged(&error) && faults::bug("spoiled_exit_given_up") => return self.trouble(&error),
            Err(error) => (None, Some(error)),
        };
        if damaged.is_none() {
            self.unreadable = None;
        }
        let attempt = self.attempt().map_or(0, |attempt| attempt.number);
        if exit.as_ref().is_some_and(|exit| (1..attempt).contains(&exit.attempt)) {
            // They are a previous attempt's, and the next one has not started.
            if let Err(error) = self.put_dead_attempt_aside().await {
                tracing::debug!(run = %self.spool.run(), %error, "not put aside yet");
            }
            return;
        }
        self.status.send_if_modified(|status| {
            let times = (started.as_ref().map_or(0, |s| s.at_ms), running.map_or(0, |r| r.at_ms));
            let changed = times != (status.started_at_ms, status.running_at_ms);
            (status.started_at_ms, status.running_at_ms) = times;
            changed
        });
        if let Some(exit) = exit {
            self.finish(exit).await;
        } else {
            self.read_log().await;
            self.sample(started).await;
            match damaged {
                None => self.keep_supervised().await,
                Some(error) => self.exit_unreadable(error).await,
            }
        }
    }

    /// Judges the run and publishes its end.
    pub(super) async fn finish(&mut self, exit: Exit) {
        let span = tracing::info_span!(
            "longhaul.finish",
            longhaul.run.id = %self.spool.run(),
            longhaul.run.result = tracing::field::Empty,
        );
        if let Ok(Ok(Some(submission))) = self.blocking(|spool| Ok(spool.submission())).await
            && let Some(trace) = &submission.trace
        {
            longhaul_proto::telemetry::set_parent(&span, trace);
        }
        let (live, entered, since) = (self.live.take(), self.entered.take(), self.followed_since());
        let banners = self.context.banners.clone();
        let judged = self
            .blocking(move |spool| {
                banners.read(spool);
                entered::note(entered, spool, since, u32::MAX);
                outcome::finish(spool, &exit, live)
            })
            .instrument(span.clone())
            .await;
        match judged {
            Ok(outcome) => {
                span.record("longhaul.run.result", outcome.state.meaning().map_or("", |m| m.result));
                tracing::info!(parent: &span, run = %self.spool.run(), state = %outcome.state, cause = %outcome.cause, "run ended");
                self.publish_end(outcome);
            }
            // Most often a full disk: tried again with the next tick.
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet"),
        }
    }

    pub(super) fn publish_end(&mut self, outcome: OutcomeRecord) {
        self.status.send_modify(|status| {
            status.started_at_ms = outcome.started_at_ms;
            status.running_at_ms = outcome.running_at_ms;
            // A record of an earlier version has no safe end.
            status.view = outcome.view.map(|(start, end)| View { start, safe_end: end.unwrap_or(start), end });
            status.outcome = Some(Arc::new(outcome));
        });
        self.context.watcher.remove(self.spool.path());
        if faults::bug("pulse_lost_at_end") {
            self.trigger = watch::channel(()).0;
        }
    }

    async fn read_log(&mut self) {
        let Some(mut reader) = self.live.take().or_else(|| Some(LiveReader::new(&self.spool))) else { return };
        let (entered, spool, since) = (self.entered.take(), self.spool.clone(), self.followed_since());
        let read = longhaul_proto::tasks::blocking(move || {
            // A bounded number of steps (8 MiB): the task must return to its commands.
            for _ in 0..STEPS {
                if !reader.advance().unwrap_or(false) {
                    break;
                }
            }
            let found = (reader.view(), reader.progress());
            (reader, found, entered::note(entered, &spool, since, STEPS))
        });
        let Ok((reader, (view, progress), entered)) = read.await else { return };
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
    async fn changed(&mut self, attempt: u32) -> std::io::Result<longhaul_proto::wire::ChangedReply> {
        if self.attempt() != Some(Attempt { number: attempt, kind: AttemptKind::Started }) {
            return Ok(longhaul_proto::wire::ChangedReply::default());
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
        self.context.watcher.add(self.spool.path(), &self.trigger);
    }

    pub(super) fn due(&mut self) -> bool {
        let now = self.context.clock.monotonic();
        let due = now >= self.check_at;
        if due {
            self.check_at = now + ALIVE;
        }
        due
    }
}

/// What becomes of the folder of a run's files when its spool is deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WorkFolder {
    Keep,
    Delete,
}

fn delete_spool(spool: &Spool, work: WorkFolder) -> std::io::Result<Forgotten> {
    if work == WorkFolder::Keep && spool.has_work() {
        return spool.keep_work().map(|()| Forgotten::ButItsFiles);
    }
    spool.remove().map(|()| Forgotten::Whole)
}

fn missing_if_damaged<T>(error: std::io::Error) -> std::io::Result<Option<T>> {
    if is_damaged(&error) { Ok(None) } else { Err(error) }
}

/// Waits until something changed, the supervisor is gone, or a look is due.
async fn wake(changes: &mut Changes, gone: &mut Option<Gone>) {
    let ended = async {
        match gone {
            Some(end) => end.await,
            None => std::future::pending().await,
        }
    };
    let is_gone = tokio::select! {
        biased;
        () = ended => true,
        changed = changes.changed() => {
            // The sender is dropped only with the run.
            if changed.is_err() { tokio::time::sleep(POLL).await } else { tokio::time::sleep(GATHER).await }
            false
        }
        () = tokio::time::sleep(POLL) => false,
    };
    if is_gone {
        *gone = None;
    }
}
