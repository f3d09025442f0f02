//! The supervisor that an agent starts before there is a run for it.

use std::fs;

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    processes, wait,
};
use rustix::process::Signal;

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

fn is_ready(pid: i32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let place = fs::read_link(format!("/proc/{pid}/cwd")).ok();
    String::from_utf8_lossy(&words).contains("supervise\0--ready") && place == std::env::current_dir().ok()
}

/// The one that waits under this agent, another than `before`.
async fn waiting(agent: &Daemon, before: Option<i32>) -> i32 {
    let find = || processes::children(agent.pid()).into_iter().find(|pid| Some(*pid) != before && is_ready(*pid));
    wait::until_now(wait::SOON, "a supervisor is ready", find).await
}

fn gone(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.is_empty())
        || !fs::exists(format!("/proc/{pid}")).unwrap()
}

async fn silent(lab: &Lab, api: &Api) {
    let file = lab.file("silent.do", "display \"it goes on\"\nsleep 3600000\n");
    let request = SubmitRequest { path: Some(file.display().to_string()), ..SubmitRequest::default() };
    let run = api.submit(&request).await.unwrap().run.run_id;
    api.wait_output(run, "it goes on").await;
}

#[tokio::test]
async fn the_next_run_is_taken_by_the_one_that_waits() {
    let lab = lab!();
    let (gateway, agent) = pair(&lab).await;
    let ready = waiting(&agent, None).await;
    silent(&lab, &gateway.api).await;
    let supervisors = processes::supervisors(lab.path());
    assert_eq!(supervisors.iter().map(|s| s.pid).collect::<Vec<_>>(), [ready], "{supervisors:?}");
    waiting(&agent, Some(ready)).await;
}

#[tokio::test]
async fn a_run_begins_also_when_the_one_that_waits_was_killed() {
    let lab = lab!();
    let (gateway, agent) = pair(&lab).await;
    processes::signal(waiting(&agent, None).await, Signal::KILL);
    let file = lab.file("short.do", "display \"here\"\n");
    for n in 0..3 {
        let run = gateway.api.submit_path(&file, &[&n.to_string()]).await.run_id;
        assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    }
}

/// The one that waits ends with its agent, and the one that has a run does not.
#[tokio::test]
async fn the_one_that_waits_leaves_with_its_agent() {
    let lab = lab!();
    let (gateway, mut agent) = pair(&lab).await;
    let busy = waiting(&agent, None).await;
    silent(&lab, &gateway.api).await;
    let ready = waiting(&agent, Some(busy)).await;
    agent.kill();
    wait::until_now(wait::SOON, "it leaves", || gone(ready).then_some(())).await;
    assert!(!gone(busy));
}
