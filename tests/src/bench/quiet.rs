//! What costs while nothing happens: a run that prints nothing, and runs that have ended.

use std::{fs, time::Duration};

use crate::processes;

use super::{
    figures::{Line, at_most, floor, now_ns, since},
    parts::{resident_kib, until_finished},
    site::{Site, until},
};

/// How long they are watched.
const WINDOW: Duration = Duration::from_secs(20);
/// Ended runs, and how many of them are under way at once.
const HELD: usize = 20_000;
const AT_ONCE: usize = 48;
/// An agent puts a run to rest some seconds after its end.
const AFTER: Duration = Duration::from_secs(5);

/// Wake-ups of agent and supervisor for a run that is silent.
pub async fn silent(site: &Site) -> Vec<Line> {
    let idle = wakes(&[site.agent_pid()]).await;
    let release = site.path("release-silent");
    let run = site.submit(&format!("* wait {}", release.display())).await;
    while site.get(&run).await["output_bytes"].as_u64() == Some(0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let supervisor = until("a supervisor", || supervisor_of(site.agent_pid())).await;
    // The first sample of a silence is only the base of the next.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let both = wakes(&[site.agent_pid(), supervisor]).await;
    fs::write(&release, "").expect("the release can be written");
    until_finished(site, &run).await;
    vec![
        floor("an idle agent", format!("{idle:.1} wakes/s")),
        at_most("a silent run, agent and supervisor, beyond that", both - idle, "wakes/s", 5.0),
    ]
}

/// Memory of the agent for each ended run that it still holds, and how long a new agent process takes to be there again.
pub async fn held(site: &mut Site) -> Vec<Line> {
    run(site, HELD / 20).await;
    tokio::time::sleep(AFTER).await;
    let before = resident_kib(site.agent_pid());
    run(site, HELD).await;
    tokio::time::sleep(AFTER).await;
    let each = (resident_kib(site.agent_pid()) - before) / HELD as f64;
    let start = now_ns();
    site.restart_agent();
    let stamp = site.path("stamp-again");
    let first = site.submit(&format!("* spawn {}", stamp.display())).await;
    until("the first run of the new agent", || stamp.exists().then_some(())).await;
    let there = since(start).as_secs_f64();
    until_finished(site, &first).await;
    vec![
        at_most(&format!("an ended run that the agent holds, at {HELD}"), each, "KiB", 2.0),
        at_most(&format!("an agent that starts with {HELD} of them: to its first run"), there, "s", 2.0),
    ]
}

/// Runs so many runs to their ends.
async fn run(site: &Site, count: usize) {
    let left = &std::sync::atomic::AtomicUsize::new(count);
    let worker = |_| async move {
        let take = |n: usize| n.checked_sub(1);
        let ordering = std::sync::atomic::Ordering::Relaxed;
        while left.fetch_update(ordering, ordering, take).is_ok() {
            let run = site.submit("* lines 1 0").await;
            while site.get(&run).await["finished_at"].is_null() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    futures_util::future::join_all((0..AT_ONCE).map(worker)).await;
}

/// Times a second that the threads of these processes waited and woke.
async fn wakes(pids: &[u32]) -> f64 {
    let (before, clock): (Vec<_>, _) = (pids.iter().map(processes::switches).collect(), now_ns());
    tokio::time::sleep(WINDOW).await;
    let woken: u64 = pids.iter().zip(&before).map(|(pid, before)| processes::woken_since(pid, before)).sum();
    woken as f64 / since(clock).as_secs_f64()
}

/// The agent's child that has a child of its own.
fn supervisor_of(agent: u32) -> Option<u32> {
    let found = processes::children(agent).into_iter().find(|pid| !processes::children(pid).is_empty());
    found.and_then(|pid| pid.try_into().ok())
}

/// Processor time of gateway, agent and the agent's descendants that have ended, seconds.
pub(super) fn cpu_of_all(site: &Site) -> f64 {
    let (agent, ended) = processes::cpu_seconds(site.agent_pid());
    processes::cpu_seconds(site.gateway_pid()).0 + agent + ended
}
