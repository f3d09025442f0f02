//! Runs as tasks: the handle of one call leads to its result, through any restart of the gateway in between.

use longhaul_proto::state::RunState;
use longhaul_tests::{
    api::Api,
    lab,
    lab::Lab,
    mcp::{Mcp, ToolResult},
    processes, wait,
};
use serde_json::{Value, json};

fn client(api: &Api) -> Mcp {
    Mcp::new(api, "claude-code", "2.1.330")
}

/// The declaration of a client that supports tasks.
fn declared(more: Value) -> Value {
    let mut meta = json!({
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    });
    for (name, value) in more.as_object().unwrap() {
        meta[name] = value.clone();
    }
    meta
}

/// A call that takes long enough to become a task; returns its handle.
async fn begin(api: &Api, arguments: Value, meta: Value) -> String {
    let answer = client(api).start("stata_run_file", arguments, declared(meta)).await.result().await;
    let task = &answer.raw["result"];
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{task:#}");
    task["taskId"].as_str().unwrap().to_owned()
}

/// `tasks/…`; `None` while no gateway answers.
async fn ask(api: &Api, method: &str, handle: &str) -> Option<Value> {
    ask_as(&client(api), method, handle).await
}

async fn ask_as(client: &Mcp, method: &str, handle: &str) -> Option<Value> {
    let request = client.request(method, json!({"taskId": handle, "_meta": declared(json!({}))}));
    let text = request.header("mcp-name", handle).send().await.ok()?.text().await.ok()?;
    let line = text.lines().rev().find_map(|l| l.strip_prefix("data: ").filter(|l| l.starts_with('{')));
    let message: Value = serde_json::from_str(line.unwrap_or(&text)).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(message.get("error").is_none(), "{message:#}");
    Some(message["result"].clone())
}

async fn ended(api: &Api, handle: &str) -> Value {
    wait::until(wait::SOON, "the task ends", async || {
        ask(api, "tasks/get", handle).await.filter(|task| task["status"] != "working")
    })
    .await
}

async fn running(lab: &Lab, more: &[&str]) -> lab::Gateway {
    let gateway = lab.up(more).await;
    gateway.api.wait_host_up().await;
    gateway
}

#[tokio::test]
async fn a_failing_do_file_is_a_completed_task_with_the_text_of_the_live_call() {
    let lab = lab!();
    let gateway = running(&lab, &[]).await;
    let file = lab.file("bad.do", "display \"begin\"\nsleep 4000\ngenerate y = nosuchvar + 1\n");
    let arguments = json!({"file_path": file});
    let meta = json!({"claudecode/toolUseId": "toolu_1"});
    let handle = begin(&gateway.api, arguments.clone(), meta.clone()).await;
    let working = ask(&gateway.api, "tasks/get", &handle).await.unwrap();
    assert!(working["statusMessage"].as_str().unwrap().contains("running"), "{working:#}");
    let task = ended(&gateway.api, &handle).await;
    // Claude Code folds what is marked as an error into one line; the first word says it.
    assert_eq!((&task["status"], &task["result"]["isError"]), (&json!("completed"), &json!(false)), "{task:#}");
    assert!(task["result"]["content"][0]["text"].as_str().unwrap().starts_with("failed: r(111)"), "{task:#}");
    let other = Mcp::new(&gateway.api, "someone", "1");
    let marked = ask_as(&other, "tasks/get", &handle).await.unwrap();
    assert_eq!((&marked["status"], &marked["result"]["isError"]), (&json!("completed"), &json!(true)), "{marked:#}");
    // The same tool use is the same run, and this client does not declare tasks.
    let live: ToolResult = client(&gateway.api).start("stata_run_file", arguments, meta).await.result().await;
    assert!(live.is_error && live.text.contains("nosuchvar not found"), "{live:#?}");
    // Except for the fences around the output, which differ between any two answers.
    let unfenced = |text: &str| {
        let lines =
            text.lines().filter(|line| !line.starts_with("--- begin output") && !line.starts_with("--- end output"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let text = task["result"]["content"][0]["text"].as_str().unwrap();
    let (joined, shown) = live.text.split_once('\n').unwrap();
    assert!(joined.contains("by this same call") && joined.contains("nothing was started now"), "{joined}");
    assert_ne!(text, shown);
    assert_eq!(unfenced(text), unfenced(shown), "{task:#}");
}

/// The control: as it was, the end is marked for Claude Code, too.
#[tokio::test]
async fn a_failing_task_would_be_folded() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=tasks_end_in_errors");
    let gateway = running(&lab, &[]).await;
    let file = lab.file("bad.do", "display \"begin\"\nsleep 4000\ngenerate y = nosuchvar + 1\n");
    let handle = begin(&gateway.api, json!({"file_path": file}), json!({})).await;
    let task = ended(&gateway.api, &handle).await;
    assert_eq!(task["result"]["isError"], true, "{task:#}");
}

#[tokio::test]
async fn a_task_outlives_the_gateway() {
    let lab = lab!();
    let mut gateway = running(&lab, &[]).await;
    let arguments = json!({"file_path": lab.gated(), "args": ["task"]});
    let handle = begin(&gateway.api, arguments, json!({})).await;
    gateway.kill_and_restart().await;
    let task =
        wait::until(wait::SOON, "the next gateway knows it", async || ask(&gateway.api, "tasks/get", &handle).await)
            .await;
    assert_eq!(task["status"], "working", "{task:#}");
    lab.open_gate("task");
    let task = ended(&gateway.api, &handle).await;
    assert!(task["result"]["content"][0]["text"].as_str().unwrap().contains("finished task"), "{task:#}");
    assert_eq!(lab.executions("task"), 1);
}

#[tokio::test]
async fn a_cancelled_task_leaves_no_process() {
    let lab = lab!();
    let gateway = running(&lab, &[]).await;
    let arguments = json!({"file_path": lab.gated(), "args": ["stopped"]});
    let handle = begin(&gateway.api, arguments, json!({})).await;
    assert!(!processes::engines(lab.path()).is_empty(), "the control: it runs");
    for _ in 0..2 {
        ask(&gateway.api, "tasks/cancel", &handle).await.unwrap();
    }
    assert_eq!(ended(&gateway.api, &handle).await["status"], "cancelled");
    let run = gateway.api.list().await.unwrap().runs[0].clone();
    assert_eq!(run.state, RunState::Cancelled, "{run:#?}");
    wait::until_now(wait::SOON, "no process is left", || processes::engines(lab.path()).is_empty().then_some(())).await;
}
