//! A span: a part of a run's life, or a call, with its true times. One that lives while something is done is a span of
//! `tracing` (see `live`); one whose beginning is past already is made by the tracer itself.
//!
//! Where spans are sent nowhere, and in a trace that its root does not record, a span is nothing but its parent's context:
//! it costs next to nothing, and others continue the same trace.

use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{Span as _, SpanContext, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use tracing::{Instrument, instrument::Instrumented};

pub use opentelemetry::trace::SpanKind as Kind;

use super::{
    context::{TraceParent, of_span_context, to_span_context},
    live,
};
use crate::{clock::Clock, wire};

/// Makes the spans of this process; not set = spans are sent nowhere.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Longest description of an error, characters.
const WORDS: usize = 300;

/// From now on spans are made by this tracer.
pub(super) fn make_by(tracer: SdkTracer) {
    // The first one stays, as the first subscriber does.
    let _ = TRACER.set(tracer);
}

/// Whether this process sends spans at all.
pub fn sends_spans() -> bool {
    TRACER.get().is_some()
}

/// A span that is under way, or one of the past. It ends when it is dropped.
/// The default is none: nothing is recorded, and it has no context.
#[derive(Debug, Default)]
#[must_use = "a span ends when it is dropped"]
pub struct Span {
    recorded: Option<Recorded>,
    context: wire::TraceContext,
}

#[derive(Debug)]
enum Recorded {
    /// It ends when it is dropped, and lines of the log are its events.
    Live(tracing::Span),
    /// It began before it was made.
    Made { span: Box<SdkSpan>, ends: Ends },
}

/// When a span ends.
#[derive(Debug)]
enum Ends {
    /// When it is dropped, by this clock.
    Then(Clock),
    /// At this moment of the past.
    At(SystemTime),
}

impl Span {
    /// A span that begins now. Its parent is that of `parent`; an empty or malformed one makes it the root of a new trace.
    pub fn begin(name: &str, kind: Kind, parent: &wire::TraceContext) -> Self {
        let above = parent.traceparent.parse::<TraceParent>().ok();
        if let Some(none) = Self::unrecorded(parent, above) {
            return none;
        }
        let (span, context) = live::start(name, &kind, above.map(|above| recorded_above(above, parent)));
        let recorded = context.is_sampled().then(|| Recorded::Live(span));
        Self { recorded, context: of_span_context(&context) }
    }

    /// The same of one that began at `at`, the time since the Unix epoch, by this clock.
    pub fn begin_at(
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        parent: &wire::TraceContext,
        clock: &Clock,
        at: Duration,
    ) -> Self {
        let above = parent.traceparent.parse::<TraceParent>().ok();
        Self::new(name.into(), kind, (parent, above), UNIX_EPOCH + at, Ends::Then(clock.clone()))
    }

    /// A span of the past, from `from_ms` to `to_ms`, Unix milliseconds. `None` where it would not be sent: without a
    /// recorded trace above it there is nothing that it belongs to.
    pub fn past(
        name: &'static str,
        kind: Kind,
        parent: &wire::TraceContext,
        (from_ms, to_ms): (i64, i64),
    ) -> Option<Self> {
        if !sends_spans() || from_ms <= 0 {
            return None;
        }
        let above = parent.traceparent.parse::<TraceParent>().ok().filter(|above| is_sampled(*above))?;
        // The clock may have been set back in between.
        let (from, to) = (at(from_ms), at(to_ms.max(from_ms)));
        let span = Self::new(name.into(), kind, (parent, Some(above)), from, Ends::At(to));
        span.recorded.is_some().then_some(span)
    }

    fn new(
        name: Cow<'static, str>,
        kind: Kind,
        (parent, above): (&wire::TraceContext, Option<TraceParent>),
        from: SystemTime,
        ends: Ends,
    ) -> Self {
        if let Some(none) = Self::unrecorded(parent, above) {
            return none;
        }
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let context = Context::new();
        let context = match above {
            Some(above) => context.with_remote_span_context(recorded_above(above, parent)),
            None => context,
        };
        let builder = tracer.span_builder(name).with_kind(kind).with_start_time(from);
        let span = tracer.build_with_context(builder, &context);
        let context = of_span_context(span.span_context());
        let recorded = span.is_recording().then(|| Recorded::Made { span: Box::new(span), ends });
        Self { recorded, context }
    }

    /// What stands for a span that is not sent, if it is not: its parent's context, which others continue.
    fn unrecorded(parent: &wire::TraceContext, above: Option<TraceParent>) -> Option<Self> {
        if sends_spans() && above.is_none_or(is_sampled) {
            return None;
        }
        let context = if above.is_some() { parent.clone() } else { wire::TraceContext::default() };
        Some(Self { recorded: None, context })
    }

    /// Does some work in it: the lines of the log that the work writes are events of the span.
    pub fn around<F: Future>(&self, work: F) -> Instrumented<F> {
        work.instrument(self.live())
    }

    /// The same of work that is done at once.
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.live().in_scope(work)
    }

    fn live(&self) -> tracing::Span {
        match &self.recorded {
            Some(Recorded::Live(span)) => span.clone(),
            _ => tracing::Span::none(),
        }
    }

    /// The context that makes others children of this span; empty where there is no trace.
    pub fn context(&self) -> wire::TraceContext {
        self.context.clone()
    }

    /// Whether what is noted of it is sent.
    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Notes an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        match &mut self.recorded {
            Some(Recorded::Live(span)) => live::set(span, key, value.into()),
            Some(Recorded::Made { span, .. }) => span.set_attribute(KeyValue::new(key, value)),
            None => {}
        }
    }

    /// Notes a number that is never negative.
    pub fn set_count(&mut self, key: &'static str, value: impl TryInto<i64>) {
        self.set(key, value.try_into().unwrap_or(i64::MAX));
    }

    /// Notes a text, if there is one.
    pub fn set_text(&mut self, key: &'static str, text: &str) {
        if !text.is_empty() && self.is_recorded() {
            self.set(key, text.to_owned());
        }
    }

    /// Notes what happened at `at_ms`, Unix milliseconds.
    pub fn event(&mut self, name: &'static str, at_ms: i64, attributes: Vec<(&'static str, Value)>) {
        let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        match &mut self.recorded {
            Some(Recorded::Live(span)) => live::event(span, name, at(at_ms), attributes),
            Some(Recorded::Made { span, .. }) => span.add_event_with_timestamp(name, at(at_ms), attributes),
            None => {}
        }
    }

    /// Ties it to a span of another trace, or to one that is not its parent.
    pub fn link(&mut self, other: &wire::TraceContext) {
        let Ok(parent) = other.traceparent.parse::<TraceParent>() else { return };
        let other = to_span_context(parent, &other.tracestate);
        match &mut self.recorded {
            Some(Recorded::Live(span)) => live::link(span, other),
            Some(Recorded::Made { span, .. }) => span.add_link(other, Vec::new()),
            None => {}
        }
    }

    /// It ended in an error: of which type, one of few words, and what a person reads.
    pub fn failed(&mut self, error_type: &str, words: &str) {
        if !self.is_recorded() {
            return;
        }
        let words: String = words.chars().take(WORDS).collect();
        match &mut self.recorded {
            Some(Recorded::Live(span)) => live::fail(span, words),
            Some(Recorded::Made { span, .. }) => span.set_status(Status::error(words)),
            None => {}
        }
        self.set("error.type", error_type.to_owned());
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        match &mut self.recorded {
            Some(Recorded::Live(span)) => live::end(span),
            Some(Recorded::Made { span, ends: Ends::Then(clock) }) => {
                span.end_with_timestamp(UNIX_EPOCH + clock.unix_time());
            }
            Some(Recorded::Made { span, ends: Ends::At(end) }) => span.end_with_timestamp(*end),
            None => {}
        }
    }
}

/// The context above a span that is sent.
fn recorded_above(above: TraceParent, parent: &wire::TraceContext) -> SpanContext {
    to_span_context(TraceParent { flags: above.flags | 1, ..above }, &parent.tracestate)
}

fn is_sampled(parent: TraceParent) -> bool {
    // The control: a trace that its root does not record is recorded all the same.
    parent.flags & 1 == 1 || crate::faults::bug("unsampled_traces_recorded")
}

fn at(unix_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or_default())
}

/// Whether the trace of this context is recorded by its root.
pub fn is_recorded(context: &wire::TraceContext) -> bool {
    context.traceparent.parse::<TraceParent>().is_ok_and(|parent| parent.flags & 1 == 1)
}
