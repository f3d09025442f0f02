//! Sends headers before the answer, so that no client gives up on a tool that takes long.
//!
//! The MCP library holds back the response's headers until the tool sends something, and a client that hears nothing
//! gives up (Claude Code after 60 s). So where the answer is not there after a moment, a response is started without
//! it: status 200, an event stream, a comment, more comments while the tool is silent, and then the answer itself.
//! Errors that are found at once come within that moment and keep their status.

use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// The answer under way. Dropping it aborts the request behind it.
pub type Pending = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Largest answer of the inner service that is not an event stream, bytes.
const MAX_PLAIN: usize = 4 << 20;

/// Waits `after` for the answer; then starts a response that will carry it. `id` is the JSON-RPC id of the request. The
/// second value says whether the response was started early.
pub async fn answer(mut pending: Pending, after: Duration, keep_alive: Duration, id: Value) -> (Response, bool) {
    match tokio::time::timeout(after, &mut pending).await {
        Ok(response) => (response, false),
        Err(_) => (event_stream(Body::from_stream(begun(pending, keep_alive, id))), true),
    }
}

/// An answer of status 200 with an event stream as its body.
pub fn event_stream(body: Body) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // A proxy that collects answers would defeat early headers.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

enum Step {
    Begin(Pending),
    Wait(Pending),
    Pipe(Body),
    End,
}

fn begun(
    pending: Pending,
    keep_alive: Duration,
    id: Value,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold((Step::Begin(pending), id), move |(step, id)| async move {
        let mut step = step;
        loop {
            step = match step {
                Step::Begin(pending) => {
                    return Some((Ok(Bytes::from_static(b": accepted\n\n")), (Step::Wait(pending), id)));
                }
                Step::Wait(mut pending) => match tokio::time::timeout(keep_alive, &mut pending).await {
                    Err(_) => return Some((Ok(Bytes::from_static(b": waiting\n\n")), (Step::Wait(pending), id))),
                    Ok(response) if is_event_stream(&response) => Step::Pipe(response.into_body()),
                    Ok(response) => {
                        let event = one_event(response, &id).await;
                        return Some((Ok(event), (Step::End, id)));
                    }
                },
                Step::Pipe(mut body) => match body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => return Some((Ok(data), (Step::Pipe(body), id))),
                        Err(_) => Step::Pipe(body),
                    },
                    Some(Err(_)) | None => Step::End,
                },
                Step::End => return None,
            };
        }
    })
    .boxed()
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/event-stream")
}

/// A plain answer as one event: JSON as it is, anything else as a JSON-RPC error, because the status is spent.
async fn one_event(response: Response, id: &Value) -> Bytes {
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), MAX_PLAIN).await.unwrap_or_default();
    if bytes.is_empty() && status.is_success() {
        return Bytes::new();
    }
    let json = serde_json::from_slice::<Value>(&bytes).ok().filter(|v| v.get("jsonrpc").is_some());
    let message = json.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&bytes);
        let text = format!("{status}: {text}. Your runs are not affected: stata_runs lists them");
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": text}})
    });
    Bytes::from(format!("data: {message}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(takes: Duration, response: Response) -> (StatusCode, String, bool) {
        let pending: Pending = Box::pin(async move {
            tokio::time::sleep(takes).await;
            response
        });
        let (response, early) = answer(pending, Duration::from_millis(20), Duration::from_millis(20), json!(7)).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap(), early)
    }

    #[tokio::test]
    async fn a_quick_answer_keeps_its_status() {
        let got = run(Duration::ZERO, (StatusCode::BAD_REQUEST, "no").into_response()).await;
        assert_eq!(got, (StatusCode::BAD_REQUEST, "no".into(), false));
    }

    #[tokio::test]
    async fn a_slow_answer_is_begun() {
        let slow = Duration::from_millis(120);
        let (status, text, early) = run(slow, (StatusCode::OK, r#"{"jsonrpc":"2.0","id":7}"#).into_response()).await;
        assert!(early && status == StatusCode::OK);
        assert!(text.starts_with(": accepted\n\n: waiting\n\n"), "{text}");
        assert!(text.ends_with("data: {\"id\":7,\"jsonrpc\":\"2.0\"}\n\n"), "{text}");

        let (_, text, _) = run(slow, event_stream(Body::from("data: x\n\n"))).await;
        assert!(text.ends_with("data: x\n\n"), "{text}");

        let (_, text, _) = run(slow, (StatusCode::NOT_FOUND, "no session").into_response()).await;
        assert!(text.contains("\"id\":7") && text.contains("no session") && text.contains("stata_runs"), "{text}");
    }

    #[tokio::test]
    async fn dropping_the_answer_aborts_the_request() {
        let token = tokio_util::sync::CancellationToken::new();
        let guard = token.clone().drop_guard();
        let pending: Pending = Box::pin(async move {
            let _guard = guard;
            std::future::pending().await
        });
        let (response, early) = answer(pending, Duration::from_millis(5), Duration::from_secs(1), Value::Null).await;
        assert!(early && !token.is_cancelled());
        drop(response);
        assert!(token.is_cancelled());
    }
}
