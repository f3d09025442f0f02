//! The measurements.

use std::{fs, process::Command};

use futures_util::StreamExt;

use crate::processes::cpu_seconds;

use super::{
    figures::{Bar, Line, at_least, at_most, floor, milliseconds, now_ns, quantile, since},
    quiet,
    site::{Site, until},
};

/// Samples of [`spawn`].
const STARTS: usize = 300;

/// Milliseconds of the engine alone, and of a run of it.
#[derive(Clone, Default)]
pub(super) struct Pair {
    pub(super) alone: Vec<f64>,
    pub(super) whole: Vec<f64>,
}

/// The sites in the order of the `n`th sample: each comes first as often as the others.
pub(super) fn in_turn(sites: &[Site], n: usize) -> impl Iterator<Item = (usize, &Site)> {
    (0..sites.len()).map(move |k| (k + n) % sites.len()).filter_map(|at| Some((at, sites.get(at)?)))
}

/// Spawn of the engine alone, and submission to the same moment through gateway, agent and supervisor; of all sites in
/// turns.
pub async fn spawn(sites: &[Site]) -> Vec<Vec<Line>> {
    for site in sites {
        fs::create_dir(site.path("alone")).expect("a folder");
    }
    let mut pairs = vec![Pair::default(); sites.len()];
    for n in 0..STARTS {
        for (at, site) in in_turn(sites, n) {
            start_once(site, n, &mut pairs[at]).await;
        }
    }
    pairs.into_iter().map(starts).collect()
}

async fn start_once(site: &Site, n: usize, pair: &mut Pair) {
    let (exe, place) = (std::env::current_exe().expect("this program"), site.path("alone"));
    let stamp = site.path(&format!("stamp-{n}"));
    let code = format!("* spawn {}", stamp.display());
    fs::write(place.join("code.do"), &code).expect("the code can be written");
    let start = now_ns();
    let mut child =
        Command::new(&exe).args(["-b", "do", "alone.do"]).current_dir(&place).spawn().expect("the engine starts");
    pair.alone.push(born_after(&stamp, start).await);
    child.wait().expect("the engine ends");
    fs::remove_file(&stamp).expect("the stamp is there");

    let start = now_ns();
    let run = site.submit(&code).await;
    pair.whole.push(born_after(&stamp, start).await);
    until_finished(site, &run).await;
}

fn starts(Pair { mut alone, mut whole }: Pair) -> Vec<Line> {
    let mut lines = milliseconds("the engine alone: spawn to its first instruction", &mut alone, None);
    for (name, share, bar) in [("p50", 0.5, 2.5), ("p99", 0.99, 5.0)] {
        let (alone, whole) = (quantile(&mut alone, share), quantile(&mut whole, share));
        lines.push(Line {
            what: format!("submit to the engine's first instruction, {name}"),
            measured: format!("{whole:.2} ms = {:.1}x", whole / alone),
            bar: Some(Bar { text: format!("<= {bar}x"), met: whole <= bar * alone }),
        });
    }
    lines
}

async fn born_after(stamp: &std::path::Path, start: u64) -> f64 {
    let born: u64 = until("stamp", || fs::read_to_string(stamp).ok()?.parse().ok()).await;
    born.saturating_sub(start) as f64 / 1e6
}

