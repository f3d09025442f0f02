//! The spans of runs that end in every way, by both protocols of OTLP.

use longhaul_proto::{
    api::{CancelMode, Retry, SubmitRequest},
    state::RunState,
};
use longhaul_tests::{api::Api, lab, lab::Lab, mcp::Mcp, need, processes, wait};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use super::{
    CALLER,
    collector::{Collector, Span, free_port, one, send_to},
    submit, trace, traceparent,
};

/// All names of a run that succeeded by MCP.
const NAMES: [&str; 10] = [
    "tools/call stata_run_file",
    "longhaul.submit",
    "longhaul.queue",
    "longhaul.dispatch",
    "longhaul.v1.Agent/Run",
    "longhaul.start",
    "longhaul.supervisor",
    "longhaul.stata",
    "longhaul.finish",
    "longhaul.run",
];

/// What the controls turn round.
struct Seen {
    under_the_caller: bool,
    link_of_the_join: bool,
    /// The second wait in the queue begins when the first attempt has ended.
    waits_after_death: bool,
    /// The do-file's folder or Stata's words occur in attributes, statuses or events.
    told: bool,
    /// Stages of a simulation's progress have spans, and are events of its run.
    stages: bool,
    /// The changes of state that are events of the run that was tried again.
    states: Vec<String>,
}

fn gated(lab: &Lab, name: &str) -> SubmitRequest {
    let path = Some(lab.gated().display().to_string());
    SubmitRequest { path, args: vec![name.to_owned()], ..SubmitRequest::default() }
}

