//! The context that ties the spans of one run together, over HTTP, gRPC, the ledger and the spool.

use std::{fmt, str::FromStr};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{ids, unhex, wire};

/// A `traceparent` of the W3C Trace Context recommendation (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Names the trace; never all zero.
    pub trace_id: [u8; 16],
    /// Names the parent span; never all zero.
    pub span_id: [u8; 8],
    /// Bit 0: the caller records this trace.
    pub flags: u8,
}

/// The text is no `traceparent`.
#[derive(Debug, thiserror::Error)]
#[error("not a traceparent")]
pub struct NotATraceParent;

impl TraceParent {
    /// The root of a new trace: random names, recorded.
    ///
    /// # Errors
    /// When the kernel has no randomness.
    pub fn new_root() -> std::io::Result<Self> {
        Ok(Self { trace_id: ids::secret()?, span_id: ids::secret()?, flags: 1 })
    }

    /// The trace's name in hexadecimal, as in a run's `trace_id`.
    pub fn trace_id_hex(&self) -> String {
        crate::hex(&self.trace_id)
    }

    fn to_span_context(self, state: &str) -> SpanContext {
        SpanContext::new(
            TraceId::from_bytes(self.trace_id),
            SpanId::from_bytes(self.span_id),
            TraceFlags::new(self.flags),
            true,
            TraceState::from_str(state).unwrap_or_default(),
        )
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", crate::hex(&self.trace_id), crate::hex(&self.span_id), self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    /// A version later than 00 is read as far as 00 goes, as the recommendation asks.
    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(NotATraceParent);
        let [version] = digits(next()?)?;
        let parent = Self { trace_id: digits(next()?)?, span_id: digits(next()?)?, flags: digits::<1>(next()?)?[0] };
        let more = parts.next().is_some();
        if version == 0xff || (version == 0 && more) || parent.trace_id == [0; 16] || parent.span_id == [0; 8] {
            return Err(NotATraceParent);
        }
        Ok(parent)
    }
}

/// Lower-case digits only, as the recommendation has them.
fn digits<const N: usize>(text: &str) -> Result<[u8; N], NotATraceParent> {
    let lower = !text.bytes().any(|digit| digit.is_ascii_uppercase());
    unhex(text).filter(|_| lower).ok_or(NotATraceParent)
}

/// Makes `span` a child of the stored or received context. Call it before the span is entered; an empty or malformed
/// context leaves the span as it is.
pub fn set_parent(span: &Span, parent: &wire::TraceContext) {
    if let Ok(traceparent) = parent.traceparent.parse::<TraceParent>() {
        let remote = traceparent.to_span_context(&parent.tracestate);
        // It fails where `init` was not called, as in tests, or the span is filtered out: then there is nothing to tie.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
}

/// The context that makes others children of `span`. Empty where [`init`] was not called or the span is filtered out.
pub fn context_of(span: &Span) -> wire::TraceContext {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    if !context.is_valid() {
        return wire::TraceContext::default();
    }
    let parent = TraceParent {
        trace_id: context.trace_id().to_bytes(),
        span_id: context.span_id().to_bytes(),
        flags: context.trace_flags().to_u8(),
    };
    wire::TraceContext { traceparent: parent.to_string(), tracestate: context.trace_state().header() }
}

/// The context to store with a run: that of `span`, else the caller's own, else the root of a new trace. Empty only
/// where the kernel has no randomness.
pub fn context_for_run(span: &Span, caller: &wire::TraceContext) -> wire::TraceContext {
    let own = context_of(span);
    if !own.traceparent.is_empty() {
        return own;
    }
    if caller.traceparent.parse::<TraceParent>().is_ok() {
        return caller.clone();
    }
    let root = TraceParent::new_root().map(|r| r.to_string()).unwrap_or_default();
    wire::TraceContext { traceparent: root, tracestate: String::new() }
}

/// The `trace_id` of a context; `None` for an empty or malformed one.
pub fn trace_id(context: &wire::TraceContext) -> Option<String> {
    context.traceparent.parse::<TraceParent>().ok().map(|p| p.trace_id_hex())
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_traceparents() {
        fn check(text: &str, want: Option<&str>) {
            let got = text.parse::<TraceParent>().ok().map(|p| p.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
        check(SAMPLED, Some(SAMPLED));
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
        );
        check("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later", Some(SAMPLED));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None);
        check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        check("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", None);
        check("", None);
    }

    #[test]
    fn a_span_continues_its_caller() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let caller = wire::TraceContext { traceparent: SAMPLED.into(), tracestate: "vendor=1".into() };
            let span = tracing::info_span!("longhaul.submit");
            set_parent(&span, &caller);
            let own = context_of(&span);
            assert_eq!(trace_id(&own), trace_id(&caller));
            assert_ne!(own.traceparent, caller.traceparent, "the span has a name of its own");
            assert!(own.traceparent.ends_with("-01"));
            assert_eq!(own.tracestate, "vendor=1");
            assert_eq!(context_of(&span), own, "asking again changes nothing");

            let root = tracing::info_span!("longhaul.submit");
            set_parent(&root, &wire::TraceContext::default());
            assert!(trace_id(&context_of(&root)).is_some(), "without a caller a span is the root of a new trace");
        });
    }

    #[test]
    fn a_run_has_a_trace_without_any_subscriber() {
        let none = wire::TraceContext::default();
        let caller = wire::TraceContext { traceparent: SAMPLED.into(), tracestate: String::new() };
        assert_eq!(context_of(&Span::none()), none);
        assert_eq!(context_for_run(&Span::none(), &caller), caller);
        let (one, two) = (context_for_run(&Span::none(), &none), context_for_run(&Span::none(), &none));
        assert!(trace_id(&one).is_some() && trace_id(&one) != trace_id(&two));
    }
}
