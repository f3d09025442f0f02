//! What a caller may set beyond one run: another attempt after a death, activity of a quiet run, clear refusals.

use longhaul_proto::{
    api::{Retry, SubmitRequest},
    ids::RunId,
    state::{Cause, RunState},
};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    processes, wait,
};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

/// A do-file that counts itself and waits for its gate; submitted with a policy.
async fn submit(lab: &Lab, api: &Api, name: &str, retry: Option<Retry>) -> RunId {
    let request = SubmitRequest {
        path: Some(lab.gated().display().to_string()),
        args: vec![name.to_owned()],
        retry,
        ..SubmitRequest::default()
    };
    let run = api.submit(&request).await.unwrap().run.run_id;
    api.wait_output(run, &format!("started {name}")).await;
    run
}

fn kill_the_engine(lab: &Lab) {
    let engines = processes::engines(lab.path());
    assert_eq!(engines.len(), 1, "{engines:?}");
    processes::signal(engines[0].pid, Signal::KILL);
}

async fn pair(lab: &Lab, more: &[&str]) -> (Gateway, longhaul_tests::daemon::Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, more);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

#[tokio::test]
async fn a_run_whose_stata_is_killed_is_begun_again_where_its_owner_asked_for_that() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab, &[]).await;
    let api = &gateway.api;
    let run = submit(&lab, api, "again", Some(Retry::IfProvenDead)).await;
    kill_the_engine(&lab);
    wait::until_now(wait::SOON, "it is begun again", || (lab.executions("again") == 2).then_some(())).await;
    lab.open_gate("again");
    let end = api.wait_end(run).await;
    assert_eq!((end.state, end.attempt, end.output_complete), (RunState::Succeeded, 2, true), "{end:#?}");
    assert!(end.note.as_deref().unwrap_or_default().contains("attempt 1 on stata1 died"), "{end:#?}");
    let log = String::from_utf8(api.output(run, "log").await.unwrap()).unwrap();
    assert_eq!(log.matches("started again\n").count(), 2, "what the dead attempt printed is kept:\n{log}");
    assert_eq!(log.matches("finished again\n").count(), 1, "{log}");
    assert_eq!(lab.executions("again"), 2);

    // The control: by default, a killed Stata ends the run.
    let run = submit(&lab, api, "once", None).await;
    kill_the_engine(&lab);
    let end = api.wait_end(run).await;
    assert_eq!((end.state, end.cause, end.attempt), (RunState::Errored, Cause::Killed, 1), "{end:#?}");
    assert_eq!(lab.executions("once"), 1);
}

/// The command line and MCP pass the policy on to the record.
#[tokio::test]
async fn every_door_takes_the_policy() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let file = lab.file("a.do", "display 1\n");
    let ran = lab.run(["--data", &data, "run", "--detach", "--retry", "never", file.to_str().unwrap()]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let said = client.call("stata_submit", json!({"text": "display 2", "retry": "if_proven_dead"})).await;
    assert!(!said.is_error, "{said:#?}");
    let wrong = client.call("stata_submit", json!({"text": "display 2", "retry": "always"})).await;
    assert!(wrong.is_error && wrong.text.contains("\"never\", \"if_not_started\", \"if_proven_dead\""), "{wrong:#?}");
    let listed = gateway.api.list().await.unwrap().runs;
    let mut policies: Vec<Retry> = listed.iter().map(|run| run.retry).collect();
    policies.sort_by_key(|p| *p as u8);
    assert_eq!(policies, [Retry::Never, Retry::IfProvenDead], "{listed:#?}");
}

