//! A run as a stream of events: a snapshot, the bytes from the requested offsets, then live; a finished run's last
//! event is a snapshot with its outcome, after all of its bytes. That a run has ended is sent as soon as it is known,
//! without the outcome.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longhaul_proto::{
    faults,
    tasks::{Tasks, blocking},
    wire::{self, run_event::Event},
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::Status;

use super::Events;
use crate::{
    follow::{Changes, Tail, length, poll},
    metrics::{Counters, Held, hold},
    runs::{self, Handle},
};

/// Messages on their way to one follower; with 64 KiB each they bound what a slow one may hold.
const QUEUE: usize = 4;
/// Longest wait for a run that was just found on disk to be read.
const SETTLE: Duration = Duration::from_secs(10);

/// Waits until a run's task has read its folder, whatever it found.
pub(super) async fn read(mut handle: Handle) -> Result<Handle, Status> {
    let ready = tokio::time::timeout(SETTLE, handle.status.wait_for(|status| status.read)).await;
    ready.map_err(|_| Status::unavailable("the run's folder is still being read"))?.map_err(|_| gone())?;
    Ok(handle)
}

fn gone() -> Status {
    Status::not_found("this agent has no such run")
}

/// Waits until a run's task has read its folder, and the run can be followed.
pub(super) async fn settled(handle: Handle) -> Result<Handle, Status> {
    let mut status = handle.status.clone();
    let ready = tokio::time::timeout(SETTLE, status.wait_for(|status| status.read)).await;
    let refused = match ready {
        Ok(Ok(status)) if !status.trouble.is_empty() => Some(Status::data_loss(status.trouble.clone())),
        Ok(Ok(status)) if status.revoked => {
            Some(Status::not_found("the run's attempt was revoked here; it never began"))
        }
        Ok(Ok(status)) if status.attempt > 0 => None,
        Err(_) => Some(Status::unavailable("the run's folder is still being read")),
        _ => Some(gone()),
    };
    match refused {
        Some(status) => Err(status),
        None => Ok(handle),
    }
}

/// What the first snapshot of a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstSnapshot {
    /// State, times and lengths.
    Plain,
    /// The request too.
    WithSubmission,
}

/// Streams a run to one follower.
pub(super) fn follow(
    handle: Handle,
    from: (u64, u64),
    first: FirstSnapshot,
    counters: &Arc<Counters>,
    tasks: &Tasks,
) -> Result<Events, Status> {
    let limit = handle.output_limit;
    for (name, path, offset) in [("log", handle.spool.log(), from.0), ("console", handle.spool.console(), from.1)] {
        let len = length(&path, limit);
        if offset > len {
            return Err(Status::out_of_range(format!("the {name} has {len} bytes; offset {offset} is past its end")));
        }
    }
    let (sender, receiver) = mpsc::channel(QUEUE);
    let off = u64::from(from.0 > 0 && faults::bug("resume_one_off"));
    let follower = Follower {
        log: Tail::new(handle.spool.log(), from.0 + off, limit),
        console: Tail::new(handle.spool.console(), from.1, limit),
        _open: hold(counters, |counters| &counters.followers),
        counters: counters.clone(),
        handle,
        sender,
        first,
        off,
    };
    tasks.spawn_until_stop(follower.run());
    Ok(Box::pin(ReceiverStream::new(receiver).map(|event| event.map(|event| wire::RunEvent { event: Some(event) }))))
}

/// Waits for a change in the spool. Never returns when the watch cannot report one any more: then only the poll works.
async fn changed(changes: &mut Changes) {
    if changes.changed().await.is_err() && !faults::bug("pulse_lost_at_end") {
        std::future::pending().await
    }
}

struct Follower {
    handle: Handle,
    log: Tail,
    console: Tail,
    sender: mpsc::Sender<Result<Event, Status>>,
    first: FirstSnapshot,
    /// 0, but for a deliberate bug.
    off: u64,
    /// It is counted, and so is what it sends.
    _open: Held,
    counters: Arc<Counters>,
}

/// The stream ends: its reader is gone, or was sent an error.
struct Closed;

impl Follower {
    async fn run(mut self) {
        let sender = self.sender.clone();
        tokio::select! {
            biased;
            // Also while the run is silent.
            () = sender.closed() => {}
            _ = self.stream() => {}
        }
    }

