//! Waits that will not end by themselves, and lost runs that return: what callers are told and can do, with the real
//! programs.

use longhaul_proto::{ids::RunId, state::RunState};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Lab, finish},
    mcp::Mcp,
    processes, wait,
};
use serde_json::json;

const QUICK: &str = "heartbeat = \"200ms\"\nsilent_after = \"1s\"\nno_end_after = \"2s\"\n";

/// A client that waits for days as long as progress arrives.
fn patient(api: &Api) -> Mcp {
    Mcp::new(api, "claude-code", "2.1.330")
}

#[tokio::test]
async fn without_an_agent_a_call_is_answered_with_what_to_do() {
    let mut lab = lab!();
    lab.config(QUICK);
    let gateway = lab.gateway().await;
    let client = patient(&gateway.api);
    let handle = client.call("stata_run_selection", json!({"selection": "display 1"})).await;
    assert!(!handle.is_error && handle.text.starts_with("still queued"), "{handle:#?}");
    for words in ["no agent is connected: start one with `longhaul agent --gateway", "stata_hosts", "stata_wait(runs: "]
    {
        assert!(handle.text.contains(words), "{words}: {handle:#?}");
    }
    let refused = client.call("stata_run_selection", json!({"selection": "display 1", "host": "stata9"})).await;
    assert!(refused.is_error && refused.text.contains("no host is named `stata9`"), "{refused:#?}");
    // Once it is mended, the run starts by itself.
    let _agent = lab.agent("stata1", &gateway, &[]);
    let result = client.call("stata_wait", json!({"runs": handle.run(), "seconds": 60})).await;
    assert!(
        result.text.starts_with("succeeded")
            && result.text.contains(" · queued ")
            && result.text.contains("\nqueued because: "),
        "{result:#?}"
    );
    assert!(result.text.contains("no agent is connected"), "for what it waited: {result:#?}");
}

/// A run that waits for the seat of a run on a silent host says what frees it, wherever it is shown. Returns it.
async fn behind_a_silent_host(client: &Mcp, short: &str) -> RunId {
    // A cancel request is not reported as received by the agent.
    let declare = format!("`longhaul declare-dead {short}`");
    let selection = json!({"selection": "display 1"});
    let behind = client.call("stata_run_selection", selection).await;
    for words in ["It waits behind your own run", &declare, "is only recorded until then, and frees nothing now"] {
        assert!(behind.text.contains(words), "{words}: {behind:#?}");
    }
    assert!(!behind.text.contains(&format!("stata_cancel(run: \"{short}\") ends")), "{behind:#?}");
    // The reason is given whole, with what to do, wherever the run is shown.
    let whole =
        |text: &str| text.contains(&format!("(longhaul declare-dead {short})").replace('(', "(`").replace(')', "`)"));
    let first = behind.text.lines().next().unwrap_or_default().to_owned();
    assert!(whole(&first), "{first}");
    let listed = client.call("stata_runs", json!({"state": "queued"})).await;
    assert!(whole(&listed.text), "{listed:#?}");
    let wish = client.call("stata_cancel", json!({"run": short})).await;
    assert!(wish.text.contains("its agent is not told yet (agent stata1 is silent for"), "{wish:#?}");
    assert!(wish.text.contains(&declare), "{wish:#?}");
    let behind_run = behind.raw["result"]["_meta"]["longhaul/run"].as_str().unwrap().to_owned();
    let wait = client.call("stata_wait", json!({"runs": behind_run, "seconds": 0})).await;
    assert!(wait.text.contains("to end is recorded, and carried out when") && whole(&wait.text), "{wait:#?}");
    behind_run.parse().unwrap()
}

/// A run without a cancel request: its owner is told that it runs again, and can end it then.
async fn lost_and_running_again(lab: &Lab, api: &Api, agent: &mut Daemon, client: &Mcp) {
    let run = api.submit_path(&lab.gated(), &["again"]).await.run_id;
    let short = run.to_string()[28..].to_owned();
    api.wait_output(run, "started again").await;
    agent.kill();
    api.wait_run(run, wait::SOON, "silence", |v| v.contact.is_some()).await;
    assert_eq!(lab.run(["declare-dead", &short]).await.status, 0);
    agent.restart();
    api.wait_run(run, wait::SOON, "it runs again", |v| v.runs_again && v.state == RunState::Lost).await;
    let hosts = client.call("stata_hosts", json!({})).await;
    assert!(hosts.text.contains(&format!("run {short}: lost, but running again on stata1")), "{hosts:#?}");
    let runs = lab.run(["runs"]).await;
    assert!(runs.out.contains("its agent has returned, and it runs again on stata1"), "{runs:#?}");
    let wish = lab.run(["cancel", &short, "--mode", "kill"]).await;
    assert!(wish.status == 0 && wish.err.contains("the request to end it is recorded"), "{wish:#?}");
    api.wait_run(run, wait::SOON, "its end", |v| v.state == RunState::Cancelled).await;
    processes_are_gone(lab).await;
    wait::until(wait::SOON, "the seat is free", async || {
        api.hosts().await.ok()?.pools.iter().all(|p| p.in_use == 0).then_some(())
    })
    .await;
}

