//! Tests of the stream over all runs, and of the port's routes beside the API.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{
    World,
    client::{Answer, Client, send},
    quick,
};
use crate::{model::RunSnapshot, runs::BACKLOG};

async fn follow(client: &Client, last: Option<&str>) -> Answer {
    let bearer = format!("Bearer {}", client.token);
    let mut headers = vec![("Authorization", bearer.as_str())];
    headers.extend(last.map(|id| ("Last-Event-ID", id)));
    send(client.addr, "GET", "/api/v1/events", &headers, "").await
}

/// The steps in a stream so far: id, run, state.
fn steps(body: &str) -> Vec<(String, Value)> {
    let field = |block: &str, name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let blocks = body.split("\n\n").filter(|block| block.contains("event: state"));
    let step = |block: &str| {
        let data: Value = serde_json::from_str(&field(block, "data: ")?).ok()?;
        Some((field(block, "id: ")?, data))
    };
    blocks.filter_map(step).collect()
}

#[tokio::test]
async fn steps_are_told_to_those_who_may_see_the_run_and_again_from_an_id() {
    let world = World::new(quick()).await;
    let (ann, ben) = (world.other("ann").await, world.other("ben").await);
    let (mut to_ann, mut to_ben) = (follow(&ann, None).await, follow(&ben, None).await);
    let ready = to_ann.until("event: ready").await;
    assert!(ready.contains("{\"resumed\":false}"), "{ready}");
    let run = world.waiting_run(&ann, "display 1").await;
    let told = to_ann.until(&run).await;
    let (id, step) = steps(&told).pop().unwrap();
    assert_eq!((&step["state"], &step["step"], &step["principal"]), (&json!("queued"), &json!(0), &json!("ann")));
    ann.api("POST", &format!("/api/v1/runs/{run}/cancel"), "").await;
    let told = to_ann.until("\"cancelled\"").await;
    assert_eq!(steps(&told).len(), 2, "{told}");
    // What waits and is asked to end is told between its steps; to others nothing is.
    let heard = to_ben.until(":\n\n").await;
    assert!(!heard.contains(&run), "{heard}");
    drop(to_ann);
    let mut again = follow(&ann, Some(&id)).await;
    let told = again.until("\"cancelled\"").await;
    assert!(told.contains("{\"resumed\":true}") && steps(&told).len() == 1, "only what came after the id: {told}");
    // An operator is told of all.
    let mut all = follow(&world.client(), Some("0-0")).await;
    let told = all.until("\"cancelled\"").await;
    assert_eq!(steps(&told).iter().filter(|(_, step)| step["run_id"] == run.as_str()).count(), 2, "{told}");
    let beyond = follow(&ann, Some("999999-0")).await.until("event: ready").await;
    assert!(beyond.contains("{\"resumed\":false}"), "a ledger that is older than the id: {beyond}");
    for wrong in ["x", "1", "-1", "1-2-3", "+1-0", "99999999999999999999-0"] {
        let (status, body) = follow(&ann, Some(wrong)).await.whole().await;
        assert!(status == 400 && body.contains("Last-Event-ID"), "{wrong}: {status} {body}");
    }
    world.stop().await;
}

#[tokio::test]
async fn who_is_too_slow_is_dropped_and_counted() {
    let world = World::new(quick()).await;
    let client = world.client();
    let mut stream = follow(&client, None).await;
    stream.until("event: ready").await;
    let run = world.waiting_run(&client, "display 1").await;
    let told = stream.until(&run).await;
    assert!(!world.counted("longhaul_event_streams_dropped_total"));
    // The stream is not polled before this has told more than waits for it.
    let runs = &world.gateway.core.runs.0;
    let now: Arc<RunSnapshot> = runs.registry.get(run.parse().unwrap()).unwrap().snapshot.borrow().clone();
    (0..=BACKLOG).for_each(|_| runs.registry.feed().tell(None, &now));
    let (status, body) = stream.whole().await;
    assert_eq!(status, 200);
    assert!(world.counted("longhaul_event_streams_dropped_total"), "{body}");
    // It comes back with its last id, and has missed nothing.
    let (id, _) = steps(&told).pop().unwrap();
    client.api("POST", &format!("/api/v1/runs/{run}/cancel"), "").await;
    let mut again = follow(&client, Some(&id)).await;
    let told = again.until("\"cancelled\"").await;
    assert_eq!(steps(&told).len(), 1, "{told}");
    world.stop().await;
}

#[test]
fn what_the_port_answers_besides_the_api_is_known() {
    let others: BTreeSet<&str> = crate::http::others().map(|row| row.path).collect();
    let known = ["/grpc.health.v1.Health/Check", "/longhaul.v1.Fleet/{*call}", "/mcp", "/mcp/"];
    assert_eq!(others.into_iter().collect::<Vec<_>>(), known, "the API's description says what it leaves out");
}
