//! What clients send that is no request of MCP, or says the same in another way: answered as JSON-RPC asks, or taken.

use longhaul_proto::state::RunState;
use longhaul_tests::{lab, lab::Gateway, mcp::Mcp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const BOTH: &str = "application/json, text/event-stream";

async fn post(gateway: &Gateway, path: &str, accept: Option<&str>, body: String) -> (StatusCode, String) {
    let mut request = gateway.api.request(Method::POST, path).header("content-type", "application/json").body(body);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

fn initialize(revision: &str) -> String {
    let client = json!({"name": "someone", "version": "1"});
    let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string()
}

#[tokio::test]
async fn messages_that_are_no_requests_are_answered_in_json_rpc() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let check = async |body: String, status: u16, code: i64, words: &str| {
        let (found, text) = post(&gateway, "/mcp", Some(BOTH), body.clone()).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {body}: {text}"));
        assert_eq!((found.as_u16(), answer["error"]["code"].as_i64()), (status, Some(code)), "{body}: {text}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{text}");
    };
    check("{\"jsonrpc\":".into(), 400, -32700, "no JSON").await;
    check(format!("[{}]", initialize("2025-11-25")), 400, -32600, "a batch is not taken").await;
    check(json!({"method": "ping"}).to_string(), 400, -32600, "\"jsonrpc\": \"2.0\"").await;
    check(initialize("2025-06-18"), 200, -32602, "2025-11-25 and 2026-07-28 and not 2025-06-18").await;
    let request = |method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
    };
    let arguments = request("tools/call", json!({"name": "stata_hosts", "arguments": [1]}));
    check(arguments, 200, -32602, "not a list").await;
    check(request("resources/list", json!({"cursor": "x"})), 200, -32602, "one page").await;

    // The revisions that are spoken, on both paths, by a client that takes anything or does not say what it takes.
    for path in ["/mcp", "/mcp/"] {
        for accept in [Some(BOTH), Some("*/*"), None] {
            let (status, text) = post(&gateway, path, accept, initialize("2025-11-25")).await;
            assert!(status.is_success() && text.contains("\"protocolVersion\":\"2025-11-25\""), "{path}: {text}");
        }
    }
    let (_, text) = post(&gateway, "/mcp", Some(BOTH), initialize("2027-01-01")).await;
    assert!(text.contains("\"protocolVersion\":\"2025-11-25\""), "{text}");
    let discovered = Mcp::new(&gateway.api, "someone", "1").request("server/discover", json!({})).send().await.unwrap();
    let text = discovered.text().await.unwrap();
    assert!(text.contains("\"supportedVersions\":[\"2025-11-25\",\"2026-07-28\"]"), "{text}");
    // No authorization server is named while there is none.
    let none = gateway.api.request(Method::GET, "/.well-known/oauth-protected-resource/mcp").send().await.unwrap();
    assert_eq!(none.status(), 404);
}

/// The control: without the look a client of an older revision gets a session.
#[tokio::test]
async fn an_older_revision_would_be_taken() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=any_revision");
    let gateway = lab.gateway().await;
    let (status, text) = post(&gateway, "/mcp", Some(BOTH), initialize("2025-06-18")).await;
    assert!(status.is_success() && text.contains("\"result\""), "{text}");
}

/// Calls tools with arguments as other servers' tools have them; whether all were taken.
async fn neighbours(mut lab: lab::Lab, faults: &str) -> bool {
    lab.env("LONGHAUL_FAULTS", faults);
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let file = lab.file("args.do", "display \"`1'-`2'\"\n");
    let given =
        json!({"path": file, "args": "[2024, \"b\"]", "timeout": "600", "wait": "true", "host": "", "key": null});
    let ran = mcp.call("stata_run_file", given).await;
    if ran.is_error {
        assert!(ran.text.contains("no argument `path`"), "{ran:#?}");
        return false;
    }
    assert!(ran.text.starts_with("succeeded after ") && ran.text.contains("\n2024-b\n"), "{ran:#?}");
    assert!(ran.text.lines().next().unwrap().contains(" · args.do 2024 b · "), "{ran:#?}");
    let code = mcp.call("stata_run_selection", json!({"code": "display 40 + 2", "wait": true})).await;
    assert!(code.text.contains("\n42\n"), "{code:#?}");
    let submitted = mcp.call("stata_submit", json!({"file_path": file, "again": "true"})).await;
    let waited = mcp.call("stata_wait", json!({"run": submitted.run(), "seconds": "60"})).await;
    assert!(waited.text.starts_with("succeeded"), "{waited:#?}");
    let log = mcp.call("stata_log", json!({"runs": [submitted.run()], "tail": "5"})).await;
    assert!(!log.is_error, "{log:#?}");
    let runs = gateway.api.list().await.unwrap().runs;
    assert!(runs.iter().all(|run| run.state == RunState::Succeeded) && runs.len() == 3, "{runs:#?}");
    let long = mcp.call("stata_run_file", json!({"file_path": file, "timeout": 1e12})).await;
    assert!(long.is_error && long.text.contains("at most 315360000 seconds"), "{long:#?}");
    true
}

#[tokio::test]
async fn arguments_that_can_be_meant_in_one_way_are_taken() {
    assert!(neighbours(lab!(), "").await);
}

#[tokio::test]
async fn by_the_schema_alone_they_would_be_refused() {
    assert!(!neighbours(lab!(), "bug=arguments_by_schema_only").await);
}
