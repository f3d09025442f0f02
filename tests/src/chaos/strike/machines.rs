//! Disks that fail or fill up, and clocks that jump.

use std::{fs, time::Duration};

use super::{BEFORE, Held, Side, Trial, pause, release};

/// Every write or sync of one kind fails for a while.
pub(super) async fn failing(trial: &mut Trial, side: Side, check: &'static str, what: &'static str, held: Held) {
    trial.site.arm(side, check, &format!("error={what}@1+"));
    release(trial, held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    pause(trial, 900).await;
    trial.site.disarm(side, check);
}

/// A daemon's disk is full for a while.
pub(super) async fn full(trial: &mut Trial, side: Side) {
    let filler = trial.site.fill(side);
    trial.site.lab.open_gate(BEFORE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    pause(trial, 700).await;
    if let Err(error) = fs::remove_file(&filler) {
        trial.history.wrong(format!("the filler stays: {error}"));
    }
}

/// A daemon's wall clock is up to 90 days off, some times.
pub(super) async fn clock_jump(trial: &mut Trial, side: Side) {
    for _ in 0..=trial.rng.below(2) {
        let days = i64::try_from(trial.rng.below(181)).unwrap_or(0) - 90;
        trial.site.clock(side, days * 24 * 3_600_000 + i64::try_from(trial.rng.below(1000)).unwrap_or(0));
        pause(trial, 300).await;
    }
}
