//! Sending spans by OTLP, where an endpoint is set.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry_otlp::{
    Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig, tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use super::variable;
use crate::words;

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
pub(super) enum ExporterError {
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is `{0}`; use `grpc` or `http/protobuf`")]
    Protocol(String),
    #[error("the OTLP exporter cannot be made: {0}")]
    Build(opentelemetry_otlp::ExporterBuildError),
    #[error("the HTTP client for OTLP cannot be made: {0}")]
    Http(String),
}

/// How long one export may take where no variable says so, as the specification has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The exporter that the environment or the configuration asks for.
pub(super) fn exporter(configured: Option<&str>) -> Result<Option<opentelemetry_otlp::SpanExporter>, ExporterError> {
    let Some(endpoint) = endpoint(configured) else { return Ok(None) };
    let protocol = protocol(&endpoint)?;
    let encrypted = endpoint.starts_with("https:");
    // The library reads the variables itself (and knows which of them take a path); only the configuration is passed
    // on.
    let by_variable = configured.is_none_or(|c| c != endpoint);
    let made = if protocol == Protocol::Grpc {
        let mut builder = opentelemetry_otlp::SpanExporter::builder().with_tonic();
        if encrypted {
            builder = builder.with_tls_config(ClientTlsConfig::new().with_native_roots());
        }
        if by_variable { builder.build() } else { builder.with_endpoint(endpoint).build() }
    } else {
        let builder = opentelemetry_otlp::SpanExporter::builder().with_http().with_protocol(protocol);
        let builder = builder.with_http_client(http_client(encrypted)?);
        if by_variable {
            builder.build()
        } else {
            builder.with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/'))).build()
        }
    };
    made.map(Some).map_err(ExporterError::Build)
}

/// A client of a collector. The system's roots are read where they are needed only: a machine that has none can still
/// send its spans in the clear to a collector nearby.
fn http_client(encrypted: bool) -> Result<reqwest::blocking::Client, ExporterError> {
    let limit = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let limit = limit.iter().find_map(|name| variable(name)?.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
    // It has a runtime of its own, which must not be made inside ours.
    let make = move || {
        let builder = reqwest::blocking::Client::builder().timeout(limit);
        if encrypted { builder.build() } else { builder.tls_certs_only([]).build() }
    };
    let made = std::thread::spawn(make).join();
    made.map_err(|_| "it panicked".to_owned())
        .and_then(|made| made.map_err(|e| words::chain(&e)))
        .map_err(ExporterError::Http)
}

fn protocol(endpoint: &str) -> Result<Protocol, ExporterError> {
    let chosen = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match chosen.as_deref() {
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
pub(super) struct ReportingExporter {
    pub(super) exporter: opentelemetry_otlp::SpanExporter,
    pub(super) failing: AtomicBool,
}

impl SpanExporter for ReportingExporter {
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
