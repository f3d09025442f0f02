//! The context that ties the spans of one run together, over HTTP, gRPC, the ledger and the spool.

use std::{fmt, str::FromStr};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

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

/// As the library knows it.
pub(super) fn to_span_context(parent: TraceParent, state: &str) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        TraceFlags::new(parent.flags),
        true,
        TraceState::from_str(state).unwrap_or_default(),
    )
}

/// As it is stored and sent; empty for an invalid one.
pub(super) fn of_span_context(context: &SpanContext) -> wire::TraceContext {
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

/// The context to store with a run: that of the span under which it was recorded, else the root of a new trace. Empty
/// only where the kernel has no randomness.
pub fn context_for_run(span: wire::TraceContext) -> wire::TraceContext {
    if span.traceparent.parse::<TraceParent>().is_ok() {
        return span;
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
    fn a_run_has_a_trace_where_spans_are_sent_nowhere() {
        let none = wire::TraceContext::default();
        let caller = wire::TraceContext { traceparent: SAMPLED.into(), tracestate: "vendor=1".into() };
        assert_eq!(context_for_run(caller.clone()), caller);
        let (one, two) = (context_for_run(none.clone()), context_for_run(none));
        assert!(trace_id(&one).is_some() && trace_id(&one) != trace_id(&two));
        let again = of_span_context(&to_span_context(SAMPLED.parse().unwrap(), "vendor=1"));
        assert_eq!(again, caller, "through the library and back");
    }
}
