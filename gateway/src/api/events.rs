//! `GET /api/v1/runs/{run}/events`: the output as server-sent events, live or finished.
//!
//! ```text
//! event: state          data: the run, at first and whenever something but its output changed
//! id: 1234              data: {"offset": 1200, "next": 1234, "text": "..."}      (the id is where to resume, in both views)
//! event: end            data: the run, after its last byte; then the stream ends
//! ```
//!
//! Nothing is buffered for a reader: its next event is read from the mirror when it has taken the last one, so a slow
//! reader simply stays behind at its own offset. The bytes of an incomplete character wait for the rest.

use std::{convert::Infallible, sync::Arc, sync::atomic::Ordering, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use longhaul_proto::{CHUNK, api::OutputEvent, state::RunState};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    output::{StreamName, ViewName, bounds},
    strict::{Path, Strict},
};
use crate::{
    frontend::{
        Frontend, disconnect::ClientPresence, early_flush::event_stream, reading::Output, run_view::run_view, utf8,
    },
    model::{ContactState, Identity, Progress, RunSnapshot, Stream},
    problem::Problem,
    runs::ReadError,
};

/// The query.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub(super) struct EventsQuery {
    /// Which output; the log when absent.
    #[cfg_attr(test, param(inline))]
    stream: StreamName,
    /// Where to begin, bytes; `Last-Event-ID` goes before it.
    offset: Option<u64>,
    /// Which part of the log; all of it when absent.
    #[cfg_attr(test, param(inline))]
    view: ViewName,
}

/// The handler.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Extension(caller): Extension<ClientPresence>,
    Path(name): Path<String>,
    Strict(query): Strict<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    let live = frontend.core.runs.watch(&who, run).await?;
    let stream = Stream::from(query.stream);
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse::<u64>().ok());
    let offset = last.or(query.offset).unwrap_or(0);
    let len = bounds(&live.borrow(), stream, query.view).end();
    // In the user's view an offset behind the end means the end, or what will come there. The ids we give never exceed
    // it.
    if offset > len && last.is_none() && query.view == ViewName::All {
        return Err(ReadError::PastEnd { offset, len }.into());
    }
    frontend.numbers.followers.fetch_add(1, Ordering::Relaxed);
    let follower = Follower {
        output: Output { runs: frontend.core.runs.clone(), who, run, stream },
        live,
        part: query.view,
        at: offset,
        shown: None,
        caller,
        keep_alive: frontend.options().sse_keep_alive,
        stopping: frontend.core.deps.tasks.stopping(),
        frontend,
        done: false,
    };
    Ok(event_stream(Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    }))))
}

/// One reader, at its own pace.
struct Follower {
    output: Output,
    live: watch::Receiver<Arc<RunSnapshot>>,
    part: ViewName,
    at: u64,
    shown: Option<ShownState>,
    caller: ClientPresence,
    keep_alive: Duration,
    stopping: CancellationToken,
    frontend: Frontend,
    done: bool,
}

/// The parts of a run's snapshot whose change is worth an event.
#[derive(PartialEq)]
struct ShownState {
    state: RunState,
    host: Option<String>,
    waiting: Option<String>,
    progress: Option<Progress>,
    cancelling: bool,
    contact: Option<ContactState>,
}

impl ShownState {
    fn of(run: &RunSnapshot) -> Self {
        Self {
            state: run.state,
            host: run.host.clone(),
            waiting: run.waiting.as_ref().map(|wait| wait.words().into_owned()),
            progress: run.progress.clone(),
            cancelling: run.cancel.is_some(),
            contact: run.contact.as_ref().map(|contact| contact.state),
        }
    }
}

impl Follower {
    /// The next event; `None` after the last.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // At a stop also in the middle of the output: the reader resumes with the offset it has.
            if self.done || self.stopping.is_cancelled() {
                return None;
            }
            let run = self.live.borrow_and_update().clone();
            if !run.state.is_end() {
                let state = ShownState::of(&run);
                if self.shown.as_ref() != Some(&state) {
                    self.shown = Some(state);
                    return Some(named("state", &run_view(&run)));
                }
            }
            let ended = run.state.is_end();
            let part = bounds(&run, self.output.stream, self.part);
            let piece = part.piece(self.at);
            if let Some((at, to)) = piece {
                self.at = at;
                match self.output(to, ended || to != part.end()).await {
                    Ok(Some(event)) => return Some(event),
                    Ok(None) => {}
                    Err(error) => {
                        // The reader resumes with its offset; the error is in our log and in the reader's next answer.
                        tracing::error!(error = &error as &dyn std::error::Error, "a follower lost its output");
                        return None;
                    }
                }
            }
            if ended && piece.is_none() {
                self.done = true;
                self.caller.shows(&self.output.who, &run);
                return Some(named("end", &run_view(&run)));
            }
            tokio::select! {
                changed = self.live.changed() => {
                    // The run's task ended before its run: the gateway stops. The reader resumes at its next start.
                    if changed.is_err() && !self.live.borrow().state.is_end() {
                        return None;
                    }
                }
                () = tokio::time::sleep(self.keep_alive) => return Some(Bytes::from_static(b":\n\n")),
                () = self.stopping.cancelled() => return None,
            }
        }
    }

    /// The bytes from the present offset, as an event; `None` when they are the start of one incomplete character.
    /// `closed`: the bytes that end at `end` do not grow any more.
    async fn output(&mut self, end: u64, closed: bool) -> Result<Option<Bytes>, ReadError> {
        let mut bytes = self.output.chunk(self.at, end, CHUNK).await?;
        let last = closed && self.at + bytes.len() as u64 >= end;
        if !last {
            bytes.truncate(bytes.len() - utf8::unfinished(&bytes));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let next = self.at + bytes.len() as u64;
        let (text, lossy) = self.output.encoding().lines(&bytes);
        let text = text.into_owned();
        let event = OutputEvent { offset: self.at, next, text, lossy };
        self.at = next;
        Ok(Some(Bytes::from(format!("id: {next}\ndata: {}\n\n", json(&event)))))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.frontend.numbers.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn named(name: &str, value: &impl Serialize) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {}\n\n", json(value)))
}

/// JSON on one line, as an event's data must be.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}