    async fn stream(&mut self) -> Result<(), Closed> {
        let mut status = self.handle.status.borrow_and_update().clone();
        self.early_snapshot(&status).await?;
        loop {
            if self.new_bytes().await? {
                // A log that grows without pause must not hold back what of it may be shown.
                if !self.handle.status.has_changed().unwrap_or_default() {
                    continue;
                }
            } else if !self.wait().await && self.handle.status.borrow().outcome.is_none() {
                return self.dropped().await;
            }
            let now = self.handle.status.borrow_and_update().clone();
            if now.kept.is_some() && now.outcome.is_none() {
                return self.dropped().await;
            }
            if let Some(outcome) = &now.outcome {
                // The end is sent before the last bytes: its seat is free from then on.
                self.early_snapshot(&now).await?;
                // All bytes of the record first, from the files as they are now.
                self.log.set_limit(outcome.log.len);
                self.console.set_limit(outcome.console.len);
                self.log.reopen();
                self.console.reopen();
                while self.new_bytes().await? {}
                return self.send(Event::Snapshot(self.snapshot(&now))).await;
            }
            self.news(&status, &now).await?;
            status = now;
        }
    }

    /// Sends the bytes that are there and were not sent. `false` = there were none.
    async fn new_bytes(&mut self) -> Result<bool, Closed> {
        let mut any = false;
        for stream in [wire::Stream::Log, wire::Stream::Console] {
            let (tail, off) = match stream {
                wire::Stream::Log => (&mut self.log, self.off),
                _ => (&mut self.console, 0),
            };
            match tail.next().await {
                Ok(pieces) => {
                    for piece in pieces {
                        any = true;
                        self.counters.sent_bytes.fetch_add(piece.data.len() as u64, Ordering::Relaxed);
                        let chunk = wire::Chunk { stream: stream as i32, offset: piece.offset - off, data: piece.data };
                        self.send(Event::Chunk(chunk)).await?;
                    }
                }
                Err(error) => {
                    let _ = self.sender.send(Err(Status::internal(format!("reading failed: {error}")))).await;
                    return Err(Closed);
                }
            }
        }
        Ok(any)
    }

    /// Waits until there may be something new. `false` = the run's task is gone.
    async fn wait(&mut self) -> bool {
        let poll = poll(&self.handle.changes);
        tokio::select! {
            biased;
            () = changed(&mut self.handle.changes) => true,
            changed = self.handle.status.changed() => changed.is_ok(),
            () = tokio::time::sleep(poll) => true,
        }
    }

    async fn dropped(&self) -> Result<(), Closed> {
        let words = "the agent does not keep this run any more, or not yet again";
        let _ = self.sender.send(Err(Status::unavailable(words))).await;
        Err(Closed)
    }

    /// Sends how the status of an unfinished run has changed.
    async fn news(&self, before: &runs::Status, now: &runs::Status) -> Result<(), Closed> {
        if (now.state(), now.started_at_ms, now.view) != (before.state(), before.started_at_ms, before.view) {
            self.send(Event::Snapshot(self.snapshot(now))).await?;
        } else if now.progress != before.progress
            && let Some(progress) = &now.progress
        {
            self.send(Event::Progress(progress.clone())).await?;
        }
        if now.activity != before.activity {
            self.send(Event::Activity(now.activity.unwrap_or_default())).await?;
        }
        Ok(())
    }

    /// Sends a snapshot before the bytes: of a finished run it has lengths and state; the outcome comes after the bytes.
    async fn early_snapshot(&mut self, status: &runs::Status) -> Result<(), Closed> {
        let mut snapshot = wire::Snapshot { outcome: None, ..self.snapshot(status) };
        if std::mem::replace(&mut self.first, FirstSnapshot::Plain) == FirstSnapshot::WithSubmission {
            let spool = self.handle.spool.clone();
            let read = blocking(move || spool.submission()).await;
            snapshot.submission = read.ok().and_then(Result::ok).flatten();
        }
        self.send(Event::Snapshot(snapshot)).await
    }

    fn snapshot(&self, status: &runs::Status) -> wire::Snapshot {
        let Handle { spool, output_limit, .. } = &self.handle;
        let (log_len, console_len) = match &status.outcome {
            Some(outcome) => (outcome.log.len, outcome.console.len),
            None => (length(&spool.log(), *output_limit), length(&spool.console(), *output_limit)),
        };
        status.snapshot(spool.run(), log_len, console_len)
    }

    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.sender.send(Ok(event)).await.map_err(|_| Closed)
    }
}
