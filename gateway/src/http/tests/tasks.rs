//! Runs as tasks and as resources, on the wire. There is no agent here, so a run waits until a test ends it.

use longhaul_proto::ids::RunId;
use rmcp::model::TASKS_EXTENSION_ID;
use serde_json::{Value, json};

use super::{
    client::{messages, said},
    *,
};

/// `_meta` of a request; each request declares the extension, or does not.
fn meta(tasks: bool) -> Value {
    let extensions = if tasks { json!({"extensions": {TASKS_EXTENSION_ID: {}}}) } else { json!({}) };
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "claude-code", "version": "2.1.330"},
        "io.modelcontextprotocol/clientCapabilities": extensions
    })
}

fn root() -> crate::model::Identity {
    crate::model::Identity::local("root", crate::model::Scopes::OPERATE)
}

/// The last message that answers a request.
fn answered(body: &str) -> Value {
    messages(body).into_iter().rfind(|m| m.get("id").is_some()).unwrap_or_else(|| panic!("no answer in {body}"))
}

/// `tasks/…` of one handle.
async fn tasks(client: &Client, method: &str, handle: &str) -> Value {
    let params = json!({"taskId": handle, "inputResponses": {}, "_meta": meta(true)});
    let answer = client.rpc(method, params, &[("Mcp-Method", method), ("Mcp-Name", handle)]).await;
    answered(&answer.whole().await.1)
}

/// A call whose client understands tasks.
async fn begin(client: &Client, args: Value) -> Value {
    answered(&client.call("stata_run_selection", args, meta(true)).await.whole().await.1)["result"].clone()
}

fn soon() -> FrontendOptions {
    FrontendOptions { task_after: Duration::from_millis(100), ..quick() }
}