async fn run_all(lab: &mut Lab, collector: &Collector, protocol: &str) -> Seen {
    send_to(lab, collector.port(), protocol);
    lab.env("LONGHAUL_TRACE_URL", "https://grafana.lab/trace/{trace_id}");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--seats", "2"]);
    gateway.api.wait_host("stata1", "up").await;
    let api = &gateway.api;

    // By MCP, under the client's `_meta`.
    let client = Mcp::new(api, "claude-code", "2.1.330");
    let meta = json!({"traceparent": traceparent('1', "01"), "tracestate": "vendor=1"});
    let arguments = json!({"file_path": lab.examples().join("short.do")});
    let result = client.start("stata_run_file", arguments, meta).await.result().await;
    assert!(!result.is_error, "{result:#?}");
    let run = api.list().await.unwrap().runs[0].clone();
    let id = run.trace_id.clone().unwrap();
    let url = format!("https://grafana.lab/trace/{id}");
    assert_eq!(run.trace_url.as_deref(), Some(url.as_str()));
    let meta = &result.raw["result"]["_meta"];
    assert_eq!((meta["longhaul/trace"].as_str(), meta["longhaul/traceUrl"].as_str()), (Some(&*id), Some(&*url)));
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let shown = lab.run(["show", "--data", &data, &run.run_id.to_string()]).await;
    assert!(shown.out.contains(&url), "{shown:#?}");
    let under_the_caller = id == trace('1');
    if under_the_caller {
        let spans = collector.wait(&id, &NAMES).await;
        succeeded(&spans, &run.run_id.to_string());
    }

    // The script fails.
    let failing = lab.file("private/failing.do", "display 1\nsecret_name\n");
    let request = SubmitRequest { path: Some(failing.display().to_string()), ..SubmitRequest::default() };
    let run = submit(api, &request, &traceparent('2', "01")).await.run.run_id;
    assert_eq!(api.wait_end(run).await.state, RunState::Failed);
    let failed = collector.wait(&trace('2'), &["longhaul.run", "longhaul.stata", "POST /api/v1/runs"]).await;
    let span = one(&failed, "longhaul.run");
    assert_eq!(span.status, "STATUS_CODE_ERROR", "{span:#?}");
    assert!(span.message.starts_with("r(199)") && span.message.ends_with("line 2"), "{span:#?}");
    assert!(span.has("longhaul.run.rc: Int(199)") && span.has("longhaul.run.result: Str(failure)"), "{span:#?}");
    assert!(span.has("code.line.number: Int(2)") && span.names("error.type"), "{span:#?}");
    assert_eq!(one(&failed, "longhaul.stata").status, "STATUS_CODE_ERROR");
    let http = one(&failed, "POST /api/v1/runs");
    assert_eq!((http.kind.as_str(), http.parent.as_str()), ("SPAN_KIND_SERVER", CALLER));
    assert!(http.has("http.response.status_code: Int(201)"), "{http:#?}");
    let mut told = failed.iter().any(tells);

    // It is refused, and the line of the log that says so is an event of its span.
    let missing = lab.path().join("private/missing.do").display().to_string();
    let request = SubmitRequest { path: Some(missing), host: Some("secret_name".into()), ..SubmitRequest::default() };
    let refused = gateway.api.request(Method::POST, "/api/v1/runs").header("traceparent", traceparent('9', "01"));
    assert!(refused.json(&request).send().await.unwrap().status().is_client_error());
    let refused = collector.wait(&trace('9'), &["longhaul.submit", "POST /api/v1/runs"]).await;
    let span = one(&refused, "longhaul.submit");
    assert_eq!((span.status.as_str(), span.has("error.type: Str(refused)")), ("STATUS_CODE_ERROR", true), "{span:#?}");
    assert!(span.events.iter().any(|event| event == "Name: submission refused"), "{span:#?}");
    assert!(span.events.iter().any(|event| event == "level: Str(INFO)"), "{span:#?}");
    told |= refused.iter().any(tells);

    // A person cancels it, and another call joins it before.
    let run = submit(api, &gated(lab, "cancelled"), &traceparent('3', "01")).await.run.run_id;
    api.wait_output(run, "started cancelled").await;
    let joined = submit(api, &gated(lab, "cancelled"), &traceparent('4', "01")).await;
    assert_eq!((joined.run.run_id, joined.joined.is_some()), (run, true));
    api.cancel(run, CancelMode::Break).await.unwrap();
    assert_eq!(api.wait_end(run).await.state, RunState::Cancelled);
    let spans = collector.wait(&trace('3'), &["longhaul.run", "longhaul.stata"]).await;
    let span = one(&spans, "longhaul.run");
    assert!(span.has("longhaul.run.result: Str(cancellation)") && span.names("longhaul.cancelled_by"), "{span:#?}");
    assert_ne!(span.status, "STATUS_CODE_ERROR", "a person's wish is no error: {span:#?}");
    assert!(span.events.iter().any(|event| event == "Name: longhaul.run.cancel"), "{span:#?}");
    let submitted = collector.wait(&trace('4'), &["longhaul.submit"]).await;
    let span = one(&submitted, "longhaul.submit");
    assert!(span.has("longhaul.joined: Str(unfinished)"), "{span:#?}");
    let link_of_the_join = span.links.iter().any(|link| *link == format!("Trace ID: {}", trace('3')));

    let stages = stages(lab, api, collector).await;

    // It reaches its limit.
    let request = SubmitRequest { timeout: Some(0.5), ..gated(lab, "timed") };
    let run = submit(api, &request, &traceparent('5', "01")).await.run.run_id;
    assert_eq!(api.wait_end(run).await.state, RunState::TimedOut);
    let spans = collector.wait(&trace('5'), &["longhaul.run"]).await;
    let span = one(&spans, "longhaul.run");
    assert!(span.has("longhaul.run.result: Str(timeout)") && span.has("error.type: Str(run_timeout)"), "{span:#?}");
    assert_eq!(span.status, "STATUS_CODE_ERROR", "{span:#?}");

    // Its Stata dies, and it is tried again.
    let request = SubmitRequest { retry: Some(Retry::IfProvenDead), ..gated(lab, "again") };
    let run = submit(api, &request, &traceparent('6', "01")).await.run.run_id;
    api.wait_output(run, "started again").await;
    processes::signal(processes::engines(lab.path())[0].pid, Signal::KILL);
    wait::until_now(wait::SOON, "it is tried again", || (lab.executions("again") == 2).then_some(())).await;
    lab.open_gate("again");
    assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
    let spans = collector.wait(&trace('6'), &["longhaul.run"]).await;
    let of = |name: &str, attempt: u32| {
        let attempt = format!("longhaul.run.attempt: Int({attempt})");
        spans.iter().find(|s| s.name == name && s.has(&attempt)).cloned().unwrap_or_else(|| panic!("{spans:#?}"))
    };
    let (first, second) = (of("longhaul.attempt", 1), of("longhaul.attempt", 2));
    assert_eq!((first.status.as_str(), second.status == first.status), ("STATUS_CODE_ERROR", false), "{spans:#?}");
    assert!(first.has("error.type: Str(proven_dead)") && first.times.1 <= second.times.0, "{spans:#?}");
    let wait = of("longhaul.queue", 2);
    let waits_after_death = wait.times.0 >= first.times.1;
    let state = |event: &String| Some(event.strip_prefix("longhaul.run.state: Str(")?.trim_end_matches(')').to_owned());
    let states = one(&spans, "longhaul.run").events.iter().filter_map(state).collect();
    Seen { under_the_caller, link_of_the_join, waits_after_death, told, stages, states }
}

