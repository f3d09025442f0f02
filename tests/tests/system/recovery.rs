//! Daemons that die in the middle of runs: same run, same attempt, one execution, every byte, the right verdict.
//!
//! Each trial has several runs under way, each with a follower that started before the kill, one of them bound to fail.
//! In every other trial a run ends while the victim is away. `LONGHAUL_TEST_KILLS` sets how many trials of each kind
//! are made (20 by default).

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures_util::future::{join, join_all};
use longhaul_proto::{
    api::RunView,
    ids::RunId,
    state::{Cause, RunState},
};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    need, processes, sse, wait,
};
use rustix::process::Signal;

/// The victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Gateway,
    Agent,
    Both,
    Supervisors,
}

/// Runs at once in a trial: name, lines of 20 ms, and the code it ends with.
const RUNS: [(&str, u32, i64); 3] = [("short", 30, 0), ("failing", 50, 9), ("long", 80, 0)];

#[derive(Debug)]
struct Started {
    id: RunId,
    name: String,
    rc: i64,
}

/// Kills while every run waits for `release` to exist, which it does once the victim is dead.
async fn kill(
    lab: &Lab,
    gateway: &mut Gateway,
    agent: &mut Daemon,
    victim: Victim,
    release: &Path,
    wait_for_end_of: Option<RunId>,
) {
    match victim {
        Victim::Gateway => gateway.daemon.kill(),
        Victim::Agent => agent.kill(),
        Victim::Both => {
            gateway.daemon.kill();
            agent.kill();
        }
        Victim::Supervisors => {
            let supervisors = processes::supervisors(lab.path());
            assert_eq!(supervisors.len(), RUNS.len(), "one for each run: {supervisors:?}");
            supervisors.iter().for_each(|s| processes::signal(s.pid, Signal::KILL));
            fs::write(release, "").unwrap();
            return;
        }
    }
    fs::write(release, "").unwrap();
    if let Some(run) = wait_for_end_of {
        let spool = Lab::spool(agent, run);
        wait::until_now(wait::SOON, "a run ends meanwhile", || processes::below(&spool).is_empty().then_some(())).await;
    }
    if victim != Victim::Agent {
        gateway.daemon.restart();
        ready(&mut gateway.daemon).await;
    }
    if victim != Victim::Gateway {
        agent.restart();
    }
}

async fn trial(lab: &Lab, gateway: &mut Gateway, agent: &mut Daemon, victim: Victim, number: usize) {
    let file = lab.lines();
    let release = lab.work().join(format!("release-{number}"));
    let api = gateway.api.clone();
    let mut runs = Vec::new();
    for (name, lines, rc) in RUNS {
        let name = format!("{name}-{number}");
        let id = api
            .submit_path(&file, &[&name, &lines.to_string(), "20", &rc.to_string(), release.to_str().unwrap()])
            .await
            .run_id;
        runs.push(Started { id, name, rc });
    }
    let (heard, mut ears): (Vec<_>, Vec<_>) = runs.iter().map(|_| tokio::sync::watch::channel(0)).unzip();
    let follows = join_all(runs.iter().zip(heard).map(|(run, heard)| sse::follow(api.clone(), run.id, heard)));
    let killing = async {
        // Certainly in the middle: each run has printed a line of its own, and each follower has received some bytes.
        for (run, ears) in runs.iter().zip(&mut ears) {
            api.wait_output(run.id, &format!("{} line 1 of", run.name)).await;
            ears.wait_for(|bytes| *bytes > 0).await.expect("the follower follows");
        }
        let meanwhile = (number % 2 == 1).then_some(runs[0].id);
        kill(lab, gateway, agent, victim, &release, meanwhile).await;
    };
    let (texts, ()) = join(follows, killing).await;
    for (run, text) in runs.iter().zip(texts) {
        check(lab, &api, agent, run, &text).await;
    }
}