/// Reads a task until it is no longer working.
async fn ended(client: &Client, handle: &str) -> Value {
    loop {
        let task = tasks(client, "tasks/get", handle).await["result"].clone();
        assert_eq!((&task["taskId"], &task["resultType"]), (&json!(handle), &json!("complete")), "{task}");
        if task["status"] != "working" {
            return task;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_declares_tasks_gets_one_and_nobody_else_can_use_it() {
    let world = World::new(soon()).await;
    let (anna, ben) = (world.other("anna").await, world.other("ben").await);
    let task = begin(&anna, json!({"selection": "display 1"})).await;
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{task}");
    assert_eq!((&task["pollIntervalMs"], &task["ttlMs"]), (&json!(2000), &Value::Null), "{task}");
    assert!(world.counted("longhaul_mcp_tasks_total"));
    let handle = task["taskId"].as_str().unwrap();
    let (_, runs) = anna.api("GET", "/api/v1/runs", "").await;
    let run = runs["runs"][0]["run_id"].as_str().unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "recorded before the handle was given: {runs}");
    assert!(!handle.contains(run), "{handle}");

    let seen = tasks(&anna, "tasks/get", handle).await["result"].clone();
    let message = seen["statusMessage"].as_str().unwrap();
    assert!(message.starts_with("queued ") && message.contains(&run[run.len() - 8..]), "{message}");
    assert!(seen.get("result").is_none(), "{seen}");
    assert_eq!(tasks(&anna, "tasks/update", handle).await["result"]["resultType"], "complete");

    // Another principal, an operator, and every caller with another handle get the same answer, which tells nothing.
    let other = if handle.as_bytes()[4] == b'A' { "B" } else { "A" };
    let forged = format!("{}{other}{}", &handle[..4], &handle[5..]);
    let operator = world.client();
    for (who, handle) in [(&ben, handle), (&operator, handle), (&anna, run), (&anna, "x"), (&anna, forged.as_str())] {
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let error = tasks(who, method, handle).await["error"].clone();
            assert_eq!(error["code"], -32602, "{method} {handle}: {error}");
            assert!(error["message"].as_str().unwrap().contains("stata_runs"), "{error}");
        }
    }
    assert_eq!(tasks(&anna, "tasks/get", handle).await["result"]["status"], "working", "nobody cancelled it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_declares_tasks_gets_one() {
    let world = World::new(soon()).await;
    let client = world.client();
    let args = |wait: bool| json!({"selection": "display 1", "wait": wait, "again": true});
    // A client that asks for a run id gets one.
    let result = begin(&client, args(false)).await;
    assert!(result["content"][0]["text"].as_str().unwrap().contains("stata_wait(runs:"), "{result}");
    // The declaration holds for its own request only.
    assert_eq!(begin(&client, args(true)).await["resultType"], "task");
    let (text, _) = said(&client.call("stata_run_selection", args(false), meta(false)).await.whole().await.1);
    assert!(text.starts_with("still queued"), "{text}");
    let params = json!({"taskId": "x", "_meta": meta(false)});
    let answer = client.rpc("tasks/get", params, &[("Mcp-Method", "tasks/get"), ("Mcp-Name", "x")]).await;
    assert_eq!(answered(&answer.whole().await.1)["error"]["code"], -32021, "the extension was not declared");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_task_is_a_cancelled_run() {
    let world = World::new(soon()).await;
    let client = world.client();
    let task = begin(&client, json!({"selection": "display 1"})).await;
    let handle = task["taskId"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(tasks(&client, "tasks/cancel", handle).await["result"]["resultType"], "complete", "twice is fine");
    }
    let task = ended(&client, handle).await;
    assert_eq!(task["status"], "cancelled", "{task}");
    assert!(task["statusMessage"].as_str().unwrap().contains("stata_log(run: "), "{task}");
    let (_, runs) = client.api("GET", "/api/v1/runs", "").await;
    assert_eq!((&runs["runs"][0]["state"], runs["runs"].as_array().unwrap().len()), (&json!("cancelled"), 1), "{runs}");
    world.stop().await;
}

/// A run that ends badly, without an agent (it waits longer than its owner permits), and a task of it whose call was
/// answered so.
async fn impatient_run(world: &World, answered: u8) -> (RunId, String) {
    let body = json!({"text": "display 1", "queue_timeout": 0.6}).to_string();
    let (status, run) = world.client().api("POST", "/api/v1/runs", &body).await;
    assert_eq!(status, 201, "{run}");
    let id: RunId = run["run_id"].as_str().unwrap().parse().unwrap();
    (id, world.gateway.core.task_key.seal(id, answered, &Principal::local(run["principal"].as_str().unwrap())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_end_is_a_completed_task_with_the_text_of_the_live_call() {
    let world = World::new(soon()).await;
    let client = world.client();
    let (run, handle) = impatient_run(&world, 4).await;
    let task = ended(&client, &handle).await;
    // Not marked for Claude Code, which this client is.
    assert_eq!((&task["status"], &task["result"]["isError"]), (&json!("completed"), &json!(false)), "{task}");
    let text = task["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(
        first.starts_with(&format!("this is run {} ", run.short())) && first.contains("by this same call"),
        "{text}"
    );
    assert!(rest.starts_with("timed out: queue timeout"), "{text}");
    assert_eq!(tasks(&client, "tasks/get", &handle).await["result"]["result"]["isError"], false, "as often as asked");
    assert_eq!(tasks(&client, "tasks/cancel", &handle).await["result"]["resultType"], "complete", "too late, harmless");
    // The control: a task of the run's own call mentions no earlier call.
    let owner = world.gateway.core.runs.get(&root(), run).await.unwrap().principal.clone();
    let own = world.gateway.core.task_key.seal(run, 0, &owner);
    let text = ended(&client, &own).await["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("timed out: queue timeout"), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_read_to_its_end_is_seen() {
    let world = World::new(soon()).await;
    let client = world.client();
    let (run, handle) = impatient_run(&world, 0).await;
    assert_eq!(tasks(&client, "tasks/get", &handle).await["result"]["status"], "working");
    // From the ledger: reading the end by the API would count as seeing it.
    let record = async || world.gateway.core.ledger.get(run).await.unwrap().unwrap();
    while !record().await.state.is_end() {
        tokio::task::yield_now().await;
    }
    assert_eq!(record().await.shown_ms, 0, "neither a look at a working task nor the end itself is seeing it");
    ended(&client, &handle).await;
    while record().await.shown_ms == 0 {
        tokio::task::yield_now().await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_with_no_end_in_sight_ends_with_what_to_do_unless_the_caller_asked_to_wait() {
    let world = World::new(FrontendOptions { no_end_after: Duration::from_millis(600), ..soon() }).await;
    let client = world.client();
    let waits = begin(&client, json!({"selection": "display 2", "wait": true})).await;
    let task = begin(&client, json!({"selection": "display 1"})).await;
    let task = ended(&client, task["taskId"].as_str().unwrap()).await;
    let text = task["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!((&task["status"], &task["result"]["isError"]), (&json!("completed"), &json!(false)), "{task}");
    assert!(text.starts_with("still queued") && text.contains("no agent is connected"), "{text}");
    // The control, which started first.
    let waits = tasks(&client, "tasks/get", waits["taskId"].as_str().unwrap()).await;
    assert_eq!(waits["result"]["status"], "working", "{waits}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_known_to_the_next_gateway() {
    let world = World::new(soon()).await;
    let client = world.client();
    let task = begin(&client, json!({"selection": "display 1"})).await;
    let handle = task["taskId"].as_str().unwrap();
    let folder = world.folder;
    assert!(world.gateway.shutdown(Duration::from_secs(20)).await);
    let world = World::at(folder, Options { frontend: soon(), ..Options::default() }).await;
    let client = world.client();
    assert_eq!(tasks(&client, "tasks/get", handle).await["result"]["status"], "working");
    tasks(&client, "tasks/cancel", handle).await;
    assert_eq!(ended(&client, handle).await["status"], "cancelled");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_logs_and_hosts_are_resources_of_their_owner() {
    let world = World::new(quick()).await;
    let (anna, ben) = (world.other("anna").await, world.other("ben").await);
    let run = world.waiting_run(&anna, "display 1").await;
    let ask = async |who: &Client, method: &str, uri: &str| {
        let params = json!({"uri": uri, "_meta": meta(false)});
        let mut headers = vec![("Mcp-Method", method)];
        if !uri.is_empty() {
            headers.push(("Mcp-Name", uri));
        }
        answered(&who.rpc(method, params, &headers).await.whole().await.1)
    };
    let listed = async |who: &Client| {
        let all = ask(who, "resources/list", "").await["result"].clone();
        assert_eq!((&all["cacheScope"], &all["ttlMs"]), (&json!("private"), &json!(0)), "{all}");
        all["resources"].as_array().unwrap().iter().map(|r| r["uri"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let both = ["longhaul://runs".to_owned(), "longhaul://hosts".to_owned()];
    assert_eq!(listed(&ben).await, both);
    assert_eq!(
        listed(&anna).await,
        [&both[..], &[format!("longhaul://runs/{run}"), format!("longhaul://runs/{run}/log")]].concat()
    );
    let all = ask(&anna, "resources/templates/list", "").await["result"]["resourceTemplates"].clone();
    assert_eq!(all[0]["uriTemplate"], "longhaul://runs/{id}");
    assert_eq!(all[1]["uriTemplate"], "longhaul://runs/{id}/log");

    let text = async |who: &Client, uri: &str| {
        let answer = ask(who, "resources/read", uri).await;
        let content = &answer["result"]["contents"][0];
        assert_eq!(content["uri"], uri, "{answer}");
        content["text"].as_str().unwrap().to_owned()
    };
    let parsed = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let short = &run[run.len() - 8..];
    let view = parsed(text(&anna, &format!("longhaul://runs/{short}")).await);
    assert_eq!((&view["run_id"], &view["state"]), (&json!(run), &json!("queued")), "{view}");
    let brief = parsed(text(&anna, "longhaul://runs").await)["runs"][0].clone();
    assert_eq!((&brief["run_id"], &brief["state"]), (&json!(run), &json!("queued")), "{brief}");
    assert_eq!(brief["trace_id"], Value::Null, "a few fields each: {brief}");
    assert_eq!(parsed(text(&ben, "longhaul://runs").await), json!({}));
    assert_eq!(parsed(text(&anna, "longhaul://hosts").await)["queue"][0]["run_id"], run);
    let log = text(&anna, &format!("longhaul://runs/{run}/log")).await;
    assert!(log.starts_with(&format!("[log of run {short}, queued ")), "{log}");

    for (who, uri) in [
        (&ben, format!("longhaul://runs/{run}")),
        (&ben, format!("longhaul://runs/{run}/log")),
        (&anna, "longhaul://runs/00000000".to_owned()),
        (&anna, "file:///etc/passwd".to_owned()),
    ] {
        let error = ask(who, "resources/read", &uri).await["error"].clone();
        assert_eq!(error["code"], -32602, "{uri}: {error}");
        assert_eq!(error["data"]["uri"], uri);
    }
    world.stop().await;
}
