//! Clients that do not read, do not ask for progress, or wait for a minute at most: each gets its result or a handle in
//! time, and does not slow the others.

use std::time::Duration;

use longhaul_proto::{clock::Clock, state::RunState};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::{Call, Mcp, Said, ToolResult},
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Heartbeats so frequent that an unread socket fills within seconds.
const FAST: &str = "progress_every = \"2ms\"\n";

/// Far above the time of a call that waits for no other client, and far below the send that a stalled reader delays (5
/// s, each).
const UNHINDERED: Duration = Duration::from_secs(4);

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "8"]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

fn client(api: &Api, name: &str) -> Mcp {
    Mcp::new(api, name, "1.0.0")
}

/// A connection by hand, with a tiny receive buffer.
struct Raw {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Raw {
    async fn open(api: &Api) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(api.address().parse().unwrap()).await.unwrap();
        Self { stream, seen: Vec::new() }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) {
        let request = request.build().unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method(), request.url().path(), {
            let url = request.url();
            format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
        });
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let body = request.body().unwrap().as_bytes().unwrap();
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.write_all(body).await.unwrap();
    }

    async fn first_byte(&mut self) {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).await.unwrap();
        self.seen.push(byte[0]);
    }

    /// Reads on until `needle` has come.
    async fn read_until(&mut self, needle: &str) {
        let read = async {
            let mut buffer = vec![0; 1 << 16];
            while !contains(&self.seen, needle) {
                let n = self.stream.read(&mut buffer).await.unwrap();
                assert!(n > 0, "the answer ended without {needle:?}");
                // The searched part is not searched again, except for a needle across the seam.
                let keep = self.seen.len().saturating_sub(needle.len());
                self.seen.drain(..keep);
                self.seen.extend_from_slice(&buffer[..n]);
            }
        };
        tokio::time::timeout(wait::SOON * 2, read).await.unwrap_or_else(|_| panic!("{needle:?} in time"));
    }
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// A request of the older era.
fn legacy(api: &Api, method: &str, params: Value) -> reqwest::RequestBuilder {
    let request = api.raw(Method::POST, "/mcp").header("accept", "application/json, text/event-stream");
    request.json(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
}

/// Opens a session of the older era; returns its id.
async fn open_session(api: &Api) -> String {
    let hello = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "older", "version": "1.0.0"}
    });
    let answer = legacy(api, "initialize", hello).send().await.unwrap();
    let session = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let ready = api.request(Method::POST, "/mcp").header("accept", "application/json, text/event-stream");
    let ready = ready.header("mcp-session-id", &session);
    let ready = ready.json(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).send().await.unwrap();
    assert!(ready.status().is_success(), "{ready:?}");
    session
}

