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
/// Ended runs.
const HELD: u32 = 500;

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

/// Memory of the agent for each ended run that it still holds.
pub async fn held(site: &Site) -> Vec<Line> {
    for _ in 0..50 {
        site.run_to_end("* lines 1 0").await;
    }
    let before = resident_kib(site.agent_pid());
    for _ in 0..HELD {
        site.run_to_end("* lines 1 0").await;
    }
    let each = (resident_kib(site.agent_pid()) - before) / f64::from(HELD);
    vec![at_most(&format!("an ended run that the agent holds, at {HELD}"), each, "KiB", 2.0)]
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
