//! The task that owns the file.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longhaul_proto::{clock::Clock, tasks};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Event, Kind, Shared, file::AuditFile, refusals::Refusals};

/// Written lines are synced at the latest this long after the first of them.
const SYNC: Duration = Duration::from_secs(1);

/// Most lines of one write.
const BATCH: usize = 256;

/// What the task is told.
pub(super) enum Message {
    /// Write this line; `done` learns whether it is written.
    Write { event: Box<Event>, at_ms: i64, done: Option<oneshot::Sender<bool>> },
    /// Write the last line, and end.
    Close { at_ms: i64, done: oneshot::Sender<()> },
}

/// One line that is due.
type Due = (Box<Event>, i64, Option<oneshot::Sender<bool>>);

struct Writer {
    /// Away while it is written to; not there any more after a panic.
    file: Option<AuditFile>,
    shared: Arc<Shared>,
    /// Lost lines that no line tells of yet.
    untold: u64,
    told: u64,
    /// When written lines must be synced.
    sync_at: Option<Instant>,
}

/// Writes until it is closed, or until no handle is left.
pub(super) async fn write(
    file: AuditFile,
    mut inbox: mpsc::Receiver<Message>,
    shared: Arc<Shared>,
    refusals: Refusals,
    clock: Clock,
) {
    let mut writer = Writer { file: Some(file), shared, untold: 0, told: 0, sync_at: None };
    let mut refusals_at: Option<Instant> = None;
    let mut messages = Vec::with_capacity(BATCH);
    loop {
        let wake = [writer.sync_at, refusals_at].into_iter().flatten().min();
        let got = tokio::select! {
            biased;
            got = inbox.recv_many(&mut messages, BATCH) => Some(got),
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => None,
        };
        let (mut due, mut closing): (Vec<Due>, _) = (Vec::new(), None);
        for message in messages.drain(..) {
            match message {
                Message::Write { event, at_ms, done } => due.push((event, at_ms, done)),
                Message::Close { at_ms, done } => closing = Some((at_ms, done)),
            }
        }
        let ends = closing.is_some() || got == Some(0);
        let now_ms = clock.unix_ms();
        let (counted, next) = refusals.due(now_ms, ends);
        refusals_at = next.map(|at| Instant::now() + millis(at.saturating_sub(now_ms)));
        due.extend(counted.into_iter().map(|event| (Box::new(event), now_ms, None)));
        if let Some((at_ms, _)) = &closing {
            due.push((Box::new(Event::own(Kind::Stop)), *at_ms, None));
        }
        let sync = ends || writer.sync_at.is_some_and(|at| at <= Instant::now());
        writer.write(due, sync, now_ms).await;
        if let Some((_, done)) = closing {
            let _ = done.send(());
        }
        if ends {
            return;
        }
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

impl Writer {
    /// Writes the lines that are due, and syncs if it is time.
    async fn write(&mut self, due: Vec<Due>, sync: bool, now_ms: i64) {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        self.untold += lost - self.told;
        self.told = lost;
        if due.is_empty() && !sync {
            return;
        }
        let Some(mut file) = self.file.take() else { return self.lose(due, "its task failed") };
        let mut events: Vec<(Event, i64)> = Vec::with_capacity(due.len() + 1);
        if self.untold > 0 {
            events.push((Event::own(Kind::Lost).with("lines", self.untold), now_ms));
        }
        events.extend(due.iter().map(|(event, at_ms, _)| ((**event).clone(), *at_ms)));
        let lines = events.len() as u64;
        let work = tasks::blocking(move || {
            let written = file.append(&events);
            let synced = if sync { file.sync() } else { Ok(()) };
            (file, written, synced)
        });
        let (file, written, synced) = match work.await {
            Ok(done) => done,
            Err(error) => return self.lose(due, &error.to_string()),
        };
        self.file = Some(file);
        if let Err(error) = written {
            return self.lose(due, &words(&error));
        }
        self.untold = 0;
        self.shared.written.fetch_add(lines, Ordering::Relaxed);
        self.shared.set_trouble(synced.as_ref().err().map(words));
        if let Err(error) = &synced {
            tracing::error!(error = error as &dyn std::error::Error, "the audit log cannot be synced");
        }
        self.sync_at = match sync && synced.is_ok() {
            true => None,
            // A failed sync is tried again.
            false if sync => Some(Instant::now() + SYNC),
            false => self.sync_at.or(Some(Instant::now() + SYNC)),
        };
        answer(due, true);
    }

    fn lose(&mut self, due: Vec<Due>, why: &str) {
        if self.shared.trouble().is_none() {
            tracing::error!(why, "the audit log cannot be written");
        }
        self.shared.lost.fetch_add(due.len() as u64, Ordering::Relaxed);
        self.shared.set_trouble(Some(why.to_owned()));
        // Then it is tried again.
        self.sync_at = self.file.is_some().then(|| Instant::now() + SYNC);
        answer(due, false);
    }
}

fn words(error: &io::Error) -> String {
    error.to_string()
}

/// Tells the callers that wait; one that gave up is not there to be told.
fn answer(due: Vec<Due>, written: bool) {
    for done in due.into_iter().filter_map(|(.., done)| done) {
        let _ = done.send(written);
    }
}
