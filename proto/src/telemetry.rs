//! What the program reports to its operators: lines on stderr and, when an endpoint is set, spans by OTLP.
//!
//! Spans always get ids, also when they are not exported, so that a run's `trace_id` exists before an operator switches
//! exporting on. A long run is several short spans (`longhaul.submit`, `.queue`, `.dispatch`, `.start`, `.finish`)
//! instead of one long one: a span is sent when it ends, and a run may outlive every process that watches it. The
//! context that ties them together is stored with the run as [`wire::TraceContext`] and carried over HTTP, gRPC, the
//! ledger and the spool. [`set_parent`] and [`context_of`] read and write it.
//!
//! Everything the OpenTelemetry specification configures by `OTEL_*` variables is read from them: endpoint, protocol,
//! headers, time-out, sampler, batch sizes, resource attributes, `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER=none`. The
//! protocol is gRPC unless `OTEL_EXPORTER_OTLP_PROTOCOL` says `http/protobuf` or the endpoint's port is 4318, which is
//! registered for that. There is no TLS here: an `https` endpoint is refused with a warning.
//!
//! A line on stderr is one event: text from outside in a field can neither start a line nor command a terminal (see
//! `fields`). Colours are for terminals, and `NO_COLOR` switches them off.

mod fields;

use std::{
    fmt,
    io::IsTerminal,
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider},
};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};
use tracing::{Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{ids, wire};

/// How a process reports.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Filter of the lines on stderr in the syntax of `RUST_LOG`, where neither `LONGHAUL_LOG` nor `RUST_LOG` is set.
    /// Empty = `warn`.
    pub filter: String,
    /// OTLP endpoint from configuration, where no `OTEL_*` variable names one. A base address, such as
    /// `http://localhost:4317`.
    pub endpoint: Option<String>,
    /// `service.instance.id`; empty = a new random one.
    pub instance: String,
}

/// Holds the exporter; call [`Guard::shutdown`] before the process ends, or the last spans are lost.
#[derive(Debug)]
#[must_use = "the last spans are sent by Guard::shutdown"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// Sends the remaining spans, for at most `deadline`. Returns whether all were sent in time.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        let Some(provider) = self.provider.take() else { return true };
        // The exporter blocks its caller, so it gets a thread; the wait for a collector that hangs is given up.
        let flush = crate::tasks::blocking(move || provider.shutdown_with_timeout(deadline).is_ok());
        matches!(tokio::time::timeout(deadline, flush).await, Ok(Ok(true)))
    }
}

/// Starts reporting for this process under `service.name` = `service`. Call it once, inside the tokio runtime that
/// lives until [`Guard::shutdown`] (gRPC runs on it). Trouble with the exporter is reported on stderr and stops
/// nothing.
pub fn init(service: &'static str, options: Options) -> Guard {
    let (exporter, trouble) = match exporter(options.endpoint.as_deref()) {
        Ok(exporter) => (exporter, None),
        Err(error) => (None, Some(error)),
    };
    let exporting = exporter.is_some();
    let mut provider = SdkTracerProvider::builder().with_resource(resource(service, &options.instance));
    if let Some(exporter) = exporter {
        provider = provider.with_span_processor(
            BatchSpanProcessor::builder(Outspoken { exporter, failing: AtomicBool::new(false) }).build(),
        );
    }
    let provider = provider.build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("longhaul"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target("longhaul", LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(fields::Shown)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && variable("NO_COLOR").is_none())
        .with_filter(filter(&options.filter));
    // A second call in one process (tests do that) keeps the first subscriber.
    let first = tracing_subscriber::registry().with(spans).with(lines).try_init().is_ok();
    if let Some(error) = trouble {
        tracing::warn!("spans are not sent: {error}");
    }
    Guard { provider: (exporting && first).then_some(provider) }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn filter(default: &str) -> EnvFilter {
    let text = variable("LONGHAUL_LOG").or_else(|| variable("RUST_LOG"));
    let text = text.as_deref().unwrap_or(if default.is_empty() { "warn" } else { default });
    EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(text)
}

fn resource(service: &'static str, instance: &str) -> Resource {
    let instance = if instance.is_empty() {
        ids::secret::<16>().map(|b| crate::hex(&b)).unwrap_or_default()
    } else {
        instance.to_owned()
    };
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.namespace", "longhaul"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance),
    ]);
    if variable("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(service);
    }
    resource.build()
}

