//! An answer that lasts: it is counted for its principal, and it ends when its token is revoked.
//!
//! A request is checked once, and an event stream or a waiting call goes on for days. So each answer of unknown length
//! watches its token: revoking that breaks the answer off, and the next request with it is refused.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use longhaul_proto::faults;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    api::problem::busy,
    http::{
        incoming::RETRY_AFTER,
        quotas::{Held, Kind, Quotas},
    },
};

/// Tokens by name, each with what fires when it is revoked. Names are never used again, so a revoked one stays.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Arc<Mutex<HashMap<String, CancellationToken>>>);

impl Revocations {
    /// Fires when this token is revoked; at once when it has been.
    pub fn of(&self, token: &str) -> CancellationToken {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(token.to_owned()).or_default().clone()
    }

    /// The token was revoked.
    pub fn revoked(&self, token: &str) {
        if !faults::bug("revoked_streams_live") {
            self.of(token).cancel();
        }
    }
}

/// What a principal may have open at a time.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// What is open.
    pub quotas: Quotas,
    /// Event streams and downloads.
    pub streams: usize,
    /// MCP calls.
    pub calls: usize,
}

impl Lasting {
    /// Counts a request, if it is one that may last.
    ///
    /// # Errors
    /// The answer, when its principal has enough of them.
    pub fn take(&self, principal: &str, method: &Method, uri: &Uri) -> Result<Option<Held>, Box<Response>> {
        let path = uri.path();
        let (kind, max, what) = if path == "/mcp" && *method == Method::POST {
            (Kind::Call, self.calls, "MCP calls")
        } else if path == "/mcp" || path.ends_with("/events") || path.ends_with("/output") {
            (Kind::Stream, self.streams, "streams")
        } else {
            return Ok(None);
        };
        self.quotas.take(principal, kind, max).map(Some).ok_or_else(|| {
            let detail = format!("{max} {what} of yours are open, which is as many as are allowed: end some");
            Box::new(busy(detail, RETRY_AFTER).with_status(StatusCode::TOO_MANY_REQUESTS).into_response())
        })
    }
}

/// The answer, counted and watched to its end.
pub fn watched(response: Response, held: Option<Held>, revoked: Option<CancellationToken>) -> Response {
    response.map(|body| {
        // One of known length is on its way already.
        let revoked = revoked.filter(|_| body.size_hint().exact().is_none());
        if held.is_none() && revoked.is_none() {
            return body;
        }
        let revoked = revoked.map(|token| Box::pin(token.cancelled_owned()));
        Body::new(Watched { body, revoked, _held: held })
    })
}

struct Watched {
    body: Body,
    revoked: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _held: Option<Held>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.revoked.as_mut().is_some_and(|revoked| revoked.as_mut().poll(cx).is_ready()) {
            // Broken off, not ended: half an answer must not pass for a whole one.
            return Poll::Ready(Some(Err(axum::Error::new(Revoked))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the token of this request was revoked")]
struct Revoked;
