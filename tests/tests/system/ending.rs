//! Cancelling and time limits: the right end, every process ended, the output kept.

use longhaul_proto::{
    api::{CancelMode, RunView, SubmitRequest},
    state::{Cause, RunState},
};
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
    processes, wait,
};

async fn start(lab: &Lab) -> Gateway {
    let gateway = lab.up(&["--seats", "8"]).await;
    gateway.api.wait_host_up().await;
    gateway
}

/// Runs a do-file that prints `before`, sleeps for ever and would print `after`.
async fn endless(lab: &Lab, gateway: &Gateway, name: &str, faults: &str, timeout: Option<f64>) -> RunView {
    let faults: String = faults.split(';').map(|f| format!("*! standin: {}\n", f.trim())).collect();
    let file = lab.file(name, format!("{faults}display \"before\"\nsleep 3600000\ndisplay \"after\"\n"));
    let request = SubmitRequest { path: Some(file.to_str().unwrap().into()), timeout, ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run;
    gateway.api.wait_output(run.run_id, "\nbefore\n").await;
    run
}

/// Checks that the end is the requested one, the output stays, and no process of the run is left.
async fn check(lab: &Lab, gateway: &Gateway, run: &RunView, state: RunState, cause: Cause) -> RunView {
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!((end.state, end.cause), (state, cause), "{end:#?}");
    let end = gateway.api.wait_run(run.run_id, wait::SOON, "the whole output", |v| v.output_complete).await;
    let log = String::from_utf8(gateway.api.output(run.run_id, "log").await.unwrap()).unwrap();
    assert!(log.contains("\nbefore\n") && !log.contains("\nafter\n"), "{log}");
    let spool = Lab::spool(&gateway.daemon, run.run_id);
    wait::until_now(wait::SOON, "the run's processes are gone", || processes::below(&spool).is_empty().then_some(()))
        .await;
    let strays: Vec<_> = processes::below(lab.path()).into_iter().filter(|p| p.command.contains("sleep ")).collect();
    assert!(strays.is_empty(), "{strays:?}");
    end
}

#[tokio::test]
async fn a_cancelled_run_is_cancelled_however_stata_takes_the_interrupt() {
    for sigint in ["sigint=break", "sigint=die"] {
        let lab = lab!();
        let gateway = start(&lab).await;
        let run = endless(&lab, &gateway, "a.do", sigint, None).await;
        let asked = gateway.api.cancel(run.run_id, CancelMode::Break).await.unwrap();
        assert!(asked.cancel_requested.is_some(), "the wish is on record at once: {asked:#?}");
        check(&lab, &gateway, &run, RunState::Cancelled, Cause::CancelRequested).await;
    }
}

#[tokio::test]
async fn a_time_limit_ends_a_run_however_stata_takes_the_interrupt() {
    for sigint in ["sigint=break", "sigint=die"] {
        let lab = lab!();
        let gateway = start(&lab).await;
        let run = endless(&lab, &gateway, "a.do", sigint, Some(0.5)).await;
        check(&lab, &gateway, &run, RunState::TimedOut, Cause::RunTimeout).await;
    }
}

#[tokio::test]
async fn a_run_that_ignores_the_interrupt_is_terminated_after_the_grace() {
    let lab = lab!();
    let gateway = start(&lab).await;
    let run = endless(&lab, &gateway, "a.do", "sigint=ignore", None).await;
    gateway.api.cancel(run.run_id, CancelMode::Break).await.unwrap();
    check(&lab, &gateway, &run, RunState::Cancelled, Cause::CancelRequested).await;
}

#[tokio::test]
async fn a_hanging_run_can_be_killed_at_once() {
    let lab = lab!();
    let gateway = start(&lab).await;
    let run = endless(&lab, &gateway, "a.do", "sigint=ignore", None).await;
    gateway.api.cancel(run.run_id, CancelMode::Kill).await.unwrap();
    check(&lab, &gateway, &run, RunState::Cancelled, Cause::CancelRequested).await;
}

#[tokio::test]
async fn a_child_that_outlives_stata_goes_with_the_run_and_is_named() {
    for child in ["child 600", "child 600 group", "child 600 session"] {
        let lab = lab!();
        let gateway = start(&lab).await;
        let run = endless(&lab, &gateway, "a.do", &format!("{child}; sigint=die"), None).await;
        // The control: the child exists, and would for ten minutes.
        let children = processes::below(lab.path()).into_iter().filter(|p| p.command.contains("sleep 600")).count();
        assert!(children >= 1, "{child}: {:?}", processes::below(lab.path()));
        gateway.api.cancel(run.run_id, CancelMode::Break).await.unwrap();
        let end = check(&lab, &gateway, &run, RunState::Cancelled, Cause::CancelRequested).await;
        // A child in Stata's own process group gets the interrupt too; the others stay and have to be ended.
        if child != "child 600" {
            assert!(end.leftovers.iter().any(|l| l.contains("sleep")), "{child}: {:?}", end.leftovers);
        }
    }
}

#[tokio::test]
async fn a_child_is_swept_after_an_end_of_the_runs_own_too() {
    let lab = lab!();
    let gateway = start(&lab).await;
    let file = lab.file("a.do", "*! standin: child 600 session\ndisplay \"done\"\n");
    let run = gateway.api.submit_path(&file, &[]).await;
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    // It is found at once, and named as what it is then: perhaps `setsid` still, which becomes `sleep`.
    let named = |l: &String| l.contains("sleep") || l.contains("setsid");
    assert!(end.leftovers.len() == 1 && end.leftovers.iter().all(named), "{:?}", end.leftovers);
    assert!(!processes::below(lab.path()).iter().any(|p| p.command.contains("sleep 600")));
}

#[tokio::test]
async fn a_waiting_run_is_cancelled_without_ever_starting() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let run = gateway.api.submit_path(&lab.gated(), &["never"]).await;
    gateway.api.cancel(run.run_id, CancelMode::Break).await.unwrap();
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!((end.state, end.cause, end.attempt), (RunState::Cancelled, Cause::CancelRequested, 0), "{end:#?}");
    assert_eq!(lab.executions("never"), 0);
}