/// Whether it tells what a script is named or says.
fn tells(span: &Span) -> bool {
    let text = format!("{:?} {:?} {}", span.attributes, span.events, span.message);
    text.contains("private") || text.contains("secret_name")
}

/// A simulation shows how far it is: whether its trace does.
async fn stages(lab: &Lab, api: &Api, collector: &Collector) -> bool {
    let path = Some(lab.examples().join("simulation.do").display().to_string());
    let request = SubmitRequest { path, args: vec!["300".into(), "10".into()], ..SubmitRequest::default() };
    let run = submit(api, &request, &traceparent('e', "01")).await.run.run_id;
    assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
    let spans = collector.wait(&trace('e'), &["longhaul.run", "longhaul.submit"]).await;
    let (whole, submitted) = (one(&spans, "longhaul.run"), one(&spans, "longhaul.submit"));
    let stages: Vec<&Span> = spans.iter().filter(|span| span.name == "longhaul.stage").collect();
    for stage in &stages {
        assert_eq!((&stage.parent, stage.kind.as_str()), (&submitted.id, "SPAN_KIND_INTERNAL"), "{stage:#?}");
        assert!(stage.names("longhaul.progress.percent"), "{stage:#?}");
        assert!(submitted.times.0 <= stage.times.0 && stage.times.1 <= whole.times.1, "{stage:#?} {whole:#?}");
    }
    let events = whole.events.iter().filter(|event| *event == "Name: longhaul.run.stage").count();
    assert_eq!(events, stages.len(), "{spans:#?}");
    events > 0
}