async fn check(lab: &Lab, api: &Api, agent: &Daemon, run: &Started, followed: &str) {
    let end = api.wait_end(run.id).await;
    let want = match run.rc {
        0 => (RunState::Succeeded, Cause::Completed, None),
        rc => (RunState::Failed, Cause::StataError, Some(rc)),
    };
    assert_eq!((end.state, end.cause, end.rc.filter(|rc| *rc != 0)), want, "{}: {end:#?}", run.name);
    assert_eq!((end.run_id, end.attempt), (run.id, 1), "{end:#?}");
    assert_eq!(lab.executions(&run.name), 1, "{}", run.name);
    let log = spool_log(agent, run.id);
    assert!(
        followed.as_bytes() == log,
        "{}: a follower across the kill has {} of {} bytes",
        run.name,
        followed.len(),
        log.len()
    );
    assert!(api.output(run.id, "log").await.unwrap() == log, "{}: the gateway's copy is the log", run.name);
}

/// The log as Stata wrote it.
fn spool_log(agent: &Daemon, run: RunId) -> Vec<u8> {
    fs::read(Lab::log(agent, run)).unwrap()
}

async fn trials(victim: Victim) {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &["--seats", "3"]);
    gateway.api.wait_host("stata1", "up").await;
    let count = std::env::var("LONGHAUL_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    for number in 0..count {
        trial(&lab, &mut gateway, &mut agent, victim, number).await;
    }
    let listed = gateway.api.list().await.unwrap().runs;
    assert!(listed.iter().all(|r| r.attempt == 1), "{listed:#?}");
}

#[tokio::test]
async fn runs_survive_a_killed_gateway() {
    trials(Victim::Gateway).await;
}

#[tokio::test]
async fn runs_survive_a_killed_agent() {
    trials(Victim::Agent).await;
}

#[tokio::test]
async fn runs_survive_a_killed_gateway_and_agent() {
    trials(Victim::Both).await;
}

#[tokio::test]
async fn runs_survive_their_killed_supervisors() {
    trials(Victim::Supervisors).await;
}

/// The control of all of the above: what these checks find when Stata itself is killed.
#[tokio::test]
async fn a_killed_engine_is_an_error_of_ours_and_no_verdict() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let run = gateway.api.submit_path(&lab.gated(), &["killed"]).await.run_id;
    gateway.api.wait_output(run, "started killed").await;
    let engines = processes::engines(lab.path());
    assert_eq!(engines.len(), 1, "{engines:?}");
    processes::signal(engines[0].pid, Signal::KILL);
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.cause, end.rc), (RunState::Errored, Cause::Killed, None), "{end:#?}");
    assert!(spool_log(&gateway.daemon, run).windows(14).any(|w| w == b"started killed"));
}

/// A run whose agent goes away until the run is `lost`; with `host_dies` supervisor and engine go with it.
async fn lost(host_dies: bool) -> (Lab, Gateway, Daemon, RunId) {
    let mut lab = lab!();
    lab.config("heartbeat = \"200ms\"\nsilent_after = \"1s\"\nlost_after = \"4s\"\n");
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    let run = gateway.api.submit_path(&lab.gated(), &["gone"]).await.run_id;
    gateway.api.wait_output(run, "started gone").await;
    agent.kill();
    if host_dies {
        let rest = [processes::supervisors(lab.path()), processes::engines(lab.path())].concat();
        assert_eq!(rest.len(), 2, "{rest:?}");
        rest.iter().for_each(|p| processes::signal(p.pid, Signal::KILL));
    }
    let silent = |v: &RunView| v.agent_silent_for.is_some();
    let view = gateway.api.wait_run(run, wait::SOON, "it says that the agent is silent", silent).await;
    assert_eq!(view.state, RunState::Running, "silence is not death");
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.cause), (RunState::Lost, Cause::AgentGone), "{end:#?}");
    assert!(end.message.is_some_and(|m| m.contains("stata1")));
    let kept = gateway.api.output(run, "log").await.unwrap();
    assert!(String::from_utf8_lossy(&kept).contains("started gone\n"), "its output is kept");
    (lab, gateway, agent, run)
}

/// The loss is corrected: the spool's own record corrects the end, once, and nothing runs again.
async fn back(lab: &Lab, gateway: &Gateway, agent: &mut Daemon, run: RunId) -> RunView {
    agent.restart();
    let found = |v: &RunView| v.state != RunState::Lost;
    let truth = gateway.api.wait_run(run, wait::SOON, "the real end", found).await;
    assert_eq!(truth.attempt, 1, "{truth:#?}");
    assert_eq!(lab.executions("gone"), 1);
    truth
}

