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
//! registered for that. The certificate of an `https` endpoint is checked by the system's roots, or those of the file in
//! `SSL_CERT_FILE`.
//!
//! A line on stderr is one event: text from outside in a field can neither start a line nor command a terminal (see
//! `fields`). `LONGHAUL_LOG` says which lines, `LONGHAUL_LOG_FORMAT` whether as text or JSON (see `lines`).

mod context;
mod export;
mod fields;
mod lines;

use std::{sync::atomic::AtomicBool, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SdkTracerProvider},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

pub use context::{NotATraceParent, TraceParent, context_for_run, context_of, set_parent, trace_id};
pub use export::endpoint;
pub use lines::{BadLog, is_json};

use export::{ReportingExporter, exporter};

use crate::ids;

/// How a process reports.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Level of our own lines on stderr, and directives with commas between, where neither `LONGHAUL_LOG` nor `RUST_LOG`
    /// is set. Empty = `warn`.
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
///
/// # Errors
/// When `LONGHAUL_LOG` or `LONGHAUL_LOG_FORMAT` is not valid: what is.
pub fn init(service: &'static str, options: Options) -> Result<Guard, BadLog> {
    let lines = lines::Lines::of_environment(&options.filter)?;
    let (exporter, trouble) = match exporter(options.endpoint.as_deref()) {
        Ok(exporter) => (exporter, None),
        Err(error) => (None, Some(error)),
    };
    let exporting = exporter.is_some();
    let mut provider = SdkTracerProvider::builder().with_resource(resource(service, &options.instance));
    if let Some(exporter) = exporter {
        provider = provider.with_span_processor(
            BatchSpanProcessor::builder(ReportingExporter { exporter, failing: AtomicBool::new(false) }).build(),
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
    // A second call in one process (tests do that) keeps the first subscriber.
    let first = tracing_subscriber::registry().with(spans).with(lines.layer()).try_init().is_ok();
    if let Some(error) = trouble {
        tracing::warn!("spans are not sent: {error}");
    }
    Ok(Guard { provider: (exporting && first).then_some(provider) })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_is_bounded_by_a_collector_that_hangs() {
        let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", collector.local_addr().unwrap());
        let guard = init("longhaul-test", Options { endpoint: Some(address), ..Options::default() }).unwrap();
        tracing::info_span!("longhaul.submit").in_scope(|| ());
        let ended = tokio::time::timeout(Duration::from_secs(30), guard.shutdown(Duration::from_millis(300))).await;
        assert_eq!(ended, Ok(false), "it gave up, and said so");
    }
}