/// Parents, kinds and attributes of a run that succeeded.
fn succeeded(spans: &[Span], run: &str) {
    let call = one(spans, "tools/call stata_run_file");
    assert_eq!((call.kind.as_str(), call.parent.as_str()), ("SPAN_KIND_SERVER", CALLER), "{spans:#?}");
    for attribute in ["mcp.method.name: Str(tools/call)", "gen_ai.tool.name: Str(stata_run_file)"] {
        assert!(call.has(attribute), "{attribute}: {call:#?}");
    }
    assert!(call.has("gen_ai.operation.name: Str(execute_tool)") && call.names("jsonrpc.request.id"), "{call:#?}");
    assert!(!call.links.is_empty(), "the HTTP request is linked: {call:#?}");
    let submitted = one(spans, "longhaul.submit");
    assert_eq!((submitted.kind.as_str(), &submitted.parent), ("SPAN_KIND_PRODUCER", &call.id));
    let rpc: Vec<&Span> = spans.iter().filter(|s| s.name == "longhaul.v1.Agent/Run").collect();
    let client = rpc.iter().find(|s| s.kind == "SPAN_KIND_CLIENT").unwrap();
    let server = rpc.iter().find(|s| s.kind == "SPAN_KIND_SERVER").unwrap();
    assert!(client.has("rpc.system.name: Str(grpc)") && client.has("rpc.response.status_code: Str(OK)"), "{client:#?}");
    let parents = [
        (one(spans, "longhaul.queue"), submitted),
        (one(spans, "longhaul.dispatch"), submitted),
        (*client, one(spans, "longhaul.dispatch")),
        (*server, *client),
        (one(spans, "longhaul.start"), *server),
        (one(spans, "longhaul.supervisor"), one(spans, "longhaul.start")),
        (one(spans, "longhaul.stata"), submitted),
        (one(spans, "longhaul.finish"), submitted),
        (one(spans, "longhaul.run"), submitted),
    ];
    for (span, parent) in parents {
        assert_eq!(span.parent, parent.id, "{} under {}: {spans:#?}", span.name, parent.name);
    }
    assert_eq!(one(spans, "longhaul.start").kind, "SPAN_KIND_CONSUMER");
    let services: std::collections::BTreeSet<&str> = spans.iter().map(|s| s.service.as_str()).collect();
    assert_eq!(services.into_iter().collect::<Vec<_>>(), ["longhaul-agent", "longhaul-gateway"]);
    for span in spans {
        assert_eq!(span.state, "vendor=1", "{span:#?}");
        assert!(span.resource.iter().any(|a| a.starts_with("host.name: Str(")), "{span:#?}");
        assert_ne!(span.status, "STATUS_CODE_ERROR", "{span:#?}");
    }
    let whole = one(spans, "longhaul.run");
    assert!(whole.has("longhaul.run.result: Str(success)") && whole.has(&format!("longhaul.run.id: Str({run})")));
    assert!(whole.has("longhaul.run.attempt: Int(1)") && whole.names("longhaul.principal"), "{whole:#?}");
    for state in ["queued", "starting", "running", "succeeded"] {
        let event = format!("longhaul.run.state: Str({state})");
        assert!(whole.events.contains(&event), "{state}: {whole:#?}");
    }
}

#[tokio::test]
async fn every_end_of_a_run_is_one_trace_below_the_callers_own_span() {
    let Some(program) = need::collector() else { return };
    for protocol in ["grpc", "http/protobuf"] {
        let mut lab = lab!();
        let collector = Collector::start(&lab, &program, free_port(), protocol).await;
        let seen = run_all(&mut lab, &collector, protocol).await;
        assert!(seen.under_the_caller && seen.link_of_the_join && !seen.told, "{protocol}");
        assert!(seen.waits_after_death, "the dead attempt's time is no wait");
        assert!(seen.stages, "{protocol}: a simulation has stages");
        let states: Vec<&str> = seen.states.iter().map(String::as_str).collect();
        let twice = ["queued", "starting", "running", "queued", "starting", "running", "succeeded"];
        assert_eq!(states, twice, "{protocol}");
    }
}

#[tokio::test]
async fn the_controls_of_traces_break_what_they_are_for() {
    let Some(program) = need::collector() else { return };
    let mut lab = lab!();
    let collector = Collector::start(&lab, &program, free_port(), "grpc").await;
    let bugs = [
        "meta_trace_ignored",
        "joins_unlinked",
        "waits_from_submission",
        "details_always_in_spans",
        "stages_untold",
        "steps_untold",
    ];
    lab.env("LONGHAUL_FAULTS", bugs.map(|bug| format!("bug={bug}")).join(";"));
    let seen = run_all(&mut lab, &collector, "grpc").await;
    assert!(!seen.under_the_caller && !seen.link_of_the_join && seen.told);
    assert!(!seen.waits_after_death && !seen.stages && seen.states.is_empty(), "{:?}", seen.states);
}
