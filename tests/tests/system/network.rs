//! A network between gateway and agent that is cut: neither side is notified, connections stay half open, new ones get
//! no answer.
//!
//! Scaled: 100 ms between heartbeats stand for 2 s, so 30 s without a network stand for 10 minutes. `LONGHAUL_TEST_CUT`
//! (seconds) cuts it for that long with the real heartbeats instead.

use std::{fs, time::Duration};

use longhaul_proto::{
    api::SubmitRequest,
    state::{Cause, RunState},
    tasks::Tasks,
};
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
    ledger, processes,
    relay::Relay,
    sse, wait,
};

/// An agent behind relays both ways.
struct Behind {
    agent: longhaul_tests::daemon::Daemon,
    relays: [Relay; 2],
}

impl Behind {
    async fn new(lab: &Lab, gateway: &Gateway) -> Self {
        let (to_gateway, to_agent) = (Relay::new().await, Relay::new().await);
        to_gateway.to(gateway.api.address().parse().unwrap());
        let more = ["--gateway", &to_gateway.url(), "--advertise", &to_agent.url()];
        let agent = lab.agent("stata1", gateway, &more);
        let listens = || {
            let text = agent.printed();
            let (_, rest) = text.split_once("listens on ")?;
            rest.split_whitespace().next()?.parse().ok()
        };
        to_agent.to(wait::until_now(wait::SOON, "the agent says where it listens", listens).await);
        gateway.api.wait_host("stata1", "up").await;
        Self { agent, relays: [to_gateway, to_agent] }
    }

    fn cut(&self) {
        self.relays.iter().for_each(Relay::cut);
    }

    fn heal(&self) {
        self.relays.iter().for_each(Relay::heal);
    }
}

#[tokio::test]
async fn a_run_that_ends_while_the_network_is_cut_is_delivered_once() {
    let mut lab = lab!();
    let real: Option<f64> = std::env::var("LONGHAUL_TEST_CUT").ok().and_then(|s| s.parse().ok());
    if real.is_none() {
        lab.config("heartbeat = \"100ms\"\nsilent_after = \"1s\"\n");
    }
    let away = real.unwrap_or(30.0);
    let gateway = lab.gateway().await;
    let behind = Behind::new(&lab, &gateway).await;
    let run = gateway.api.submit_path(&lab.gated(), &["cut"]).await.run_id;
    let next = lines(&lab, ["next", "5", "0", "0"]);
    let next = gateway.api.submit(&next).await.unwrap().run.run_id;
    let (heard, mut hears) = tokio::sync::watch::channel(0);
    let tasks = Tasks::new();
    // The follower's own limit is two minutes; after a longer cut it starts at the end of the cut.
    let follower = (away < 100.0).then(|| tasks.spawn(sse::follow(gateway.api.clone(), run, heard)));
    gateway.api.wait_output(run, "started cut").await;
    if follower.is_some() {
        hears.wait_for(|heard| *heard > 0).await.unwrap();
    }

    behind.cut();
    lab.open_gate("cut");
    wait::until_now(wait::SOON, "the run ends unseen", || processes::engines(lab.path()).is_empty().then_some(()))
        .await;
    let limit = Duration::from_secs_f64(away + 60.0);
    let silent = gateway.api.wait_run(run, limit, "a long silence", |v| v.agent_silent_for.is_some_and(|s| s >= away));
    let silent = silent.await;
    assert_eq!((silent.state, silent.attempt), (RunState::Running, 1), "silence is not death: {silent:#?}");
    let so_far = gateway.api.output(run, "log").await.unwrap();
    assert!(String::from_utf8_lossy(&so_far).contains("started cut"), "the output so far can be read");
    let waiting = gateway.api.get(next).await.unwrap();
    assert_eq!((waiting.state, waiting.attempt), (RunState::Queued, 0), "{waiting:#?}");
    assert!(waiting.waiting.is_some_and(|w| w.contains("stata1")), "and it is said why");
    gateway.api.wait_host("stata1", "silent").await;

    behind.heal();
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.cause, end.attempt), (RunState::Succeeded, Cause::Completed, 1), "{end:#?}");
    assert!(end.output_complete, "{end:#?}");
    let log = gateway.api.output(run, "log").await.unwrap();
    let spool = Lab::log(&behind.agent, run);
    assert!(log == fs::read(spool).unwrap() && log.starts_with(&so_far), "byte for byte");
    if let Some(follower) = follower {
        assert_eq!(follower.await.unwrap().as_bytes(), log, "and so is what its follower was sent");
    }
    assert_eq!(gateway.api.wait_end(next).await.state, RunState::Succeeded, "what waited goes on");
    assert_eq!((lab.executions("cut"), lab.executions("next")), (1, 1));
    let steps = ledger::history(&gateway.daemon.data, run).await;
    let want = ["queued submitted 0", "starting dispatched 1", "running first_output 1", "succeeded completed 1"];
    assert_eq!(steps, want, "one end, and nothing else");
}

#[tokio::test]
async fn a_short_cut_costs_nothing_but_time() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let behind = Behind::new(&lab, &gateway).await;
    let request = lines(&lab, ["short", "200", "20", "9"]);
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    let (heard, mut hears) = tokio::sync::watch::channel(0);
    let tasks = Tasks::new();
    let follower = tasks.spawn(sse::follow(gateway.api.clone(), run, heard));
    let spool = Lab::log(&behind.agent, run);
    // Cut and healed again and again, each time after some bytes came and while the run prints more.
    for _ in 0..5 {
        let before = *hears.borrow_and_update();
        if hears.wait_for(|heard| *heard > before).await.is_err() {
            break;
        }
        behind.cut();
        let printed = || fs::metadata(&spool).map_or(0, |m| m.len());
        let then = printed();
        let more = || (printed() > then + 100 || processes::engines(lab.path()).is_empty()).then_some(());
        wait::until_now(wait::SOON, "it prints more meanwhile", more).await;
        behind.heal();
    }
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.rc, end.attempt), (RunState::Failed, Some(9), 1), "{end:#?}");
    let log = fs::read(&spool).unwrap();
    assert_eq!(follower.await.unwrap().as_bytes(), log);
    assert!(gateway.api.output(run, "log").await.unwrap() == log);
    assert_eq!(lab.executions("short"), 1);
}

/// A run of numbered lines; the file it waits for exists already.
fn lines(lab: &Lab, args: [&str; 4]) -> SubmitRequest {
    let path = lab.lines().to_str().unwrap().to_owned();
    let args = args.into_iter().map(str::to_owned).chain([path.clone()]).collect();
    SubmitRequest { path: Some(path), args, ..SubmitRequest::default() }
}
