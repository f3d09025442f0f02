//! The SDKs of others, over HTTP, each with its own time-outs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_tests::{
    lab,
    lab::{Lab, Ran, finish},
    need,
    picture::PNG,
};
use serde_json::{Value, json};
use tokio::process::Command;

use super::pair;

/// A picture of more than half of what an answer may carry; a client accepts or refuses it whole.
fn large_picture() -> Vec<u8> {
    [PNG, &[0; 500_000]].concat()
}

/// Leaves that picture in a folder named after its argument.
fn drawing(lab: &Lab) -> PathBuf {
    lab.file("picture.bin", large_picture());
    lab.file(
        "drawing.do",
        "args name\nsleep 50\nmkdir `name'\ncopy picture.bin `name'/fit.png\nshell echo x,y > `name'/notes.csv\n\
         quietly set obs 9\ngenerate double x = _n\ngenerate double y = 3*x + mod(_n, 2)\nsave `name'/saved.dta\n\
         regress y x\ndisplay \"data: `c(pwd)'/`name'/saved.dta\"\n",
    )
}

/// What the tools around a run say of the one that [`drawing`] made.
fn check_around(which: &str, around: &Value) {
    let says = |key: &str, error: bool, wants: &[&str]| {
        assert_eq!(around[key]["isError"], error, "{which} {key}: {around:#}");
        for want in wants {
            assert!(around[key]["text"].as_str().unwrap().contains(want), "{which} {key}: {want}: {around:#}");
        }
    };
    let name = |file: &str| format!("{which}/{file}");
    says("files", false, &[&name("fit.png"), &name("notes.csv"), &name("saved.dta")]);
    says("file", false, &["\nx,y\n"]);
    says("results", false, &["coefficients of regress y, N = 9", "_cons"]);
    says("matrix", false, &["e(V)", "_cons"]);
    says("described", false, &["9 observations, 2 variables", "double"]);
    says("rows", false, &["Obs  x\n  2  2\n  3  3\n"]);
    says("help", false, &["regress"]);
    says("no_help", true, &["no such topic"]);
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Checks that one SDK went through all common uses, in one era; `which` names both.
fn check_everything(lab: &Lab, which: &str, said: &Value) {
    let text = |key: &str| said[key]["text"].as_str().unwrap_or_default().to_owned();
    for tool in ["stata_wait", "stata_graph", "stata_files", "stata_results", "stata_data", "stata_help"] {
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
    check_around(which, &said["around"]);
    assert_eq!(said["cancel"]["isError"], false, "{which}: {:#}", said["cancel"]);
    assert!(text("cancelled").contains("cancelled"), "{which}: {:#}", said["cancelled"]);
    assert!(said["withdrawn"]["message"].is_string(), "{which}: {:#}", said["withdrawn"]);
    assert!(text("still").contains("running"), "{which}: a withdrawn call ends no run: {:#}", said["still"]);
    assert!(text("found").contains(&format!("finished {which}-left")), "{which}: {:#}", said["found"]);
    let failing = lab.examples().join("nested-failure.do").display().to_string();
    assert_eq!(said["prompts"], json!(["run_and_explain", "look_at_data", "many_runs"]), "{which}");
    let prompt = said["prompt"].as_str().unwrap();
    assert!(prompt.contains(&format!("stata_run_file(file_path: \"{failing}\")")), "{which}: {prompt}");
    assert_eq!(said["completed"], json!([failing]), "{which}: what was typed of it goes on");
    let ids: Vec<&str> = said["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(ids.len() > 1 && ids.iter().all(|id| id.starts_with(ids[0])), "{which}: {ids:?}");
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
