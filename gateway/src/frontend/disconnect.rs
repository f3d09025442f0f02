//! Detects client disconnects.
//!
//! The body of an answer shows a disconnect first: hyper drops it when the connection breaks, and reads it to its end
//! otherwise. A caller that disconnects detaches from its run, which goes on; the end of a run counts as seen when a
//! body that reports it was read to its end.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::header;
use http_body::{Frame, SizeHint};
use longhaul_proto::ids::RunId;
use tokio_util::sync::CancellationToken;

use crate::{
    frontend::{Frontend, Numbers},
    model::{Identity, RunSnapshot},
};

/// The presence of the caller, in the extensions of an MCP request.
#[derive(Clone, Debug, Default)]
pub struct ClientPresence(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    gone: CancellationToken,
    ends: Mutex<Vec<RunId>>,
}

impl ClientPresence {
    /// Cancelled when the caller disconnects before its answer is complete.
    pub fn gone(&self) -> &CancellationToken {
        &self.0.gone
    }

    /// The answer under way reports this run to `who`. Only their own runs count: an operator who looks at everybody's
    /// runs has not seen them for their owners.
    pub fn shows(&self, who: &Identity, run: &RunSnapshot) {
        if run.state.is_end() && who.principal == run.principal {
            self.0.ends.lock().unwrap_or_else(PoisonError::into_inner).push(run.run);
        }
    }

    fn take_ends(&self) -> Vec<RunId> {
        std::mem::take(&mut self.0.ends.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The layer around the API: it records the ends that its answers report as seen.
pub async fn seen(State(frontend): State<Frontend>, mut request: Request, next: Next) -> Response {
    let caller = ClientPresence::default();
    request.extensions_mut().insert(caller.clone());
    let response = next.run(request).await;
    let length = response.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    response.map(|body| {
        let mut watched = WatchedBody::new(body, caller, frontend);
        (watched.of_mcp, watched.left) = (false, length);
        Body::new(watched)
    })
}

/// A body that tells its [`ClientPresence`] whether it was read to its end.
pub struct WatchedBody {
    inner: Body,
    caller: ClientPresence,
    frontend: Frontend,
    ended: bool,
    /// Where disconnected callers are counted.
    of_mcp: bool,
    /// Bytes still to come, where the head gives the length: hyper does not ask a body for more than that.
    left: Option<u64>,
}

impl WatchedBody {
    /// Watches `inner` for `caller`.
    pub fn new(inner: Body, caller: ClientPresence, frontend: Frontend) -> Self {
        Self { inner, caller, frontend, ended: false, of_mcp: true, left: None }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.frontend.core.runs.seen(self.caller.take_ends());
    }
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.end(),
            // A body of one piece is not polled again.
            Poll::Ready(Some(Ok(_))) if self.inner.is_end_stream() => self.end(),
            Poll::Ready(Some(Ok(frame))) => {
                let n = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(n));
                if self.left == Some(0) {
                    self.end();
                }
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if self.left == Some(0) {
            // The head alone was the whole answer.
            self.end();
        }
        if self.of_mcp && !self.ended && !http_body::Body::is_end_stream(&self.inner) {
            self.caller.gone().cancel();
            Numbers::count(&self.frontend.numbers.callers_gone);
            tracing::info!("caller went away before its answer; what it started goes on");
        }
    }
}
