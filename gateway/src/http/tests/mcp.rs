//! MCP on the wire, both eras.

use serde_json::{Value, json};

use super::{
    client::{messages, said, send},
    *,
};

fn progress(body: &str) -> Vec<Value> {
    let all = messages(body);
    all.into_iter().filter(|m| m["method"] == "notifications/progress").map(|m| m["params"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_listed() {
    let world = World::new(quick()).await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "mcp", "version": "1.0.0"},
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let answer = world.client().rpc("tools/list", json!({ "_meta": meta }), &[("Mcp-Method", "tools/list")]).await;
    let (status, body) = answer.whole().await;
    assert_eq!(status, 200, "{body}");
    let all = messages(&body);
    let names: Vec<&str> =
        all[0]["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "stata_run_file",
            "stata_run_selection",
            "stata_submit",
            "stata_wait",
            "stata_runs",
            "stata_log",
            "stata_graph",
            "stata_files",
            "stata_help",
            "stata_data",
            "stata_results",
            "stata_cancel",
            "stata_hosts"
        ]
    );
    let client = world.client();
    let answer = client.rpc("server/discover", json!({ "_meta": meta }), &[("Mcp-Method", "server/discover")]).await;
    let (_, body) = answer.whole().await;
    let told = messages(&body)[0]["result"]["instructions"].as_str().unwrap().to_owned();
    let advice = told.find("call stata_runs").unwrap();
    assert!(told[..advice].matches("stata_").count() == 0, "the first advice: {told}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_client_gets_a_handle_in_time_and_progress_until_then() {
    let world = World::new(quick()).await;
    let client = world.client();
    let answer = client.call("stata_run_selection", json!({"selection": "display 1"}), json!({"progressToken": 7}));
    let (_, body) = answer.await.whole().await;
    let (text, is_error) = said(&body);
    assert!(!is_error, "a handle is no error: {text}");
    assert!(text.starts_with("still queued") && text.contains("stata_wait(runs: \""), "{text}");
    let beats = progress(&body);
    assert!(beats.len() >= 4, "one at acceptance, then from a timer: {beats:?}");
    let mut last = 0.0;
    for beat in &beats {
        assert_eq!(beat["progressToken"], 7);
        let now = beat["progress"].as_f64().unwrap();
        assert!(now > last && now < 1.0, "{beats:?}");
        last = now;
        let message = beat["message"].as_str().unwrap();
        assert!(message.starts_with("queued ") && message.chars().count() <= 200, "{message}");
    }
    let run = text.split("stata_wait(runs: \"").nth(1).unwrap()[..8].to_owned();
    let (text, _) = client.tool("stata_wait", json!({"runs": run, "seconds": 0})).await;
    assert!(text.starts_with("queued"), "{text}");
    let (text, _) = client.tool("stata_runs", json!({})).await;
    assert!(text.contains(&run[run.len() - 8..]), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_heartbeat_off_nothing_is_sent() {
    let world = World::new(FrontendOptions { heartbeat_enabled: false, ..quick() }).await;
    let client = world.client();
    let answer = client.call("stata_run_selection", json!({"selection": "x"}), json!({"progressToken": 7}));
    assert_eq!(progress(&answer.await.whole().await.1), [] as [Value; 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tested_client_waits_to_the_end() {
    let world = World::new(quick()).await;
    let client = Client { name: ("claude-code", "2.1.330"), ..world.client() };
    let args = json!({"selection": "display 1"});
    let mut answer = client.call("stata_run_selection", args, json!({"progressToken": "t"})).await;
    // Ten beats of 100 ms are beyond `handle_after`.
    answer.until_it(|body| progress(body).len() >= 10).await;
    let (text, _) = client.tool("stata_runs", json!({})).await;
    let short = text[..8].to_owned();
    let (text, is_error) = client.tool("stata_cancel", json!({ "run": short })).await;
    assert!(!is_error && text.starts_with("cancelled"), "{text}");
    let body = answer.whole().await.1;
    let (text, is_error) = said(&body);
    assert!(is_error && text.starts_with(&format!("cancelled · display 1 · run {short}")), "{text}");
    // What only programs read stands beside the words.
    let response = messages(&body).into_iter().rfind(|m| m.get("id").is_some()).unwrap();
    let meta = &response["result"]["_meta"];
    assert!(meta["longhaul/run"].as_str().unwrap().ends_with(&short), "{response:#}");
    assert_eq!(meta["longhaul/trace"].as_str().unwrap().len(), 32, "{response:#}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_the_headers_come_early_and_the_answer_follows() {
    let world = World::new(quick()).await;
    let client = world.client();
    let id = world.waiting_run(&client, "display 1").await;
    let mut answer = client.call("stata_wait", json!({"runs": id, "seconds": 600}), json!({})).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("text/event-stream") && answer.head.contains("x-accel-buffering: no"),
        "{}",
        answer.head
    );
    answer.until(": accepted\n\n: waiting\n\n: waiting\n\n").await;
    assert!(world.counted("longhaul_mcp_flushed_early_total"));
    client.api("POST", &format!("/api/v1/runs/{id}/cancel"), "").await;
    let (text, _) = said(&answer.whole().await.1);
    assert!(text.starts_with("cancelled"), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_detaches() {
    let world = World::new(quick()).await;
    let client = world.client();
    let args = json!({"selection": "display 1", "wait": true});
    let use_of = |id: &str| json!({"progressToken": 7, "claudecode/toolUseId": id});
    let mut answer = client.call("stata_run_selection", args.clone(), use_of("toolu_1")).await;
    let seen = answer.until("notifications/progress").await;
    let message = progress(&seen)[0]["message"].as_str().unwrap().to_owned();
    let short = message.rsplit(' ').next().unwrap().to_owned();
    drop(answer);
    loop {
        let (_, numbers) = client.api("GET", "/metrics", "").await;
        if numbers.as_str().unwrap().contains("longhaul_mcp_callers_gone_total 1") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(client.api("GET", &format!("/api/v1/runs/{short}"), "").await.1["state"], "queued", "the run goes on");

    // The same call again gets the same run, and the answer says so first.
    let mut again = client.call("stata_run_selection", args.clone(), use_of("toolu_1")).await;
    assert!(again.until("notifications/progress").await.contains(&short));
    // An equal call under another name is told so, and follows the same run.
    let other = client.call("stata_run_selection", json!({"selection": "display 1", "wait": false}), use_of("toolu_2"));
    let (text, _) = said(&other.await.whole().await.1);
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("this is run {short} ")) && first.contains("another call of mcp 2.3.0"),
        "{text}"
    );
    assert!(first.ends_with("nothing was started now; again: true runs it anew"), "{text}");
    // Unless it asks for another run.
    let args = json!({"selection": "display 1", "wait": false, "again": true});
    let (text, _) = said(&client.call("stata_run_selection", args, use_of("toolu_3")).await.whole().await.1);
    assert!(!text.contains(&short), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_and_panics_are_answered() {
    let world = World::new(quick()).await;
    let client = world.client();
    let check = async |tool: &str, args: Value, words: &[&str]| {
        let (text, is_error) = client.tool(tool, args).await;
        assert!(is_error, "{text}");
        for word in words {
            assert!(text.contains(word), "{text}");
        }
    };
    check("test_panic", json!({}), &["Runs are safe", "stata_runs"]).await;
    assert!(world.counted("longhaul_mcp_panics_total"));
    check("stata_run_file", json!({"file_path": 3}), &["`file_path`", "a string", "\"/home/"]).await;
    check(
        "stata_run_selection",
        json!({"selection": "x", "session_id": "s1"}),
        &["sessions are not available", "Leave session_id out"],
    )
    .await;
    check("stata_submit", json!({}), &["exactly one of path"]).await;
    check("stata_log", json!({"run": "00000000"}), &["no run `00000000`", "stata_runs"]).await;
    check("stata_wait", json!({"runs": ["00000000"]}), &["no run"]).await;
    let (status, body) = client.call("stata_nothing", json!({}), json!({})).await.whole().await;
    assert!(body.contains("stata_run_file"), "{status} {body}");
    let (text, is_error) = client.tool("stata_hosts", json!({})).await;
    assert!(!is_error && text.contains("longhaul agent"), "{text}");
    assert_eq!(client.api("GET", "/api/v1/runs", "").await.1["runs"], json!([]), "nothing was started");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_era_has_sessions_that_belong_to_their_owner() {
    let world = World::new(quick()).await;
    let (anna, ben) = (world.other("anna").await, world.other("ben").await);
    let bearer = |client: &Client| format!("Bearer {}", client.token);
    let (for_anna, for_ben) = (bearer(&anna), bearer(&ben));
    let common = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")];
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}
    }});
    let mut headers = common.to_vec();
    headers.push(("Authorization", &for_anna));
    let mut answer = send(anna.addr, "POST", "/mcp", &headers, &hello.to_string()).await;
    answer.until("\"protocolVersion\":\"2025-11-25\"").await;
    let session = answer.head.lines().find_map(|l| l.strip_prefix("mcp-session-id: ")).unwrap().trim().to_owned();
    drop(answer);

    let request = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    headers.push(("Mcp-Session-Id", &session));
    headers.push(("MCP-Protocol-Version", "2025-11-25"));
    assert_eq!(send(anna.addr, "POST", "/mcp", &headers, &request).await.status, 202);
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "stata_run_selection", "arguments": {"selection": "display 1"}, "_meta": {"progressToken": 2}
    }})
    .to_string();
    let (status, body) = send(anna.addr, "POST", "/mcp", &headers, &call).await.whole().await;
    assert_eq!(status, 200);
    assert!(progress(&body).len() >= 4, "{body}");
    assert!(said(&body).0.starts_with("still queued"), "{body}");

    let at = headers.iter().position(|(name, _)| *name == "Authorization").unwrap();
    headers[at].1 = &for_ben;
    assert_eq!(send(anna.addr, "POST", "/mcp", &headers, &call).await.status, 404, "somebody else's session");
    assert_eq!(send(anna.addr, "GET", "/mcp", &headers, "").await.status, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_says_that_the_run_goes_on() {
    let world = World::new(quick()).await;
    let client = world.client();
    let args = json!({"selection": "display 1", "wait": true});
    let mut answer = client.call("stata_run_selection", args, json!({"progressToken": 7})).await;
    answer.until("notifications/progress").await;
    let stopped = tokio::join!(world.stop(), answer.whole());
    let (text, is_error) = said(&stopped.1.1);
    assert!(!is_error && text.contains("restarting") && text.contains("stata_wait"), "{text}");
}
