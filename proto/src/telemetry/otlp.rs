//! Where spans, metrics and lines of the log are sent by OTLP, and how: by the variables that the OpenTelemetry specification names, of which
//! those of one signal go before those of all.

use std::time::Duration;

use opentelemetry_otlp::{ExporterBuildError, Protocol, tonic_types::transport::ClientTlsConfig};

use super::variable;
use crate::words;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Spans.
    Traces,
    /// Numbers.
    Metrics,
    /// Lines of the log.
    Logs,
}

/// Why no exporter was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExporterError {
    #[error("OTEL_METRICS_EXPORTER is `{0}`; use `otlp` or `none`, and scrape /metrics for Prometheus")]
    Exporter(String),
    #[error("OTEL_LOGS_EXPORTER is `{0}`; use `otlp` or `none`, and read stderr for all else")]
    LogsExporter(String),
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is `{0}`; use `grpc` or `http/protobuf`")]
    Protocol(String),
    #[error("the OTLP exporter cannot be made: {0}")]
    Build(ExporterBuildError),
    #[error("the HTTP client for OTLP cannot be made: {0}")]
    Http(String),
}

/// How long one export may take where no variable says so, as the specification has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How something is sent. `endpoint` is passed on to the library; `None` = it reads the variables itself, and knows which
/// of them take a path.
pub(super) enum Way {
    /// By gRPC, encrypted where there is a configuration of TLS.
    Grpc { tls: Option<ClientTlsConfig>, endpoint: Option<String> },
    /// By HTTP.
    Http { protocol: Protocol, client: reqwest::blocking::Client, endpoint: Option<String> },
}

fn disabled() -> bool {
    variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

impl Signal {
    fn word(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What there are many of, for people.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "metrics",
            Self::Logs => "lines of the log",
        }
    }

    /// Whether a variable asks for it by name: lines of the log are sent only where someone asked.
    pub(super) fn is_asked_for(self) -> bool {
        self.exporter().is_some()
    }

    fn exporter(self) -> Option<String> {
        variable(&format!("OTEL_{}_EXPORTER", self.word().to_uppercase()))
    }

    fn variable(self, what: &str) -> Option<String> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", self.word().to_uppercase());
        variable(&own).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    /// The exporter that a variable names, if it is another one than OTLP.
    fn named(self) -> Option<String> {
        self.exporter().filter(|name| !name.eq_ignore_ascii_case("otlp"))
    }

    /// Where it is sent by the environment or, failing that, configuration; `None` = nowhere.
    pub(super) fn endpoint(self, configured: Option<&str>) -> Option<String> {
        if disabled() || self.named().is_some_and(|name| name.eq_ignore_ascii_case("none")) {
            return None;
        }
        self.variable("ENDPOINT").or_else(|| configured.map(str::to_owned))
    }

    /// How it is sent; `None` = it is not.
    ///
    /// # Errors
    /// When a variable asks for what there is not, or no client can be made.
    pub(super) fn way(self, configured: Option<&str>) -> Result<Option<Way>, ExporterError> {
        let other = self.named().filter(|name| !name.eq_ignore_ascii_case("none"));
        match (self, other.filter(|_| !disabled())) {
            (Self::Metrics, Some(other)) => return Err(ExporterError::Exporter(other)),
            (Self::Logs, Some(other)) => return Err(ExporterError::LogsExporter(other)),
            _ => {}
        }
        let Some(endpoint) = self.endpoint(configured) else { return Ok(None) };
        let encrypted = endpoint.starts_with("https:");
        let protocol = self.protocol(&endpoint)?;
        let passed_on = self.variable("ENDPOINT").is_none().then_some(endpoint);
        Ok(Some(match protocol {
            Protocol::Grpc => {
                let tls = encrypted.then(|| ClientTlsConfig::new().with_native_roots());
                Way::Grpc { tls, endpoint: passed_on }
            }
            protocol => {
                let path = |base: String| format!("{}/v1/{}", base.trim_end_matches('/'), self.word());
                Way::Http { protocol, client: self.client(encrypted)?, endpoint: passed_on.map(path) }
            }
        }))
    }

    fn protocol(self, endpoint: &str) -> Result<Protocol, ExporterError> {
        match self.variable("PROTOCOL").as_deref() {
            Some("grpc") => Ok(Protocol::Grpc),
            Some("http/protobuf") => Ok(Protocol::HttpBinary),
            Some(other) => Err(ExporterError::Protocol(other.to_owned())),
            None => {
                let port = endpoint.parse::<http::Uri>().ok().and_then(|u| u.port_u16());
                Ok(if port == Some(4318) { Protocol::HttpBinary } else { Protocol::Grpc })
            }
        }
    }

    /// A client of a collector. The system's roots are read where they are needed only: a machine that has none can still
    /// send in the clear to a collector nearby.
    fn client(self, encrypted: bool) -> Result<reqwest::blocking::Client, ExporterError> {
        let limit = self.variable("TIMEOUT").and_then(|ms| ms.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
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
}

/// Makes the exporter of one kind for a way: the library has a builder for each, of different types with equal methods.
macro_rules! exporter_by {
    ($exporter:ty, $way:expr) => {{
        use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
        match $way {
            $crate::telemetry::otlp::Way::Grpc { tls, endpoint } => {
                let mut builder = <$exporter>::builder().with_tonic();
                if let Some(tls) = tls {
                    builder = builder.with_tls_config(tls);
                }
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                builder.build()
            }
            $crate::telemetry::otlp::Way::Http { protocol, client, endpoint } => {
                let mut builder = <$exporter>::builder().with_http().with_protocol(protocol).with_http_client(client);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                builder.build()
            }
        }
    }};
}
pub(super) use exporter_by;
