//! Connections that break, stall, or deliver late.

use std::time::Duration;

use super::{BEFORE, Held, PATIENCE, Site, Trial, pause, release};
use crate::{
    chaos::{
        cell::Wire,
        clients,
        relay::{Mode, Relay},
        trial::FOCUS,
    },
    lab,
};

fn relays(trial: &Trial, wire: Wire) -> Vec<&Relay> {
    match wire {
        Wire::Front => vec![&trial.site.front],
        Wire::Links => vec![&trial.site.fleet, &trial.site.back],
    }
}

/// All connections are cut, some times.
pub(super) async fn cut(trial: &mut Trial, wire: Wire, held: Held) {
    for _ in 0..=trial.rng.below(3) {
        relays(trial, wire).iter().for_each(|relay| relay.cut());
        release(trial, held);
        pause(trial, 150).await;
    }
}

/// Nothing passes for a while, and then the connections are cut.
pub(super) async fn half_open(trial: &mut Trial, wire: Wire, held: Held) {
    relays(trial, wire).iter().for_each(|relay| relay.mode(Mode::Hold));
    release(trial, held);
    tokio::time::sleep(Duration::from_millis(800)).await;
    pause(trial, 700).await;
    relays(trial, wire).iter().for_each(|relay| relay.cut());
    trial.site.heal();
}

/// Everything comes late, some times.
pub(super) async fn delay(trial: &mut Trial, wire: Wire, held: Held) {
    for _ in 0..=trial.rng.below(3) {
        relays(trial, wire).iter().for_each(|relay| relay.mode(Mode::Hold));
        release(trial, held);
        pause(trial, 300).await;
        trial.site.heal();
        pause(trial, 50).await;
    }
}

/// Clients read slowly for a while.
pub(super) async fn slow_clients(trial: &mut Trial) {
    trial.site.front.mode(Mode::Slow);
    pause(trial, 1500).await;
    trial.site.heal();
}

/// A call to the agent is delivered long after its connection was given up.
pub(super) async fn late_run(trial: &mut Trial, held: Held) {
    trial.site.back.mode(Mode::Hold);
    release(trial, held);
    // Until the call has reached the relay.
    tokio::time::sleep(Duration::from_millis(60)).await;
    pause(trial, 100).await;
    trial.site.back.make_late();
    trial.site.heal();
    pause(trial, 1500).await;
    trial.site.back.deliver();
}

/// Ten minutes of no network, scaled: the agent is silent for long, and every run has ended there meanwhile.
pub(super) async fn partition(trial: &mut Trial) {
    for relay in relays(trial, Wire::Links) {
        relay.mode(Mode::Refuse);
        relay.cut();
    }
    for name in [BEFORE, FOCUS] {
        trial.site.lab.open_gate(name);
    }
    let runs = trial.history.runs();
    let ended = async |site: &Site| {
        runs.values().all(|run| lab::json(&site.spool(*run).join("control/outcome.json")).is_some())
    };
    if !trial.site.wait(PATIENCE, ended).await {
        trial.history.wrong("the runs did not end in the partition");
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    pause(trial, 800).await;
    for (name, run) in &runs {
        let view = clients::look(&trial.site.api, &trial.history, name, *run, true).await;
        if view.is_none_or(|v| v.agent_silent_for.is_none()) {
            trial.history.wrong(format!("nobody says that the agent of {name} is silent"));
        }
    }
    trial.site.heal();
}
