//! What waiting costs: how often the processes of a quiet system wake, and how much processor time they take.

#![cfg(target_os = "linux")]

use std::time::Duration;

use longhaul_proto::{
    api::{Retry, SubmitRequest},
    clock::Clock,
    ids::RunId,
};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    processes, wait,
};
use rustix::process::Signal;

/// How long each system is watched.
const WINDOW: Duration = Duration::from_secs(4);
/// Wake-ups a second of an agent's threads, all together, that a quiet run may cost, heartbeats and samples of its
/// processor time included. Looks four times a second, as where the kernel watches no files, cost some 60.
const QUIET_RUN: f64 = 40.0;
/// The same for an agent that only sends its heartbeats.
const IDLE: f64 = 30.0;
/// The same for a supervisor, which looks once a second.
const SUPERVISOR: f64 = 12.0;
/// Share of one processor that each of these may take.
const CPU: f64 = 0.2;

/// What a process did within the window.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Times that one of its threads waited and woke, a second.
    wakes: f64,
    /// Processors in use.
    cpus: f64,
}

async fn watch(what: &str, pid: i32) -> Cost {
    let clock = Clock::system();
    let (before, used) = (processes::switches(pid), processes::cpu_seconds(pid).0);
    tokio::time::sleep(WINDOW).await;
    let (woken, seconds) = (processes::woken_since(pid, &before), clock.monotonic().as_secs_f64());
    let cost = Cost { wakes: woken as f64 / seconds, cpus: (processes::cpu_seconds(pid).0 - used) / seconds };
    eprintln!("{what}: {:.0} wake-ups a second, {:.3} processors", cost.wakes, cost.cpus);
    cost
}

fn is_over(cost: Cost, most: f64) -> bool {
    cost.wakes > most || cost.cpus > CPU
}

fn check(what: &str, cost: Cost, most: f64) {
    assert!(!is_over(cost, most), "{what}: {cost:?}, at most {most} wake-ups a second");
}

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

/// A run that prints its name and then nothing.
async fn silent(lab: &Lab, api: &Api, name: &str) -> RunId {
    let file = lab.counted("silent.do", "display \"started `1'\"\nsleep 3600000\n");
    let request = SubmitRequest {
        path: Some(file.display().to_string()),
        args: vec![name.to_owned()],
        retry: Some(Retry::IfProvenDead),
        ..SubmitRequest::default()
    };
    let run = api.submit(&request).await.unwrap().run.run_id;
    api.wait_output(run, &format!("started {name}")).await;
    run
}

/// Kills the only Stata, and waits until the run is started again and prints its name.
async fn dies_and_follows(lab: &Lab, api: &Api, run: RunId, name: &str) {
    let engines = processes::engines(lab.path());
    assert_eq!(engines.len(), 1, "{engines:?}");
    processes::signal(engines[0].pid, Signal::KILL);
    wait::until_now(wait::SOON, "it is begun again", || (lab.executions(name) == 2).then_some(())).await;
    wait::until(wait::SOON, "its second attempt prints", async || {
        let log = String::from_utf8(api.output(run, "log").await.unwrap()).unwrap();
        (log.matches(&format!("started {name}\n")).count() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_idle_agent_with_ended_runs_and_a_silent_run_wake_rarely() {
    let lab = lab!();
    let (gateway, agent) = pair(&lab).await;
    let file = lab.file("ended.do", "display \"here\"\n");
    for n in 0..12 {
        let run = gateway.api.submit_path(&file, &[&n.to_string()]).await.run_id;
        gateway.api.wait_end(run).await;
    }
    check("an idle agent", watch("an idle agent with ended runs", agent.pid()).await, IDLE);

    let run = silent(&lab, &gateway.api, "first").await;
    check("a silent run", watch("a silent run, agent", agent.pid()).await, QUIET_RUN);
    let supervisors = processes::supervisors(lab.path());
    assert_eq!(supervisors.len(), 1, "{supervisors:?}");
    check("a supervisor", watch("a silent run, supervisor", supervisors[0].pid).await, SUPERVISOR);
    check("a gateway", watch("a silent run, gateway", gateway.daemon.pid()).await, QUIET_RUN);

    // A second attempt costs no more than the first.
    dies_and_follows(&lab, &gateway.api, run, "first").await;
    check("attempt 2", watch("attempt 2, agent", agent.pid()).await, QUIET_RUN);
}

/// The control: where a reader takes a closed pulse for a change, the second attempt keeps the agent busy.
#[tokio::test]
async fn a_reader_that_takes_a_closed_pulse_for_a_change_never_sleeps() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=pulse_lost_at_end");
    let (gateway, agent) = pair(&lab).await;
    let run = silent(&lab, &gateway.api, "first").await;
    check("the first attempt", watch("a silent run, agent", agent.pid()).await, QUIET_RUN);
    dies_and_follows(&lab, &gateway.api, run, "first").await;
    // A busy machine may give it less processor time than it takes.
    for _ in 0..5 {
        if is_over(watch("attempt 2, agent", agent.pid()).await, QUIET_RUN) {
            return;
        }
    }
    panic!("it was not found");
}
