//! A ledger that is a restored backup, or gone: the runs that agents hold are imported, nothing is forgotten, nothing
//! is executed twice.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::{
    api::{Joined, RunView, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, json, ready},
    ledger, wait,
};

/// Which of two agents comes back first, and whether the gateway is told that its ledger is a restored backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is told; first comes an agent without any run from after the backup.
    Told,
    /// It is not told; first comes an agent that holds a newer run.
    Seen,
    /// The control: it is not told, and cannot detect it.
    Unnoticed,
}

fn gated(lab: &Lab, name: &str, host: Option<&str>) -> SubmitRequest {
    SubmitRequest {
        path: Some(lab.gated().to_str().unwrap().to_owned()),
        args: vec![name.to_owned()],
        host: host.map(str::to_owned),
        key: Some(format!("key of {name}")),
        ..SubmitRequest::default()
    }
}

async fn submit(lab: &Lab, gateway: &Gateway, name: &str, host: Option<&str>) -> RunId {
    gateway.api.submit(&gated(lab, name, host)).await.unwrap().run.run_id
}

async fn finish(lab: &Lab, gateway: &Gateway, name: &str, run: RunId) -> (RunView, Vec<u8>) {
    lab.open_gate(name);
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    (end, gateway.api.output(run, "log").await.unwrap())
}

/// Checks that the run has ended with this output, as it did before.
async fn as_before(gateway: &Gateway, run: RunId, log: &[u8]) {
    let end = gateway.api.wait_run(run, wait::SOON * 2, "its end", |v| v.state.is_end() && v.output_complete).await;
    assert_eq!((end.state, end.attempt), (RunState::Succeeded, 1), "{end:#?}");
    assert!(gateway.api.output(run, "log").await.unwrap() == log, "{run}: every byte");
}

struct World {
    lab: Lab,
    gateway: Gateway,
    agents: Vec<Daemon>,
    backup: PathBuf,
}

impl World {
    async fn new(names: &[&str]) -> Self {
        let lab = lab!();
        let gateway = lab.gateway().await;
        let mut agents = Vec::new();
        for name in names {
            agents.push(lab.agent(name, &gateway, &[]));
            gateway.api.wait_host(name, "up").await;
        }
        let backup = lab.path().join("backup.sqlite");
        Self { lab, gateway, agents, backup }
    }
}

/// A run of the story, and what it printed.
struct Earlier {
    name: &'static str,
    host: Option<&'static str>,
    run: RunId,
    log: Vec<u8>,
}

impl Earlier {
    async fn finished(world: &World, name: &'static str, host: Option<&'static str>, run: RunId) -> (Self, RunView) {
        let (end, log) = finish(&world.lab, &world.gateway, name, run).await;
        (Self { name, host, run, log }, end)
    }
}

/// Makes a backup in the middle of some runs: before it, one run has ended, one goes on at each host, and one waits for
/// either; after it, the waiting one is executed on the second host, and the others end. The waiting one comes first.
async fn runs_around_a_backup(world: &World, way: Way) -> (Vec<Earlier>, Option<RunId>) {
    let World { lab, gateway, backup, .. } = world;
    let ended = submit(lab, gateway, "ended", Some("stata1")).await;
    let (ended, _) = Earlier::finished(world, "ended", Some("stata1"), ended).await;
    let going = submit(lab, gateway, "going", Some("stata1")).await;
    let first = submit(lab, gateway, "first", Some("stata2")).await;
    for (run, name) in [(going, "going"), (first, "first")] {
        gateway.api.wait_output(run, &format!("started {name}")).await;
    }
    let waits = submit(lab, gateway, "waits", None).await;
    gateway.api.wait_run(waits, wait::SOON, "a reason", |v| v.waiting.is_some()).await;
    ledger::backup(&gateway.daemon.data, backup).await;

    let (first, _) = Earlier::finished(world, "first", Some("stata2"), first).await;
    let (waits, end) = Earlier::finished(world, "waits", None, waits).await;
    assert_eq!(end.host.as_deref(), Some("stata2"));
    let (going, _) = Earlier::finished(world, "going", Some("stata1"), going).await;
    let mut newer = None;
    if way == Way::Seen {
        newer = Some(submit(lab, gateway, "newer", Some("stata1")).await);
        gateway.api.wait_output(newer.unwrap(), "started newer").await;
    }
    let since = submit(lab, gateway, "since", Some("stata2")).await;
    let (since, _) = Earlier::finished(world, "since", Some("stata2"), since).await;
    (vec![waits, ended, going, first, since], newer)
}

