//! The stream of one run's events, as the fake agent sends it.

use std::{ops::ControlFlow, sync::Arc};

use longhaul_proto::{
    tasks::Tasks,
    wire::{self, run_event::Event},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{FakeRun, Shared, artifact};

/// What a caller gets.
pub(super) type Events = ReceiverStream<Result<wire::RunEvent, Status>>;

/// One stream.
struct Sender {
    shared: Arc<Shared>,
    run_id: String,
    sender: mpsc::Sender<Result<wire::RunEvent, Status>>,
    /// The offset of the next byte of the log.
    offset: u64,
    with_submission: bool,
    /// [`super::State::hang_up`] when the stream began.
    hang_up: u32,
    /// After how many bytes it breaks.
    breaks: Option<usize>,
    /// Its next byte is a wrong one.
    corrupt: bool,
    sent: usize,
    /// Nothing was sent yet.
    first: bool,
    /// The run's end was sent.
    end_sent: bool,
}

/// Starts a stream from an offset of the log.
pub(super) fn stream(shared: &Arc<Shared>, run_id: String, offset: u64, with_submission: bool) -> Events {
    let (sender, events) = mpsc::channel(4);
    let (hang_up, breaks, corrupt) = shared.change(|s| {
        let breaks = (!s.break_after.is_empty()).then(|| s.break_after.remove(0));
        let corrupt = s.corrupt > 0;
        s.corrupt = s.corrupt.saturating_sub(1);
        (s.hang_up, breaks, corrupt)
    });
    let shared = shared.clone();
    let (sent, first, end_sent) = (0, true, false);
    let stream =
        Sender { shared, run_id, sender, offset, with_submission, hang_up, breaks, corrupt, sent, first, end_sent };
    Tasks::new().spawn(stream.follow());
    ReceiverStream::new(events)
}

impl Sender {
    async fn follow(mut self) {
        let mut changed = self.shared.changed.subscribe();
        loop {
            let run = self.shared.state().runs[&self.run_id].clone();
            let (stalled, unreadable, hung_up) = {
                let state = self.shared.state();
                (state.stall, state.unreadable, state.hang_up > self.hang_up)
            };
            if hung_up {
                return self.fail(Status::unavailable("cable pulled")).await;
            }
            if self.snapshot(&run, stalled).await.is_break() {
                return;
            }
            if unreadable && !stalled && !self.first && run.outcome.is_some() {
                return self.fail(Status::internal("reading failed: input/output error")).await;
            }
            while self.offset < run.log.len() as u64 && !stalled {
                if self.chunk(&run).await.is_break() {
                    return;
                }
            }
            if (stalled || run.outcome.is_none()) && changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn fail(&self, status: Status) {
        let _ = self.sender.send(Err(status)).await;
    }

    async fn send(&self, event: Event) -> ControlFlow<()> {
        match self.sender.send(Ok(wire::RunEvent { event: Some(event) })).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Sends a snapshot: at first, when the run has ended, and when all of its output was sent, too; then the stream ends.
    async fn snapshot(&mut self, run: &FakeRun, stalled: bool) -> ControlFlow<()> {
        let all = run.log.len() as u64 <= self.offset;
        let ended = run.outcome.is_some() && all && !stalled;
        let ending = run.outcome.is_some() && !self.end_sent;
        if !(self.first || ended || ending) {
            return ControlFlow::Continue(());
        }
        self.end_sent |= ending;
        let state = if run.log.is_empty() { wire::RunState::Starting } else { wire::RunState::Running };
        let files = self.shared.state().files.get(&self.run_id).copied();
        let snapshot = wire::Snapshot {
            run_id: self.run_id.clone(),
            attempt: run.attempt,
            state: run.outcome.as_ref().map_or(state.into(), |o| o.state),
            log_len: run.log.len() as u64,
            outcome: run.outcome.clone().filter(|_| ended),
            progress: run.progress.clone(),
            submission: (self.first && self.with_submission).then(|| run.submission.clone()),
            engine: "standin".to_owned(),
            working_dir: format!("/spool/{}/work", self.run_id),
            artifacts: files.map(|bytes| artifact(&self.run_id, bytes)).into_iter().collect(),
            ..Default::default()
        };
        self.send(Event::Snapshot(snapshot)).await?;
        if ended {
            return ControlFlow::Break(());
        }
        if self.first && self.shared.state().strange {
            let _ = self.sender.send(Ok(wire::RunEvent { event: None })).await;
            let news = wire::Chunk { stream: 77, offset: 5, data: b"news".as_slice().into() };
            let _ = self.send(Event::Chunk(news)).await;
        }
        self.first = false;
        ControlFlow::Continue(())
    }

    /// Sends the next bytes of the log.
    async fn chunk(&mut self, run: &FakeRun) -> ControlFlow<()> {
        let at = usize::try_from(self.offset).unwrap();
        let end = run.log.len().min(at + longhaul_proto::CHUNK);
        let mut data = run.log[at..end].to_vec();
        if std::mem::take(&mut self.corrupt) {
            data[0] ^= 1;
        }
        self.sent += data.len();
        let chunk = wire::Chunk { stream: wire::Stream::Log.into(), offset: self.offset, data: data.into() };
        self.offset = end as u64;
        self.send(Event::Chunk(chunk)).await?;
        if self.breaks.is_some_and(|breaks| self.sent >= breaks) {
            self.fail(Status::unavailable("cable pulled")).await;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
