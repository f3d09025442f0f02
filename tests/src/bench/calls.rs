//! A thousand MCP calls that wait, at the shipped heartbeat interval: the memory of each, and the processor time of all
//! together.
//!
//! Measured twice, because a call has two parts: the waiting itself (`stata_wait` on one run), and a run of its own
//! with its record and its task (`stata_run_selection`; most of the thousand wait for a seat, and report that).

use std::{fs, time::Duration};

use futures_util::{StreamExt, stream::select_all};
use serde_json::{Value, json};

use crate::processes::cpu_seconds;

use super::{
    figures::{Bar, Line, at_most, floor, now_ns, quantile, since},
    parts::{Pair, in_turn, resident_kib, until_finished},
    site::Site,
};

/// Calls at once.
const COUNT: usize = 1_000;

/// How long they are read: six heartbeats each.
const MINUTE: Duration = Duration::from_secs(60);

/// Calls whose time is taken.
const SAMPLES: usize = 200;

/// One call of `stata_run_selection`, and the same engine alone; of all sites in turns.
pub async fn one(sites: &[Site]) -> Vec<Vec<Line>> {
    for site in sites {
        fs::create_dir(site.path("bare")).expect("a folder");
        fs::write(site.path("bare").join("code.do"), "* lines 1 0").expect("the code can be written");
    }
    let mut pairs = vec![Pair::default(); sites.len()];
    for n in 0..SAMPLES {
        for (at, site) in in_turn(sites, n) {
            call_once(site, n, &mut pairs[at]).await;
        }
    }
    pairs.into_iter().map(over_the_engine).collect()
}

async fn call_once(site: &Site, n: usize, pair: &mut Pair) {
    let start = now_ns();
    let mut engine = std::process::Command::new(std::env::current_exe().expect("this program"));
    engine.args(["-b", "do", "bare.do"]).current_dir(site.path("bare")).status().expect("the engine runs");
    pair.alone.push(since(start).as_secs_f64() * 1e3);
    let start = now_ns();
    let arguments = json!({"selection": format!("* lines 1 0\n* {n}\n"), "again": true});
    let mut answer = call(site, "stata_run_selection", arguments, n).await;
    while let Some(part) = answer.next().await {
        part.expect("readable");
    }
    pair.whole.push(since(start).as_secs_f64() * 1e3);
}

fn over_the_engine(Pair { mut alone, mut whole }: Pair) -> Vec<Line> {
    let (alone, whole) = (quantile(&mut alone, 0.5), quantile(&mut whole, 0.5));
    let over = whole - alone;
    vec![
        floor("the engine alone, spawn to exit, p50", format!("{alone:.2} ms")),
        Line {
            what: format!("an MCP call over that, p50 of {SAMPLES}"),
            measured: format!("+{over:.2} ms"),
            bar: Some(Bar { text: "<= +12 ms".to_owned(), met: over <= 12.0 }),
        },
    ]
}

/// The part.
pub async fn calls(site: &Site) -> Vec<Line> {
    // One base for both: the second thousand reuse what the first thousand leave behind.
    let base = resident_kib(site.gateway_pid());
    let before = cpu_seconds(site.gateway_pid()).0;
    tokio::time::sleep(MINUTE / 6).await;
    let idle = (cpu_seconds(site.gateway_pid()).0 - before) * 6.0;

    let release = site.path("release-waiting");
    let run = site.submit(&format!("* wait {}", release.display())).await;
    while site.get(&run).await["output_bytes"].as_u64() == Some(0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let waiting = measure(site, base, "stata_wait", |_| json!({"runs": run, "seconds": 3600})).await;
    fs::write(&release, "").expect("the release can be written");
    until_finished(site, &run).await;

    let release = site.path("release-running");
    let code = format!("* wait {}\n", release.display());
    let running = measure(
        site,
        base,
        "stata_run_selection",
        |n| json!({"selection": format!("{code}* {n}\n"), "wait": true, "again": true}),
    )
    .await;
    fs::write(&release, "").expect("the release can be written");

    let cpu = |what: &str, seconds: f64| at_most(what, seconds, "s/min", 6.0);
    vec![
        floor("the gateway without calls", format!("{idle:.2} s/min")),
        at_most("an MCP call that waits on a run, at 1,000", waiting.kib_each, "KiB", 25.0),
        floor("the same with a run of its own", format!("{:.1} KiB", running.kib_each)),
        cpu("processor for 1,000 waiting calls, heartbeat each 10 s", waiting.cpu_per_minute),
        cpu("the same with a run each", running.cpu_per_minute),
    ]
}

struct Cost {
    kib_each: f64,
    cpu_per_minute: f64,
}

/// Makes the calls, each on a connection of its own, and reads them for a minute.
async fn measure(site: &Site, base: f64, tool: &str, arguments: impl Fn(usize) -> Value) -> Cost {
    let pid = site.gateway_pid();
    let mut answers = Vec::new();
    for n in 0..COUNT {
        let mut body = call(site, tool, arguments(n), n).await;
        body.next().await.expect("a first event").expect("readable");
        answers.push(body);
    }
    let mut all = select_all(answers);
    let mut heard = 0_usize;
    // Every call has had a heartbeat before the clock starts, so that none is still being set up.
    listen(&mut all, MINUTE / 4, &mut heard).await;
    heard = 0;
    let (cpu, clock) = (cpu_seconds(pid).0, now_ns());
    listen(&mut all, MINUTE, &mut heard).await;
    let minutes = since(clock).as_secs_f64() / 60.0;
    let cost = Cost {
        kib_each: (resident_kib(pid) - base) / COUNT as f64,
        cpu_per_minute: (cpu_seconds(pid).0 - cpu) / minutes,
    };
    // Five of the six due heartbeats of each: a call without heartbeats would cost nothing.
    assert!(heard >= 5 * COUNT, "{tool}: {heard} heartbeats in a minute for {COUNT} calls");
    cost
}

async fn listen<B: AsRef<[u8]>>(
    all: &mut (impl StreamExt<Item = reqwest::Result<B>> + Unpin),
    time: Duration,
    heard: &mut usize,
) {
    let listening = async {
        while let Some(part) = all.next().await {
            let part = part.expect("readable");
            *heard += part.as_ref().windows(22).filter(|w| w == b"notifications/progress").count();
        }
        panic!("the answers ended early");
    };
    // The time limit is the normal end.
    let _ = tokio::time::timeout(time, listening).await;
}

async fn call(
    site: &Site,
    tool: &str,
    arguments: Value,
    n: usize,
) -> impl futures_util::Stream<Item = reqwest::Result<impl AsRef<[u8]>>> + Unpin {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "claude-code", "version": "2.1.330"},
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": n,
    });
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let request = site.http.post(format!("{}/mcp", site.url));
    let request = request.header("accept", "application/json, text/event-stream");
    let request = request.header("mcp-protocol-version", "2026-07-28");
    let request = request.header("mcp-method", "tools/call").header("mcp-name", tool);
    let request = request.json(&json!({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params}));
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{tool}: {}", answer.status());
    Box::pin(answer.bytes_stream())
}
