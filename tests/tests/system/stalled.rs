//! Readers that stop reading in the middle of a large output: gateway and agent stay small, and neither the run nor
//! another reader is delayed.

use std::fs;

use longhaul_proto::{
    api::{COMPLETE, SubmitRequest},
    ids::RunId,
};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    wait,
};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// The output, MiB, in lines of 1 MiB: three times as much as gateway or agent may grow by, so that a copy of it in the
/// memory of either would show.
const OUTPUT: u64 = 72;
/// How much gateway and agent may grow, KiB. A reader needs 256 KiB of buffers, and the kernel's are not counted.
const GROWTH: u64 = 24 * 1024;
/// Stalled readers of each kind.
const STALLED: usize = 6;

/// Sends a request and never reads a byte of the answer.
async fn stall(api: &Api, request: RequestBuilder) -> TcpStream {
    let request = request.build().unwrap();
    let body = request.body().and_then(|b| b.as_bytes()).unwrap_or_default();
    let url = request.url();
    let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
    let mut head = format!("{} {}{query} HTTP/1.1\r\nhost: {}\r\n", request.method(), url.path(), api.address());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    stream
}

/// Memory in KiB: `VmRSS` now, or `VmHWM` at most.
fn memory(pid: i32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// An agent whose Stata is the benchmark's engine, which can print lines of any length.
async fn agent(lab: &Lab, gateway: &Gateway) -> Daemon {
    let mut spec = lab.agent_spec("stata1", gateway, &[]);
    let at = spec.args.iter().position(|a| a == "standin").unwrap();
    spec.args[at] = "stata".into();
    spec.args.extend(["--as-root".into(), "--stata".into(), env!("CARGO_BIN_EXE_longhaul-bench").into()]);
    let agent = Daemon::start("stata1", &lab.path().join("stata1"), spec);
    gateway.api.wait_host("stata1", "up").await;
    agent
}

async fn submit(api: &Api, code: &str) -> RunId {
    let request = SubmitRequest { text: Some(format!("{code}\n")), again: true, ..SubmitRequest::default() };
    api.submit(&request).await.unwrap().run.run_id
}

/// Reads an output to its end, page by page as it grows; returns its length.
async fn read_all(api: &Api, run: RunId) -> u64 {
    let mut offset = 0;
    loop {
        let path = format!("/api/v1/runs/{run}/output?offset={offset}&wait=10");
        let answer = api.request(Method::GET, &path).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let complete = answer.headers().get(COMPLETE).is_some_and(|v| v == "true");
        let page = answer.bytes().await.unwrap();
        offset += page.len() as u64;
        if complete {
            return offset;
        }
    }
}

#[tokio::test]
async fn stalled_readers_cost_nobody_anything() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let agent = agent(&lab, &gateway).await;
    let api = &gateway.api;
    // Once before: what the first run allocates is not to be counted.
    let first = submit(api, "* flood 8 1048576").await;
    assert!(api.wait_end(first).await.output_complete);
    let pids = [gateway.daemon.pid(), agent.pid()];
    let before = pids.map(|pid| memory(pid, "VmRSS:"));

    let run = submit(api, &format!("* flood {OUTPUT} 1048576")).await;
    let mcp = Mcp::new(api, "claude-code", "2.1.330");
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let events = format!("/api/v1/runs/{run}/events?stream=log&offset=0");
        stalled.push(stall(api, api.raw(Method::GET, &events)).await);
        for offset in [0, 1 << 20] {
            let output = format!("/api/v1/runs/{run}/output?offset={offset}&wait=30");
            stalled.push(stall(api, api.raw(Method::GET, &output)).await);
        }
        let call = |tool: &str, arguments| mcp.request("tools/call", json!({"name": tool, "arguments": arguments}));
        stalled.push(stall(api, call("stata_wait", json!({"runs": [run.to_string()]}))).await);
        stalled.push(stall(api, call("stata_log", json!({"run": run.to_string(), "offset": 0}))).await);
    }
    let read = tokio::time::timeout(wait::SOON * 4, read_all(api, run)).await.expect("a reader that reads gets it all");
    let end = api.wait_end(run).await;
    // How this engine ends does not matter here: it writes no sentinel.
    assert!(end.output_complete && read == end.output_bytes && read >= OUTPUT << 20, "{read}: {end:#?}");
    // New work is not delayed either.
    let next = submit(api, "* flood 1").await;
    assert!(api.wait_end(next).await.output_complete);

    for ((pid, before), who) in pids.into_iter().zip(before).zip(["gateway", "agent"]) {
        let most = memory(pid, "VmHWM:");
        println!("{who}: {before} KiB before, {most} KiB at most, with {} stalled readers", stalled.len());
        assert!(most < before + GROWTH, "the {who} grew from {before} to {most} KiB over an output of {OUTPUT} MiB");
    }
    // They are all still connected and were all being answered, and one that reads again gets what it asked for.
    for reader in &stalled {
        let mut head = [0; 12];
        reader.readable().await.unwrap();
        assert_eq!((reader.peek(&mut head).await.unwrap(), &head), (12, b"HTTP/1.1 200"));
    }
    let mut woken = stalled.remove(0);
    let mut bytes = vec![0; 1 << 16];
    let mut got = 0;
    while got < 4 << 20 {
        let more = tokio::io::AsyncReadExt::read(&mut woken, &mut bytes).await.unwrap();
        assert!(more > 0, "it was cut off after {got} bytes");
        got += more;
    }
    drop(stalled);
}
