//! The caller's trace, from HTTP headers.

use http::HeaderMap;
use longhaul_proto::{telemetry::TraceParent, wire};

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
