//! What waits in a restored ledger may have been executed since: it is held back, over any number of starts, and nothing
//! else is.

use longhaul_proto::{
    api::{RunView, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    wait,
};

use super::{back_up, come_back, lose, path_of};

async fn submit(lab: &Lab, gateway: &Gateway, name: &str, host: Option<&str>) -> RunId {
    let request = SubmitRequest {
        path: Some(lab.gated().to_str().unwrap().to_owned()),
        args: vec![name.to_owned()],
        host: host.map(str::to_owned),
        ..SubmitRequest::default()
    };
    gateway.api.submit(&request).await.unwrap().run.run_id
}

async fn finish(lab: &Lab, gateway: &Gateway, name: &str, run: RunId) {
    lab.open_gate(name);
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
}

fn held(view: &RunView) -> bool {
    view.waiting.as_deref().is_some_and(|words| words.contains("held back"))
}

/// A run waits in the backup and is executed on the second host after it; that host is away when the gateway is back.
async fn scene(faults: &str) -> (Lab, Gateway, [Daemon; 2], RunId) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let mut gateway = lab.gateway().await;
    let mut agents = [lab.agent("stata1", &gateway, &[]), lab.agent("stata2", &gateway, &[])];
    let mut busy = Vec::new();
    for host in ["stata1", "stata2"] {
        gateway.api.wait_host(host, "up").await;
        busy.push(submit(&lab, &gateway, host, Some(host)).await);
        gateway.api.wait_output(busy[busy.len() - 1], &format!("started {host}")).await;
    }
    let waits = submit(&lab, &gateway, "waits", None).await;
    gateway.api.wait_run(waits, wait::SOON, "a reason", |v| v.waiting.is_some()).await;
    let backup = back_up(&lab, &gateway, &lab.path().join("backups"), &[]).await;
    finish(&lab, &gateway, "stata2", busy[1]).await;
    gateway.api.wait_output(waits, "started waits").await;
    finish(&lab, &gateway, "waits", waits).await;
    finish(&lab, &gateway, "stata1", busy[0]).await;
    agents[1].terminate().await;
    lose(&mut gateway);
    come_back(&lab, &mut gateway, &path_of(&backup)).await;
    gateway.api.wait_host("stata1", "up").await;
    (lab, gateway, agents, waits)
}

#[tokio::test]
async fn what_waited_is_held_back_over_starts_until_its_host_returns() {
    let (lab, mut gateway, mut agents, waits) = scene("").await;
    for start in 0..2 {
        gateway.api.wait_run(waits, wait::SOON, "it is held back", held).await;
        let name = format!("fresh{start}");
        let fresh = submit(&lab, &gateway, &name, Some("stata1")).await;
        finish(&lab, &gateway, &name, fresh).await;
        gateway.daemon.terminate().await;
        gateway.daemon.restart();
        ready(&mut gateway.daemon).await;
        gateway.api.wait_host("stata1", "up").await;
    }
    assert!(gateway.daemon.printed().contains("this ledger was restored from a backup"));
    agents[1].restart();
    assert_eq!(gateway.api.wait_end(waits).await.state, RunState::Succeeded);
    assert_eq!(lab.executions("waits"), 1);
}

/// The control: a gateway that is not told runs it twice.
#[tokio::test]
async fn control_without_the_marker_it_is_executed_again() {
    let (lab, gateway, _agents, waits) = scene("bug=restored_untold").await;
    gateway.api.wait_end(waits).await;
    assert_eq!(lab.executions("waits"), 2);
}

/// What no host executed is let run by removing the marker, as the command says.
#[tokio::test]
async fn without_the_marker_file_the_operators_word_counts() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let waits = submit(&lab, &gateway, "waits", None).await;
    let backup = back_up(&lab, &gateway, &lab.path().join("backups"), &[]).await;
    lose(&mut gateway);
    come_back(&lab, &mut gateway, &path_of(&backup)).await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_run(waits, wait::SOON, "it is held back", held).await;
    gateway.daemon.terminate().await;
    std::fs::remove_file(gateway.daemon.data.join("gateway/restored.json")).unwrap();
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    finish(&lab, &gateway, "waits", waits).await;
    assert_eq!(lab.executions("waits"), 1);
}
