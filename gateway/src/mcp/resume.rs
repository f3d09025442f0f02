//! Answers a call again, on another connection, from the state of its run.
//!
//! The code that follows the run and words the result is that of the live call, so the answer is the same; only the way
//! out differs.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::faults;
use rmcp::{
    model::{
        CallToolResponse, JsonRpcMessage, Notification, ProgressNotificationParam, RequestId, ServerJsonRpcMessage,
        ServerNotification, ServerResult,
    },
    transport::streamable_http_server::session::{EventStream, ServerSseMessage},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    call::Call,
    guarded,
    resumable::{CallTarget, Resumable, Resumables, Resumed, reference},
    run, tools, wait,
};
use crate::{
    frontend::{Frontend, Numbers},
    model::Identity,
};

/// Events that may wait for a slow reader.
const ROOM: usize = 4;

/// Where the events of a call go that the gateway answers without the library. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line {
    out: mpsc::Sender<ServerSseMessage>,
    reference: Arc<str>,
    n: Arc<AtomicU64>,
    noted: Noted,
}

/// Whether the [`Resumable`] behind a line's reference is in the ledger.
#[derive(Clone)]
enum Noted {
    /// It is: the call is resumed by it.
    Already,
    /// It goes there before the first progress; `done` = it is there.
    First { resumables: Resumables, done: Arc<AtomicBool> },
}

/// The reader is gone.
pub(super) struct Closed;

impl Line {
    /// The line of a call that is made now, its first event (when to come back after a break), and the others.
    ///
    /// # Errors
    /// When there is no randomness for its reference.
    pub(super) fn begin(
        resumables: Resumables,
        retry: Duration,
    ) -> io::Result<(Self, ServerSseMessage, mpsc::Receiver<ServerSseMessage>)> {
        let (out, events) = mpsc::channel(ROOM);
        let noted = Noted::First { resumables, done: Arc::default() };
        let line = Self { out, reference: reference()?.into(), n: Arc::new(AtomicU64::new(1)), noted };
        let first = ServerSseMessage::priming(format!("{}.1", line.reference), retry);
        Ok((line, first, events))
    }

    /// A progress notification, of a call that can be resumed by `resumable` from now on.
    pub(super) async fn progress(
        &self,
        param: ProgressNotificationParam,
        resumable: Option<&Resumable>,
    ) -> Result<(), Closed> {
        let progress = ServerNotification::ProgressNotification(Notification::new(param));
        let noted = self.note(resumable).await;
        self.send(JsonRpcMessage::notification(progress), noted).await
    }

    /// The answer: the last event.
    pub(super) async fn answer(&self, result: ServerResult, request: RequestId) -> Result<(), Closed> {
        self.send(JsonRpcMessage::response(result, request), true).await
    }

    /// Whether an event's id may be sent: what it stands for is in the ledger first.
    async fn note(&self, resumable: Option<&Resumable>) -> bool {
        let (Noted::First { resumables, done }, Some(resumable)) = (&self.noted, resumable) else { return true };
        if done.load(Ordering::Relaxed) || faults::bug("own_answers_not_noted") {
            return true;
        }
        if let Err(error) = resumables.put(&self.reference, resumable).await {
            // The call goes on; it only cannot be resumed.
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot note a call for its resumption");
            return false;
        }
        done.store(true, Ordering::Relaxed);
        true
    }

    async fn send(&self, message: ServerJsonRpcMessage, named: bool) -> Result<(), Closed> {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        // An empty id tells a client that it cannot come back here.
        let id = if named { format!("{}.{n}", self.reference) } else { String::new() };
        self.out.send(ServerSseMessage::new(id, message)).await.map_err(|_| Closed)
    }
}

/// The events of a call after the last one that its client received: how the run is now, progress while it goes on, the
/// answer.
pub(super) fn replay(frontend: &Frontend, who: Identity, resumed: Resumed) -> EventStream {
    Numbers::count(&frontend.numbers.resumed);
    let (out, events) = mpsc::channel(ROOM);
    let n = Arc::new(AtomicU64::new(resumed.seen));
    let line = Line { out, reference: resumed.reference.as_str().into(), n, noted: Noted::Already };
    // The channel is empty, so there is room. An event with an id of its own: the client may break off again before any
    // progress.
    let last = format!("{}.{}", resumed.reference, resumed.seen);
    let _ = line.out.try_send(ServerSseMessage::priming(last, frontend.options().sse_retry));
    let task = answer(frontend.clone(), who, resumed, line);
    frontend.core.deps.tasks.spawn(task);
    Box::pin(ReceiverStream::new(events))
}

async fn answer(frontend: Frontend, who: Identity, resumed: Resumed, line: Line) {
    let resumable = resumed.resumable.clone();
    let already = frontend.core.deps.clock.unix_ms().saturating_sub(resumed.asked_ms);
    let already = Duration::from_millis(u64::try_from(already).unwrap_or(0));
    let told = OnceLock::new();
    let name = match &resumable.asked {
        CallTarget::Run { .. } => "stata_run_file",
        CallTarget::Wait(_) => "stata_wait",
    };
    let replied = async {
        let spec = tools::find(name).ok_or("the gateway has lost its own tool")?;
        let call = Call::resumed(&frontend, spec, who, &resumed, line.clone(), already)?;
        let _ = told.set(call.told.clone());
        match &resumable.asked {
            CallTarget::Run { run, joined, .. } => run::to_the_end(&call, *run, *joined).await,
            CallTarget::Wait(_) => wait::wait(&call).await.map(|said| said.into_result().into()),
        }
    };
    // A resumed call is one that waits on its connection; a call that became a task has its answer already.
    let answer = guarded::guarded(&frontend, name, replied).await;
    if let Some(told) = told.get() {
        told.answer(name, None, &answer).await;
    }
    let CallToolResponse::Complete(mut result) = answer else { return };
    if resumable.session.is_some() {
        // This member belongs to the newer era.
        result.result_type = None;
    }
    // The reader is gone: the client can resume the call once more.
    let _ = line.answer(ServerResult::CallToolResult(result), resumable.request.clone()).await;
}
