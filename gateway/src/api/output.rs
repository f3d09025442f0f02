//! `GET /api/v1/runs/{run}/output`: the exact bytes of an output.
//!
//! The answer is what the output has at that moment, from `offset` (or the last `tail` lines, or a `Range`).
//! `Longhaul-First-Offset` says where its bytes start, `Longhaul-Next-Offset` where the next read starts, and
//! `Longhaul-Complete: true` that the run has ended and nothing follows. With `wait` the answer comes when there is
//! something new, at most so many seconds later.
//!
//! Offsets are those of the raw output in both views. In `view=user` an offset or a range before the user's part means
//! its start, one behind it its end (or, while the run lasts, what will come there): never 416. An answer to an
//! `offset` or a range is one piece of the output: it ends where the user's part of an attempt ends and another attempt
//! followed.

use std::{sync::Arc, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use longhaul_proto::api::{COMPLETE, FIRST_OFFSET, NEXT_OFFSET};
use serde::Deserialize;
use tokio::sync::watch;

use super::{
    ranges::{Range, range_of, unsatisfiable},
    strict::{Path, Strict},
};
use crate::{
    frontend::{Frontend, disconnect::ClientPresence, part::Part, reading::Output},
    model::{Identity, RunSnapshot, Stream},
    problem::Problem,
    runs::{MAX_READ, ReadError},
};

/// Longest `wait`, seconds.
const MAX_WAIT: f64 = 600.0;

/// Which output, in a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum StreamName {
    /// Stata's batch log.
    #[default]
    Log,
    /// Standard output and error.
    Console,
}

impl From<StreamName> for Stream {
    fn from(name: StreamName) -> Self {
        match name {
            StreamName::Log => Self::Log,
            StreamName::Console => Self::Console,
        }
    }
}

/// Which part of the log, in a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum ViewName {
    /// All bytes.
    #[default]
    All,
    /// Without what the wrapper around the do-file printed.
    User,
}

/// The query.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub(super) struct OutputQuery {
    /// Which output; the log when absent.
    #[cfg_attr(test, param(inline))]
    stream: StreamName,
    /// Where to begin, bytes.
    offset: Option<u64>,
    /// The last so many lines, instead of `offset`.
    tail: Option<u64>,
    /// Wait for news behind `offset`, at most so many seconds.
    #[cfg_attr(test, param(minimum = 0, maximum = 600))]
    wait: Option<f64>,
    /// Which part of the log; all of it when absent.
    #[cfg_attr(test, param(inline))]
    view: ViewName,
}

/// The bytes that a reader may have of an output now.
pub(super) fn bounds(view: &RunSnapshot, stream: Stream, part: ViewName) -> Part {
    match (stream, part) {
        (Stream::Log, ViewName::User) => Part::user(view),
        _ => Part::all(view, stream),
    }
}

/// The handler.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Extension(caller): Extension<ClientPresence>,
    Path(name): Path<String>,
    Strict(query): Strict<OutputQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    let mut live = frontend.core.runs.watch(&who, run).await?;
    let stream = Stream::from(query.stream);
    if query.offset.is_some() && query.tail.is_some() {
        return Err(Problem::bad_request("pass `offset` or `tail`, not both"));
    }
    if let Some(seconds) = query.wait {
        let limit = Some(seconds).filter(|s| (0.0..=MAX_WAIT).contains(s));
        let limit = limit.ok_or_else(|| Problem::bad_request(format!("`wait` is seconds, from 0 to {MAX_WAIT}")))?;
        let seen = query.offset.unwrap_or(0);
        let news = |view: &RunSnapshot| view.state.is_end() || bounds(view, stream, query.view).piece(seen).is_some();
        // A gateway that stops has no news: the answer is then what there is.
        let stopping = frontend.core.deps.tasks.stopping();
        stopping.run_until_cancelled(wait_for(&mut live, Duration::from_secs_f64(limit), news)).await;
    }
    let view = live.borrow_and_update().clone();
    let part = bounds(&view, stream, query.view);
    let ended = view.state.is_end();
    let end = part.end();
    let outside = |offset: u64| {
        // An ended run will never have these bytes; an unfinished one may still get them.
        if ended { offset.min(end) } else { offset }
    };
    let output = Output { runs: frontend.core.runs.clone(), who: who.clone(), run, stream };

    let asked = match (query.tail, query.offset, headers.get(header::RANGE)) {
        (Some(lines), ..) => Asked::From(output.tail_start(&part, lines).await?),
        (None, Some(offset), _) if offset > end && query.view == ViewName::All => {
            return Err(ReadError::PastEnd { offset, len: end }.into());
        }
        (None, Some(offset), _) => Asked::Piece(offset),
        (None, None, Some(range)) => Asked::Range(range_of(range, end)),
        (None, None, None) => Asked::Range(Range::Whole),
    };
    let Some(Chosen { pieces, from, status }) = choose(&part, asked, query.view, outside) else {
        return Ok(unsatisfiable("output", end));
    };
    let start = pieces.first().map_or(from, |piece| piece.0);
    let stop = pieces.last().map_or(from, |piece| piece.1);
    // Behind the last byte there is only the end.
    let next = if ended && part.piece(stop).is_none() { end } else { stop };
    let complete = ended && next == end;
    if complete {
        caller.shows(&who, &view);
    }
    let range = Sent { start, stop, next, end, complete };
    Ok(respond(status, &range, pieces, output))
}

