//! Clients without HTTP: `longhaul stdio` between them and the gateway.

use std::{path::Path, process::Stdio};

use longhaul_proto::state::RunState;
use longhaul_tests::{lab, lab::Lab, need, wait};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::pair;

/// A program whose lines are JSON, each read as it arrives.
struct Lined {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Lined {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines }
    }

    async fn send(&mut self, message: &Value) {
        self.stdin.as_mut().unwrap().write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// The next line, which is JSON like all; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(wait::SOON * 2, self.lines.next_line()).await.expect("a line in time").unwrap();
        line.map(|line| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
    }

    /// The first line for which `cond` holds.
    async fn find(&mut self, what: &str, cond: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.next().await.unwrap_or_else(|| panic!("ended without {what}"));
            if cond(&line) {
                return line;
            }
        }
    }

    async fn answer(&mut self, id: i64) -> Value {
        self.find("the answer", |line| line["id"] == id).await
    }
}

fn says(line: &Value, words: &str) -> bool {
    line["message"].as_str().is_some_and(|m| m.contains(words))
}

#[tokio::test]
async fn the_python_sdk_over_stdio_gets_its_result_over_a_restart_of_the_gateway() {
    let Some(python) = need::python_sdk() else { return };
    let mut lab = lab!();
    let (mut gateway, _agent) = pair(&mut lab).await;
    for mode in ["auto", "legacy"] {
        let arguments = json!({"file_path": lab.gated(), "args": [mode], "wait": true}).to_string();
        let bridge = lab.command(["stdio"]);
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/stdio_client.py"));
        command.args([mode, "stata_run_file", &arguments]).arg(bridge.as_std().get_program()).arg("stdio");
        command.env_clear().envs(bridge.as_std().get_envs().filter_map(|(k, v)| Some((k, v?))));
        let mut client = Lined::start(command);
        let tools = client.find("the list", |line| line["tools"].is_array()).await;
        assert!(tools["tools"].as_array().unwrap().contains(&json!("stata_run_file")), "{mode}: {tools}");
        let before = client.find("progress of the run", |line| says(line, "running")).await;
        gateway.daemon.kill();
        let away = client.find("word that the gateway is away", |line| says(line, "away")).await;
        gateway.daemon.restart();
        let after = client.find("progress after the restart", |line| says(line, "stata1")).await;
        for (one, next) in [(&before, &away), (&away, &after)] {
            assert!(next["progress"].as_f64() > one["progress"].as_f64(), "{mode}: it rises: {one} {next}");
        }
        lab.open_gate(mode);
        let result = client.find("the result", |line| line["text"].is_string()).await;
        assert_eq!(result["is_error"], false, "{mode}: {result}");
        assert!(result["text"].as_str().unwrap().contains(&format!("finished {mode}")), "{mode}: {result}");
        assert_eq!(lab.executions(mode), 1, "{mode}");
        assert!(client.next().await.is_none() && client.child.wait().await.unwrap().success());
    }
}

