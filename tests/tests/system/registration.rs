//! Registrations in practice: ten thousand spools at once, and agents with limits on whose runs they take.

use std::{fs, path::Path};

use longhaul_gateway::{
    ledger::{
        Dedupe, DoFileStore, LeaseChange, Ledger, NewRun, RunStore, Transition, UpkeepStore, sqlite::SqliteLedger,
    },
    model::{Asked, Attempt, Placement, Principal, Record},
};
use longhaul_proto::{
    clock::Clock,
    ids::{Ids, RunId},
    sha256_hex,
    state::{Cause, RunState},
    tasks::Tasks,
    wire,
};
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab, ready},
    wait,
};
use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};

/// The id of the agent that has them, made before its first start.
const AGENT: &str = "01a20499-184b-75e1-a314-4812878e17aa";
const NO_BYTES: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn outcome() -> String {
    let none = json!({"len": 0, "sha256": NO_BYTES});
    let outcome = json!({
        "state": "succeeded", "cause": "completed", "rc": null, "message": "", "command": "", "location": null,
        "exit_code": 0, "signal": null, "log": none, "console": none, "leftovers": [], "started_at_ms": 1,
        "running_at_ms": 1, "ended_at_ms": 2, "duration_ms": 1, "max_rss_bytes": 0, "note": "", "ended_by": ""
    });
    outcome.to_string()
}

/// The same for a run of which only its files are left.
fn lay_files(spools: &Path, run: RunId) {
    let folder = spools.join(run.to_string());
    fs::create_dir_all(folder.join("work")).unwrap();
    fs::write(folder.join("work/results.csv"), "1\n").unwrap();
    fs::write(folder.join("outcome.json"), outcome()).unwrap();
    fs::write(spools.join(format!("{run}.done")), "done\n").unwrap();
}

/// Writes what an agent reads of an ended run, as an earlier start of it would have left it.
fn lay(spools: &Path, run: RunId) -> wire::Submission {
    let submission = wire::Submission {
        run_id: run.to_string(),
        principal: "ann".into(),
        source: Some(wire::submission::Source::Text(b"display 1\n".to_vec())),
        ..Default::default()
    };
    let folder = spools.join(run.to_string());
    fs::create_dir(&folder).unwrap();
    let meta = json!({
        "format": 1, "run_id": run, "principal": "ann", "cluster_id": "", "source": "text", "received_at_ms": 1
    });
    fs::write(folder.join("submission.json"), meta.to_string()).unwrap();
    fs::write(folder.join("submission.pb"), submission.encode_to_vec()).unwrap();
    fs::write(folder.join("outcome.json"), outcome()).unwrap();
    fs::write(folder.join("attempt-1"), "started\n").unwrap();
    submission
}

fn record(run: RunId, finished_ms: i64) -> Record {
    let asked = Asked { source: "text".into(), ..Asked::default() };
    let mut record = Record::queued(run, Principal::local("ann"), 1_000, asked);
    (record.state, record.cause, record.finished_ms) = (RunState::Succeeded, Cause::Completed, finished_ms);
    let at = Placement { agent_id: AGENT.into(), host: "stata1".into(), pool: "stata1".into() };
    record.detail.give(Attempt::after(None), at);
    if let Some(attempt) = record.detail.present_mut() {
        (attempt.log_sha256, attempt.console_sha256) = (NO_BYTES.into(), NO_BYTES.into());
    }
    record.detail.end.complete = true;
    record
}