/// The gateway's disk dies; both agents are away; the backup is put in place.
async fn restore(world: &mut World, way: Way) {
    let World { gateway, agents, backup, .. } = world;
    gateway.daemon.kill();
    for agent in agents {
        agent.terminate().await;
    }
    ledger::restore(&gateway.daemon.data, backup);
    if way == Way::Told {
        gateway.daemon.spec.args.push("--restored".into());
    }
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
}

/// How often a run that waited in the backup and was executed after it is executed in the end.
async fn restored(way: Way) -> usize {
    let mut world = World::new(&["stata1", "stata2"]).await;
    let (earlier, newer) = runs_around_a_backup(&world, way).await;
    restore(&mut world, way).await;
    let World { lab, gateway, mut agents, .. } = world;
    let waits = earlier[0].run;

    // The host that did not execute it comes first, with a free seat or soon with one.
    agents[0].restart();
    gateway.api.wait_host("stata1", "up").await;
    if let Some(newer) = newer {
        let (end, _) = finish(&lab, &gateway, "newer", newer).await;
        assert_eq!(end.attempt, 1, "imported and followed to its end: {end:#?}");
    }
    if way == Way::Unnoticed {
        gateway.api.wait_end(waits).await;
        return lab.executions("waits");
    }
    let held = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("held back") && w.contains("cancel it"));
    let view = gateway.api.wait_run(waits, wait::SOON, "it is held back", held).await;
    assert_eq!((view.state, view.attempt), (RunState::Queued, 0), "{view:#?}");
    // A new submission is not held back.
    let fresh = submit(&lab, &gateway, "fresh", Some("stata1")).await;
    finish(&lab, &gateway, "fresh", fresh).await;
    assert!(held(&gateway.api.get(waits).await.unwrap()), "it is still held back");

    // Its host returns.
    agents[1].restart();
    for Earlier { run, log, .. } in &earlier {
        gateway.api.wait_run(*run, wait::SOON, "it is known", |_| true).await;
        as_before(&gateway, *run, log).await;
    }
    // The earlier calls are recognised, also those from after the backup.
    for Earlier { name, host, run, .. } in earlier.iter().filter(|e| ["since", "waits", "ended"].contains(&e.name)) {
        let again = gateway.api.submit(&gated(&lab, name, *host)).await.unwrap();
        assert_eq!((again.run.run_id, again.joined), (*run, Some(Joined::Key)), "{name}");
    }
    for name in ["ended", "going", "first", "since", "fresh"] {
        assert_eq!(lab.executions(name), 1, "{name}");
    }
    assert_eq!(ledger::integrity(&gateway.daemon.data).await, "ok");
    lab.executions("waits")
}

#[tokio::test]
async fn a_restored_ledger_that_is_said_to_be_one_runs_nothing_twice() {
    assert_eq!(restored(Way::Told).await, 1);
}

#[tokio::test]
async fn a_restored_ledger_that_is_seen_to_be_one_runs_nothing_twice() {
    assert_eq!(restored(Way::Seen).await, 1);
}

/// The control, and why an operator must pass `--restored`: without it the gateway cannot detect the backup.
#[tokio::test]
async fn a_restored_ledger_that_nobody_knows_of_would_run_it_twice() {
    assert_eq!(restored(Way::Unnoticed).await, 2);
}

