//! Benchmark: what placing a run costs the scheduler.

use std::time::Duration;

use super::scheduler::Crowd;

/// Places `rounds` runs, one after the other, where `agents` agents have `running` runs each; returns how long the
/// scheduler took for each. `None` = it could not be measured.
pub async fn placements(agents: u32, running: u32, rounds: u32) -> Option<Vec<Duration>> {
    let mut crowd = Crowd::new(agents, running).await?;
    let mut took = Vec::new();
    for _ in 0..rounds {
        took.push(crowd.place().await?);
    }
    Some(took)
}
