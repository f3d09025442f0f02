//! The layer in front of the MCP library: it reads what the request is, detects client disconnects, starts answers
//! early, keeps sessions of the older protocol era with the principal that opened them, and lets only the principal
//! that made a call resume it.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::{
    frontend::{
        Frontend, Numbers,
        bodies::{self, Unread},
        disconnect::{ClientPresence, WatchedBody},
        early_flush,
    },
    limits::incoming::RETRY_AFTER,
    mcp::{
        MAX_BODY, envelope,
        own_answer::{BeforeItsResult, OwnAnswer},
        resumable::{ASKING, Asking, Resumables, Resumed},
        sessions::Sessions,
    },
    model::Identity,
    problem::{Problem, busy, problem},
};

/// Header that names a session of the older era.
const SESSION: &str = "mcp-session-id";

/// Header that names the last event that a client received of a call it resumes.
const LAST_EVENT: &str = "last-event-id";

/// The layer: `from_fn_with_state((frontend, sessions, resumables), front::pass)`.
pub(super) async fn pass(
    State((frontend, sessions, resumables)): State<(Frontend, Sessions, Resumables)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(principal) = request.extensions().get::<Identity>().cloned() else {
        return Problem::internal().into_response();
    };
    let named = session_of(request.headers());
    let held = match &named {
        None => None,
        Some(id) => match sessions.enter(id, &principal).await {
            Some(held) => Some(held),
            // In the library's words for a session that ended: the client then opens another.
            None => return (StatusCode::NOT_FOUND, "Not Found: Session not found").into_response(),
        },
    };
    let last = request.headers().get(LAST_EVENT);
    let resumed = match last.filter(|_| request.method() == Method::GET).map(HeaderValue::to_str) {
        None => None,
        Some(Err(_)) => return no_such_event().into_response(),
        Some(Ok(event)) => match resumables.find(event, &principal, named.as_deref()).await {
            Ok(Some(resumed)) => Some(resumed),
            Ok(None) => return no_such_event().into_response(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot look for a call to resume");
                return Problem::unavailable("the ledger cannot be read: ask again in a few seconds").into_response();
            }
        },
    };
    let caller = resumed.as_ref().map(Resumed::caller);
    let asking = Asking { who: principal.clone(), resumed };
    let response = ASKING
        .scope(asking.clone(), async {
            if request.method() == Method::POST {
                // In a session the library's own streams carry the answers.
                let own = named.is_none().then(|| OwnAnswer::new(resumables));
                post(&frontend, &sessions, asking, own, request, next).await
            } else {
                next.run(request).await
            }
        })
        .await;
    let response = match caller {
        None => response,
        Some(caller) => response.map(|body| Body::new(WatchedBody::new(body, caller, frontend.clone()))),
    };
    if let (None, Some(id)) = (&named, session_of(response.headers())) {
        sessions.opened(id, principal);
    }
    match held {
        None => response,
        // The session is in use until the answer ends.
        Some(held) => response.map(|body| held.around(body)),
    }
}

async fn post(
    frontend: &Frontend,
    sessions: &Sessions,
    asking: Asking,
    own: Option<OwnAnswer>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // The room is held until the call is under way: a call that waits for days does not keep its message.
    let (bytes, _room) = match bodies::read(frontend, &asking.who.principal, body, MAX_BODY).await {
        Ok(read) => read,
        Err(Unread::TooLarge(_)) => {
            let detail = format!(
                "an MCP message is at most {MAX_BODY} bytes: put the code on the Stata host and pass its path, or use `longhaul run`"
            );
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail).into_response();
        }
        Err(unread) => return Problem::from(unread).into_response(),
    };
    let message = match envelope::read(&bytes) {
        Ok(message) => message,
        Err(refused) => return refused.into_response(),
    };
    envelope::accept(&mut parts.headers);
    if message.method == "initialize" && sessions.count(&asking.who) >= frontend.options().sessions_per_principal {
        let detail = "as many sessions of yours are open as are allowed: end some, or let them rest for an hour";
        return busy(detail, RETRY_AFTER).with_status(StatusCode::TOO_MANY_REQUESTS).into_response();
    }
    // The methods whose answers may report the end of a run.
    if !["tools/call", "tasks/get", "resources/list", "resources/read"].contains(&message.method.as_str()) {
        return next.run(Request::from_parts(parts, Body::from(bytes))).await;
    }
    let caller = ClientPresence::default();
    parts.extensions.insert(caller.clone());
    if let Some(own) = &own {
        parts.extensions.insert(own.clone());
    }
    // Detects a disconnect before there is a body to detect it.
    let unanswered = caller.gone().clone().drop_guard();
    let options = frontend.options();
    // Also when the answer is started early and the request continues inside its body.
    let (answered, asked) = (next.run(Request::from_parts(parts, Body::from(bytes))), frontend.clone());
    let answered = async move {
        let response = answered.await;
        own.and_then(|own| own.response(&asked)).unwrap_or(response)
    };
    let pending = Box::pin(ASKING.scope(asking, answered));
    let (response, early) =
        early_flush::answer(pending, options.early_flush_after, options.sse_keep_alive, message.id).await;
    if early || response.extensions().get::<BeforeItsResult>().is_some() {
        Numbers::count(&frontend.numbers.flushed_early);
    }
    unanswered.disarm();
    response.map(|body| Body::new(WatchedBody::new(body, caller, frontend.clone())))
}

fn no_such_event() -> Problem {
    let detail = "Last-Event-ID names no call of yours: call stata_runs to find the run, and stata_wait for its result";
    problem(StatusCode::NOT_FOUND, "not-found", "No such event", detail)
}

/// The session that a request or an answer names.
pub(crate) fn session_of(headers: &HeaderMap) -> Option<String> {
    headers.get(SESSION).and_then(|v| v.to_str().ok()).map(str::to_owned)
}
