//! The trace of a run that outlives its gateway and its agent, and one that its client does not record.

use std::path::Path;

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{lab, lab::Lab, need};

use super::{
    collector::{Collector, Span, free_port, one, send_to},
    submit, trace, traceparent,
};

/// What the collector has of two runs over the death of everything: of one that is recorded, and of one that is not.
async fn over_restarts(lab: &mut Lab, collector: &Collector, protocol: &str) -> (Vec<Span>, Vec<Span>) {
    send_to(lab, collector.port(), protocol);
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &["--seats", "2"]);
    gateway.api.wait_host("stata1", "up").await;
    let api = gateway.api.clone();
    let mut runs = Vec::new();
    for (name, digit, flags) in [("quiet", '8', "00"), ("told", '7', "01")] {
        let path = Some(lab.gated().display().to_string());
        let request = SubmitRequest { path, args: vec![name.to_owned()], ..SubmitRequest::default() };
        let run = submit(&api, &request, &traceparent(digit, flags)).await.run;
        assert_eq!(run.trace_id, Some(trace(digit)));
        api.wait_output(run.run_id, &format!("started {name}")).await;
        runs.push((run.run_id, name));
    }
    // A run is seen while it runs: what of it has ended is there.
    let early = ["longhaul.submit", "longhaul.queue", "longhaul.starting", "longhaul.start", "longhaul.supervisor"];
    collector.wait(&trace('7'), &early).await;
    gateway.daemon.kill();
    agent.kill();
    gateway.daemon.restart();
    agent.restart();
    api.wait_host("stata1", "up").await;
    for (run, name) in runs {
        lab.open_gate(name);
        assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
    }
    let told = collector.wait(&trace('7'), &["longhaul.run", "longhaul.stata", "longhaul.finish"]).await;
    // What the other one would have sent is sent when these daemons have ended.
    gateway.daemon.terminate().await;
    agent.terminate().await;
    (told, collector.trace(&trace('8')))
}

#[tokio::test]
async fn a_trace_goes_on_over_the_death_of_gateway_and_agent() {
    let Some(program) = need::collector() else { return };
    for protocol in ["grpc", "http/protobuf"] {
        goes_on(&program, protocol).await;
    }
}

async fn goes_on(program: &Path, protocol: &str) {
    let mut lab = lab!();
    let collector = Collector::start(&lab, program, free_port(), protocol).await;
    let (told, quiet) = over_restarts(&mut lab, &collector, protocol).await;
    let submitted = one(&told, "longhaul.submit");
    for name in ["longhaul.run", "longhaul.attempt", "longhaul.stata", "longhaul.finish", "longhaul.starting"] {
        let span = one(&told, name);
        assert_eq!((&span.parent, span.state.as_str()), (&submitted.id, "vendor=1"), "{name}: {told:#?}");
    }
    let whole = one(&told, "longhaul.run");
    for state in ["queued", "starting", "running", "succeeded"] {
        let event = format!("longhaul.run.state: Str({state})");
        assert!(whole.events.contains(&event), "the ledger knows it: {state}: {whole:#?}");
    }
    assert!(quiet.is_empty(), "its client records nothing: {quiet:#?}");
}

#[tokio::test]
async fn the_control_of_unrecorded_traces_records_them() {
    let Some(program) = need::collector() else { return };
    let mut lab = lab!();
    let collector = Collector::start(&lab, &program, free_port(), "grpc").await;
    lab.env("LONGHAUL_FAULTS", "bug=unsampled_traces_recorded");
    let (_, quiet) = over_restarts(&mut lab, &collector, "grpc").await;
    assert!(!quiet.is_empty());
}
