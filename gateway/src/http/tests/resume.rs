//! A call whose connection broke is resumed, in both eras, also at a restarted gateway.

use serde_json::{Value, json};

use super::{
    client::{Answer, messages, said, send},
    *,
};

/// One caller of one era.
struct Caller {
    client: Client,
    session: Option<String>,
}

impl Caller {
    async fn new(client: Client, modern: bool) -> Self {
        let mut caller = Self { client, session: None };
        if !modern {
            let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "claude-code", "version": "2.1.330"}
            }});
            let mut answer = caller.post(&hello).await;
            answer.until("\"protocolVersion\":\"2025-11-25\"").await;
            let session = answer.head.lines().find_map(|l| l.strip_prefix("mcp-session-id: ")).unwrap();
            caller.session = Some(session.trim().to_owned());
            assert_eq!(
                caller.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await.status,
                202
            );
        }
        caller
    }

    /// The same caller at another gateway.
    fn at(&self, world: &World) -> Self {
        Self { client: Client { addr: world.gateway.addr, ..self.client.clone() }, session: self.session.clone() }
    }

    async fn send(&self, method: &str, body: &str, more: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", self.client.token);
        let mut headers = vec![
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        if let Some(session) = &self.session {
            headers.push(("Mcp-Session-Id", session));
        }
        headers.extend_from_slice(more);
        send(self.client.addr, method, "/mcp", &headers, body).await
    }

    async fn post(&self, message: &Value) -> Answer {
        self.send("POST", &message.to_string(), &[]).await
    }

    /// A call that waits to the end of its run.
    async fn call(&self, use_id: &str) -> Answer {
        let args = json!({"selection": "display 1"});
        if self.session.is_none() {
            let client = Client { name: ("claude-code", "2.1.330"), ..self.client.clone() };
            let meta = json!({"progressToken": "t", "claudecode/toolUseId": use_id});
            return client.call("stata_run_selection", args, meta).await;
        }
        let params = json!({"name": "stata_run_selection", "arguments": args,
            "_meta": {"progressToken": "t", "claudecode/toolUseId": use_id}});
        self.post(&json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})).await
    }

    async fn resume(&self, event: &str) -> Answer {
        let version = if self.session.is_none() { "2026-07-28" } else { "2025-11-25" };
        self.send("GET", "", &[("Last-Event-ID", event), ("MCP-Protocol-Version", version)]).await
    }

    async fn refused(&self, event: &str, why: &str) {
        let answer = self.resume(event).await;
        assert_eq!(answer.status, 404, "{why}");
        let head = answer.head.clone();
        let (_, body) = answer.whole().await;
        assert!(head.contains("application/problem+json") && body.contains("stata_runs"), "{why}: {head}{body}");
    }
}

fn last_id(body: &str) -> String {
    let id = body.lines().rev().find_map(|l| l.strip_prefix("id: ").or_else(|| l.strip_prefix("id:")));
    id.unwrap_or_else(|| panic!("no event id in {body}")).trim().to_owned()
}

fn beats(body: &str) -> Vec<f64> {
    let all = messages(body);
    let beats = all.iter().filter(|m| m["method"] == "notifications/progress");
    let check = |m: &Value| {
        assert_eq!(m["params"]["progressToken"], "t");
        assert!(m["params"].get("_meta").is_none(), "{m}");
        m["params"]["progress"].as_f64().unwrap()
    };
    beats.map(check).collect()
}

