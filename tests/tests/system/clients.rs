//! Third-party clients, clients without HTTP, and what is written into clients' configuration.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::state::RunState;
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, Ran, finish},
    need,
    picture::PNG,
    wait,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

async fn pair(lab: &mut Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    (gateway, agent)
}

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

/// A picture of more than half of what an answer may carry; a client accepts or refuses it whole.
fn large_picture() -> Vec<u8> {
    [PNG, &[0; 500_000]].concat()
}

/// Leaves that picture in a folder named after its argument.
fn drawing(lab: &Lab) -> PathBuf {
    lab.file("picture.bin", large_picture());
    lab.file("drawing.do", "args name\nsleep 50\nmkdir `name'\ncopy picture.bin `name'/fit.png\n")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Checks that one SDK went through all common uses, in one era; `which` names both.
fn check_everything(lab: &Lab, which: &str, said: &Value) {
    let text = |key: &str| said[key]["text"].as_str().unwrap_or_default().to_owned();
    for tool in ["stata_wait", "stata_graph"] {
        assert!(said["tools"].as_array().unwrap().contains(&json!(tool)), "{which}: {said:#}");
    }
    assert!(!said["progress"].as_array().unwrap().is_empty(), "{which}: {said:#}");
    assert_eq!(said["whole"]["isError"], false, "{which}: {said:#}");
    assert!(text("whole").contains(&format!("finished {which}")), "{which}: {said:#}");
    assert_eq!(said["failing"]["isError"], true, "{which}: {said:#}");
    assert!(text("failing").contains("r(9)"), "{which}: {said:#}");
    assert!(text("drawing").contains("graphs: "), "{which}: {}", text("drawing"));
    let images = said["images"].as_array().unwrap();
    assert_eq!(images.len(), 1, "{which}: {}", text("drawing"));
    assert_eq!(images[0]["mimeType"], "image/png", "{which}");
    let bytes = STANDARD.decode(images[0]["data"].as_str().unwrap()).unwrap();
    assert!(bytes == large_picture(), "{which}: the picture arrives byte for byte");
    assert_eq!(said["cancel"]["isError"], false, "{which}: {:#}", said["cancel"]);
    assert!(text("cancelled").contains("cancelled"), "{which}: {:#}", said["cancelled"]);
    assert!(said["withdrawn"]["message"].is_string(), "{which}: {:#}", said["withdrawn"]);
    assert!(text("still").contains("running"), "{which}: a withdrawn call ends no run: {:#}", said["still"]);
    assert!(text("found").contains(&format!("finished {which}-left")), "{which}: {:#}", said["found"]);
    let unknown = said["unknown"]["message"].as_str().unwrap_or_default();
    assert!(unknown.contains("no_such_tool"), "{which}: {:#}", said["unknown"]);
    for name in [which.to_owned(), format!("{which}-left")] {
        assert_eq!(lab.executions(&name), 1, "{name}");
    }
}

fn parsed(which: &str, ran: &Ran) -> Value {
    serde_json::from_str(ran.out.trim()).unwrap_or_else(|e| panic!("{which}: {e}: {ran:#?}"))
}

#[tokio::test]
async fn the_typescript_sdks_list_call_hear_progress_see_images_fail_and_cancel() {
    let Some(modules) = need::node_modules() else { return };
    let mut lab = lab!();
    let (gateway, _agent) = pair(&mut lab).await;
    let failing = lab.examples().join("nested-failure.do");
    for which in ["old", "new", "new-legacy"] {
        let mut command = Command::new("node");
        command.arg(script("node/sdk.mjs")).arg(&modules).arg(which);
        command.arg(format!("{}/mcp", gateway.api.url())).arg(gateway.api.token());
        command.arg(lab.gated()).arg(&failing).arg(drawing(&lab)).arg(lab.work().join("gate")).kill_on_drop(true);
        check_everything(&lab, which, &parsed(which, &finish(command).await));
    }
}

#[tokio::test]
async fn the_python_sdk_lists_calls_hears_progress_sees_images_fails_and_cancels() {
    let Some(python) = need::python_sdk() else { return };
    let mut lab = lab!();
    let (gateway, _agent) = pair(&mut lab).await;
    let failing = lab.examples().join("nested-failure.do");
    for mode in ["auto", "legacy"] {
        let mut command = Command::new(&python);
        command.arg(script("python/sdk.py")).arg(mode);
        command.arg(format!("{}/mcp", gateway.api.url())).args([gateway.api.token(), "all"]);
        command.arg(lab.gated()).arg(&failing).arg(drawing(&lab)).arg(lab.work().join("gate")).kill_on_drop(true);
        check_everything(&lab, mode, &parsed(mode, &finish(command).await));
    }
}

/// How long the silent run of every client takes, ms: three of the 60 s that the TypeScript SDKs wait for an answer.
const SILENT_MS: u32 = 180_000;

/// All at once, so that the minutes are spent once.
#[tokio::test]
async fn three_silent_minutes_reach_every_client_with_its_own_time_outs() {
    let (modules, python) = (need::node_modules(), need::python_sdk());
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--seats", "8"]);
    gateway.api.wait_host("stata1", "up").await;
    let file = lab
        .counted("silent.do", &format!("quietly {{\nsleep {SILENT_MS}\n}}\ndisplay \"the result of a silent run\"\n"));
    let url = format!("{}/mcp", gateway.api.url());
    let mut clients: Vec<(String, Command)> = Vec::new();
    for which in ["old", "new", "new-legacy"] {
        let Some(modules) = &modules else { break };
        let mut command = Command::new("node");
        command.arg(script("node/silent.mjs")).arg(modules).args([which, &url, gateway.api.token()]);
        command.arg(&file).arg(which);
        clients.push((which.to_owned(), command));
    }
    for (mode, how) in [("auto", "plain"), ("legacy", "plain"), ("auto", "patient"), ("legacy", "patient")] {
        let Some(python) = &python else { break };
        let mut command = Command::new(python);
        let name = format!("{mode}-{how}");
        command.arg(script("python/sdk.py")).args([mode, &url, gateway.api.token(), "silent"]);
        command.arg(&file).args([&name, how]);
        clients.push((name, command));
    }
    let all = clients.into_iter().map(|(name, mut command)| async move {
        let output = tokio::time::timeout(Duration::from_secs(360), command.kill_on_drop(true).output());
        (name, Ran::from(output.await.expect("in time").expect("it starts")))
    });
    for (name, ran) in futures_util::future::join_all(all).await {
        let said = parsed(&name, &ran);
        println!("{name}: {} calls, {} s, {} s the longest", said["calls"], said["seconds"], said["longest"]);
        assert_eq!(said["isError"], false, "{name}: {said:#}");
        let text = said["text"].as_str().unwrap_or_default();
        assert!(text.contains("succeeded") && text.contains("the result of a silent run"), "{name}: {said:#}");
        assert!(said["seconds"].as_f64() >= Some(f64::from(SILENT_MS) / 1e3), "{name}: it was silent: {said:#}");
        if name.ends_with("patient") {
            // One call, which received a heartbeat every 10 s; a third of them may have come late.
            assert!(said["calls"] == 1 && said["beats"].as_i64() >= Some(12), "{name}: {said:#}");
        } else {
            assert!(said["calls"].as_i64() > Some(3), "{name}: handles, and then the result: {said:#}");
        }
        assert_eq!(lab.executions(&name), 1, "{name}: nothing ran twice");
    }
}

async fn mcp<S: AsRef<OsStr>>(lab: &Lab, args: impl IntoIterator<Item = S>) -> longhaul_tests::lab::Ran {
    let args = args.into_iter().map(|a| a.as_ref().to_owned());
    lab.run([OsStr::new("mcp").to_owned()].into_iter().chain(args)).await
}

#[tokio::test]
async fn configuration_is_printed_for_each_client_and_installed_once() {
    let mut lab = lab!();
    lab.env("LONGHAUL_GATEWAY", "http://gw.lab:7447").env("LONGHAUL_TOKEN", "lh_secret");
    for client in ["claude", "claude-desktop", "cursor", "vscode", "windsurf", "json"] {
        let ran = mcp(&lab, ["print", "--client", client]).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
        let printed: Value = serde_json::from_str(&ran.out).unwrap();
        let text = printed.to_string();
        assert!(text.contains("http://gw.lab:7447") && text.contains("lh_secret"), "{client}: {text}");
    }

    // The user's existing file, reached by a symbolic link, keeps everything but the one entry.
    let foreign =
        "{\n  \"zeta\": 1.0,\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\"}\n  },\n  \"alpha\": []\n}\n";
    let real = lab.path().join("claude-real.json");
    fs::write(&real, foreign).unwrap();
    symlink(&real, lab.path().join("home/.claude.json")).unwrap();
    let dry = mcp(&lab, ["install", "--client", "claude", "--user", "--dry-run"]).await;
    assert!(dry.status == 0 && dry.out.contains("+    \"longhaul\": {"), "{dry:#?}");
    assert_eq!(fs::read_to_string(&real).unwrap(), foreign, "a dry run writes nothing");
    for words in ["has the entry", "already"] {
        let ran = mcp(&lab, ["install", "--client", "claude", "--user"]).await;
        assert!(ran.status == 0 && ran.err.contains(words), "{ran:#?}");
    }
    let text = fs::read_to_string(&real).unwrap();
    let own = text.find(",\n    \"longhaul\"").unwrap();
    let end = text.find("\n  },\n  \"alpha\"").unwrap();
    assert_eq!(format!("{}{}", &text[..own], &text[end..]), foreign, "all else is as it was: {text}");
    assert!(fs::symlink_metadata(lab.path().join("home/.claude.json")).unwrap().is_symlink());
    let url = &serde_json::from_str::<Value>(&text).unwrap()["mcpServers"]["longhaul"]["url"];
    assert_eq!(url, "http://gw.lab:7447/mcp");

    // A project's file is made, for the owner alone, and one that is not JSON is left alone.
    let project: PathBuf = lab.work().join(".mcp.json");
    let ran = mcp(&lab, ["install", "--client", "claude", "--token-from-env"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let text = fs::read_to_string(&project).unwrap();
    assert!(text.contains("Bearer ${LONGHAUL_TOKEN}") && !text.contains("lh_secret"), "{text}");
    assert_eq!(fs::metadata(&project).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&project, "{\"mcpServers\": {},}").unwrap();
    let ran = mcp(&lab, ["install", "--client", "claude"]).await;
    assert!(ran.status == 2 && ran.err.contains("not valid JSON"), "{ran:#?}");
    assert_eq!(fs::read_to_string(&project).unwrap(), "{\"mcpServers\": {},}");
}
