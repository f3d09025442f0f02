//! Clients that wait, clients that cannot, and connections that break: the result always arrives.

use std::{path::Path, time::Duration};

use longhaul_proto::state::RunState;
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, finish},
    mcp::{Mcp, Said},
    need, wait,
};
use serde_json::{Value, json};

/// A client on the list of those known to wait as long as progress arrives.
fn patient(api: &Api) -> Mcp {
    Mcp::new(api, "claude-code", "2.1.330")
}

/// A client that is not on it: it waits 60 s for an answer, with or without progress.
fn impatient(api: &Api) -> Mcp {
    Mcp::new(api, "typescript-sdk-client", "1.0.0").without_progress()
}

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

/// The official Python SDK calls `stata_run_file`, with an HTTP client that waits `read_timeout` seconds for the next
/// byte.
async fn python(lab: &Lab, python: &Path, api: &Api, mode: &str, read_timeout: &str, file: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/call_tool.py");
    let mut command = tokio::process::Command::new(python);
    command.arg(script).args([&format!("{}/mcp", api.url()), api.token(), mode, read_timeout, "stata_run_file"]);
    command.arg(json!({"file_path": file, "wait": true}).to_string()).kill_on_drop(true);
    command.env("HOME", lab.path().join("home"));
    let ran = finish(command).await;
    serde_json::from_str(ran.out.trim()).unwrap_or_else(|e| panic!("{e}: {ran:#?}"))
}

fn silent(lab: &Lab, milliseconds: u32) -> std::path::PathBuf {
    let body = format!("quietly {{\nsleep {milliseconds}\n}}\ndisplay \"the result of a silent run\"\n");
    lab.file(&format!("silent-{milliseconds}.do"), body)
}

/// Twelve silent minutes at a fiftieth of the scale: the client's patience between two bytes is a quarter of the run.
#[tokio::test]
async fn the_python_sdk_gets_the_result_of_a_silent_run_longer_than_its_read_timeout() {
    let Some(interpreter) = need::python_sdk() else { return };
    let mut lab = lab!();
    lab.config("progress_every = \"400ms\"\n");
    let (gateway, _agent) = pair(&lab).await;
    let files = [silent(&lab, 14_400), silent(&lab, 14_401)];
    let call = |mode, file| python(&lab, &interpreter, &gateway.api, mode, "3.6", file);
    let said = tokio::join!(call("auto", &files[0]), call("legacy", &files[1]));
    for (mode, said) in [("auto", said.0), ("legacy", said.1)] {
        assert_eq!(said["failed"], Value::Null, "{mode}: {said:#}");
        assert_eq!(said["is_error"], false, "{mode}: {said:#}");
        assert!(said["text"].as_str().unwrap_or_default().contains("the result of a silent run"), "{mode}: {said:#}");
        let times: Vec<f64> = said["progress"].as_array().unwrap().iter().map(|p| p["at"].as_f64().unwrap()).collect();
        assert!(times.len() >= 10, "{mode}: {times:?}");
        let gap = times.windows(2).map(|w| w[1] - w[0]).fold(times[0], f64::max);
        assert!(gap < 3.6, "{mode}: a heartbeat in time each time, not after {gap} s");
    }
}

/// The control: the same without a heartbeat fails, while the run goes on and keeps its result.
#[tokio::test]
async fn without_the_heartbeat_the_python_sdk_gives_up() {
    let Some(interpreter) = need::python_sdk() else { return };
    let mut lab = lab!();
    lab.config("progress_every = \"1h\"\n");
    let (gateway, _agent) = pair(&lab).await;
    let said = python(&lab, &interpreter, &gateway.api, "auto", "1.8", &silent(&lab, 3_600_000)).await;
    assert_ne!(said["failed"], Value::Null, "{said:#}");
    let run = &gateway.api.list().await.unwrap().runs[0];
    assert_eq!(run.state, RunState::Running, "{run:#?}");
}

#[tokio::test]
async fn with_default_settings_progress_comes_at_once_and_every_fifteen_seconds_at_most() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    let file = silent(&lab, 22_000);
    let call = patient(&gateway.api).start("stata_run_file", json!({"file_path": file}), json!({})).await;
    let (progress, result) = call.all().await;
    let result = result.expect("an answer");
    assert!(!result.is_error && result.text.contains("the result of a silent run"), "{result:#?}");
    assert!(progress.len() >= 3, "{progress:#?}");
    assert!(progress[0].at < Duration::from_secs(5), "at acceptance: {progress:#?}");
    for two in progress.windows(2) {
        assert!(two[1].at - two[0].at <= Duration::from_secs(15), "{two:#?}");
        assert!(two[1].value > two[0].value, "it rises: {two:#?}");
    }
    for one in &progress {
        assert!(one.message.chars().count() <= 200 && one.value <= 100.0, "{one:#?}");
    }
}