/// A gateway whose ledger knows `count` runs that ended, and an agent, not started, that keeps the spools of all; it
/// may delete those of the first `old`; of the first `due` it is first asked for the do-files.
async fn with_spools(lab: &Lab, count: usize, old: usize, due: usize) -> (Gateway, Vec<RunId>) {
    let mut gateway = lab.gateway().await;
    gateway.daemon.terminate().await;
    let agent = lab.path().join("stata1/agent");
    fs::create_dir_all(agent.join("runs")).unwrap();
    fs::write(agent.join("agent-id"), AGENT).unwrap();
    let (ids, now) = (Ids::system(), Clock::system().unix_ms());
    let runs: Vec<RunId> = (0..count).map(|_| ids.run()).collect();
    let tasks = Tasks::new();
    let ledger = SqliteLedger::open(&gateway.daemon.data.join("gateway"), "x", &tasks).await.unwrap();
    let owner = ledger.take_over("an earlier start".into()).await.unwrap();
    for (at, page) in runs.chunks(1_000).enumerate() {
        let inserts = page.iter().enumerate().map(async |(n, run)| {
            // Two days: longer than spools are kept, and not as long as records.
            let finished_ms = if at * 1_000 + n < old { now - 2 * 24 * 3600 * 1000 } else { now };
            let mut record = record(*run, finished_ms);
            let end = (at * 1_000 + n < due).then(|| {
                (record.state, record.finished_ms, record.owner) = (RunState::Starting, 0, owner.clone());
                Transition {
                    run: *run,
                    from: RunState::Starting,
                    from_attempt: Some(Attempt::after(None)),
                    to: RunState::Succeeded,
                    cause: record.cause,
                    at_ms: finished_ms,
                    detail: record.detail.clone(),
                    lease: LeaseChange::Keep,
                    owner: owner.clone(),
                    told: None,
                }
            });
            let new = NewRun {
                record,
                submission: lay(&agent.join("runs"), *run),
                key: None,
                dedupe: Dedupe { shape: sha256_hex(run.as_bytes()), ..Dedupe::default() },
                lease: LeaseChange::Keep,
                blobs: Vec::new(),
                receivers: Vec::new(),
            };
            ledger.insert(new).await.unwrap();
            if let Some(end) = end {
                ledger.transition(end).await.unwrap();
            }
        });
        futures_util::future::join_all(inserts).await;
    }
    assert_eq!(ledger.do_files_due(AGENT, u32::MAX).await.unwrap().len(), due);
    ledger.close().await;
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    (gateway, runs)
}

fn spools(lab: &Lab) -> usize {
    let entries = fs::read_dir(lab.path().join("stata1/agent/runs")).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<RunId>().is_ok())).count()
}

async fn state(gateway: &Gateway) -> String {
    gateway.api.hosts().await.unwrap().hosts.first().map_or_else(String::new, |host| host.state.clone())
}

const COUNT: usize = 10_000;
const OLD: usize = 3_000;
/// Of which the do-files are not known, as of runs before there were such.
const DUE: usize = 1_000;

#[tokio::test]
async fn ten_thousand_spools_register_and_the_agent_is_never_silent() {
    let lab = lab!();
    let (gateway, runs) = with_spools(&lab, COUNT, OLD, DUE).await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    wait::until(wait::SOON * 6, "the agent is up", async || (state(&gateway).await == "up").then_some(())).await;
    // Meanwhile it deletes three thousand spools, and takes runs.
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    wait::until(wait::SOON * 10, "it lets go of what is old", async || {
        assert_ne!(state(&gateway).await, "silent", "{} spools", spools(&lab));
        (spools(&lab) <= COUNT - OLD + 1).then_some(())
    })
    .await;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    // No run is imported, each is reported once, and the others are left alone.
    for run in [runs[0], runs[OLD], runs[COUNT - 1]] {
        let view = gateway.api.get(run).await.unwrap();
        assert_eq!((view.state, view.note, view.unverified), (RunState::Succeeded, None, false));
    }
    assert!(lab.path().join("stata1/agent/runs").join(runs[OLD].to_string()).exists());
    let said = gateway.daemon.printed();
    assert!(!said.contains("a silent agent"), "{said}");
    assert!(!said.contains("importing") && !said.contains("two results"), "each is known");
}

/// The control: with the old behaviour, the gateway's verdicts are carried out before the first heartbeat.
#[tokio::test]
async fn obeyed_before_the_first_beat_it_would_be_silent() {
    let mut lab = lab!();
    lab.config("silent_after = \"300ms\"\nheartbeat = \"50ms\"\n");
    let (gateway, _) = with_spools(&lab, 3_001, 3_000, 0).await;
    lab.env("LONGHAUL_FAULTS", "bug=obey_before_beat");
    let _agent = lab.agent("stata1", &gateway, &[]);
    // Read from the log: the silence may end between two looks at its state.
    let silent = || gateway.daemon.printed().contains("a silent agent is heard again").then_some(());
    wait::until_now(wait::SOON * 4, "it was silent", silent).await;
}

async fn visitor(gateway: &Gateway, name: &str) -> longhaul_tests::api::Api {
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({ "name": name })).send().await.unwrap();
    let made: Value = longhaul_tests::api::read(made).await.unwrap();
    gateway.api.with_token(made["token"].as_str().unwrap())
}

