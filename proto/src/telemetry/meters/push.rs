//! Sending metrics by OTLP, where an endpoint is set: the same variables as for spans, and `OTEL_METRICS_EXPORTER=none`
//! to send spans only. `OTEL_METRIC_EXPORT_INTERVAL` (ms; a minute by default) says how often.

use std::time::Duration;

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

use super::super::{
    collector::Standing,
    otlp::{ExporterError, Signal, exporter_by},
    variable,
};

/// Whether and where metrics are sent.
#[derive(Clone, Debug, Default)]
pub struct Push {
    /// A daemon sends them where there is an endpoint; a command that is over soon does not.
    pub on: bool,
    /// OTLP endpoint from configuration, where no `OTEL_*` variable names one.
    pub endpoint: Option<String>,
}

/// How often metrics are sent where no variable says so, as the specification has it.
const EVERY: Duration = Duration::from_secs(60);

/// How often metrics are sent: `OTEL_METRIC_EXPORT_INTERVAL`, ms.
pub fn push_every() -> Duration {
    let told = variable("OTEL_METRIC_EXPORT_INTERVAL").and_then(|ms| ms.trim().parse().ok());
    told.filter(|ms| *ms > 0).map_or(EVERY, Duration::from_millis)
}

/// The exporter that the environment or the configuration asks for; `None` = none.
pub(super) fn exporter(push: &Push) -> Result<Option<Reporting>, ExporterError> {
    if !push.on {
        return Ok(None);
    }
    let Some(way) = Signal::Metrics.way(push.endpoint.as_deref())? else { return Ok(None) };
    let exporter = exporter_by!(MetricExporter, way).map_err(ExporterError::Build)?;
    Ok(Some(Reporting { exporter, standing: Standing::of(Signal::Metrics) }))
}

/// An exporter that reports once that metrics are not delivered, and once that they are again.
pub(super) struct Reporting {
    exporter: MetricExporter,
    standing: Standing,
}

impl PushMetricExporter for Reporting {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.exporter.export(metrics).await;
        // What is not sent now is part of what is sent next.
        self.standing.report(&sent, None);
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