#[tokio::test]
async fn a_client_off_the_list_gets_a_handle_in_time_and_the_result_by_waiting() {
    let mut lab = lab!();
    lab.config("handle_after = \"1s\"\n");
    let (gateway, _agent) = pair(&lab).await;
    let client = impatient(&gateway.api);
    let handle = client.call("stata_run_file", json!({"file_path": lab.gated(), "args": ["handle"]})).await;
    assert!(!handle.is_error, "{handle:#?}");
    assert!(handle.text.contains("stata_wait"), "it says what to do next: {handle:#?}");
    let run = handle.run();
    let view = gateway.api.get(&run).await.unwrap();
    assert_eq!(view.state, RunState::Running, "{view:#?}");

    let waited = client.call("stata_wait", json!({"runs": run, "seconds": 1})).await;
    assert!(!waited.is_error && waited.text.contains("running"), "bounded: {waited:#?}");
    lab.open_gate("handle");
    let waited = client.call("stata_wait", json!({"runs": run, "seconds": 40})).await;
    assert!(!waited.is_error, "{waited:#?}");
    assert!(waited.text.contains("succeeded") && waited.text.contains("finished handle"), "{waited:#?}");
    assert_eq!(lab.executions("handle"), 1);
}

#[tokio::test]
async fn the_heartbeat_goes_on_while_the_agent_is_stopped_and_says_so() {
    let mut lab = lab!();
    lab.config("progress_every = \"200ms\"\nheartbeat = \"200ms\"\nsilent_after = \"1s\"\n");
    let (gateway, agent) = pair(&lab).await;
    let arguments = json!({"file_path": lab.gated(), "args": ["frozen"]});
    let mut call = patient(&gateway.api).start("stata_run_file", arguments, json!({})).await;
    call.progress("it runs", |p| p.message.starts_with("running")).await;
    // The control: while the run is not silent, progress does not mention silence.
    let quiet = call.progress("it still runs", |_| true).await;
    assert!(!quiet.message.contains("silent"), "{quiet:?}");
    agent.freeze();
    let first = call.progress("the agent is silent", |p| p.message.contains("silent")).await;
    for _ in 0..5 {
        let next = call.progress("and on", |p| p.message.contains("silent")).await;
        assert!(next.value > first.value, "{next:?}");
    }
    agent.thaw();
    lab.open_gate("frozen");
    let result = call.result().await;
    assert!(!result.is_error && result.text.contains("finished frozen"), "{result:#?}");
}

#[tokio::test]
async fn a_cut_connection_costs_nothing() {
    let mut lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let arguments = json!({"file_path": lab.gated(), "args": ["cut"]});
    let mut call = patient(&gateway.api).start("stata_run_file", arguments.clone(), json!({})).await;
    call.progress("accepted", |_| true).await;
    let run = gateway.api.list().await.unwrap().runs[0].run_id;
    gateway.api.wait_output(run, "started cut").await;
    drop(call);

    // The same call again joins the same run, while it runs (the call has no id of its own, so it gets the handle) ...
    let mut again = patient(&gateway.api).start("stata_run_file", arguments.clone(), json!({})).await;
    let Some(Said::Progress(joined)) = again.next().await else { panic!("progress at acceptance") };
    let short = &run.to_string()[28..];
    assert!(joined.message.contains(short), "{joined:?} is about {run}");
    drop(again);
    lab.open_gate("cut");
    // Watched by another principal: a look by its owner would count as delivery of the end.
    let watcher = gateway.api.watcher().await;
    watcher.wait_run(run, wait::SOON, "its end", |v| v.state.is_end()).await;
    // ... and when it has ended without its result having been delivered.
    let result = patient(&gateway.api).call("stata_run_file", arguments.clone()).await;
    assert!(result.text.contains("finished cut") && result.text.contains(short), "{result:#?}");
    assert_eq!(lab.executions("cut"), 1);

    let waited = patient(&gateway.api).call("stata_wait", json!({"runs": run, "offset": 0})).await;
    assert!(waited.text.contains("started cut") && waited.text.contains("finished cut"), "{waited:#?}");
    let log = lab.run(["log", short]).await;
    assert!(log.status == 0 && log.out.contains("started cut\n") && log.out.contains("finished cut\n"), "{log:#?}");

    // The control: requested explicitly, it runs again.
    let mut anew = arguments;
    anew["again"] = json!(true);
    let result = patient(&gateway.api).call("stata_run_file", anew).await;
    assert!(!result.text.contains(short), "{result:#?}");
    assert_eq!(lab.executions("cut"), 2);
}

