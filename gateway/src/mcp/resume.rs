//! Answers a call again, on another connection, from the state of its run.
//!
//! The code that follows the run and words the result is that of the live call, so the answer is the same; only the way
//! out differs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rmcp::{
    model::{
        CallToolResponse, JsonRpcMessage, Notification, ProgressNotificationParam, ServerJsonRpcMessage,
        ServerNotification, ServerResult,
    },
    transport::streamable_http_server::session::{EventStream, ServerSseMessage},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    call::{self, Call},
    resumable::{CallTarget, Resumed},
    run, tools, wait,
};
use crate::{
    face::{Face, Numbers},
    model::Identity,
};

/// Events that may wait for a slow reader.
const ROOM: usize = 4;

/// Where the events of a resumed call go. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line {
    out: mpsc::Sender<ServerSseMessage>,
    reference: Arc<str>,
    n: Arc<AtomicU64>,
}

/// The reader is gone.
pub(super) struct Closed;

impl Line {
    /// A progress notification.
    pub(super) async fn progress(&self, param: ProgressNotificationParam) -> Result<(), Closed> {
        let progress = ServerNotification::ProgressNotification(Notification::new(param));
        self.send(JsonRpcMessage::notification(progress)).await
    }

    async fn send(&self, message: ServerJsonRpcMessage) -> Result<(), Closed> {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        let event = ServerSseMessage::new(format!("{}.{n}", self.reference), message);
        self.out.send(event).await.map_err(|_| Closed)
    }
}

/// The events of a call after the last one that its client received: how the run is now, progress while it goes on, the
/// answer.
pub(super) fn replay(face: &Face, who: Identity, resumed: Resumed) -> EventStream {
    Numbers::count(&face.numbers.resumed);
    let (out, events) = mpsc::channel(ROOM);
    let line = Line { out, reference: resumed.reference.as_str().into(), n: Arc::new(AtomicU64::new(resumed.seen)) };
    // The channel is empty, so there is room. An event with an id of its own: the client may break off again before any
    // progress.
    let last = format!("{}.{}", resumed.reference, resumed.seen);
    let _ = line.out.try_send(ServerSseMessage::priming(last, face.options().sse_retry));
    let task = answer(face.clone(), who, resumed, line);
    face.core.deps.tasks.spawn(task);
    Box::pin(ReceiverStream::new(events))
}

async fn answer(face: Face, who: Identity, resumed: Resumed, line: Line) {
    let resumable = resumed.resumable.clone();
    let already = face.core.deps.clock.unix_ms().saturating_sub(resumed.asked_ms);
    let already = Duration::from_millis(u64::try_from(already).unwrap_or(0));
    let name = match &resumable.asked {
        CallTarget::Run { .. } => "stata_run_file",
        CallTarget::Wait(_) => "stata_wait",
    };
    let replied = async {
        let spec = tools::find(name).ok_or("the gateway has lost its own tool")?;
        let call = Call::resumed(&face, spec, who, &resumed, line.clone(), already)?;
        match &resumable.asked {
            CallTarget::Run { run, joined, .. } => run::to_the_end(&call, *run, *joined).await,
            CallTarget::Wait(_) => wait::wait(&call).await.map(|said| said.into_result().into()),
        }
    };
    // A resumed call is one that waits on its connection; a call that became a task has its answer already.
    let CallToolResponse::Complete(mut result) = call::guarded(&face, name, replied).await else { return };
    if resumable.session.is_some() {
        // This member belongs to the newer era.
        result.result_type = None;
    }
    let message = JsonRpcMessage::response(ServerResult::CallToolResult(result), resumable.request.clone());
    // The reader is gone: the client can resume the call once more.
    let _ = line.send(message).await;
}
