//! The stream over all runs: each step once and in order, over every absence.

use std::time::Duration;

use longhaul_proto::{api::RunHistory, api::StepEvent, ids::RunId, state::RunState};
use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::{Gateway, Lab},
    sse::{Event, Events},
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn follow(api: &Api, last: Option<&str>) -> Events {
    let mut request = api.request(Method::GET, "/api/v1/events");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    Events::new(request.send().await.unwrap())
}

/// The events up to one that satisfies a condition.
async fn until(events: &mut Events, what: &str, enough: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut all = Vec::new();
    let read = async {
        while let Some(event) = events.next().await {
            all.push(event.clone());
            if enough(&event) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(wait::SOON * 2, read).await;
    assert_eq!(found, Ok(true), "waited in vain until {what}: {all:#?}");
    all
}

fn step(event: &Event) -> Option<StepEvent> {
    (event.kind == "state").then(|| serde_json::from_str(&event.data).unwrap())
}

fn is(event: &Event, run: RunId, state: RunState) -> bool {
    step(event).is_some_and(|step| step.run_id == run && step.state == state)
}

/// The steps of a run as its history has them: what the stream must have told of it.
async fn history(api: &Api, run: RunId) -> Vec<(u32, RunState, u32, Option<String>)> {
    let answer = api.request(Method::GET, &format!("/api/v1/runs/{run}/history")).send().await.unwrap();
    let history: RunHistory = read(answer).await.unwrap();
    (0..).zip(history.steps).map(|(n, step)| (n, step.state, step.attempt, step.host)).collect()
}

fn told(events: &[Event], run: RunId) -> Vec<(u32, RunState, u32, Option<String>)> {
    let steps = events.iter().filter_map(step).filter(|step| step.run_id == run);
    steps.map(|step| (step.step, step.state, step.attempt, step.host)).collect()
}

/// Two runs, one while the reader is there, and one while it is away and the gateway dies; whether the reader is told all of both.
async fn nothing_is_missed(lab: &Lab) -> bool {
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host_up().await;
    let mut events = follow(&gateway.api, None).await;
    let mut all = until(&mut events, "it is ready", |event| event.kind == "ready").await;
    let file = lab.gated();
    let first = gateway.api.submit_path(&file, &["first"]).await.run_id;
    all.extend(until(&mut events, "it runs", |event| is(event, first, RunState::Running)).await);
    drop(events);
    lab.open_gate("first");
    let second = gateway.api.submit_path(&file, &["second"]).await.run_id;
    gateway.api.wait_end(first).await;
    gateway.kill_and_restart().await;
    let last = all.iter().rev().find(|event| !event.id.is_empty()).unwrap().id.clone();
    let mut events = follow(&gateway.api, Some(&last)).await;
    lab.open_gate("second");
    let ended = gateway.api.wait_end(second).await;
    assert_eq!(ended.state, RunState::Succeeded);
    // A third one says how far the stream has come.
    let third = gateway.api.submit_path(&lab.file("third.do", "display 3\n"), &[]).await.run_id;
    all.extend(until(&mut events, "the third ends", |event| is(event, third, RunState::Succeeded)).await);
    let mut whole = true;
    for run in [first, second, third] {
        let (told, made) = (told(&all, run), history(&gateway.api, run).await);
        assert!(made.len() >= 3 && made.last().unwrap().3.as_deref() == Some("stata1"), "{made:?}");
        whole &= told == made;
    }
    whole
}

#[tokio::test]
async fn each_step_is_told_once_over_absences_of_reader_and_gateway() {
    let mut lab = lab!();
    assert!(nothing_is_missed(&lab).await);
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=missed_steps_stay_missed");
    assert!(!nothing_is_missed(&lab).await, "the control");
}

async fn token(gateway: &Gateway, name: &str) -> Api {
    let body = json!({"name": name});
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&body).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    gateway.api.with_token(made["token"].as_str().unwrap())
}

#[tokio::test]
async fn each_is_told_of_the_runs_they_may_see_and_no_longer_than_their_token_lasts() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--serve-all"]);
    gateway.api.wait_host_up().await;
    let (ana, ben) = (token(&gateway, "ana").await, token(&gateway, "ben").await);
    let (mut own, mut others, mut all) =
        (follow(&ana, None).await, follow(&ben, None).await, follow(&gateway.api, None).await);
    // It says how far it is, and waits.
    let lines = "forvalues i = 1/40 {\n    display \"line `i'\"\n    sleep 50\n}\n";
    let run = ana.submit_path(&lab.file("slow.do", lines), &[]).await.run_id;
    let mine = until(&mut own, "it ends", |event| is(event, run, RunState::Succeeded)).await;
    assert_eq!(told(&mine, run), history(&ana, run).await);
    let progress = mine.iter().filter(|event| event.kind == "progress");
    let shown: Vec<Value> = progress.map(|event| serde_json::from_str(&event.data).unwrap()).collect();
    assert!(shown.iter().any(|told| told["progress"]["text"].is_string() && told["state"] == "running"), "{shown:#?}");
    assert!(shown.iter().all(|told| told["run_id"] == run.to_string()), "{shown:#?}");
    let everything = until(&mut all, "it ends", |event| is(event, run, RunState::Succeeded)).await;
    assert_eq!(told(&everything, run), told(&mine, run));
    let bens = ben.submit_path(&lab.file("b.do", "display 2\n"), &[]).await.run_id;
    let heard = until(&mut others, "theirs ends", |event| is(event, bens, RunState::Succeeded)).await;
    assert!(told(&heard, run).is_empty() && !told(&heard, bens).is_empty(), "{heard:#?}");
    assert!(heard.iter().all(|event| !event.data.contains(&run.to_string())), "{heard:#?}");

    let revoked = gateway.api.request(Method::DELETE, "/api/v1/tokens/ana").send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    let over = async { while own.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(8), over).await.expect("the stream ends with its token");
}