#[tokio::test]
async fn the_same_tool_use_is_the_same_run_even_when_its_end_was_seen() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    lab.open_gate("use");
    let arguments = json!({"file_path": lab.gated(), "args": ["use"]});
    for (id, executions, joined) in [("toolu_1", 1, false), ("toolu_1", 1, true), ("toolu_2", 2, false)] {
        let meta = json!({"claudecode/toolUseId": id});
        let result = patient(&gateway.api).start("stata_run_file", arguments.clone(), meta).await.result().await;
        assert!(!result.is_error && result.text.contains("finished use"), "{result:#?}");
        assert_eq!(result.text.contains("nothing was started now"), joined, "{result:#?}");
        assert_eq!(lab.executions("use"), executions, "{id}");
    }
}

#[tokio::test]
async fn a_failing_do_file_is_an_error_that_says_where() {
    let lab = lab!();
    let file = lab.examples().join("nested-failure.do");
    let (gateway, _agent) = pair(&lab).await;
    let result = patient(&gateway.api).call("stata_run_file", json!({"file_path": file})).await;
    assert!(result.is_error, "{result:#?}");
    for words in ["r(9)", "assertion is false", "check.do", "4", "1 contradiction in 10 observations"] {
        assert!(result.text.contains(words), "{words:?} is missing: {result:#?}");
    }
}

/// Claude Code cuts the middle out of an error of more than 10,000 characters, and with it whatever is there.
#[tokio::test]
async fn errors_are_shown_whole_however_much_was_printed() {
    const CLIENT: usize = 10_000;
    let lab = lab!();
    let body = "args fails\n*! standin: burst 3000\nif `fails' {\n    display bad_var\n}\ndisplay \"the end\"\n";
    let file = lab.file("long.do", body);
    let (gateway, _agent) = pair(&lab).await;
    let client = patient(&gateway.api);
    let run = async |args: Value| client.call("stata_run_file", json!({"file_path": file, "args": args})).await;

    // The control: an answer that is not an error may be longer.
    let good = run(json!(["0"])).await;
    assert!(!good.is_error && good.text.len() > CLIENT && good.text.contains("\nthe end\n"), "{good:#?}");
    let bad = run(json!(["1"])).await;
    assert!(bad.is_error && bad.text.len() < CLIENT, "{} bytes: {bad:#?}", bad.text.len());
    assert!(bad.text.starts_with("failed: r(111)") && bad.text.contains("\nr(111);\n"), "{bad:#?}");

    // One wait for many runs, of which one failed: each verdict is there, however much room the output takes.
    let mut runs = vec![bad.run()];
    for n in 1..50 {
        let submitted = client.call("stata_submit", json!({"path": file, "args": ["0", n.to_string()]})).await;
        runs.push(submitted.run());
    }
    for run in &runs[1..] {
        let waited = client.call("stata_wait", json!({"runs": run, "seconds": 60})).await;
        assert!(waited.text.starts_with("succeeded"), "{waited:#?}");
    }
    for several in [4, 16, 50] {
        let all = client.call("stata_wait", json!({"runs": runs[..several]})).await;
        assert!(all.is_error && all.text.len() < CLIENT, "{several}, {} bytes: {all:#?}", all.text.len());
        for run in &runs[..several] {
            let verdict = |line: &str| ["failed: r(111) ", "succeeded "].iter().any(|word| line.starts_with(word));
            let about = |line: &str| line.contains(run.as_str()) && verdict(line);
            assert!(all.text.lines().any(about), "{several}: no verdict of {run}: {}", all.text);
        }
        assert!(!all.text.contains("(no output)"), "{several}: {}", all.text);
        assert_eq!(all.text.contains("There is no room for the output"), several == 50, "{several}: {}", all.text);
    }
}

#[tokio::test]
async fn a_call_survives_a_restart_of_the_gateway_by_its_run() {
    let lab = lab!();
    let (mut gateway, _agent) = pair(&lab).await;
    let arguments = json!({"file_path": lab.gated(), "args": ["restart"]});
    let mut call = patient(&gateway.api).start("stata_run_file", arguments, json!({})).await;
    call.progress("it runs", |p| p.message.starts_with("running")).await;
    gateway.kill_and_restart().await;
    assert!(call.all().await.1.is_none(), "the connection broke");
    lab.open_gate("restart");
    let runs = patient(&gateway.api).call("stata_runs", json!({})).await;
    let result = patient(&gateway.api).call("stata_wait", json!({"runs": runs.run()})).await;
    assert!(result.text.contains("finished restart"), "{result:#?}");
    assert_eq!(lab.executions("restart"), 1);
}

#[tokio::test]
async fn a_web_page_elsewhere_cannot_call_even_with_a_token() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    let check = async |client: Mcp, want: u16| {
        let answer = client.request("tools/list", json!({})).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), want, "{}", answer.text().await.unwrap_or_default());
    };
    check(patient(&gateway.api), 200).await;
    check(patient(&gateway.api).header("origin", "https://evil.example"), 403).await;
    check(patient(&gateway.api).header("host", "evil.example"), 421).await;
}
