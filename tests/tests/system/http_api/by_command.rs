//! `longhaul search` and `longhaul events`: what the API has, at a terminal.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use longhaul_proto::{
    api::{RunHistory, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    api::{Api, read},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    wait,
};
use reqwest::Method;
use rustix::process::{Pid, Signal};
use serde_json::Value;

/// A gateway and an agent; commands ask that gateway.
async fn site(lab: &mut Lab, faults: &str) -> (Gateway, Daemon) {
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    (gateway, agent)
}

async fn run(api: &Api, text: &str) -> RunId {
    let request = SubmitRequest { text: Some(text.to_owned()), again: true, ..SubmitRequest::default() };
    let run = api.submit(&request).await.unwrap().run.run_id;
    assert_eq!(api.wait_end(run).await.state, RunState::Succeeded);
    run
}

#[tokio::test]
async fn lines_are_found_as_grep_shows_them() {
    let mut lab = lab!();
    let (gateway, _agent) = site(&mut lab, "").await;
    let run = run(&gateway.api, "forvalues i = 1/2500 {\n    display \"Line `i' of it\"\n}\n").await;
    let log = lab.run(["log", "last"]).await.out;
    let lines: Vec<&str> = log.lines().collect();
    let search = async |words: &[&str]| lab.run(["search", "last"].iter().chain(words)).await;

    // Numbers are those of the lines that `log` prints.
    let found = search(&["Line 77 of"]).await;
    let (number, text) = found.out.trim_end().split_once(':').unwrap();
    assert_eq!((found.status, text), (0, "Line 77 of it"), "{found:#?}");
    let number: usize = number.parse().unwrap();
    assert_eq!(lines[number - 1], "Line 77 of it");
    let around = search(&["Line (77|78|90) of", "-C", "1"]).await;
    let lines = &lines;
    let shown = |from: usize, matches: std::ops::RangeInclusive<usize>| {
        (from..from + matches.clone().count() + 2).map(move |n| {
            let mark = if matches.contains(&n) { ':' } else { '-' };
            format!("{n}{mark}{}\n", lines[n - 1])
        })
    };
    let first: String = shown(number - 1, number..=number + 1).collect();
    let second: String = shown(number + 12, number + 13..=number + 13).collect();
    assert_eq!(around.out, format!("{first}--\n{second}"), "{around:#?}");

    // Every one of them, a page of the gateway at a time.
    let all = search(&["^Line [0-9]+ of it$", "--limit", "2500"]).await;
    let numbers: BTreeSet<&str> = all.out.lines().map(|line| line.split_once(':').unwrap().0).collect();
    assert_eq!((all.out.lines().count(), numbers.len(), all.status), (2500, 2500, 0));
    let some = search(&["^Line", "-m", "10"]).await;
    assert!(some.out.lines().count() == 10 && some.err.contains("--limit 100"), "{some:#?}");

    // An echoed command counts, unless it is asked not to.
    assert_eq!(search(&["display"]).await.status, 0);
    let output = search(&["display", "--no-echo"]).await;
    assert_eq!((output.status, output.out.as_str()), (1, ""), "none is found: {output:#?}");
    assert_eq!(search(&["line 77 OF"]).await.status, 1);
    assert_eq!(search(&["line 77 OF", "-i"]).await.out, found.out);
    let console = search(&["Line 77", "--console"]).await;
    assert_eq!(console.status, 1, "{console:#?}");

    let json = search(&["Line 77 of", "--json"]).await;
    let json: Value = serde_json::from_str(json.out.trim()).unwrap();
    assert_eq!((&json["run_id"], &json["lines"][0]["line"]), (&run.to_string().into(), &number.into()));
    for (words, want) in [(&["("][..], "`pattern`"), (&["x", "-C", "51"], "0..=50"), (&[""], "<PATTERN>")] {
        let refused = search(words).await;
        assert!(refused.status == 2 && refused.err.contains(want), "{words:?}: {refused:#?}");
    }
    let nothing = lab.run(["search", "ffffffff", "x"]).await;
    assert!(nothing.status == 4 && nothing.err.contains("ffffffff"), "{nothing:#?}");
}