/// Where spans are sent by the environment or, failing that, configuration; `None` = nowhere.
pub fn endpoint(configured: Option<&str>) -> Option<String> {
    let off = |name, word: &str| variable(name).is_some_and(|v| v.eq_ignore_ascii_case(word));
    if off("OTEL_SDK_DISABLED", "true") || off("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
        .or_else(|| configured.map(str::to_owned))
}

/// Why no exporter was made.
#[derive(Debug, thiserror::Error)]
enum ExporterError {
    #[error("OTLP by https needs a collector nearby: {0} cannot be spoken to; name an http endpoint")]
    Tls(String),
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is `{0}`; use `grpc` or `http/protobuf`")]
    Protocol(String),
    #[error("the OTLP exporter cannot be made: {0}")]
    Build(opentelemetry_otlp::ExporterBuildError),
}

fn exporter(configured: Option<&str>) -> Result<Option<opentelemetry_otlp::SpanExporter>, ExporterError> {
    let Some(endpoint) = endpoint(configured) else { return Ok(None) };
    if endpoint.starts_with("https:") {
        return Err(ExporterError::Tls(endpoint));
    }
    let protocol = protocol(&endpoint)?;
    // The library reads the variables itself (and knows which of them take a path); only the configuration is passed
    // on.
    let by_variable = configured.is_none_or(|c| c != endpoint);
    let made = if protocol == Protocol::Grpc {
        let builder = opentelemetry_otlp::SpanExporter::builder().with_tonic();
        if by_variable { builder.build() } else { builder.with_endpoint(endpoint).build() }
    } else {
        let builder = opentelemetry_otlp::SpanExporter::builder().with_http().with_protocol(protocol);
        if by_variable {
            builder.build()
        } else {
            builder.with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/'))).build()
        }
    };
    made.map(Some).map_err(ExporterError::Build)
}

fn protocol(endpoint: &str) -> Result<Protocol, ExporterError> {
    let said = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match said.as_deref() {
        Some("grpc") => Ok(Protocol::Grpc),
        Some("http/protobuf") => Ok(Protocol::HttpBinary),
        Some(other) => Err(ExporterError::Protocol(other.to_owned())),
        None => {
            let port = endpoint.parse::<http::Uri>().ok().and_then(|u| u.port_u16());
            Ok(if port == Some(4318) { Protocol::HttpBinary } else { Protocol::Grpc })
        }
    }
}

/// An exporter that reports once that spans are not delivered, and once that they are again.
#[derive(Debug)]
struct Outspoken {
    exporter: opentelemetry_otlp::SpanExporter,
    failing: AtomicBool,
}

impl SpanExporter for Outspoken {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.exporter.export(batch).await;
        let was_failing = self.failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !was_failing => tracing::warn!("spans cannot be sent and are dropped: {error}"),
            Ok(()) if was_failing => tracing::info!("spans are sent again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

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
        let [version] = unhex(next()?)?;
        let parent = Self { trace_id: unhex(next()?)?, span_id: unhex(next()?)?, flags: unhex::<1>(next()?)?[0] };
        let more = parts.next().is_some();
        if version == 0xff || (version == 0 && more) || parent.trace_id == [0; 16] || parent.span_id == [0; 8] {
            return Err(NotATraceParent);
        }
        Ok(parent)
    }
}

fn unhex<const N: usize>(text: &str) -> Result<[u8; N], NotATraceParent> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(NotATraceParent),
    };
    let bytes = text.as_bytes();
    if bytes.len() != N * 2 {
        return Err(NotATraceParent);
    }
    let mut out = [0; N];
    for (out, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *out = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
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

    #[tokio::test]
    async fn shutdown_is_bounded_by_a_collector_that_hangs() {
        let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", collector.local_addr().unwrap());
        let guard = init("longhaul-test", Options { endpoint: Some(address), ..Options::default() });
        tracing::info_span!("longhaul.submit").in_scope(|| ());
        let ended = tokio::time::timeout(Duration::from_secs(30), guard.shutdown(Duration::from_millis(300))).await;
        assert_eq!(ended, Ok(false), "it gave up, and said so");
    }
}