/// A quiet run reports whether it computes; a run whose agent is away reports how.
#[tokio::test]
async fn a_silence_is_told_for_what_it_is() {
    let mut lab = lab!();
    lab.config("silent_after = \"4s\"\nheartbeat = \"300ms\"\n");
    let (gateway, mut agent) = pair(&lab, &["--seats", "2"]).await;
    let api = &gateway.api;
    let idle = lab.file("idle.do", "display \"up\"\nsleep 600000\n");
    let busy = lab.file("busy.do", "display \"up\"\nforvalues i = 1/1000000000 {\nlocal x = `i' + 1\n}\n");
    let idle = api.submit_path(&idle, &[]).await.run_id;
    let busy = api.submit_path(&busy, &[]).await.run_id;
    let cpus = async |run, what, fits: fn(f64) -> bool| {
        let told = |v: &longhaul_proto::api::RunView| {
            v.activity.is_some_and(|a| a.quiet_for >= 5.0 && a.cpus.is_some_and(fits))
        };
        api.wait_run(run, wait::SOON, what, told).await
    };
    cpus(idle, "the idle one is idle", |cpus| cpus < 0.05).await;
    cpus(busy, "the busy one computes", |cpus| cpus > 0.1).await;

    let contact = async |state: &'static str| {
        let told = |v: &longhaul_proto::api::RunView| v.contact.as_ref().is_some_and(|c| c.state == state);
        let view = api.wait_run(idle, wait::SOON, state, told).await;
        assert_eq!(view.state, RunState::Running, "silence is not death");
        view.contact.unwrap().words
    };
    agent.freeze();
    assert!(contact("silent").await.starts_with("agent stata1 is silent for"));
    agent.thaw();
    api.wait_run(idle, wait::SOON, "it is heard again", |v| v.contact.is_none()).await;
    let mut gateway = gateway;
    agent.kill();
    gateway.kill_and_restart().await;
    let api = &gateway.api;
    let told = |v: &longhaul_proto::api::RunView| v.contact.as_ref().is_some_and(|c| c.state == "awaited");
    api.wait_run(idle, wait::SOON, "awaited", told).await;
    agent.restart();
    api.wait_run(idle, wait::SOON, "all is well", |v| v.contact.is_none() && v.activity.is_some()).await;
    for run in [idle, busy] {
        api.cancel(run, longhaul_proto::api::CancelMode::Kill).await.unwrap();
        assert_eq!(api.wait_end(run).await.state, RunState::Cancelled);
    }
}

#[tokio::test]
async fn a_refusal_says_when_to_try_again() {
    let mut lab = lab!();
    lab.config("max_per_principal = 2\n");
    let gateway = lab.gateway().await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    for n in 0..2 {
        let request = SubmitRequest { text: Some(format!("display {n}")), ..SubmitRequest::default() };
        gateway.api.submit(&request).await.unwrap();
    }
    let body = json!({"text": "display 3"});
    let refused = gateway.api.request(Method::POST, "/api/v1/runs").json(&body).send().await.unwrap();
    let after: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!((refused.status().as_u16(), after > 0), (429, true));
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let problem: Value = refused.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("try again in"), "{problem:#}");
    let said =
        Mcp::new(&gateway.api, "claude-code", "2.1.330").call("stata_submit", json!({"text": "display 4"})).await;
    assert!(said.is_error && said.text.starts_with("nothing was run: you have 2 unfinished runs"), "{said:#?}");
    assert!(said.text.contains("try again in"), "{said:#?}");
    let file = lab.file("a.do", "display 1\n");
    let ran = lab.run(["--data", &data, "run", "--detach", file.to_str().unwrap()]).await;
    assert!(ran.status == 4 && ran.err.contains("try again in"), "{ran:#?}");
    // The same call made again is the same run, and needs no room.
    let again = SubmitRequest { text: Some("display 1".to_owned()), ..SubmitRequest::default() };
    assert!(gateway.api.submit(&again).await.unwrap().joined.is_some());
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), 2);
}

/// Output is cut at its limit, and the run's note says so; Stata goes on.
#[tokio::test]
async fn the_limit_on_output_is_a_setting_and_is_told() {
    let mut lab = lab!();
    lab.config("max_output = \"64KiB\"\n");
    let (gateway, _agent) = pair(&lab, &[]).await;
    let file = lab.counted("loud.do", "*! standin: burst 20000\ndisplay \"over\"\n");
    let run = gateway.api.submit_path(&file, &["loud"]).await.run_id;
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, lab.executions("loud")), (RunState::Succeeded, 1), "{end:#?}");
    assert!(end.output_bytes <= 64 << 10, "{end:#?}");
    assert!(end.note.as_deref().unwrap_or_default().contains("limit"), "{end:#?}");
}
