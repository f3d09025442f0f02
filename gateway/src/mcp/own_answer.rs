//! Answers of the gateway's own to calls that wait. The MCP library keeps three channels and two tasks for each call
//! under way, some 40 KiB, which a thousand waiting calls need not have.
//!
//! ```text
//! front: offers an own answer with the request -> library: checks the request -> call: takes it, and is done for the library
//!                                                                                  \-> a task: the tool, over a `Line`
//! front: sees that it was taken, drops the library's answer, and sends the line's events
//! ```
//!
//! So the library decides, as ever, which requests are answered and what is wrong with the others. Only calls of the
//! newer era get one: those of a session belong to the library's streams.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rmcp::{RoleServer, service::RequestContext, transport::streamable_http_server::session::ServerSseMessage};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{resumable::Resumables, resume::Line};
use crate::frontend::{Frontend, early_flush};

/// The offer of an own answer, in the extensions of a request.
#[derive(Clone)]
pub(super) struct OwnAnswer {
    resumables: Resumables,
    /// Set once the call takes the offer.
    taken: Arc<Mutex<Option<Events>>>,
}

/// On a response: its head is sent before there is a result.
#[derive(Clone, Copy)]
pub(super) struct BeforeItsResult;

/// The events of a call.
struct Events {
    /// Sent before the next one.
    first: Option<Bytes>,
    rest: mpsc::Receiver<ServerSseMessage>,
}

impl OwnAnswer {
    pub(super) fn new(resumables: Resumables) -> Self {
        Self { resumables, taken: Arc::default() }
    }

    /// The offer that came with a request.
    pub(super) fn offered(context: &RequestContext<RoleServer>) -> Option<&Self> {
        context.extensions.get::<http::request::Parts>()?.extensions.get()
    }

    /// The call is answered over this line; what the library says of it is dropped.
    ///
    /// # Errors
    /// When there is no randomness for its name.
    pub(super) fn take(&self, frontend: &Frontend) -> io::Result<Line> {
        let (line, first, rest) = Line::begin(self.resumables.clone(), frontend.options().sse_retry)?;
        let events = Events { first: Some(bytes(&first)), rest };
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(events);
        Ok(line)
    }

    /// The answer, if the call took the offer.
    pub(super) fn response(&self, frontend: &Frontend) -> Option<Response> {
        let events = self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let body = body(events, frontend.options().sse_keep_alive, frontend.cut.clone());
        let mut response = early_flush::event_stream(body);
        response.extensions_mut().insert(BeforeItsResult);
        Some(response)
    }
}

/// A comment at once, so that no client gives up; the events as they come, and a comment whenever there was none for a
/// while.
fn body(events: Events, keep_alive: Duration, cut: CancellationToken) -> Body {
    let accepted = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b": accepted\n\n")) });
    let rest = stream::unfold((events, cut), move |(mut events, cut)| async move {
        let next = tokio::select! {
            biased;
            () = cut.cancelled() => return None,
            next = timeout(keep_alive, events.rest.recv()) => next,
        };
        let sent = match next {
            Ok(event) => {
                let (first, event) = (events.first.take(), bytes(&event?));
                first.map_or(event.clone(), |first| [first, event].concat().into())
            }
            Err(_) => Bytes::from_static(b": waiting\n\n"),
        };
        Some((Ok(sent), (events, cut)))
    });
    Body::from_stream(accepted.chain(rest))
}

/// An event as the library writes it.
fn bytes(event: &ServerSseMessage) -> Bytes {
    let message = event.message.as_ref().and_then(|message| serde_json::to_string(message.as_ref()).ok());
    let id = event.event_id.as_ref().map(|id| format!("id: {id}\n")).unwrap_or_default();
    let retry = event.retry.map(|retry| format!("retry: {}\n", retry.as_millis())).unwrap_or_default();
    format!("data: {}\n{id}{retry}\n", message.unwrap_or_default()).into()
}