#[tokio::test]
async fn what_is_held_back_can_be_cancelled_or_let_go() {
    let World { lab, mut gateway, mut agents, backup } = World::new(&["stata1"]).await;
    let busy = submit(&lab, &gateway, "busy", None).await;
    gateway.api.wait_output(busy, "started busy").await;
    let one = submit(&lab, &gateway, "one", None).await;
    let two = submit(&lab, &gateway, "two", None).await;
    ledger::backup(&gateway.daemon.data, &backup).await;
    gateway.daemon.kill();
    agents[0].kill();
    ledger::restore(&gateway.daemon.data, &backup);
    gateway.daemon.spec.args.push("--restored".into());
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    agents[0].restart();
    finish(&lab, &gateway, "busy", busy).await;
    let held = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("held back"));
    for run in [one, two] {
        gateway.api.wait_run(run, wait::SOON, "held back", held).await;
    }
    gateway.api.cancel(one, Default::default()).await.unwrap();
    assert_eq!(gateway.api.wait_end(one).await.state, RunState::Cancelled);
    // Started without the option, it accepts the ledger as it is: the decision is the operator's.
    gateway.daemon.spec.args.pop();
    gateway.daemon.terminate().await;
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    finish(&lab, &gateway, "two", two).await;
    assert_eq!((lab.executions("one"), lab.executions("two")), (0, 1));
}

#[tokio::test]
async fn a_ledger_that_is_gone_is_made_again_from_the_agents() {
    let World { lab, mut gateway, mut agents, .. } = World::new(&["stata1"]).await;
    let ended = submit(&lab, &gateway, "ended", None).await;
    let (_, log) = finish(&lab, &gateway, "ended", ended).await;
    let going = submit(&lab, &gateway, "going", None).await;
    gateway.api.wait_output(going, "started going").await;
    gateway.daemon.kill();
    fs::remove_dir_all(gateway.daemon.data.join("gateway")).unwrap();
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    let credentials = json(&gateway.daemon.data.join("credentials.json")).unwrap();
    gateway.api = Api::new(gateway.api.url(), credentials["token"].as_str().unwrap());

    // The agent belongs to another ledger; both sides report that and what to do; its run goes on meanwhile.
    for daemon in [&gateway.daemon, &agents[0]] {
        wait::until_now(wait::SOON, "the words", || daemon.printed().contains("remove agent/cluster-id").then_some(()))
            .await;
    }
    assert!(gateway.api.list().await.unwrap().runs.is_empty());
    agents[0].terminate().await;
    forget_cluster(&agents[0].data);
    agents[0].restart();
    gateway.api.wait_host("stata1", "up").await;
    as_before(&gateway, ended, &log).await;
    let (end, _) = finish(&lab, &gateway, "going", going).await;
    assert_eq!((end.attempt, lab.executions("going")), (1, 1), "{end:#?}");
    for (name, run) in [("ended", ended), ("going", going)] {
        let again = gateway.api.submit(&gated(&lab, name, None)).await.unwrap();
        assert_eq!((again.run.run_id, again.joined), (run, Some(Joined::Key)), "{name}");
        assert_eq!(lab.executions(name), 1, "{name}");
    }
    assert_eq!(ledger::integrity(&gateway.daemon.data).await, "ok");
}

/// An operator gives the runs to their principal: the one by its name, the other with all from its host.
async fn adopt(lab: &Lab, api: &Api, whose: &str, one: RunId, other: RunId) {
    let command = |args: &[&str]| {
        let mut command = lab.command(args);
        command.env("LONGHAUL_GATEWAY", api.url()).env("LONGHAUL_TOKEN", api.token());
        longhaul_tests::lab::finish(command)
    };
    let listed = command(&["runs"]).await;
    assert_eq!(listed.out.matches("unverified, said to be").count(), 2, "{listed:#?}");
    let adopted = command(&["runs", "adopt", &one.short()]).await;
    assert!(adopted.status == 0 && adopted.err.contains(&format!("{} is {whose}'s now", one.short())), "{adopted:#?}");
    let rest = command(&["runs", "adopt", "--all-from", "stata1", "--json"]).await;
    assert!(rest.status == 0 && rest.out.contains(&other.to_string()), "{rest:#?}");
    let again = command(&["runs", "adopt", &one.short()]).await;
    assert!(again.status != 0 && again.err.contains("nothing to adopt"), "{again:#?}");
}

