//! The caller's trace, and the span of the HTTP request that brings a run, a repetition or a tool call.
//!
//! Only requests whose handlers ask for it have a span: those that read, and the many small messages of MCP, would drown
//! the others. It is made when it is asked for, with the time at which the request came.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderMap, Method, StatusCode};
use longhaul_proto::{
    clock::Clock,
    telemetry::{self, Kind, Span, TraceParent},
    wire,
};

/// The W3C trace context of a request; empty when there is none, or none that can be parsed.
pub fn of_headers(headers: &HeaderMap) -> wire::TraceContext {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    of_parts(text("traceparent"), text("tracestate"))
}

/// The same, from its two header values.
pub fn of_parts(traceparent: String, tracestate: String) -> wire::TraceContext {
    match traceparent.parse::<TraceParent>() {
        Ok(_) => wire::TraceContext { traceparent, tracestate },
        Err(_) => wire::TraceContext::default(),
    }
}

/// The span of an HTTP request, if its handler asks for it. Cheap to clone.
#[derive(Clone)]
pub struct RequestSpan(Arc<Inner>);

struct Inner {
    clock: Clock,
    method: Method,
    route: String,
    caller: wire::TraceContext,
    came: Duration,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    context: Option<wire::TraceContext>,
    /// Until the request is answered.
    span: Option<Span>,
    answered: Option<StatusCode>,
}

impl RequestSpan {
    /// The context that makes others children of the request's span; without one that of its caller.
    pub fn context(extensions: &Extensions, headers: &HeaderMap) -> wire::TraceContext {
        extensions.get::<Self>().map_or_else(|| of_headers(headers), Self::begin)
    }

    /// Begins the span, once.
    fn begin(&self) -> wire::TraceContext {
        let Inner { clock, method, route, caller, came, made } = &*self.0;
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = &made.context {
            return context.clone();
        }
        let mut span = Span::begin_at(format!("{method} {route}"), Kind::Server, caller, clock, *came);
        span.set("http.request.method", method.to_string());
        span.set("http.route", route.clone());
        let context = span.context();
        made.context = Some(context.clone());
        match made.answered {
            // The head of its answer left before its handler started.
            Some(status) => answered(&mut span, status),
            None => made.span = Some(span),
        }
        context
    }

    fn answered(&self, status: StatusCode) {
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.answered = Some(status);
        if let Some(mut span) = made.span.take() {
            answered(&mut span, status);
        }
    }
}

fn answered(span: &mut Span, status: StatusCode) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.failed(status.as_str(), "");
    }
}

/// Lets the handlers of a request give it a span, which ends with the head of its answer.
pub async fn offer(State(clock): State<Clock>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let Some(route) = route.filter(|_| telemetry::sends_spans() && request.method() == Method::POST) else {
        return next.run(request).await;
    };
    let (method, caller, came) = (request.method().clone(), of_headers(request.headers()), clock.unix_time());
    let span = RequestSpan(Arc::new(Inner { clock, method, route, caller, came, made: Mutex::default() }));
    request.extensions_mut().insert(span.clone());
    let response = next.run(request).await;
    span.answered(response.status());
    response
}
