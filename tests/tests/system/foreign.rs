//! Processes of Stata that no Longhaul started: shown, and counted where the agent is told to.
//!
//! Other tests may have stand-ins of their own on this machine at the same time, so only what this one's does is awaited.

use longhaul_proto::{api::RunView, state::RunState};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab},
    wait,
};

/// A stand-in as a person starts it by hand; it waits for its gate.
fn by_hand(lab: &Lab) -> tokio::process::Child {
    std::fs::copy(lab.gated(), lab.work().join("by-hand.do")).unwrap();
    lab.command(["standin", "-b", "do", "by-hand.do", "by-hand"]).spawn().unwrap()
}

async fn seen(api: &Api, takes_seats: bool) {
    wait::until(wait::SOON, "it is seen", async || {
        let host = api.hosts().await.ok()?.hosts.remove(0);
        host.foreign.iter().any(|f| f.takes_seats == takes_seats && f.user.is_some() && f.since.is_some()).then_some(())
    })
    .await;
}

async fn with_agent(lab: &mut Lab, counts: &str) -> (Gateway, longhaul_tests::daemon::Daemon) {
    lab.env("LONGHAUL_COUNT_FOREIGN", counts).env("LONGHAUL_HEARTBEAT", "0.5");
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "1"]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

#[tokio::test]
async fn a_stata_outside_longhaul_is_shown_and_takes_a_seat_where_it_counts() {
    let mut lab = lab!();
    let (gateway, _agent) = with_agent(&mut lab, "true").await;
    let mut stata = by_hand(&lab);
    seen(&gateway.api, true).await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let shown = lab.run(["hosts", "--data", &data]).await.out;
    let user = &gateway.api.hosts().await.unwrap().hosts[0].os_user;
    assert!(shown.contains(&format!(" of 1 seats by {user}, outside Longhaul, since 2")), "{shown}");
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    let waits =
        |run: &RunView| run.waiting.as_ref().is_some_and(|why| why.contains("Stata outside Longhaul on stata1"));
    gateway.api.wait_run(run, wait::SOON, "it waits for the seat", waits).await;
    lab.open_gate("by-hand");
    stata.wait().await.unwrap();
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn where_it_does_not_count_it_is_only_shown_and_runs_of_ours_never_are() {
    let mut lab = lab!();
    let (gateway, _agent) = with_agent(&mut lab, "false").await;
    let mut stata = by_hand(&lab);
    seen(&gateway.api, false).await;
    let held = gateway.api.submit_path(&lab.gated(), &["held"]).await.run_id;
    gateway.api.wait_output(held, "started held").await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let shown = lab.run(["hosts", "--data", &data]).await.out;
    assert!(shown.contains("outside Longhaul") && shown.contains("count_foreign"), "{shown}");
    stata.kill().await.unwrap();
    lab.open_gate("held");
    assert_eq!(gateway.api.wait_end(held).await.state, RunState::Succeeded);
}