/// The whole course of a host that dies under a call and comes back after its run was given up.
#[tokio::test]
async fn a_run_that_was_declared_dead_and_returns_is_told_and_can_be_ended() {
    let mut lab = lab!();
    lab.config(QUICK);
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let client = patient(&gateway.api);
    let arguments = json!({"file_path": lab.gated(), "args": ["dead"]});
    let mut call = client.start("stata_run_file", arguments, json!({})).await;
    call.progress("it runs", |p| p.message.starts_with("running")).await;
    let run = gateway.api.list().await.unwrap().runs[0].run_id;
    let short = run.to_string()[28..].to_owned();
    gateway.api.wait_output(run, "started dead").await;
    agent.kill();
    let told = call.result().await;
    assert!(!told.is_error && told.text.starts_with("still running"), "{told:#?}");
    for words in ["agent stata1 is silent for", &format!("`longhaul declare-dead {short}`"), "stata_log(run: "] {
        assert!(told.text.contains(words), "{words}: {told:#?}");
    }
    let behind_run = behind_a_silent_host(&client, &short).await;

    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    assert_eq!(lab.run(["declare-dead", &short]).await.status, 0);
    gateway
        .api
        .wait_run(behind_run, wait::SOON, "its seat is free", |v| {
            !v.waiting.as_deref().unwrap_or_default().contains(&short)
        })
        .await;
    client.call("stata_cancel", json!({"run": behind_run})).await;
    agent.restart();
    // The earlier request reaches the agent that returns, though the run was lost meanwhile.
    let ended = gateway.api.wait_run(run, wait::SOON, "its own record", |v| v.state == RunState::Cancelled).await;
    assert!(ended.output_complete, "{ended:#?}");
    processes_are_gone(&lab).await;

    lost_and_running_again(&lab, &gateway.api, &mut agent, &client).await;
}

/// No Stata of this lab is left.
async fn processes_are_gone(lab: &Lab) {
    let spools = lab.path().join("stata1/agent/runs");
    wait::until(wait::SOON, "no process of a run", async || processes::below(&spools).is_empty().then_some(())).await;
}

#[tokio::test]
async fn the_command_line_says_that_a_wait_has_no_end_in_sight() {
    let mut lab = lab!();
    lab.config(QUICK);
    let gateway = lab.gateway().await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let file = lab.file("waits.do", "display 1\n");
    // Time enough for the hint; the limit is the hint's own.
    let waiting = lab.command(["run", "--detach", file.to_str().unwrap()]);
    let run = finish(waiting).await.out.trim().to_owned();
    let ran = lab.run(["wait", &run, "--timeout", "14s"]).await;
    assert!(ran.err.contains("this run does not start by waiting alone: no agent is connected"), "{ran:#?}");
    let unknown = lab.run(["run", "--host", "stata9", file.to_str().unwrap()]).await;
    assert!(unknown.status == 4 && unknown.err.contains("no host is named `stata9`"), "{unknown:#?}");
    assert_eq!(ran.status, 6, "its own limit: {ran:#?}");
    let unknown = lab.run(["run", "--label", "site=north", file.to_str().unwrap()]).await;
    assert!(unknown.status == 4 && unknown.err.contains("no host has the label `site=north`"), "{unknown:#?}");
}

/// The control: before, a run that waited behind one on a dead host was told to cancel that, and the advice that helps
/// was cut off.
#[tokio::test]
async fn a_cancel_that_frees_nothing_would_be_advised() {
    let mut lab = lab!();
    lab.config(QUICK).env("LONGHAUL_FAULTS", "bug=cancel_frees_all;bug=reasons_are_cut");
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&lab.gated(), &["dead"]).await.run_id;
    let short = run.to_string()[28..].to_owned();
    gateway.api.wait_output(run, "started dead").await;
    agent.kill();
    gateway.api.wait_run(run, wait::SOON, "silence", |v| v.contact.is_some()).await;
    let client = patient(&gateway.api);
    let behind = client.call("stata_run_selection", json!({"selection": "display 1"})).await;
    assert!(behind.text.contains(&format!("stata_cancel(run: \"{short}\") ends")), "{behind:#?}");
    let first = behind.text.lines().next().unwrap_or_default();
    assert!(first.contains("in use by") && !first.contains("declare-dead"), "{first}");
}

/// A limit that one run uses up hides no other's end.
#[tokio::test]
async fn what_has_ended_is_told_whatever_time_the_runs_before_it_took() {
    let mut lab = lab!();
    let gateway = lab.up(&["--seats", "2"]).await;
    gateway.api.wait_host_up().await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let long = gateway.api.submit_path(&lab.gated(), &["long"]).await.run_id;
    let over = gateway.api.submit_path(&lab.file("over.do", "display 1\n"), &[]).await.run_id;
    gateway.api.wait_end(over).await;
    let waited = lab.run(["wait", "--timeout", "1", &long.to_string(), &over.to_string()]).await;
    assert_eq!(waited.status, 6, "{waited:#?}");
    assert!(waited.err.contains("succeeded") && waited.err.contains(&over.short()), "{waited:#?}");
    lab.open_gate("long");
    gateway.api.wait_end(long).await;
}