#[tokio::test]
async fn a_wish_to_cancel_reaches_an_agent_that_was_away() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    let run = gateway.api.submit_path(&lab.gated(), &["away"]).await;
    gateway.api.wait_output(run.run_id, "started away").await;
    agent.kill();
    gateway.api.cancel(run.run_id, CancelMode::Break).await.unwrap();
    agent.restart();
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!((end.state, end.cause), (RunState::Cancelled, Cause::CancelRequested), "{end:#?}");
}

#[tokio::test]
async fn a_time_limit_has_no_default_anywhere() {
    let mut lab = lab!();
    // Twenty minutes of the stand-in's time in a second.
    lab.env("LONGHAUL_STANDIN_TIME_SCALE", "0.001");
    let gateway = start(&lab).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let file = lab.file("twenty.do", "sleep 1200000\ndisplay \"twenty minutes later\"\n");
    let path = file.to_str().unwrap();
    let by_api = gateway.api.submit_path(&file, &["api"]).await.run_id;
    let by_mcp = longhaul_tests::mcp::Mcp::new(&gateway.api, "test", "1")
        .call("stata_submit", serde_json::json!({"path": path, "args": ["mcp"]}))
        .await;
    assert!(!by_mcp.is_error, "{by_mcp:#?}");
    let ran = lab.run(["run", path, "cli"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    gateway.api.wait_end(by_api).await;
    let runs = gateway.api.list().await.unwrap().runs;
    assert_eq!(runs.len(), 3, "{runs:#?}");
    for run in runs {
        let end = gateway.api.wait_end(run.run_id).await;
        assert_eq!((end.state, end.timeout, end.queue_timeout), (RunState::Succeeded, None, None), "{end:#?}");
        let plan = std::fs::read_to_string(Lab::spool(&gateway.daemon, run.run_id).join("control/plan.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let limits: Vec<_> =
            plan.as_object().unwrap().iter().filter(|(k, _)| *k == "timeout_ms" || *k == "timeout").collect();
        assert!(limits.iter().all(|(_, v)| v.is_null() || **v == 0), "{limits:?}");
    }
}

#[tokio::test]
async fn a_limit_on_waiting_counts_only_the_wait() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let file = lab.gated();
    let request = SubmitRequest {
        path: Some(file.to_str().unwrap().into()),
        queue_timeout: Some(0.5),
        ..SubmitRequest::default()
    };
    let run = gateway.api.submit(&request).await.unwrap().run;
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!((end.state, end.cause), (RunState::TimedOut, Cause::QueueTimeout), "{end:#?}");
}
