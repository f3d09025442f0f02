//! What stands before the MCP library: it learns what the request is, notices callers that go away, begins answers
//! early, and keeps sessions of the older protocol era with the principal that opened them.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Face, Numbers,
    caller::{Caller, Watched},
    early_flush,
};
use crate::{
    api::problem::problem,
    auth::Principal,
    mcp::{MAX_BODY, sessions::Sessions},
};

/// Header that names a session of the older era.
const SESSION: &str = "mcp-session-id";

/// What we look at of a JSON-RPC message.
#[derive(Default, Deserialize)]
struct Peek {
    #[serde(default)]
    method: String,
    #[serde(default)]
    id: Value,
}

/// The layer: `from_fn_with_state((face, sessions), front::pass)`.
pub async fn pass(State((face, sessions)): State<(Face, Sessions)>, request: Request, next: Next) -> Response {
    let Some(principal) = request.extensions().get::<Principal>().cloned() else {
        return crate::api::problem::Problem::internal().into_response();
    };
    let named = session_of(request.headers());
    let held = match &named {
        None => None,
        Some(id) => match sessions.enter(id, &principal) {
            Some(held) => Some(held),
            // As the library says it of a session that ended: the client then opens another.
            None => return (StatusCode::NOT_FOUND, "Not Found: Session not found").into_response(),
        },
    };
    let response =
        if request.method() == Method::POST { post(&face, request, next).await } else { next.run(request).await };
    if let (None, Some(id)) = (&named, session_of(response.headers())) {
        sessions.opened(id, principal);
    }
    match held {
        None => response,
        // The session is in use as long as the answer is.
        Some(held) => response.map(|body| held.around(body)),
    }
}

async fn post(face: &Face, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await else {
        let detail = format!(
            "an MCP message is at most {MAX_BODY} bytes: put the code on the Stata host and pass its path, or use `longhaul run`"
        );
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail).into_response();
    };
    let peek = serde_json::from_slice::<Peek>(&bytes).unwrap_or_default();
    // Those that carry results.
    if !["tools/call", "tasks/get"].contains(&peek.method.as_str()) {
        return next.run(Request::from_parts(parts, Body::from(bytes))).await;
    }
    let caller = Caller::default();
    parts.extensions.insert(caller.clone());
    // Gone before there is a body to notice it.
    let unanswered = caller.gone().clone().drop_guard();
    let options = face.options();
    let pending = Box::pin(next.run(Request::from_parts(parts, Body::from(bytes))));
    let (response, early) =
        early_flush::answer(pending, options.early_flush_after, options.sse_keep_alive, peek.id).await;
    if early {
        Numbers::count(&face.numbers.flushed_early);
    }
    unanswered.disarm();
    response.map(|body| Body::new(Watched::new(body, caller, face.clone())))
}

fn session_of(headers: &HeaderMap) -> Option<String> {
    headers.get(SESSION).and_then(|v| v.to_str().ok()).map(str::to_owned)
}