/// What a request asks for.
enum Asked {
    /// All from this offset on.
    From(u64),
    /// From this offset to the next gap.
    Piece(u64),
    Range(Range),
}

/// What an answer has: ranges without gaps, the offset at which it starts, and its status.
struct Chosen {
    pieces: Vec<(u64, u64)>,
    from: u64,
    status: StatusCode,
}

/// Chooses the bytes that answer; `None` = the range cannot be satisfied. `outside` is where a read behind the end
/// stands.
fn choose(part: &Part, asked: Asked, view: ViewName, outside: impl Fn(u64) -> u64) -> Option<Chosen> {
    let end = part.end();
    let ok = |pieces: Vec<_>, from| Some(Chosen { pieces, from, status: StatusCode::OK });
    let range = match asked {
        Asked::From(from) => return ok(part.pieces(from, end).collect(), from),
        Asked::Piece(offset) => return ok(part.piece(offset).into_iter().collect(), outside(offset)),
        Asked::Range(Range::Whole) => return ok(part.pieces(0, end).collect(), part.start()),
        Asked::Range(range) => range,
    };
    let piece = match range {
        Range::Last(n) => part.pieces(end.saturating_sub(n), end).next_back(),
        Range::Part(from, to) => part.pieces(from, to).next(),
        Range::Whole => None,
    };
    match (range, piece) {
        (_, Some(piece)) => Some(Chosen { pieces: vec![piece], from: piece.0, status: StatusCode::PARTIAL_CONTENT }),
        _ if view == ViewName::All => None,
        (Range::Part(from, _), None) => ok(vec![], part.piece(from).map_or(outside(from.max(end)), |next| next.0)),
        (Range::Last(_) | Range::Whole, None) => ok(vec![], end),
    }
}

/// The offsets that an answer reports.
struct Sent {
    start: u64,
    stop: u64,
    next: u64,
    end: u64,
    complete: bool,
}

fn respond(status: StatusCode, sent: &Sent, pieces: Vec<(u64, u64)>, output: Output) -> Response {
    let Sent { start, stop, next, end, complete } = *sent;
    let len: u64 = pieces.iter().map(|(start, end)| end - start).sum();
    let mut response = Response::new(body(output, pieces));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(HeaderName::from_static(FIRST_OFFSET), HeaderValue::from(start));
    headers.insert(HeaderName::from_static(NEXT_OFFSET), HeaderValue::from(next));
    headers
        .insert(HeaderName::from_static(COMPLETE), HeaderValue::from_static(if complete { "true" } else { "false" }));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {start}-{}/{end}", stop.saturating_sub(1));
        headers.extend(HeaderValue::from_str(&text).ok().map(|value| (header::CONTENT_RANGE, value)));
    }
    response
}

/// Waits until the view satisfies `enough`, at most `limit`.
async fn wait_for(
    live: &mut watch::Receiver<Arc<RunSnapshot>>,
    limit: Duration,
    enough: impl Fn(&RunSnapshot) -> bool,
) {
    // An error means that the run's task has ended and the value is final: then there is nothing to wait for.
    let _ = tokio::time::timeout(limit, live.wait_for(|view| enough(view))).await;
}

/// The bytes of several pieces, read at the reader's pace.
fn body(output: Output, pieces: Vec<(u64, u64)>) -> Body {
    let at = pieces.first().map_or(0, |piece| piece.0);
    Body::from_stream(stream::try_unfold((pieces.into_iter(), None, at), move |(mut pieces, piece, mut at)| {
        let output = output.clone();
        async move {
            let stop = match piece {
                Some(stop) if at < stop => stop,
                _ => {
                    let Some((start, stop)) = pieces.next() else { return Ok(None) };
                    at = start;
                    stop
                }
            };
            let bytes: Bytes = output.chunk(at, stop, MAX_READ).await?;
            if bytes.is_empty() {
                // The output is shorter than its record says: the length is promised already, so the answer must break,
                // not end.
                return Err(ReadError::PastEnd { offset: stop, len: at });
            }
            let next = at + bytes.len() as u64;
            Ok::<_, ReadError>(Some((bytes, (pieces, Some(stop), next))))
        }
    }))
}
