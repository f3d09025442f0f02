//! Waits that nothing under way ends, on the wire. There is no agent here.

use serde_json::{Value, json};

use super::{client::said, *};

/// `quick`, where such a wait is answered after a moment.
fn soon() -> FrontendOptions {
    FrontendOptions { no_end_after: Duration::from_millis(400), ..quick() }
}

/// A client that waits as long as progress arrives.
fn patient(world: &World) -> Client {
    Client { name: ("claude-code", "2.1.330"), ..world.client() }
}

async fn call(client: &Client, tool: &str, args: Value) -> (String, bool) {
    said(&client.call(tool, args, json!({"progressToken": 7})).await.whole().await.1)
}

fn beats(body: &str) -> usize {
    body.matches("notifications/progress").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_with_no_end_in_sight_is_answered_to_every_client_that_did_not_ask_to_wait() {
    let world = World::new(soon()).await;
    let client = patient(&world);
    let (text, is_error) = call(&client, "stata_run_selection", json!({"selection": "display 1"})).await;
    assert!(!is_error && text.starts_with("still queued"), "{text}");
    let url = &world.gateway.url;
    for words in [
        format!(
            "no agent is connected: start one with `longhaul agent --gateway {url}`, or let an operator invite one (`longhaul agents \
             invite NAME`)"
        ),
        "It does not start by waiting alone".to_owned(),
        "stata_hosts".to_owned(),
        "stata_wait(runs: ".to_owned(),
        "stata_cancel(run: ".to_owned(),
    ] {
        assert!(text.contains(&words), "{words}: {text}");
    }
    let run = text.split("stata_wait(runs: \"").nth(1).unwrap()[..8].to_owned();
    let (text, _) = call(&client, "stata_wait", json!({"runs": run, "seconds": 600})).await;
    assert!(text.starts_with("queued ") && text.contains("It does not start by waiting alone"), "{text}");

    // The control: a caller that asks to wait waits, far beyond that time.
    let args = json!({"selection": "display 2", "wait": true});
    let mut answer = client.call("stata_run_selection", args, json!({"progressToken": 7})).await;
    answer.until_it(|body| beats(body) >= 12).await;
    assert!(!answer.body().contains("still queued"), "{}", answer.body());
    drop(answer);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_may_end_by_itself_goes_on() {
    // The gateway has just restarted, and the agent that it remembers may return in a moment.
    let world = World::new(soon()).await;
    let info = longhaul_proto::wire::AgentInfo { agent_id: "a".into(), name: "stata1".into(), ..Default::default() };
    let heard_ms = Clock::system().unix_ms();
    world.gateway.core.ledger.put_agent(crate::ledger::AgentRecord { info, heard_ms }).await.unwrap();
    let world = world.again(soon()).await;
    let client = patient(&world);
    let args = json!({"selection": "display 1"});
    let mut answer = client.call("stata_run_selection", args, json!({"progressToken": 7})).await;
    let body = answer.until_it(|body| beats(body) >= 10).await;
    assert!(body.contains("waits for its agents to return") && !body.contains("still queued"), "{body}");
    drop(answer);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_never_was_is_an_error_with_the_names_there_are() {
    let world = World::new(quick()).await;
    let client = patient(&world);
    let args = |host: &str| json!({"selection": "display 1", "host": host, "wait": false});
    let (text, is_error) = call(&client, "stata_run_selection", args("stata9")).await;
    assert!(
        is_error && text.starts_with("nothing was run: no host is named `stata9`: no agent has joined yet"),
        "{text}"
    );
    let labels = [("site".to_owned(), "north".to_owned())].into_iter().collect();
    let info =
        longhaul_proto::wire::AgentInfo { agent_id: "a".into(), name: "stata1".into(), labels, ..Default::default() };
    // The agent was last seen long ago: it is remembered all the same.
    world.gateway.core.ledger.put_agent(crate::ledger::AgentRecord { info, heard_ms: 1 }).await.unwrap();
    let (text, is_error) = call(&client, "stata_run_selection", args("stata9")).await;
    assert!(is_error && text.contains("there are stata1"), "{text}");
    let (text, is_error) = call(&client, "stata_run_selection", args("stata1")).await;
    assert!(!is_error && text.starts_with("still queued"), "the control: {text}");

    let with = async |label: &str| {
        let body = json!({"text": "display 3", "labels": {"site": label}}).to_string();
        client.api("POST", "/api/v1/runs", &body).await
    };
    let (status, problem) = with("south").await;
    assert_eq!(status, 422, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(detail, "no host has the label `site=south`: there are site=north");
    assert_eq!(with("north").await.0, 201, "the control");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_the_id_gets_it_at_once() {
    // An hour is longer than this test waits for anything.
    let world = World::new(FrontendOptions { handle_after: Duration::from_secs(3600), ..quick() }).await;
    let (text, _) = world.client().tool("stata_run_selection", json!({"selection": "display 1", "wait": false})).await;
    assert!(text.starts_with("still queued") && text.contains("stata_wait(runs: "), "{text}");
    world.stop().await;
}
