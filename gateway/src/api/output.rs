//! `GET /api/v1/runs/{run}/output`: the exact bytes of an output.
//!
//! The answer is what there is at the moment of asking, from `offset` (or the last `tail` lines, or a `Range`).
//! `Longhaul-Next-Offset` says where the next read begins, and `Longhaul-Complete: true` that the run has ended and
//! nothing follows. With `wait` the answer comes when there is something new, at most so many seconds later.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use longhaul_proto::api::{COMPLETE, NEXT_OFFSET, RunView};
use serde::Deserialize;
use tokio::sync::watch;

use super::{
    problem::{Problem, problem},
    strict::Strict,
};
use crate::{
    auth::Principal,
    http::{
        Face,
        reading::{Output, length, user_part},
    },
    runs::{MAX_READ, ReadError, Stream},
};

/// Longest `wait`, seconds.
const MAX_WAIT: f64 = 600.0;

/// Which output, in a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
#[serde(deny_unknown_fields, default)]
pub(super) struct OutputQuery {
    stream: StreamName,
    offset: Option<u64>,
    tail: Option<u64>,
    wait: Option<f64>,
    view: ViewName,
}

/// The bytes that a reader may have of an output now.
pub(super) fn bounds(view: &RunView, stream: Stream, part: ViewName) -> (u64, u64) {
    match (stream, part) {
        (Stream::Log, ViewName::User) => user_part(view),
        _ => (0, length(view, stream)),
    }
}

/// The handler.
pub(super) async fn get(
    State(face): State<Face>,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
    Strict(query): Strict<OutputQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = face.core.runs.find(&who, &name).await?;
    let mut live = face.core.runs.watch(&who, run).await?;
    let stream = Stream::from(query.stream);
    if query.offset.is_some() && query.tail.is_some() {
        return Err(Problem::bad_request("pass `offset` or `tail`, not both"));
    }
    if let Some(seconds) = query.wait {
        let limit = Some(seconds).filter(|s| (0.0..=MAX_WAIT).contains(s));
        let limit = limit.ok_or_else(|| Problem::bad_request(format!("`wait` is seconds, from 0 to {MAX_WAIT}")))?;
        let seen = query.offset.unwrap_or(0);
        let news = |view: &RunView| view.state.is_end() || bounds(view, stream, query.view).1 > seen;
        // A gateway that stops has no news: the answer is then what there is.
        let stopping = face.core.deps.tasks.stopping();
        stopping.run_until_cancelled(wait_for(&mut live, Duration::from_secs_f64(limit), news)).await;
    }
    let view = live.borrow_and_update().clone();
    let (first, end) = bounds(&view, stream, query.view);
    let output = Output { runs: face.core.runs.clone(), who, run, stream };

    let mut status = StatusCode::OK;
    let (start, stop) = match (query.tail, query.offset, headers.get(header::RANGE)) {
        (Some(lines), ..) => (output.tail_start(first, end, lines).await?, end),
        (None, Some(offset), _) if offset > end => return Err(ReadError::PastEnd { offset, len: end }.into()),
        (None, Some(offset), _) => (offset.max(first), end),
        (None, None, Some(range)) => match range_of(range, end) {
            // All of it lies before the part that was asked for.
            Range::Part(_, to) if to <= first => return Ok(unsatisfiable(end)),
            Range::Part(from, to) => {
                status = StatusCode::PARTIAL_CONTENT;
                (from.max(first), to)
            }
            Range::Whole => (first, end),
            Range::PastEnd => return Ok(unsatisfiable(end)),
        },
        (None, None, None) => (first, end),
    };
    let complete = view.state.is_end() && stop == end;
    let mut response = Response::new(body(output, start, stop));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(stop - start));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(HeaderName::from_static(NEXT_OFFSET), HeaderValue::from(stop));
    headers
        .insert(HeaderName::from_static(COMPLETE), HeaderValue::from_static(if complete { "true" } else { "false" }));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {start}-{}/{end}", stop.saturating_sub(1));
        headers.extend(HeaderValue::from_str(&text).ok().map(|value| (header::CONTENT_RANGE, value)));
    }
    Ok(response)
}

/// Waits until the view satisfies `enough`, at most `limit`.
async fn wait_for(live: &mut watch::Receiver<Arc<RunView>>, limit: Duration, enough: impl Fn(&RunView) -> bool) {
    // An error means that the run's keeper is gone and the value is final: then there is nothing to wait for.
    let _ = tokio::time::timeout(limit, live.wait_for(|view| enough(view))).await;
}

/// The bytes, read as the reader takes them.
fn body(output: Output, start: u64, stop: u64) -> Body {
    Body::from_stream(stream::try_unfold(start, move |at| {
        let output = output.clone();
        async move {
            if at >= stop {
                return Ok(None);
            }
            let bytes: Bytes = output.chunk(at, stop, MAX_READ).await?;
            if bytes.is_empty() {
                // Shorter than told: the length is promised already, so the answer must break and not end.
                return Err(ReadError::PastEnd { offset: stop, len: at });
            }
            let next = at + bytes.len() as u64;
            Ok::<_, ReadError>(Some((bytes, next)))
        }
    }))
}

enum Range {
    Part(u64, u64),
    Whole,
    PastEnd,
}

/// One range of bytes, as `from..to`. Several ranges, other units and what cannot be read mean the whole, as the
/// standard lets a server choose.
fn range_of(value: &HeaderValue, len: u64) -> Range {
    let parsed = || {
        let (first, last) = value.to_str().ok()?.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        if first.trim().is_empty() {
            return Some((len.saturating_sub(number(last)?), len));
        }
        let from = number(first)?;
        let to = if last.trim().is_empty() { len } else { number(last)?.saturating_add(1).min(len) };
        Some((from, to))
    };
    match parsed() {
        None => Range::Whole,
        Some((from, to)) if from < to => Range::Part(from, to),
        Some(_) => Range::PastEnd,
    }
}

fn unsatisfiable(len: u64) -> Response {
    let detail = format!("the range is past the end: the output has {len} bytes so far");
    let mut response = axum::response::IntoResponse::into_response(problem(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "past-end",
        "The range is past the end",
        detail,
    ));
    let value = HeaderValue::from_str(&format!("bytes */{len}")).ok();
    response.headers_mut().extend(value.map(|value| (header::CONTENT_RANGE, value)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, want: Option<(u64, u64)>| {
            let got = match range_of(&HeaderValue::from_str(text).unwrap(), 100) {
                Range::Part(from, to) => Some((from, to)),
                Range::Whole => Some((0, 100)),
                Range::PastEnd => None,
            };
            assert_eq!(got, want, "{text}");
        };
        check("bytes=0-9", Some((0, 10)));
        check("bytes=90-", Some((90, 100)));
        check("bytes=-10", Some((90, 100)));
        check("bytes=-1000", Some((0, 100)));
        check("bytes=90-1000", Some((90, 100)));
        check("bytes=100-", None);
        check("bytes=-0", None);
        check("bytes=1-2,5-6", Some((0, 100)));
        check("lines=1-2", Some((0, 100)));
    }
}
