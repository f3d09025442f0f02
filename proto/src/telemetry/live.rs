//! Spans that live while something is done: spans of `tracing`, sent by the layer of `tracing-opentelemetry`, so that lines
//! of the log that are written meanwhile are their events.

use std::time::SystemTime;

use opentelemetry::{
    Context, Value,
    trace::{SpanContext, SpanKind, Status, TraceContextExt},
};
use opentelemetry_sdk::trace::{SdkTracer, SpanData};
use tracing::{Level, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// The target of spans that are sent. Those of others, and those that give lines of the log a context, are not.
const TARGET: &str = "longhaul_spans";

/// Fields of a line that its event keeps: none holds a path, a command or what Stata said.
const HARMLESS: [&str; 9] = ["level", "target", "run", "attempt", "by", "agent", "pool", "state", "cause"];

/// Whether this is a span that is sent: no line of the log has it as its context.
pub(super) fn is_sent(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// The layer that sends them.
pub(super) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours = |metadata: &Metadata<'_>| metadata.target().starts_with("longhaul") && *metadata.level() <= Level::INFO;
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        // An error is told as any other field of its line is, see `stripped`.
        .with_error_fields_to_exceptions(false)
        .with_error_records_to_exceptions(false)
        .with_error_events_to_exceptions(false)
        .with_error_events_to_status(false)
        .with_filter(filter_fn(move |metadata| if metadata.is_span() { is_sent(metadata) } else { ours(metadata) }))
}

/// Starts a span below `parent`; one without a parent is the root of a new trace.
pub(super) fn start(name: &str, kind: &SpanKind, parent: Option<SpanContext>) -> (tracing::Span, SpanContext) {
    let kind = match kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    };
    // Its parent is the one that is named, whatever else is under way.
    let span = tracing::info_span!(target: TARGET, parent: None, "span", otel.name = name, otel.kind = kind);
    if let Some(parent) = parent
        && let Err(error) = span.set_parent(Context::new().with_remote_span_context(parent))
    {
        tracing::debug!(%error, name, "a span has no parent");
    }
    let context = span.context().span().span_context().clone();
    (span, context)
}

pub(super) fn set(span: &tracing::Span, key: &'static str, value: Value) {
    span.set_attribute(key, value);
}

pub(super) fn event(
    span: &tracing::Span,
    name: &'static str,
    at: SystemTime,
    attributes: Vec<opentelemetry::KeyValue>,
) {
    span.add_event_with_timestamp(name, at, attributes);
}

pub(super) fn link(span: &tracing::Span, other: SpanContext) {
    span.add_link(other);
}

pub(super) fn fail(span: &tracing::Span, words: String) {
    span.set_status(Status::error(words));
}

/// Ends it now: the layer takes the latest moment at which something was done in it.
pub(super) fn end(span: &tracing::Span) {
    span.in_scope(|| ());
}

/// A span as it may be sent: the events that are lines of the log keep their message, which is ours, their numbers and
/// what is known to be harmless.
pub(super) fn stripped(mut span: SpanData) -> SpanData {
    for event in &mut span.events.events {
        if event.attributes.iter().any(|attribute| attribute.key.as_str() == "target") {
            event.attributes.retain(|attribute| {
                let text = matches!(attribute.value, Value::String(_) | Value::Array(_));
                !text || HARMLESS.contains(&attribute.key.as_str())
            });
        }
    }
    span
}