#[tokio::test]
async fn an_agent_gone_for_good_is_said_and_its_output_kept() {
    let (lab, gateway, mut agent, run) = lost(true).await;
    let truth = back(&lab, &gateway, &mut agent, run).await;
    assert_eq!(truth.state, RunState::Errored, "{truth:#?}");
}

#[tokio::test]
async fn a_run_given_up_for_lost_that_went_on_is_right_in_the_end() {
    let (lab, gateway, mut agent, run) = lost(false).await;
    lab.open_gate("gone");
    wait::until_now(wait::SOON, "it ends unseen", || processes::engines(lab.path()).is_empty().then_some(())).await;
    let truth = back(&lab, &gateway, &mut agent, run).await;
    assert_eq!((truth.state, truth.cause), (RunState::Succeeded, Cause::Completed), "{truth:#?}");
    gateway.api.wait_run(run, wait::SOON, "the whole output", |v| v.output_complete).await;
    assert!(gateway.api.output(run, "log").await.unwrap() == spool_log(&agent, run));
}

/// A cgroup of the test's own, as a unit has one.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(lab: &Lab) -> Option<Self> {
        let name = lab.path().file_name().unwrap();
        let made = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/systemd"].iter().find_map(|root| {
            let folder = PathBuf::from(root).join(name);
            fs::create_dir(&folder).ok()?;
            let cgroup = Self(folder);
            // A folder of an ordinary file system has no such file.
            cgroup.0.join("cgroup.procs").exists().then_some(cgroup)
        });
        if made.is_none() {
            need::skip("cgroup", "no cgroup can be made here; only the main process is signalled instead");
        }
        made
    }

    fn folders(&self) -> Vec<PathBuf> {
        let below = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir());
        below.chain([self.0.clone()]).collect()
    }

    fn pids(&self) -> Vec<i32> {
        let text: String =
            self.folders().iter().map(|f| fs::read_to_string(f.join("cgroup.procs")).unwrap_or_default()).collect();
        text.lines().filter_map(|l| l.parse().ok()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.pids().into_iter().for_each(|pid| processes::signal(pid, Signal::KILL));
        for _ in 0..100 {
            // Fails while a killed process is not gone yet.
            let folders = self.folders();
            if folders.iter().map(fs::remove_dir).all(|done| done.is_ok()) {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// The effect of `systemctl restart` on a unit with `KillMode=process`, or with the default `control-group`.
async fn restart_unit(whole_group: bool) -> (Lab, RunView) {
    let lab = lab!();
    let cgroup = Cgroup::new(&lab);
    let gateway = lab.gateway().await;
    let mut spec = lab.agent_spec("stata1", &gateway, &[]);
    spec.cgroup = cgroup.as_ref().map(|c| c.0.join("cgroup.procs"));
    let mut agent = Daemon::start("stata1", &lab.path().join("stata1"), spec);
    let run = gateway.api.submit_path(&lab.gated(), &["unit"]).await.run_id;
    gateway.api.wait_output(run, "started unit").await;
    let members = cgroup.as_ref().map(Cgroup::pids);
    if let Some(members) = &members {
        let engine = processes::engines(lab.path())[0].pid;
        assert!(members.contains(&engine), "the run lives in the unit's cgroup: {members:?}");
    }
    agent.terminate().await;
    if whole_group {
        let rest = members.unwrap_or_else(|| processes::below(&agent.data).iter().map(|p| p.pid).collect());
        rest.into_iter().for_each(|pid| processes::signal(pid, Signal::KILL));
    }
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    lab.open_gate("unit");
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.attempt, 1, "{end:#?}");
    assert_eq!(lab.executions("unit"), 1);
    drop((agent, cgroup));
    (lab, end)
}

#[tokio::test]
async fn restarting_the_unit_of_an_agent_keeps_its_run() {
    let (_lab, end) = restart_unit(false).await;
    assert_eq!((end.state, end.cause), (RunState::Succeeded, Cause::Completed), "{end:#?}");
}

/// The control: with the default kill mode the same restart ends the run, and the run's record says so.
#[tokio::test]
async fn the_default_kill_mode_would_end_the_run() {
    let (_lab, end) = restart_unit(true).await;
    assert_eq!(end.state, RunState::Errored, "{end:#?}");
}
