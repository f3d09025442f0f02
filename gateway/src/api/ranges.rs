//! The `Range` of a request, and the answer where there is nothing in it.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::problem::problem;

/// The bytes that a `Range` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// From one offset to another; may be empty.
    Part(u64, u64),
    /// The last so many bytes.
    Last(u64),
    /// All.
    Whole,
}

/// One range of bytes. Several ranges, other units and unreadable values mean the whole, as the standard lets a server
/// choose.
pub(super) fn range_of(value: &HeaderValue, len: u64) -> Range {
    let parsed = || {
        let (first, last) = value.to_str().ok()?.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        if first.trim().is_empty() {
            return Some(Range::Last(number(last)?));
        }
        let from = number(first)?;
        let to = if last.trim().is_empty() { len } else { number(last)?.saturating_add(1).min(len) };
        Some(Range::Part(from, to))
    };
    parsed().unwrap_or(Range::Whole)
}

/// 416: `what` has `len` bytes, and none in the range.
pub(super) fn unsatisfiable(what: &str, len: u64) -> Response {
    let detail = format!("the range is past the end: the {what} has {len} bytes so far");
    let answer = problem(StatusCode::RANGE_NOT_SATISFIABLE, "past-end", "The range is past the end", detail);
    let mut response = answer.into_response();
    let value = HeaderValue::from_str(&format!("bytes */{len}")).ok();
    response.headers_mut().extend(value.map(|value| (header::CONTENT_RANGE, value)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, want: Range| {
            assert_eq!(range_of(&HeaderValue::from_str(text).unwrap(), 100), want, "{text}");
        };
        check("bytes=0-9", Range::Part(0, 10));
        check("bytes=90-", Range::Part(90, 100));
        check("bytes=-10", Range::Last(10));
        check("bytes=90-1000", Range::Part(90, 100));
        check("bytes=100-", Range::Part(100, 100));
        check("bytes=-0", Range::Last(0));
        check("bytes=1-2,5-6", Range::Whole);
        check("lines=1-2", Range::Whole);
    }
}
