//! What the program reports to its operators: lines on stderr and, when an endpoint is set, spans by OTLP; the lines, too,
//! where that is switched on (see `logs`).
//!
//! A run always has a trace, also where spans are sent nowhere, so that its `trace_id` exists before an operator switches
//! sending on. A long run is several short spans, each sent when what it is about has ended (see [`Span`]): a run may
//! outlive every process that watches it. The context that ties them together is stored with the run as
//! [`wire::TraceContext`] and carried over HTTP, MCP, gRPC, the ledger and the spool; whether the trace is recorded is
//! part of it, and every later span keeps to that. docs/traces.md lists the spans.
//!
//! A span that lives while something is done is a span of `tracing`, and `tracing-opentelemetry` sends it with the lines of
//! the log that were written in it (see `live`); one whose times are known only afterwards is made by the tracer.
//!
//! Sending waits for nothing and nothing waits for it: spans stand in a bounded queue (see `queue`), and a process that
//! ends gives the collector a moment, or none where it has not answered before.
//!
//! Everything the OpenTelemetry specification configures by `OTEL_*` variables is read from them: endpoint, protocol,
//! headers, time-out, sampler, batch sizes, resource attributes, `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER=none`. The
//! protocol is gRPC unless `OTEL_EXPORTER_OTLP_PROTOCOL` says `http/protobuf` or the endpoint's port is 4318, which is
//! registered for that. The certificate of an `https` endpoint is checked by the system's roots, or those of the file in
//! `SSL_CERT_FILE`.
//!
//! A line on stderr is one event: text from outside in a field can neither start a line nor command a terminal (see
//! `fields`). `LONGHAUL_LOG` says which lines, `LONGHAUL_LOG_FORMAT` whether as text or JSON (see `lines`).

mod collector;
mod context;
mod export;
mod fields;
mod lines;
mod live;
mod logs;
mod meters;
mod otlp;
mod queue;
mod span;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use opentelemetry::KeyValue;
use opentelemetry::{InstrumentationScope, trace::TracerProvider};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

pub use context::{NotATraceParent, TraceParent, context_for_run, trace_id};
pub use export::endpoint;
pub use lines::{BadLog, is_json};
pub use logs::lines_dropped;
pub use meters::{
    BATCH, Counter, Declared, Histogram, Instrument, LONG, MEMORY, Meters, Observer, PROCESS, Push, SHORT, push_every,
};
pub use queue::{spans_dropped, spans_sent};
pub use span::{Kind, Span, is_recorded, sends_spans};

use collector::Standing;
use export::{ReportingExporter, exporter};
use otlp::Signal;
use queue::Queue;

use crate::{clock::Clock, ids, wire};

/// The semantic conventions that names of attributes follow, as a schema of theirs; those of MCP are of the GenAI
/// conventions 0.1.0, which build on this version.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.45.0";

/// The call by which an agent gets an attempt, as the conventions name it: service and method.
pub const RUN_CALL: &str = "longhaul.v1.Agent/Run";

/// The place of a trace's id in [`Options::trace_url`].
pub const TRACE_ID: &str = "{trace_id}";

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
    /// Spans tell what scripts say of themselves: paths, commands, Stata's words. Else they tell codes, kinds and lines.
    pub details: bool,
    /// Where people read a trace: a URL with [`TRACE_ID`] in it.
    pub trace_url: Option<String>,
    /// The lines of the log are sent by OTLP, too; `None` = they are not, whatever a variable says: a command's are for who
    /// gave it.
    pub logs: Option<bool>,
}

/// What of the options counts while the process runs.
struct Chosen {
    details: bool,
    trace_url: Option<String>,
    clock: Clock,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// Whether spans may tell paths, commands and Stata's words.
pub fn details() -> bool {
    CHOSEN.get().is_some_and(|chosen| chosen.details) || crate::faults::bug("details_always_in_spans")
}

/// Where people read the trace of a run with this context, if it is recorded and a place was given.
pub fn trace_url(traceparent: &str) -> Option<String> {
    let place = CHOSEN.get()?.trace_url.as_ref()?;
    let context = wire::TraceContext { traceparent: traceparent.to_owned(), ..Default::default() };
    let id = trace_id(&context).filter(|_| is_recorded(&context))?;
    Some(place.replace(TRACE_ID, &id))
}

/// Time since this process began to report.
fn now() -> Duration {
    CHOSEN.get().map(|chosen| chosen.clock.monotonic()).unwrap_or_default()
}

/// Holds the exporter; call [`Guard::shutdown`] before the process ends, or the last spans are lost.
#[derive(Debug)]
#[must_use = "the last spans are sent by Guard::shutdown"]
pub struct Guard {
    sending: Vec<Sending>,
}

/// One signal that is sent.
struct Sending {
    standing: Arc<Standing>,
    /// Sends what there is still, for at most so long, and says whether all was.
    shutdown: Box<dyn FnOnce(Duration) -> bool + Send>,
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.standing.fmt(f)
    }
}

