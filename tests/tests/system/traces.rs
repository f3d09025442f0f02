//! What a collector of traces gets of a run that a client called for.

use std::path::Path;

use longhaul_tests::{
    daemon::{Daemon, Spec},
    lab,
    lab::Lab,
    mcp::Mcp,
    need, wait,
};
use serde_json::json;

/// A collector as a real process.
struct Collector {
    process: Daemon,
    port: u16,
}

impl Collector {
    async fn start(lab: &Lab, program: &Path) -> Self {
        let [port, http] = [0; 2].map(|_| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        });
        let (grpc, http) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{http}"));
        let logs = lab.path().join("logs");
        let args = [
            "start",
            "--exporter",
            "blackhole",
            "--debug-log",
            "traces",
            "--debug-log-verbosity",
            "detailed",
            "--disable-batching",
            "--otlp-grpc-endpoint",
            &grpc,
            "--otlp-http-endpoint",
            &http,
        ];
        let spec = Spec {
            program: program.to_owned(),
            args: args.iter().map(Into::into).collect(),
            env: Vec::new(),
            log: logs.join("collector.log"),
            cgroup: None,
        };
        let mut process = Daemon::start("collector", &logs, spec);
        wait::until(wait::SOON, "the collector listens", async || {
            assert!(process.alive(), "{}", process.printed());
            tokio::net::TcpStream::connect(&grpc).await.ok().map(drop)
        })
        .await;
        Self { process, port }
    }

    /// The spans printed so far.
    fn spans(&self) -> Vec<Span> {
        let mut service = String::new();
        let mut spans: Vec<Span> = Vec::new();
        for line in self.process.printed().lines().map(str::trim) {
            let field = |name: &str| line.strip_prefix(name).map(|rest| rest.trim_start_matches([' ', ':']).to_owned());
            if let Some(name) = line.strip_prefix("-> service.name: Str(") {
                name.trim_end_matches(')').clone_into(&mut service);
            } else if let Some(trace) = field("Trace ID") {
                spans.push(Span { service: service.clone(), trace, ..Span::default() });
            } else if let Some(span) = spans.last_mut() {
                if let Some(parent) = field("Parent ID") {
                    span.parent = parent;
                } else if let Some(id) = field("ID ") {
                    span.id = id;
                } else if let Some(name) = field("Name ") {
                    span.name = name;
                } else if let Some(attribute) = line.strip_prefix("-> ") {
                    span.attributes.push(attribute.to_owned());
                }
            }
        }
        spans
    }
}

#[derive(Clone, Debug, Default)]
struct Span {
    service: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
    attributes: Vec<String>,
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

#[tokio::test]
async fn a_run_is_one_trace_over_gateway_and_agent_below_the_callers_own_span() {
    let Some(program) = need::collector() else { return };
    let mut lab = lab!();
    let collector = Collector::start(&lab, &program).await;
    lab.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", collector.port));
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let arguments = json!({"file_path": lab.examples().join("short.do")});
    let meta = json!({"traceparent": traceparent});
    let result = client.start("stata_run_file", arguments, meta).await.result().await;
    assert!(!result.is_error, "{result:#?}");
    let run = gateway.api.list().await.unwrap().runs[0].clone();
    assert_eq!(run.trace_id.as_deref(), Some(TRACE));

    const NAMES: [&str; 5] =
        ["longhaul.submit", "longhaul.queue", "longhaul.dispatch", "longhaul.start", "longhaul.finish"];
    let spans = wait::until_now(wait::SOON, "all five spans arrive", || {
        let spans: Vec<Span> = collector.spans().into_iter().filter(|s| s.trace == TRACE).collect();
        NAMES.iter().all(|name| spans.iter().any(|s| s.name == *name)).then_some(spans)
    })
    .await;
    let services: std::collections::BTreeSet<&str> = spans.iter().map(|s| s.service.as_str()).collect();
    assert_eq!(services.len(), 2, "gateway and agent, each by its own name: {spans:#?}");
    // One tree: every parent is a span of the trace, or the caller's.
    let ids: Vec<&str> = spans.iter().map(|s| s.id.as_str()).chain([CALLER]).collect();
    for span in &spans {
        assert!(ids.contains(&span.parent.as_str()), "{} hangs in the air: {spans:#?}", span.name);
    }
    assert!(spans.iter().any(|s| s.parent == CALLER), "{spans:#?}");
    let named = format!("longhaul.run.id: Str({})", run.run_id);
    assert!(spans.iter().filter(|s| s.attributes.contains(&named)).count() >= 2, "{named}: {spans:#?}");

    // The control: a call without a traceparent is a trace of its own.
    let code = json!({"selection": "display 1"});
    client.call("stata_run_selection", code).await;
    let other = gateway.api.list().await.unwrap().runs[0].clone();
    assert!(other.trace_id.is_some_and(|t| t != TRACE && t.len() == 32));
}