pub(super) async fn until_finished(site: &Site, run: &str) {
    while site.get(run).await["finished_at"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// A line in the log to the SSE event at a client: 100 lines a second, so that each one travels alone.
pub async fn line_latency(site: &Site) -> Vec<Line> {
    let run = site.submit("* lines 600 10000").await;
    let mut samples = latencies(site, &run).await;
    milliseconds("a line in the log to its SSE event", &mut samples, Some((2.0, 20.0)))
}

/// The same for runs that are submitted at one moment and print five lines a second each.
pub async fn burst(site: &Site) -> Vec<Line> {
    const AT_ONCE: usize = 100;
    let one = |n: usize| async move {
        let run = site.submit(&format!("* lines 25 200000\n* {n}")).await;
        latencies(site, &run).await
    };
    let all = futures_util::future::join_all((0..AT_ONCE).map(one)).await;
    let mut samples: Vec<f64> = all.into_iter().flatten().collect();
    let p99 = quantile(&mut samples, 0.99);
    let what = format!("a line to its event while {AT_ONCE} runs start, p99 of {}", samples.len());
    vec![floor("the same, p50", format!("{:.2} ms", quantile(&mut samples, 0.5))), at_most(&what, p99, "ms", 50.0)]
}

/// Milliseconds from each line's stamp to the event that brings it.
pub(super) async fn latencies(site: &Site, run: &str) -> Vec<f64> {
    let url = format!("{}/api/v1/runs/{run}/events", site.url);
    let mut body = site.http.get(url).send().await.expect("an answer").bytes_stream();
    let (mut samples, mut pending) = (Vec::new(), String::new());
    while let Some(Ok(part)) = body.next().await {
        let now = now_ns();
        pending.push_str(&String::from_utf8_lossy(&part));
        while let Some(end) = pending.find("\n\n") {
            let event: String = pending.drain(..end + 2).collect();
            for piece in event.split("T ").skip(1) {
                let digits: String = piece.chars().take_while(char::is_ascii_digit).collect();
                if let Ok(then) = digits.parse::<u64>() {
                    samples.push(now.saturating_sub(then) as f64 / 1e6);
                }
            }
        }
    }
    samples
}

/// One run's output through agent, gateway and one reader; the floor is the same flood into a file alone.
pub async fn throughput(site: &Site) -> Vec<Line> {
    const MIB: usize = 512;
    let place = site.path("flood");
    fs::create_dir(&place).expect("a folder");
    fs::write(place.join("code.do"), format!("* flood {MIB}\n")).expect("the code can be written");
    let exe = std::env::current_exe().expect("this program");
    let me = std::process::id();
    let (start, own) = (now_ns(), cpu_seconds(me).1);
    Command::new(exe).args(["-b", "do", "flood.do"]).current_dir(&place).status().expect("the engine runs");
    let alone = MIB as f64 / since(start).as_secs_f64();
    let own = cpu_seconds(me).1 - own;

    let cpu = quiet::cpu_of_all(site);
    let rate = read_flood(site, MIB).await;
    // The engine's own share is not ours.
    let cpu = (quiet::cpu_of_all(site) - cpu - own) * 1e3 / MIB as f64;
    vec![
        floor("one run's output into a file alone", format!("{alone:.0} MiB/s")),
        at_least("one run's output through agent, gateway and a reader", rate, "MiB/s", 100.0),
        at_most("processor of gateway, agent and supervisor for that", cpu, "ms/MiB", 5.0),
    ]
}

/// MiB a second at a reader of a run that prints so many MiB at once.
pub(super) async fn read_flood(site: &Site, mib: usize) -> f64 {
    let start = now_ns();
    let run = site.submit(&format!("* flood {mib}")).await;
    let mut offset = 0_u64;
    loop {
        let url = format!("{}/api/v1/runs/{run}/output?offset={offset}&wait=10", site.url);
        let answer = site.http.get(url).send().await.expect("an answer");
        let complete = answer.headers().get(longhaul_proto::api::COMPLETE).is_some_and(|v| v == "true");
        offset += answer.bytes().await.expect("the bytes").len() as u64;
        if complete {
            break;
        }
    }
    let rate = offset as f64 / (1 << 20) as f64 / since(start).as_secs_f64();
    until_finished(site, &run).await;
    rate
}

/// Memory of the gateway for each of `count` followers that wait.
pub async fn followers(site: &Site, count: usize) -> Vec<Line> {
    let release = site.path("release");
    let run = site.submit(&format!("* wait {}", release.display())).await;
    while site.get(&run).await["output_bytes"].as_u64() == Some(0) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let before = resident_kib(site.gateway_pid());
    let mut streams = Vec::new();
    for _ in 0..count {
        let url = format!("{}/api/v1/runs/{run}/events", site.url);
        let mut body = site.http.get(url).send().await.expect("an answer").bytes_stream();
        body.next().await.expect("a first event").expect("readable");
        streams.push(body);
    }
    let each = (resident_kib(site.gateway_pid()) - before) / count as f64;
    fs::write(&release, "").expect("the release can be written");
    drop(streams);
    until_finished(site, &run).await;
    vec![at_most(&format!("a waiting follower on the gateway, at {count}"), each, "KiB", 25.0)]
}

pub(super) fn resident_kib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the gateway lives");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// What placing a run costs the scheduler, with 16 runs on each of so many agents.
pub async fn placement() -> Vec<Line> {
    let mut lines = Vec::new();
    for (agents, bar) in [(1, None), (100, Some(0.1)), (1_000, Some(0.2))] {
        let took = longhaul_gateway::fleet::bench::placements(agents, 16, 2_000).await.expect("a scheduler");
        let mut took: Vec<f64> = took.into_iter().map(|one| one.as_secs_f64() * 1e3).collect();
        let what = format!("placing a run with {agents} agents, p50 of {}", took.len());
        let p50 = quantile(&mut took, 0.5);
        lines.push(match bar {
            Some(bar) => Line { measured: format!("{p50:.4} ms"), ..at_most(&what, p50, "ms", bar) },
            None => floor(&what, format!("{p50:.4} ms")),
        });
    }
    lines
}

/// Runs a second through the ledger, four durable steps each, by 64 callers.
pub async fn ledger() -> Vec<Line> {
    let folder = tempfile::tempdir().expect("a temp folder");
    let rate = longhaul_gateway::ledger::bench::runs_per_second(folder.path(), 8_000, 64).await.expect("a ledger");
    vec![at_least("runs through the ledger, 4 durable steps each", rate.per_second(), "runs/s", 1_000.0)]
}
