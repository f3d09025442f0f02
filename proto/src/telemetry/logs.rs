//! Sending the lines of the log by OTLP, where an operator switched that on: the same lines as on stderr with the same
//! fields, bounded and never waited for as spans are.
//!
//! Only lines of Longhaul's own are sent: what the libraries say of a connection would be said again of the connection by
//! which it is sent. A line that names its run's trace is sent as a part of that trace.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, SpanId, TraceId,
    logs::{AnyValue, LogRecord},
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{self, BatchConfigBuilder, BatchLogProcessor, LogBatch, LogProcessor, SdkLogRecord, SdkLoggerProvider},
};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    registry::LookupSpan,
};

use super::{
    collector::Standing,
    otlp::{ExporterError, Signal, exporter_by},
    variable,
};
use crate::faults;

/// Lines that may wait to be sent where no variable says so, as the OpenTelemetry specification has it.
const MOST: usize = 2048;

/// The field of a line that has its run's trace.
const TRACE: &str = "trace";

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines of this process that were to be sent and were dropped: the collector did not take them, or too many waited.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn dropped(lines: usize) {
    DROPPED.fetch_add(lines as u64, Ordering::Relaxed);
}

/// Makes the sending of lines, and says how it stands with the collector; `None` = none are sent. `asked` is what
/// configuration says, which goes behind `OTEL_LOGS_EXPORTER`.
pub(super) fn sending(
    asked: bool,
    configured: Option<&str>,
    resource: Resource,
) -> Result<Option<(SdkLoggerProvider, Arc<Standing>)>, ExporterError> {
    if !asked && !Signal::Logs.is_asked_for() {
        return Ok(None);
    }
    let Some(way) = Signal::Logs.way(configured)? else { return Ok(None) };
    let exporter = exporter_by!(LogExporter, way).map_err(ExporterError::Build)?;
    let (waiting, standing) = (Arc::default(), Arc::new(Standing::of(Signal::Logs)));
    let exporter = Reporting { exporter, waiting: Arc::clone(&waiting), standing: standing.clone() };
    let given = variable("OTEL_BLRP_MAX_QUEUE_SIZE").and_then(|most| most.trim().parse().ok());
    let most = given.filter(|most| *most > 0).unwrap_or(MOST);
    let config = BatchConfigBuilder::default().with_max_queue_size(most).build();
    let queue =
        Queue { processor: BatchLogProcessor::builder(exporter).with_batch_config(config).build(), waiting, most };
    Ok(Some((SdkLoggerProvider::builder().with_resource(resource).with_log_processor(queue).build(), standing)))
}

/// The layer that sends the lines that `filter` lets through.
pub(super) fn layer<S>(provider: &SdkLoggerProvider, filter: EnvFilter) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours = filter_fn(|metadata| metadata.is_event() && metadata.target().starts_with("longhaul"));
    OpenTelemetryTracingBridge::new(provider).with_filter(filter.and(ours))
}

/// The queue of lines that wait to be sent. What finds no room is counted, see [`super::queue`].
#[derive(Debug)]
struct Queue {
    processor: BatchLogProcessor,
    waiting: Arc<AtomicUsize>,
    most: usize,
}

impl LogProcessor for Queue {
    fn emit(&self, line: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return dropped(1);
        }
        if let Some(trace) = trace(line).filter(|_| !faults::bug("lines_without_their_trace")) {
            line.set_trace_context(trace, SpanId::INVALID, None);
        }
        self.processor.emit(line, scope);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

fn trace(line: &SdkLogRecord) -> Option<TraceId> {
    let (_, value) = line.attributes_iter().find(|(name, _)| name.as_str() == TRACE)?;
    let AnyValue::String(text) = value else { return None };
    TraceId::from_hex(text.as_str()).ok()
}

/// An exporter that reports once that lines are not delivered, and once that they are again, and counts what is lost.
#[derive(Debug)]
struct Reporting {
    exporter: LogExporter,
    waiting: Arc<AtomicUsize>,
    standing: Arc<Standing>,
}

impl logs::LogExporter for Reporting {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let lines = batch.iter().count();
        let sent = self.standing.send(self.exporter.export(batch)).await;
        self.waiting.fetch_sub(lines, Ordering::AcqRel);
        if sent.is_err() && !faults::bug("failed_exports_uncounted") {
            dropped(lines);
        }
        self.standing.report(&sent, Some(lines_dropped()));
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        logs::LogExporter::shutdown_with_timeout(&self.exporter, timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        logs::LogExporter::set_resource(&mut self.exporter, resource);
    }
}
