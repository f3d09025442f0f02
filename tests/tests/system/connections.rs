//! Connections that send nothing, send half a request, or are too many.

use std::{ffi::OsString, fs, time::Duration};

use base64::Engine as _;
use longhaul_proto::api::SubmitRequest;
use longhaul_tests::{
    api::Api,
    daemon::{Daemon, Spec},
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The same program under a soft limit of descriptors, as service managers set one.
fn limited(mut spec: Spec, limit: &str) -> Spec {
    let mut args: Vec<OsString> = vec!["-c".into(), format!("ulimit -Sn {limit}; exec \"$0\" \"$@\"").into()];
    args.push(spec.program.into());
    args.append(&mut spec.args);
    Spec { program: "/bin/sh".into(), args, ..spec }
}

/// A gateway under the soft limit that systemd sets.
async fn limited_gateway(lab: &Lab) -> Gateway {
    let data = lab.path().join("gateway");
    let address = ["gateway", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut daemon = Daemon::start("gateway", &data, limited(lab.spec("gateway", address), "1024"));
    let endpoint = lab::ready(&mut daemon).await;
    let credentials = lab::json(&data.join("credentials.json")).unwrap();
    let api = longhaul_tests::api::Api::new(endpoint["url"].as_str().unwrap(), credentials["token"].as_str().unwrap());
    Gateway { daemon, api }
}

/// Opens silent connections; as many as the system takes.
async fn silent(address: &str, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        match tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => all.push(stream),
            // The control: its queue is full and no connection is accepted any more.
            _ => break,
        }
    }
    all
}

async fn healthy(gateway: &Gateway, patience: Duration) -> bool {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(patience).build().unwrap();
    let answer = client.get(format!("{}/healthz", gateway.api.url())).send().await;
    answer.is_ok_and(|a| a.status().is_success())
}

#[tokio::test]
async fn connections_that_say_nothing_shut_nobody_out() {
    let lab = lab!();
    let gateway = limited_gateway(&lab).await;
    let held = silent(gateway.api.address(), 1_100).await;
    assert_eq!(held.len(), 1_100, "all were accepted");
    assert!(healthy(&gateway, Duration::from_secs(20)).await, "people get in");
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    gateway.api.wait_end(run).await;
    drop(held);
}

#[tokio::test]
async fn without_bounds_they_do() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=connections_unbounded");
    let gateway = limited_gateway(&lab).await;
    let held = silent(gateway.api.address(), 1_100).await;
    assert!(!healthy(&gateway, Duration::from_secs(3)).await, "the control: what bounds mend is there");
    drop(held);
}

/// Beginnings that a connection may send and leave unfinished.
const BEGINNINGS: [&[u8]; 4] = [b"", b"PRI * HTTP/2.0\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01"];

