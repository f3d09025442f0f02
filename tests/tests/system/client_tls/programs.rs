//! Clients of others over TLS with a private root, the bridge, and what people are told.

use std::{fs, path::Path, process::Stdio};

use longhaul_tests::{
    lab,
    lab::{finish, finish_within},
    need, wait,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use super::{elsewhere, everywhere, fingerprint, login};

#[tokio::test]
async fn the_official_python_client_calls_over_tls_where_it_knows_the_root() {
    let Some(python) = need::python_sdk() else { return };
    let lab = lab!();
    let gateway = lab.up(&["--tls", "auto"]).await;
    gateway.api.wait_host_up().await;
    let root = gateway.daemon.data.join("ca.pem");
    for trusted in [true, false] {
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/call_tool.py"));
        command.arg(format!("{}/mcp", gateway.api.url())).args([gateway.api.token(), "auto", "60"]);
        command.args(["stata_run_selection", "{\"selection\": \"display 6*7\"}"]).kill_on_drop(true);
        if trusted {
            command.env("SSL_CERT_FILE", &root);
        }
        let ran = finish(command).await;
        let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:#?}"));
        let answered = said["text"].as_str().is_some_and(|text| text.contains("42"));
        assert_eq!(answered, trusted, "{said:#}");
        assert_eq!(said["failed"].to_string().contains("CERTIFICATE_VERIFY_FAILED"), !trusted, "{said:#}");
    }
}

#[tokio::test]
async fn programs_on_node_trust_the_root_by_the_variable_that_is_told() {
    let Some(_) = need::node_modules() else { return };
    let lab = lab!();
    let gateway = lab.serving("gateway", &["gateway", "--tls", "auto"]).await;
    let data = gateway.daemon.data.to_str().unwrap();
    for args in [&["print", "--client", "cursor"][..], &["install", "--client", "claude", "--user"]] {
        let ran = lab.run([&["mcp"], args, &["--data", data]].concat()).await;
        let line = ran.err.lines().find_map(|line| line.trim().strip_prefix("export ")).map(str::to_owned);
        let line = line.unwrap_or_else(|| panic!("{ran:#?}"));
        let (variable, root) = line.split_once('=').unwrap();
        assert_eq!((variable, fs::read_to_string(root).is_ok()), ("NODE_EXTRA_CA_CERTS", true), "{line}");
        for trusted in [true, false] {
            let ask = format!("fetch('{}/healthz').then(async (a) => console.log(await a.text()))", gateway.api.url());
            let mut command = Command::new("node");
            command.args(["-e", &ask]).kill_on_drop(true);
            if trusted {
                command.env(variable, root);
            }
            let ran = finish(command).await;
            assert_eq!(ran.status == 0 && ran.out.contains("ok"), trusted, "{ran:#?}");
        }
    }
    let written = fs::read_to_string(lab.path().join("home/.claude.json")).unwrap();
    assert!(written.contains(&format!("{}/mcp", gateway.api.url())), "{written}");
}

#[tokio::test]
async fn the_bridge_speaks_tls_by_what_login_kept() {
    let lab = lab!();
    let gateway = lab.serving("gateway", &["gateway", "--tls", "auto"]).await;
    let data = elsewhere(&lab);
    let ran = login(&lab, gateway.api.url(), &gateway, &fingerprint(&gateway)).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let mut command = lab.command(["stdio", "--gateway", gateway.api.url(), "--data", &data]);
    let mut bridge = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    bridge.stdin.as_mut().unwrap().write_all(format!("{hello}\n").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(bridge.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(wait::SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
}

#[tokio::test]
async fn up_in_the_background_tells_how_others_come_to_trust_it() {
    let lab = lab!();
    let data = elsewhere(&lab);
    let up = ["up", "--background", "--engine", "standin", "--listen", "0.0.0.0:0", "--data", &data];
    let ran = lab.run(up).await;
    let _ = lab.run(["down", "--data", &data]).await;
    assert!(ran.status == 0 && ran.out.contains("serves https://"), "{ran:#?}");
    let line = ran.out.lines().find(|line| line.contains("longhaul login https://")).unwrap_or_default();
    assert!(line.contains("--ca-fingerprint ") && !line.contains("127.0.0.1"), "{ran:#?}");
}

/// What a tester of TLS servers finds, beyond what any certificate by a private root and of a short life gets: that the chain
/// ends in a root that it does not know, that there is nowhere to ask for revocations, and that it ends within 30 days.
#[tokio::test]
async fn testssl_finds_nothing_but_the_private_root() {
    let Some(testssl) = need::testssl() else { return };
    let lab = lab!();
    let gateway = everywhere(&lab, &[]).await;
    let found = lab.path().join("found.json");
    let mut command = Command::new(testssl);
    command
        .args(["--quiet", "--color", "0", "--fast", "--warnings", "batch", "-p", "-S", "-P", "--jsonfile"])
        .arg(&found);
    command.arg(gateway.api.address()).kill_on_drop(true).current_dir(lab.path());
    let ran = finish_within(command, wait::SOON * 5).await;
    let all: Value = serde_json::from_slice(&fs::read(&found).unwrap_or_default()).unwrap_or_default();
    let all = all.as_array().unwrap_or_else(|| panic!("{ran:#?}"));
    let severe = |one: &&Value| ["MEDIUM", "HIGH", "CRITICAL"].contains(&one["severity"].as_str().unwrap_or_default());
    let severe: Vec<String> =
        all.iter().filter(severe).map(|one| format!("{}: {}", one["id"], one["finding"])).collect();
    let expected = ["cert_chain_of_trust", "cert_revocation", "cert_expirationStatus", "cert_notAfter"];
    let unexpected: Vec<_> = severe.iter().filter(|one| !expected.iter().any(|id| one.contains(id))).collect();
    assert!(all.len() > 10 && unexpected.is_empty(), "{unexpected:#?} of {severe:#?}");
    let protocol = |id: &str| {
        all.iter().any(|one| one["id"] == id && one["finding"].as_str().unwrap_or_default().starts_with("offered"))
    };
    assert!(protocol("TLS1_3") && !protocol("TLS1") && !protocol("TLS1_1"), "{all:#?}");
}