/// Short id of the run in the progress so far.
fn short(body: &str) -> String {
    let all = messages(body);
    let beat = all.iter().find(|m| m["method"] == "notifications/progress").unwrap();
    beat["params"]["message"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned()
}

async fn gone(client: &Client, n: usize) {
    let word = format!("longhaul_mcp_callers_gone_total {n}\n");
    while !client.api("GET", "/metrics", "").await.1.as_str().unwrap().contains(&word) {
        tokio::task::yield_now().await;
    }
}

async fn seen(world: &World, run: &str) -> bool {
    let (_, run) = world.client().api("GET", &format!("/api/v1/runs/{run}"), "").await;
    let run = run["run_id"].as_str().unwrap().parse().unwrap();
    world.gateway.core.ledger.get(run).await.unwrap().unwrap().shown_ms > 0
}

async fn is_seen(world: &World, run: &str) {
    while !seen(world, run).await {
        tokio::task::yield_now().await;
    }
}

async fn cancel(client: &Client, run: &str) {
    client.api("POST", &format!("/api/v1/runs/{run}/cancel"), "").await;
    while client.api("GET", &format!("/api/v1/runs/{run}"), "").await.1["state"] != "cancelled" {
        tokio::task::yield_now().await;
    }
}

async fn cut_and_resumed(modern: bool) {
    let world = World::new(quick()).await;
    let anna = Caller::new(world.other("anna").await, modern).await;
    let ben = Caller::new(world.other("ben").await, modern).await;
    let mut answer = anna.call("toolu_1").await;
    let before = answer.until_it(|body| beats(body).len() >= 3).await;
    let (event, run) = (last_id(&before), short(&before));
    assert!(before.contains("retry: 10000"), "{before}");
    assert!(!event.contains(&run), "{event} names its run");
    drop(answer);
    gone(&world.client(), 1).await;

    // Only the principal that made the call, and only with a valid event id.
    ben.refused(&event, "another principal").await;
    // Nor an operator: the right to see the run is not the right to resume another principal's call.
    let operator = Caller::new(world.client(), modern).await;
    operator.refused(&event, "an operator").await;
    let (reference, number) = event.split_once('.').unwrap();
    for bad in ["garbage", reference, "0.1", &format!("{}.{number}", &reference[1..]), &format!("{reference}.-1"), ""] {
        anna.refused(bad, bad).await;
    }
    let other_era = Caller::new(anna.client.clone(), !modern).await;
    other_era.refused(&event, "the other era").await;

    // Resumed, cut again, resumed again.
    let mut answer = anna.resume(&event).await;
    assert_eq!(answer.status, 200);
    let again = answer.until_it(|body| beats(body).len() >= 3).await;
    let heard = [beats(&before), beats(&again)].concat();
    assert!(heard.is_sorted_by(|a, b| a < b), "progress rises: {heard:?}");
    assert_eq!(short(&again), run);
    let event = last_id(&again);
    drop(answer);
    gone(&world.client(), 2).await;
    let mut answer = anna.resume(&event).await;
    answer.until_it(|body| !beats(body).is_empty()).await;

    // The very result that a live call gets.
    let mut live = anna.call("toolu_1").await;
    live.until_it(|body| !beats(body).is_empty() && body.contains(&run)).await;
    cancel(&world.client(), &run).await;
    let (live, resumed) = tokio::join!(live.whole(), answer.whole());
    let response = |body: &str| messages(body).into_iter().rfind(|m| m.get("id").is_some()).unwrap();
    // Except for its first line, which says that it answers an earlier call.
    let (first, rest) = said(&live.1).0.split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(first.starts_with(&format!("this is run {run} ")) && first.contains("by this same call"), "{first}");
    assert_eq!(said(&resumed.1).0, rest);
    assert_eq!(response(&resumed.1)["id"], 7);
    assert!(said(&resumed.1).0.starts_with("cancelled · display 1 · run "), "{}", resumed.1);
    is_seen(&world, &run).await;
    assert!(world.counted("longhaul_mcp_resumed_total"));
    world.stop().await;
}

async fn finished_while_cut(modern: bool) {
    let world = World::new(quick()).await;
    let anna = Caller::new(world.other("anna").await, modern).await;
    let mut answer = anna.call("toolu_1").await;
    let before = answer.until_it(|body| !beats(body).is_empty()).await;
    let (event, run) = (last_id(&before), short(&before));
    drop(answer);
    gone(&world.client(), 1).await;
    cancel(&world.client(), &run).await;
    assert!(!seen(&world, &run).await, "nobody has read it");
    let (status, body) = anna.resume(&event).await.whole().await;
    assert!(status == 200 && said(&body).0.starts_with("cancelled · display 1 · run "), "{body}");
    is_seen(&world, &run).await;
    // Asked once more, it is answered once more.
    assert_eq!(said(&anna.resume(&event).await.whole().await.1), said(&body));
    world.stop().await;
}

async fn after_a_restart(modern: bool) {
    let world = World::new(quick()).await;
    let anna = Caller::new(world.other("anna").await, modern).await;
    let ben = Caller::new(world.other("ben").await, modern).await;
    let mut answer = anna.call("toolu_1").await;
    let before = answer.until_it(|body| !beats(body).is_empty()).await;
    let (event, run) = (last_id(&before), short(&before));
    drop(answer);
    gone(&world.client(), 1).await;

    let world = world.again(quick()).await;
    let (anna, ben) = (anna.at(&world), ben.at(&world));
    ben.refused(&event, "another principal").await;
    if !modern {
        let thief = Caller { client: ben.client.clone(), session: anna.session.clone() };
        assert_eq!(thief.resume(&event).await.status, 404, "somebody else's session");
    }
    let mut answer = anna.resume(&event).await;
    answer.until_it(|body| beats(body).len() >= 2 && short(body) == run).await;
    cancel(&world.client(), &run).await;
    let (_, body) = answer.whole().await;
    assert!(said(&body).0.starts_with("cancelled · display 1 · run "), "{body}");
    // And the session, if there is one, still takes calls.
    let mut answer = anna.call("toolu_2").await;
    answer.until_it(|body| !beats(body).is_empty()).await;
    drop(answer);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_cut_is_resumed_by_its_caller_alone() {
    Box::pin(cut_and_resumed(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_cut_is_resumed_by_its_caller_alone_in_the_older_era() {
    Box::pin(cut_and_resumed(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ended_while_its_caller_was_away_is_told() {
    Box::pin(finished_while_cut(true)).await;
    Box::pin(finished_while_cut(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_came_back_resumes_calls() {
    Box::pin(after_a_restart(true)).await;
    Box::pin(after_a_restart(false)).await;
}

/// The status of the answer to a call that broke off after its first progress and is resumed.
async fn resumed_from_its_first_progress() -> u16 {
    let world = World::new(quick()).await;
    let anna = Caller::new(world.other("anna").await, true).await;
    let mut answer = anna.call("toolu_1").await;
    let event = last_id(&answer.until_it(|body| !beats(body).is_empty()).await);
    drop(answer);
    gone(&world.client(), 1).await;
    let status = anna.resume(&event).await.status;
    world.stop().await;
    status
}

#[tokio::test]
async fn what_an_event_stands_for_is_noted_before_it_is_sent() {
    assert_eq!(Box::pin(resumed_from_its_first_progress()).await, 200);
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_an_event_that_stands_for_nothing_cannot_be_resumed() {
    let _bug = longhaul_proto::faults::enter("bug=own_answers_not_noted");
    assert_eq!(Box::pin(resumed_from_its_first_progress()).await, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_resumed_for_the_rest_of_its_time() {
    let world = World::new(quick()).await;
    let anna = Caller::new(world.other("anna").await, true).await;
    let run = world.waiting_run(&anna.client, "display 1").await;
    let meta = json!({"progressToken": "t"});
    let mut answer = anna.client.call("stata_wait", json!({"runs": [run], "seconds": 2}), meta).await;
    let event = last_id(&answer.until_it(|body| !beats(body).is_empty()).await);
    drop(answer);
    let (status, body) = anna.resume(&event).await.whole().await;
    let (text, is_error) = said(&body);
    assert!(status == 200 && !is_error && text.starts_with("queued"), "{body}");
    assert!(text.contains("Next: stata_wait(runs: \""), "{text}");
    world.stop().await;
}