#[tokio::test]
async fn an_agent_that_was_not_told_serves_the_first_operator_once_there_is_another() {
    let lab = lab!();
    let mut gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let code = lab.file("one.do", "display 1\n");
    let first = gateway.api.submit_path(&code, &["first"]).await;
    assert_eq!(gateway.api.wait_end(first.run_id).await.state, RunState::Succeeded);
    let bob = visitor(&gateway, "bob").await;
    let waits = bob.submit_path(&code, &["bob"]).await.run_id;
    let why = format!("takes the runs of {} only", first.principal);
    let so = |v: &longhaul_proto::api::RunView| v.waiting.as_deref().is_some_and(|w| w.contains(&why));
    bob.wait_run(waits, wait::SOON, "why it waits", so).await;
    let own = gateway.api.submit_path(&code, &["own"]).await.run_id;
    assert_eq!(gateway.api.wait_end(own).await.state, RunState::Succeeded, "the control: the operator's runs");
    assert_eq!(bob.get(waits).await.unwrap().state, RunState::Queued);
    let mut hosts = lab.command(["hosts"]);
    hosts.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let hosts = longhaul_tests::lab::finish(hosts).await;
    assert!(hosts.out.contains(&why) && hosts.out.contains("--serve"), "{hosts:#?}");

    // After a restart it reports so itself; started to serve all principals, it does.
    gateway.daemon.terminate().await;
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    wait::until_now(wait::SOON, "up says so", || gateway.daemon.printed().contains(&why).then_some(())).await;
    gateway.daemon.terminate().await;
    gateway.daemon.spec.args.push("--serve-all".into());
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    assert_eq!(bob.wait_end(waits).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn an_agent_takes_the_runs_of_those_it_was_told() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let _ann = lab.agent("stata1", &gateway, &["--serve", "ann,carol"]);
    lab.env("LONGHAUL_SERVE", "bob");
    let _bob = lab.agent("stata2", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_host("stata2", "up").await;
    let code = lab.file("one.do", "display 1\n");
    for (name, host) in [("ann", "stata1"), ("bob", "stata2"), ("carol", "stata1")] {
        let api = visitor(&gateway, name).await;
        let run = api.submit_path(&code, &[name]).await.run_id;
        assert_eq!(api.wait_end(run).await.host.as_deref(), Some(host), "{name}");
    }
    let dave = visitor(&gateway, "dave").await;
    let run = dave.submit_path(&code, &["dave"]).await.run_id;
    let so = |v: &longhaul_proto::api::RunView| v.waiting.as_deref().is_some_and(|w| w.contains("--serve"));
    dave.wait_run(run, wait::SOON, "why it waits", so).await;
    assert_eq!(dave.get(run).await.unwrap().attempt, 0);
}

/// Files of three runs in an agent's folder: of one whose record was removed while the agent was away, of one with a
/// record, and of one that the ledger never knew. Returns which of them are left after the agent got its verdicts.
async fn files_left(lab: &Lab) -> [bool; 3] {
    let mut gateway = lab.gateway().await;
    gateway.daemon.terminate().await;
    let spools = lab.path().join("stata1/agent/runs");
    fs::create_dir_all(&spools).unwrap();
    fs::write(spools.parent().unwrap().join("agent-id"), AGENT).unwrap();
    let (ids, now) = (Ids::system(), Clock::system().unix_ms());
    let runs = [ids.run(), ids.run(), ids.run()];
    let tasks = Tasks::new();
    let ledger = SqliteLedger::open(&gateway.daemon.data.join("gateway"), "x", &tasks).await.unwrap();
    for run in &runs {
        lay_files(&spools, *run);
    }
    for run in &runs[..2] {
        let submission = wire::Submission { run_id: run.to_string(), ..Default::default() };
        let dedupe = Dedupe { shape: sha256_hex(run.to_string().as_bytes()), ..Dedupe::default() };
        let (record, lease, blobs) = (record(*run, now), LeaseChange::Keep, Vec::new());
        ledger
            .insert(NewRun { record, submission, key: None, dedupe, lease, blobs, receivers: Vec::new() })
            .await
            .unwrap();
    }
    assert!(ledger.remove(runs[0], now).await.unwrap());
    ledger.close().await;
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let there = |run: &RunId| spools.join(run.to_string()).join("work/results.csv").exists();
    // Its verdicts are carried out beside its heartbeats: wait for some of these, and for a run.
    let _ = tokio::time::timeout(wait::SOON / 4, async {
        while there(&runs[0]) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    assert!(!gateway.daemon.printed().contains("importing"), "what is left is no run");
    drop(agent);
    runs.map(|run| there(&run))
}

#[tokio::test]
async fn files_whose_record_is_gone_go_when_their_agent_returns() {
    let lab = lab!();
    assert_eq!(files_left(&lab).await, [false, true, true]);
}

/// The control: with the old behaviour, an agent did not report them.
#[tokio::test]
async fn untold_they_would_stay_for_ever() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=leftovers_untold");
    assert_eq!(files_left(&lab).await, [true, true, true]);
}