fn modern(id: i64, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "lines", "version": "1"});
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[tokio::test]
async fn a_withdrawn_call_and_a_client_that_leaves_end_no_run() {
    let mut lab = lab!();
    let (gateway, _agent) = pair(&mut lab).await;
    let mut bridge = Lined::start(lab.command(["stdio"]));
    let call = |id: i64, name: &str| {
        let arguments = json!({"file_path": lab.gated(), "args": [name], "wait": true});
        modern(
            id,
            "tools/call",
            json!({"name": "stata_run_file", "arguments": arguments, "_meta": {"progressToken": id}}),
        )
    };
    bridge.send(&call(1, "withdrawn")).await;
    bridge.send(&call(2, "left")).await;
    for id in [1, 2] {
        bridge
            .find("progress", |line| {
                line["params"]["progressToken"] == id
                    && line["params"]["message"].as_str().is_some_and(|m| m.starts_with("running"))
            })
            .await;
    }
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    bridge.send(&cancelled).await;
    bridge.send(&modern(3, "tools/list", json!({}))).await;
    assert!(bridge.answer(3).await["result"]["tools"].is_array());
    // The control: the other call is still served.
    bridge.send(&json!("no message")).await;
    assert_eq!(bridge.find("an error", |line| line["error"].is_object()).await["error"]["code"], -32600);
    drop(bridge.stdin.take());
    while let Some(line) = bridge.next().await {
        assert!(line["id"] != 1, "nothing is answered that was withdrawn: {line}");
    }
    assert!(bridge.child.wait().await.unwrap().success());
    for name in ["withdrawn", "left"] {
        lab.open_gate(name);
    }
    wait::until(wait::SOON, "both runs succeed", async || {
        let runs = gateway.api.list().await.ok()?.runs;
        (runs.iter().filter(|r| r.state == RunState::Succeeded).count() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_over_stdio_without_progress_is_joined_to_its_run_again() {
    let mut lab = lab!();
    let (mut gateway, _agent) = pair(&mut lab).await;
    let mut bridge = Lined::start(lab.command(["stdio"]));
    let arguments = json!({"file_path": lab.gated(), "args": ["quiet"], "wait": true, "again": true});
    bridge.send(&modern(1, "tools/call", json!({"name": "stata_run_file", "arguments": arguments}))).await;
    let run = wait::until(wait::SOON, "the run is recorded", async || {
        Some(gateway.api.list().await.ok()?.runs.first()?.run_id)
    })
    .await;
    gateway.api.wait_output(run, "started quiet").await;
    gateway.kill_and_restart().await;
    lab.open_gate("quiet");
    let answer = bridge.answer(1).await;
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("finished quiet"), "{answer}");
    assert_eq!(lab.executions("quiet"), 1, "though the call asks for a new run, the repetition is the same call");
    // The control: another call that asks for a new run gets one.
    let arguments = json!({"file_path": lab.gated(), "args": ["quiet"], "wait": true, "again": true});
    bridge.send(&modern(2, "tools/call", json!({"name": "stata_run_file", "arguments": arguments}))).await;
    assert!(bridge.answer(2).await["result"].is_object());
    assert_eq!(lab.executions("quiet"), 2);
}

/// A client that does not wait for the answer to `initialize`, or never sends one, or writes invalid messages.
#[tokio::test]
async fn the_bridge_answers_every_message_with_what_is_true() {
    let mut lab = lab!();
    let (_gateway, _agent) = pair(&mut lab).await;
    let legacy =
        |id: i64, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let initialize = legacy(
        1,
        "initialize",
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "hasty", "version": "1"}}),
    );
    let mut bridge = Lined::start(lab.command(["stdio"]));
    // Before `initialize`: a ping is answered, every other request gets the error that says what to send.
    bridge.send(&legacy(10, "ping", json!({}))).await;
    assert_eq!(bridge.answer(10).await["result"], json!({}));
    bridge.send(&legacy(11, "tools/list", json!({}))).await;
    let error = bridge.answer(11).await["error"].clone();
    assert_eq!(error["code"], -32600, "{error}");
    assert!(error["message"].as_str().unwrap().contains("initialize"), "{error}");

    // All at once, the first behind a byte order mark: none is lost or refused.
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let (ping, list) = (legacy(2, "ping", json!({})), legacy(3, "tools/list", json!({})));
    let lines = format!("\u{feff}{initialize}\r\n{ping}\n{ready}\n{list}\n");
    bridge.stdin.as_mut().unwrap().write_all(lines.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    while answers.len() < 3 {
        answers.push(bridge.find("an answer", |line| line["id"].is_i64()).await);
    }
    answers.sort_by_key(|answer| answer["id"].as_i64());
    assert_eq!(answers[0]["result"]["protocolVersion"], "2025-11-25", "{answers:#?}");
    assert_eq!(answers[1]["result"], json!({}), "{answers:#?}");
    assert!(answers[2]["result"]["tools"].is_array(), "{answers:#?}");

    bridge.stdin.as_mut().unwrap().write_all(b"{\"jsonrpc\": \"2.0\", \n").await.unwrap();
    assert_eq!(bridge.find("an error", |line| line["error"].is_object()).await["error"]["code"], -32700);
    // The control: valid JSON that is not a message.
    bridge.send(&json!(["no", "batch"])).await;
    assert_eq!(bridge.find("an error", |line| line["error"].is_object()).await["error"]["code"], -32600);
}

#[tokio::test]
async fn a_bridge_without_a_gateway_says_what_to_do() {
    let mut lab = lab!();
    let check = async |lab: &Lab, args: &[&str], words: &[&str]| {
        let mut bridge = Lined::start(lab.command(args.iter().chain(&["--patience", "0"])));
        bridge.send(&modern(7, "tools/call", json!({"name": "stata_runs"}))).await;
        let answer = bridge.answer(7).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        for word in words {
            assert!(message.contains(word), "{word}: {answer}");
        }
    };
    check(&lab, &["stdio"], &["longhaul up", "--gateway"]).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&lab, &["stdio", "--gateway", &format!("http://{free}")], &["cannot reach", "stata_runs"]).await;
    let gateway = lab.gateway().await;
    lab.env("LONGHAUL_TOKEN", "wrong");
    check(&lab, &["stdio", "--gateway", gateway.api.url()], &["token", "longhaul token add"]).await;
}

/// The messages of a client of the older era that does not wait for the answer to `initialize`.
fn hasty() -> String {
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "h", "version": "1"}});
    let messages = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}),
    ];
    messages.iter().fold("\u{feff}".to_owned(), |lines, message| format!("{lines}{message}\n"))
}

#[tokio::test]
async fn a_bridge_that_starts_before_its_gateway_serves_and_accuses_nobody() {
    let lab = lab!();
    let data = lab.path().join("up").to_str().unwrap().to_owned();
    // Without patience: it was the gateway, and not the client, that did not do its part.
    let mut bridge = Lined::start(lab.command(["stdio", "--data", &data, "--patience", "0"]));
    bridge.stdin.as_mut().unwrap().write_all(hasty().as_bytes()).await.unwrap();
    assert_eq!(bridge.answer(1).await["error"]["code"], -32000);
    let error = bridge.answer(2).await["error"].clone();
    let words = error["message"].as_str().unwrap();
    assert!(error["code"] == -32000 && words.contains("the gateway did not answer"), "{error}");
    assert!(!words.contains("send initialize first"), "{error}");

    let mut bridge = Lined::start(lab.command(["stdio", "--data", &data]));
    bridge.stdin.as_mut().unwrap().write_all(hasty().as_bytes()).await.unwrap();
    let _gateway = lab.up(&[]).await;
    let first = bridge.answer(1).await;
    assert_eq!(first["result"]["protocolVersion"], "2025-11-25", "{first}");
    assert!(bridge.answer(2).await["result"]["tools"].is_array());
}