/// As above, and the gateway has lost all else of its own too: also the key with which it would recognise its
/// requests.
#[tokio::test]
async fn without_the_data_folder_what_agents_hold_waits_for_an_operator() {
    let World { lab, mut gateway, mut agents, .. } = World::new(&["stata1"]).await;
    let ended = submit(&lab, &gateway, "ended", None).await;
    let (_, log) = finish(&lab, &gateway, "ended", ended).await;
    let going = submit(&lab, &gateway, "going", None).await;
    gateway.api.wait_output(going, "started going").await;
    gateway.daemon.kill();
    fs::remove_dir_all(gateway.daemon.data.join("gateway")).unwrap();
    for lost in ["seal-key", "task-key", "credentials.json"] {
        fs::remove_file(gateway.daemon.data.join(lost)).unwrap();
    }
    agents[0].terminate().await;
    forget_cluster(&agents[0].data);
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    let credentials = json(&gateway.daemon.data.join("credentials.json")).unwrap();
    gateway.api = Api::new(gateway.api.url(), credentials["token"].as_str().unwrap());
    agents[0].restart();
    gateway.api.wait_host("stata1", "up").await;

    // Nothing is lost, and the runs are given to no principal.
    as_before(&gateway, ended, &log).await;
    gateway.api.wait_output(going, "started going").await;
    for run in [ended, going] {
        let view = gateway.api.get(run).await.unwrap();
        assert_eq!((view.unverified, view.principal.as_str(), view.claims.is_some()), (true, "", true), "{view:#?}");
    }
    let whose = gateway.api.get(ended).await.unwrap().claims.unwrap();
    let tokens = |name: &str, principal: &str| {
        let body = serde_json::json!({"name": name, "principal": principal});
        gateway.api.request(reqwest::Method::POST, "/api/v1/tokens").json(&body).send()
    };
    let made: serde_json::Value = tokens("own", &whose).await.unwrap().json().await.unwrap();
    let owner = gateway.api.with_token(made["token"].as_str().unwrap());
    assert!(owner.list().await.unwrap().runs.is_empty());
    for run in [ended, going] {
        assert_eq!(owner.get(run).await.unwrap_err().status, 404);
        assert_eq!(owner.output(run, "log").await.unwrap_err().status, 404);
        assert_eq!(owner.cancel(run, Default::default()).await.unwrap_err().status, 404);
        let adopt = owner.request(reqwest::Method::POST, &format!("/api/v1/runs/{run}/adopt")).send().await.unwrap();
        assert_eq!(adopt.status(), 403);
    }

    adopt(&lab, &gateway.api, &whose, ended, going).await;
    lab.open_gate("going");
    let end = owner.wait_end(going).await;
    assert_eq!((end.state, end.attempt, lab.executions("going")), (RunState::Succeeded, 1, 1), "{end:#?}");
    assert_eq!(owner.list().await.unwrap().runs.len(), 2);
    assert!(owner.output(ended, "log").await.unwrap() == log);
}

fn forget_cluster(data: &Path) {
    fs::remove_file(data.join("agent/cluster-id")).unwrap();
}

#[tokio::test]
async fn a_run_that_was_executed_and_forgotten_is_not_begun_again() {
    let mut lab = lab!();
    lab.config("keep_spool = \"0s\"\n");
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let backup = lab.path().join("backup.sqlite");
    let run = submit(&lab, &gateway, "forgotten", None).await;
    gateway.api.wait_output(run, "started forgotten").await;
    ledger::backup(&gateway.daemon.data, &backup).await;
    finish(&lab, &gateway, "forgotten", run).await;
    // It is deleted when the agent comes again.
    agent.terminate().await;
    agent.restart();
    let spool = Lab::spool(&agent, run);
    wait::until_now(wait::SOON, "its spool goes", || (!spool.exists()).then_some(())).await;
    gateway.daemon.kill();
    ledger::restore(&gateway.daemon.data, &backup);
    gateway.daemon.spec.args.push("--restored".into());
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    gateway.api.wait_host("stata1", "up").await;
    let said = |v: &RunView| v.note.as_deref().is_some_and(|n| n.contains("declare it dead"));
    let view = gateway.api.wait_run(run, wait::SOON, "that nobody has it", said).await;
    assert!(!view.state.is_end() && view.attempt == 1, "{view:#?}");
    assert_eq!(lab.executions("forgotten"), 1);
    let log = gateway.api.output(run, "log").await.unwrap();
    assert!(String::from_utf8_lossy(&log).contains("finished forgotten"), "the mirror has the output all the same");
}