/// Events that the command has printed so far.
fn events(at: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(at).unwrap();
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn history(api: &Api, run: RunId) -> Vec<String> {
    let answer = api.request(Method::GET, &format!("/api/v1/runs/{run}/history")).send().await.unwrap();
    read::<RunHistory>(answer).await.unwrap().steps.iter().map(|step| step.state.to_string()).collect()
}

fn told(events: &[Value], run: RunId) -> Vec<String> {
    let its = events.iter().filter(|event| event["event"] == "state" && event["run_id"] == run.to_string());
    its.map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

/// Follows all runs while the gateway is away and two runs end meanwhile; whether every step was told once and in order.
async fn over_an_absence(faults: &str) -> bool {
    let mut lab = lab!();
    let (mut gateway, _agent) = site(&mut lab, faults).await;
    let printed = lab.path().join("events");
    let mut command = lab.command(["events", "--json"]);
    command.stdout(std::fs::File::create(&printed).unwrap()).stderr(Stdio::piped());
    let mut follower = command.spawn().unwrap();
    let has = async |what: &str, cond: &dyn Fn(&[Value]) -> bool| {
        wait::until_now(wait::SOON, what, || cond(&events(&printed)).then_some(())).await;
    };
    has("it follows", &|events| !events.is_empty()).await;
    let first = run(&gateway.api, "display 1\n").await;
    let ended = |run: RunId| {
        move |events: &[Value]| told(events, run).last().is_some_and(|state| state == RunState::Succeeded.as_str())
    };
    has("the first has ended", &ended(first)).await;
    let id = events(&printed).iter().rev().find_map(|event| event["id"].as_str().map(str::to_owned)).unwrap();

    // What happens while neither the gateway nor the command is there is what the ledger tells.
    let gate = gateway.api.submit_path(&lab.gated(), &["gate"]).await.run_id;
    gateway.api.wait_output(gate, "started gate").await;
    let signal = |child: &tokio::process::Child, signal| {
        let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    signal(&follower, Signal::STOP);
    gateway.daemon.kill();
    lab.open_gate("gate");
    gateway.daemon.restart();
    longhaul_tests::lab::ready(&mut gateway.daemon).await;
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_end(gate).await;
    signal(&follower, Signal::CONT);
    has("it follows again", &|events| events.iter().filter(|event| event["event"] == "ready").count() == 2).await;
    let last = run(&gateway.api, "display 3\n").await;
    has("the last has ended", &ended(last)).await;
    let all = events(&printed);
    let mut whole = true;
    for run in [first, gate, last] {
        whole &= told(&all, run) == history(&gateway.api, run).await;
    }
    // Another one goes on behind an event.
    let later = lab.path().join("later");
    let mut command = lab.command(["events", "--json", "--after", &id]);
    command.stdout(std::fs::File::create(&later).unwrap());
    let mut other = command.spawn().unwrap();
    if faults.is_empty() {
        wait::until_now(wait::SOON, "what came since", || ended(last)(&events(&later)).then_some(())).await;
        let later = events(&later);
        assert_eq!((told(&later, first), told(&later, gate)), (vec![], history(&gateway.api, gate).await));
    }
    signal(&follower, Signal::INT);
    let end = tokio::time::timeout(wait::SOON, follower.wait()).await.unwrap().unwrap();
    assert_eq!(end.code(), Some(0), "Ctrl-C leaves");
    other.kill().await.unwrap();
    whole
}

#[tokio::test]
async fn events_are_told_over_an_absence_without_a_gap() {
    assert!(over_an_absence("").await);
    assert!(!over_an_absence("bug=missed_steps_stay_missed").await, "the control");
}

#[tokio::test]
async fn a_person_reads_a_line_for_each_step() {
    let mut lab = lab!();
    let (gateway, _agent) = site(&mut lab, "").await;
    let printed = lab.path().join("events");
    let mut command = lab.command(["events", "--utc"]);
    command.stdout(std::fs::File::create(&printed).unwrap());
    let mut follower = command.spawn().unwrap();
    let text = || std::fs::read_to_string(&printed).unwrap();
    let request = |code: &str| SubmitRequest {
        text: Some(code.to_owned()),
        name: Some("nightly".to_owned()),
        again: true,
        ..SubmitRequest::default()
    };
    // The first run may be made before it follows.
    wait::until(wait::SOON, "a line comes", async || {
        let run = gateway.api.submit(&request("error 9\n")).await.unwrap().run.run_id;
        gateway.api.wait_end(run).await;
        text().contains(&run.short()).then_some(())
    })
    .await;
    let run = gateway.api.submit(&request("error 9\n")).await.unwrap().run.run_id.short();
    let last = format!("{run}  failed (stata_error) on stata1  nightly");
    wait::until_now(wait::SOON, "it has ended", || text().contains(&last).then_some(())).await;
    let steps = [format!("{run}  queued  nightly"), format!("{run}  running on stata1  nightly"), last];
    let at: Vec<_> =
        steps.iter().map(|step| text().find(step).unwrap_or_else(|| panic!("{step}: {}", text()))).collect();
    assert!(at.is_sorted() && text().lines().all(|line| line.contains(" UTC  ")), "{}", text());
    follower.kill().await.unwrap();
    let refused = lab.run(["events", "--after", "yesterday"]).await;
    assert!(refused.status == 2 && refused.err.contains("`yesterday` is no id of this stream"), "{refused:#?}");
}
