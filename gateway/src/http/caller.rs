//! Whether the one who asked is still there.
//!
//! The body of an answer knows first: hyper drops it when the connection breaks, and reads it to its end otherwise.
//! A caller that goes away detaches from its run, which goes on; a result counts as delivered when the body that
//! carried it was read to its end.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use longhaul_proto::ids::RunId;
use tokio_util::sync::CancellationToken;

use super::{Face, Numbers};

/// The one who asked, in the extensions of an MCP request.
#[derive(Clone, Debug, Default)]
pub struct Caller(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    gone: CancellationToken,
    results: Mutex<Vec<RunId>>,
}

impl Caller {
    /// Fires when the caller went away before its answer was complete.
    pub fn gone(&self) -> &CancellationToken {
        &self.0.gone
    }

    /// The answer under way carries the result of this run.
    pub fn carries(&self, run: RunId) {
        self.0.results.lock().unwrap_or_else(PoisonError::into_inner).push(run);
    }

    fn take_results(&self) -> Vec<RunId> {
        std::mem::take(&mut self.0.results.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A body that tells its [`Caller`] how it went.
pub struct Watched {
    inner: Body,
    caller: Caller,
    face: Face,
    ended: bool,
}

impl Watched {
    /// Watches `inner` for `caller`.
    pub fn new(inner: Body, caller: Caller, face: Face) -> Self {
        Self { inner, caller, face, ended: false }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let results = self.caller.take_results();
        if !results.is_empty() {
            let runs = self.face.core.runs.clone();
            self.face.core.deps.tasks.spawn(async move {
                for run in results {
                    runs.delivered(run).await;
                }
            });
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.end(),
            // A body of one piece is not asked again.
            Poll::Ready(Some(Ok(_))) if self.inner.is_end_stream() => self.end(),
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

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended && !http_body::Body::is_end_stream(&self.inner) {
            self.caller.gone().cancel();
            Numbers::count(&self.face.numbers.callers_gone);
            tracing::info!("caller went away before its answer; what it started goes on");
        }
    }
}