/// Whether the other side closes the connection by itself.
async fn closes(address: &str, beginning: &[u8], patience: Duration) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(beginning).await.unwrap();
    let mut rest = Vec::new();
    // An error is a close as well, of a connection with unread bytes.
    tokio::time::timeout(patience, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn half_a_request_is_not_waited_for() {
    let mut lab = lab!();
    lab.env("LONGHAUL_HEAD_TIMEOUT", "1s");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let advertised = gateway.api.hosts().await.unwrap().hosts[0].advertise.clone();
    let agent = advertised.rsplit('/').next().unwrap().to_owned();
    for address in [gateway.api.address(), &agent] {
        for beginning in BEGINNINGS {
            assert!(closes(address, beginning, Duration::from_secs(20)).await, "{address} {beginning:?}");
        }
    }
    // Connections in use stay: the agent's own are older than any of these.
    gateway.api.wait_host("stata1", "up").await;
}

#[tokio::test]
async fn without_a_limit_it_is() {
    let mut lab = lab!();
    lab.env("LONGHAUL_HEAD_TIMEOUT", "1s").env("LONGHAUL_FAULTS", "bug=connections_unbounded");
    let gateway = lab.gateway().await;
    assert!(!closes(gateway.api.address(), b"", Duration::from_secs(4)).await, "the control");
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered() {
    let mut lab = lab!();
    lab.env("LONGHAUL_BODY_TIMEOUT", "1s");
    let gateway = lab.gateway().await;
    let mut stream = TcpStream::connect(gateway.api.address()).await.unwrap();
    let head = format!(
        "POST /api/v1/runs HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n{{\"text\"",
        gateway.api.address(),
        gateway.api.token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_exact(&mut answer)).await;
    assert!(read.is_ok_and(|read| read.is_ok()), "there is an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
}

/// Submits bundles of 30 MiB concurrently; returns how many were refused, and the most memory the gateway took, MiB.
async fn bundles(lab: &Lab, count: usize) -> (usize, u64) {
    let gateway = lab.gateway().await;
    let content = base64::engine::general_purpose::STANDARD.encode(vec![b'x'; 30 << 20]);
    let body = json!({"again": true, "bundle": {"entry": "a.do", "files": [
        {"path": "a.do", "content": base64::engine::general_purpose::STANDARD.encode("display 1\n")},
        {"path": "data.csv", "content": content},
    ]}});
    let body = bytes::Bytes::from(body.to_string());
    let one = async || {
        let request = gateway.api.request(Method::POST, "/api/v1/runs").header("content-type", "application/json");
        request.body(body.clone()).send().await.unwrap()
    };
    let mut refused = 0;
    for answer in futures_util::future::join_all((0..count).map(|_| one())).await {
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
            assert!(answer.text().await.unwrap().contains("try again in"));
            refused += 1;
        } else {
            assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.unwrap());
        }
    }
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.daemon.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (refused, peak.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10)
}

#[tokio::test]
async fn submissions_are_bounded_in_bytes_and_those_beyond_come_again() {
    let mut lab = lab!();
    lab.env("LONGHAUL_MAX_BODY_BYTES", "64 MiB");
    let (refused, peak) = bundles(&lab, 4).await;
    assert!((1..4).contains(&refused), "{refused} of 4 were refused");
    assert!(peak < 600, "{peak} MiB");
    lab = lab!();
    lab.env("LONGHAUL_MAX_BODY_BYTES", "64 MiB").env("LONGHAUL_FAULTS", "bug=bodies_unbounded");
    let (refused, _) = bundles(&lab, 2).await;
    assert_eq!(refused, 0, "the control");
}

/// How many files a run on an agent under that soft limit may open, soft and hard, and how many the agent itself may.
async fn files_of_a_run(lab: &Lab) -> (String, String, String) {
    let gateway = lab.gateway().await;
    let agent =
        Daemon::start("stata1", &lab.path().join("stata1"), limited(lab.agent_spec("stata1", &gateway, &[]), "512"));
    gateway.api.wait_host("stata1", "up").await;
    let code = "shell ulimit -Sn > soft.txt; ulimit -Hn > hard.txt\n".to_owned();
    let request = SubmitRequest { text: Some(code), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    gateway.api.wait_end(run).await;
    let work = Lab::spool(&agent, run).join("run/work");
    let of_run = |name: &str| fs::read_to_string(work.join(name)).unwrap().trim().to_owned();
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    (of_run("soft.txt"), of_run("hard.txt"), line.split_whitespace().nth(3).unwrap().to_owned())
}

#[tokio::test]
async fn a_run_gets_the_descriptor_limit_that_its_agent_was_given() {
    let mut lab = lab!();
    let (soft, hard, agents) = files_of_a_run(&lab).await;
    assert_eq!(soft, "512", "programs that use select() stay below what they can count");
    assert!(agents == hard && agents != "512", "the agent raised its own: {agents}, {hard}");
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=runs_get_all_files");
    let (soft, hard, _) = files_of_a_run(&lab).await;
    assert_eq!(soft, hard, "the control");
}

/// A tool call by hand, since a client library would turn the refusal into an error of its own.
async fn raw_call(api: &Api, selection: &str) -> longhaul_tests::http::Answered {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "stata_run_selection", "arguments": {"selection": selection, "wait": true},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "claude-code", "version": "2.1.330"},
            "io.modelcontextprotocol/clientCapabilities": {}
        }
    }});
    api.request(Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "stata_run_selection")
        .json(&call)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_caller_has_so_many_waiting_calls_and_those_within_go_on() {
    let mut lab = lab!();
    lab.config("calls_per_principal = 2\n");
    let gateway = lab.gateway().await;
    let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let mut held = Vec::new();
    for n in 1..=2 {
        let arguments = json!({"selection": format!("display \"held {n}\""), "wait": true});
        let mut call = client.start("stata_run_selection", arguments, json!({})).await;
        call.progress("it waits", |p| p.message.starts_with("queued")).await;
        held.push(call);
    }
    let refused = raw_call(&gateway.api, "display 3").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"), "{refused:#?}");
    let problem: serde_json::Value = refused.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("2 MCP calls of yours are open, which is as many as are allowed"), "{problem}");
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), 2, "nothing was started for it");
    // Other principals have bounds of their own, and requests that are not calls are accepted.
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ana"})).send().await.unwrap();
    let made: serde_json::Value = made.json().await.unwrap();
    let ana = gateway.api.with_token(made["token"].as_str().unwrap());
    assert!(raw_call(&ana, "display 4").await.status().is_success());
    // Those within the bound come to their end, and then there is room.
    let _agent = lab.agent("stata1", &gateway, &["--serve-all"]);
    for (n, call) in (1..).zip(held) {
        let result = call.result().await;
        assert!(!result.is_error && result.text.contains(&format!("held {n}")), "{result:#?}");
    }
    let next = client.call("stata_run_selection", json!({"selection": "display \"room\""})).await;
    assert!(next.text.contains("room"), "{next:#?}");
}

/// The control: with room for it the third call is accepted.
#[tokio::test]
async fn within_a_wider_bound_the_third_call_is_taken() {
    let mut lab = lab!();
    lab.config("calls_per_principal = 3\n");
    let gateway = lab.gateway().await;
    let mut held = Vec::new();
    for n in 1..=3 {
        let mut call = raw_call(&gateway.api, &format!("display {n}")).await;
        assert!(call.status().is_success() && call.chunk().await.unwrap().is_some(), "{n}");
        held.push(call);
    }
    assert_eq!(raw_call(&gateway.api, "display 4").await.status(), StatusCode::TOO_MANY_REQUESTS);
}