/// One of the gateway's own metrics.
async fn number(api: &Api, name: &str) -> u64 {
    let text = api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn stalled(api: &Api) -> u64 {
    number(api, "longhaul_mcp_progress_stalled_total").await
}

/// The longest that this caller waits for the next heartbeat, over so many of them.
async fn longest_gap(call: &mut Call, beats: usize) -> Duration {
    let mut last = None;
    let mut longest = Duration::ZERO;
    for _ in 0..beats {
        let Some(Said::Progress(beat)) = call.next().await else { panic!("a heartbeat, not an end") };
        longest = longest.max(last.map_or(Duration::ZERO, |last| beat.at - last));
        last = Some(beat.at);
    }
    longest
}

/// Calls that nobody reads: two of the newer era, and one with a session of the older.
async fn deaf_clients(api: &Api, newer: &Mcp, arguments: impl Fn(&str) -> Value) -> Vec<Raw> {
    let session = Some(open_session(api).await);
    let mut deaf = Vec::new();
    for n in 0..3 {
        let mut raw = Raw::open(api).await;
        let meta = json!({"progressToken": "deaf"});
        let params = json!({"name": "stata_run_file", "arguments": arguments(&format!("deaf{n}")), "_meta": meta});
        raw.send(match &session {
            Some(session) if n == 2 => legacy(api, "tools/call", params).header("mcp-session-id", session),
            _ => newer.request("tools/call", params),
        })
        .await;
        raw.first_byte().await;
        deaf.push(raw);
    }
    deaf
}

/// Other clients of both eras get their answers in time.
async fn others_are_served(api: &Api) {
    for _ in 0..10 {
        let clock = Clock::system();
        let listed = client(api, "another").call("stata_runs", json!({})).await;
        assert!(!listed.is_error && clock.monotonic() < UNHINDERED, "{:?}", clock.monotonic());
    }
    let older = open_session(api).await;
    let asked = legacy(api, "tools/call", json!({"name": "stata_runs", "arguments": {}}));
    let asked = async { asked.header("mcp-session-id", &older).send().await.unwrap().text().await.unwrap() };
    let listed = tokio::time::timeout(UNHINDERED, asked).await.expect("another session of the older era is served");
    assert!(listed.contains("running"), "{listed}");
}

#[tokio::test]
async fn a_client_that_never_reads_slows_nobody_and_finds_its_result_when_it_does() {
    let mut lab = lab!();
    lab.config(FAST);
    let (gateway, _agent) = pair(&lab).await;
    let api = &gateway.api;
    let normal = client(api, "reads");
    let arguments = |name: &str| json!({"file_path": lab.gated(), "args": [name], "wait": true});
    let mut reads = normal.start("stata_run_file", arguments("reads"), json!({})).await;
    reads.progress("it runs", |p| p.message.starts_with("running")).await;
    let before = longest_gap(&mut reads, 500).await;
    assert_eq!(stalled(api).await, 0, "the control: while everybody reads, no send is given up");

    let mut deaf = deaf_clients(api, &normal, arguments).await;
    // Its socket is full, and so are the buffers behind it: a send was given up. Meanwhile the reader goes on reading.
    let mut worst = Duration::ZERO;
    let clock = Clock::system();
    while stalled(api).await < 3 {
        worst = worst.max(longest_gap(&mut reads, 100).await);
        assert!(clock.monotonic() < wait::SOON * 10, "the deaf clients are never stalled");
    }
    worst = worst.max(longest_gap(&mut reads, 500).await);
    assert!(worst < UNHINDERED, "{before:?} before, {worst:?} beside the stalled: heartbeats go on");
    others_are_served(api).await;
    println!("longest gap between heartbeats: {before:?} before, {worst:?} beside three stalled readers");

    // Their runs end like any other, and any client may ask for them.
    for n in 0..3 {
        lab.open_gate(&format!("deaf{n}"));
    }
    let view = wait::until(wait::SOON, "the runs of the deaf end", async || {
        let runs = api.list().await.ok()?.runs;
        (runs.iter().filter(|r| r.state == RunState::Succeeded).count() == 3).then(|| runs[0].clone())
    })
    .await;
    let other = client(api, "another").call("stata_wait", json!({"runs": view.run_id.to_string()})).await;
    assert!(other.text.contains("finished deaf"), "{other:#?}");
    // And when they read at last, the answer is at the end of the unread bytes.
    for (n, raw) in deaf.iter_mut().enumerate() {
        raw.read_until("\"content\":[").await;
        raw.read_until(&format!("finished deaf{n}")).await;
    }
    lab.open_gate("reads");
    let result = reads.result().await;
    assert!(result.text.contains("finished reads"), "{result:#?}");
}

/// No setting is changed, and the minute is real.
#[tokio::test]
async fn without_progress_or_tasks_there_is_a_result_or_a_handle_within_a_minute() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    let api = &gateway.api;
    let gated = lab.gated();
    let call = async |name: &str, wait: Option<bool>, limit: Option<Duration>| -> (Duration, ToolResult) {
        let mut arguments = json!({"file_path": gated, "args": [name]});
        if let Some(wait) = wait {
            arguments["wait"] = json!(wait);
        }
        let clock = Clock::system();
        let client = client(api, "no-progress").without_progress();
        let asked = async { client.start("stata_run_file", arguments, json!({})).await.all().await.1 };
        let answer = match limit {
            Some(limit) => tokio::time::timeout(limit, asked).await.expect("an answer within the client's limit"),
            None => asked.await,
        };
        (clock.monotonic(), answer.expect("an answer, not a closed stream"))
    };
    let minute = Some(Duration::from_secs(60));
    let patient = call("patient", Some(true), None);
    let impatient = async {
        let (took, handle) = call("impatient", None, minute).await;
        assert!(!handle.is_error && handle.text.contains("stata_wait"), "{handle:#?}");
        assert!(took > Duration::from_secs(40), "it waits as long as it can: {took:?}");
        lab.open_gate("impatient");
        let client = client(api, "no-progress").without_progress();
        let result = client.call("stata_wait", json!({"runs": handle.run()}));
        let result = tokio::time::timeout(Duration::from_secs(60), result).await.expect("within the limit");
        assert!(result.text.contains("finished impatient"), "{result:#?}");
        lab.open_gate("patient");
        took
    };
    let ((patient_took, patient), impatient_took) = tokio::join!(patient, impatient);
    assert!(!patient.is_error && patient.text.contains("finished patient"), "no token, and its result: {patient:#?}");
    assert!(patient_took > impatient_took);
    assert_eq!((lab.executions("patient"), lab.executions("impatient")), (1, 1));
}