/// Starts sending the spans that there are, without waiting for it.
pub fn flush_soon() {
    if let Some(provider) = PROVIDER.get() {
        in_a_thread(|| drop(provider.force_flush()));
    }
}

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

impl Guard {
    /// Sends the remaining spans and lines, for at most `deadline`; where the collector refuses them or hangs already,
    /// nothing is waited for. Returns whether all were sent in time.
    pub async fn shutdown(self, deadline: Duration) -> bool {
        // The control: waits for each collector, and for as long as a daemon had.
        let long = crate::faults::bug("flush_of_two_seconds");
        let deadline = if long { Duration::from_secs(2) } else { deadline };
        let mut all = true;
        let mut waited_for = Vec::new();
        for Sending { standing, shutdown } in self.sending {
            let (done, sent) = tokio::sync::oneshot::channel();
            // A thread of its own: those of the runtime are waited for at its end.
            in_a_thread(move || {
                // Who waited may be gone.
                let _ = done.send(shutdown(deadline));
            });
            match standing.is_well(now()) || long {
                true => waited_for.push(sent),
                false => all = false,
            }
        }
        let ended = tokio::time::timeout(deadline, async {
            let mut all = true;
            for sent in waited_for {
                all &= sent.await == Ok(true);
            }
            all
        });
        ended.await == Ok(true) && all
    }
}

/// Starts a thread that this process does not wait for.
fn in_a_thread(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name("spans".to_owned()).spawn(work) {
        tracing::debug!(%error, "no thread for sending spans");
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
    let filter = lines::filter_of_environment(&options.filter)?;
    let resource = resource(service, &options.instance);
    let configured = options.endpoint.as_deref();
    let (spans, no_spans) = given(exporter(configured));
    let (logs, no_logs) = given(match options.logs {
        Some(asked) => logs::sending(asked, configured, resource.clone()),
        None => Ok(None),
    });
    let spans = spans.map(|exporter| {
        let standing = Arc::new(Standing::of(Signal::Traces));
        let queue = Queue::new(ReportingExporter::new(exporter, standing.clone()));
        (SdkTracerProvider::builder().with_resource(resource).with_span_processor(queue).build(), standing)
    });
    let scope = InstrumentationScope::builder("longhaul").with_version(env!("CARGO_PKG_VERSION"));
    let scope = scope.with_schema_url(CONVENTIONS).build();
    let tracer = spans.as_ref().map(|(provider, _)| provider.tracer_with_scope(scope));
    // A second call in one process (tests do that) keeps the first subscriber.
    let live = tracer.clone().map(live::layer);
    let sent = logs.as_ref().map(|(provider, _)| logs::layer(provider, filter));
    let first = tracing_subscriber::registry().with(live).with(sent).with(lines.layer()).try_init().is_ok();
    let chosen = Chosen { details: options.details, trace_url: options.trace_url, clock: Clock::system() };
    // The first stays here, too.
    let _ = CHOSEN.set(chosen);
    for (what, trouble) in [(Signal::Traces, no_spans), (Signal::Logs, no_logs)] {
        if let Some(error) = trouble {
            tracing::warn!("{} are not sent: {error}", what.plural());
        }
    }
    if !first {
        return Ok(Guard { sending: Vec::new() });
    }
    let mut sending = Vec::new();
    if let Some(((provider, standing), tracer)) = spans.zip(tracer) {
        let _ = PROVIDER.set(provider.clone());
        span::make_by(tracer);
        sending
            .push(Sending { standing, shutdown: Box::new(move |limit| provider.shutdown_with_timeout(limit).is_ok()) });
    }
    if let Some((provider, standing)) = logs {
        sending
            .push(Sending { standing, shutdown: Box::new(move |limit| provider.shutdown_with_timeout(limit).is_ok()) });
    }
    Ok(Guard { sending })
}

/// What was made, or why it was not.
fn given<T, E>(made: Result<Option<T>, E>) -> (Option<T>, Option<E>) {
    match made {
        Ok(made) => (made, None),
        Err(error) => (None, Some(error)),
    }
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
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ]);
    // What an operator says of the host is more than the kernel knows.
    let said = variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|said| said.contains("host.name="));
    if !said {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        resource = resource.with_attribute(KeyValue::new("host.name", host));
    }
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
        drop(Span::begin("longhaul.submit", Kind::Producer, &wire::TraceContext::default()));
        let ended = tokio::time::timeout(Duration::from_secs(30), guard.shutdown(Duration::from_millis(300))).await;
        assert_eq!(ended, Ok(false), "it gave up, and said so");
    }
}
