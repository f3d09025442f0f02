//! Sending spans by OTLP, where an endpoint is set.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use super::{
    collector::Standing,
    otlp::{ExporterError, Signal, exporter_by},
    queue::{self, Waiting},
};
use crate::faults;

/// Where spans are sent by the environment or, failing that, configuration; `None` = nowhere.
pub fn endpoint(configured: Option<&str>) -> Option<String> {
    Signal::Traces.endpoint(configured)
}

/// The exporter that the environment or the configuration asks for.
pub(super) fn exporter(configured: Option<&str>) -> Result<Option<opentelemetry_otlp::SpanExporter>, ExporterError> {
    let Some(way) = Signal::Traces.way(configured)? else { return Ok(None) };
    exporter_by!(opentelemetry_otlp::SpanExporter, way).map(Some).map_err(ExporterError::Build)
}

/// An exporter that reports once that spans are not delivered, and once that they are again, and counts both.
#[derive(Debug)]
pub(super) struct ReportingExporter {
    exporter: opentelemetry_otlp::SpanExporter,
    pub(super) waiting: Waiting,
    standing: Arc<Standing>,
}

impl ReportingExporter {
    pub(super) fn new(exporter: opentelemetry_otlp::SpanExporter, standing: Arc<Standing>) -> Self {
        Self { exporter, waiting: Waiting::default(), standing }
    }
}

impl SpanExporter for ReportingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.standing.send(self.exporter.export(batch)).await;
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        match &exported {
            Ok(()) => queue::sent(spans),
            Err(_) if faults::bug("failed_exports_uncounted") => {}
            Err(_) => queue::dropped(spans),
        }
        self.standing.report(&exported, Some(queue::spans_dropped()));
        exported
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
