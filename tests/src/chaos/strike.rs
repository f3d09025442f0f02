//! Carrying out each fault, and the repair that follows it.

use std::{fs, path::PathBuf, time::Duration};

use longhaul_proto::state::RunState;
use rustix::process::Signal;

use super::{
    cell::{Fault, When, Who, Wire},
    clients, raw,
    relay::Mode,
    site::{Side, Site},
    trial::{BEFORE, FOCUS, Trial},
};
use crate::{lab, processes};

/// Limit for a run to be given up, and for what must happen before a fault is over.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does what the cell says. `held`: the process held at a point until then.
pub async fn strike(trial: &mut Trial, held: Option<(Side, &'static str)>) {
    let release = |trial: &Trial| {
        if let Some((side, point)) = held {
            trial.site.release(side, point);
        }
    };
    trial.history.note(format!("strike: {}", trial.cell.title));
    match trial.cell.fault {
        Fault::Kill(who) => kill(trial, who).await,
        Fault::Stop(who) => stop(trial, who, release).await,
        Fault::HostLost { gateway } => {
            trial.site.kill_host();
            if gateway {
                trial.site.gateway.kill();
            }
            trial.site.new_boot();
            pause(trial, 300).await;
            if gateway {
                trial.site.restart(Side::Gateway).await;
            }
            trial.site.restart(Side::Agent).await;
        }
        Fault::HostGone => {
            trial.site.kill_host();
            let (api, history) = (trial.site.api.clone(), trial.history.clone());
            let lost = trial
                .site
                .wait(PATIENCE, async |_| match history.run(FOCUS) {
                    Some(run) => {
                        clients::look(&api, &history, FOCUS, run, true).await.is_some_and(|v| v.state == RunState::Lost)
                    }
                    None => false,
                })
                .await;
            if !lost {
                trial.history.wrong("the host is gone and its run is not given up");
            }
            trial.site.new_boot();
            trial.site.restart(Side::Agent).await;
        }
        Fault::Terminate(side) => {
            trial.site.daemon(side).terminate().await;
            pause(trial, 200).await;
            trial.site.restart(side).await;
        }
        Fault::RestartBoth => {
            let mut order = [Side::Gateway, Side::Agent];
            if trial.rng.coin() {
                order.reverse();
            }
            for side in order {
                trial.site.daemon(side).terminate().await;
            }
            pause(trial, 200).await;
            if trial.rng.coin() {
                order.reverse();
            }
            for side in order {
                trial.site.restart(side).await;
            }
        }
        Fault::Cut(wire) => {
            for _ in 0..=trial.rng.below(3) {
                relays(trial, wire).iter().for_each(|relay| relay.cut());
                release(trial);
                pause(trial, 150).await;
            }
        }
        Fault::HalfOpen(wire) => {
            relays(trial, wire).iter().for_each(|relay| relay.mode(Mode::Hold));
            release(trial);
            tokio::time::sleep(Duration::from_millis(800)).await;
            pause(trial, 700).await;
            relays(trial, wire).iter().for_each(|relay| relay.cut());
            trial.site.heal();
        }
        Fault::Partition => partition(trial).await,
        Fault::Delay(wire) => {
            for _ in 0..=trial.rng.below(3) {
                relays(trial, wire).iter().for_each(|relay| relay.mode(Mode::Hold));
                release(trial);
                pause(trial, 300).await;
                trial.site.heal();
                pause(trial, 50).await;
            }
        }
        Fault::SlowClients => {
            trial.site.front.mode(Mode::Slow);
            pause(trial, 1500).await;
            trial.site.heal();
        }
        Fault::LateRun => {
            trial.site.back.mode(Mode::Hold);
            release(trial);
            // Until the call has reached the relay.
            tokio::time::sleep(Duration::from_millis(60)).await;
            pause(trial, 100).await;
            trial.site.back.make_late();
            trial.site.heal();
            pause(trial, 1500).await;
            trial.site.back.deliver();
        }
        Fault::Failing(side, check, what) => {
            trial.site.arm(side, check, &format!("error={what}@1+"));
            release(trial);
            tokio::time::sleep(Duration::from_millis(200)).await;
            pause(trial, 900).await;
            trial.site.disarm(side, check);
        }
        Fault::Full(side) => {
            let filler = trial.site.fill(side);
            trial.site.lab.open_gate(BEFORE);
            tokio::time::sleep(Duration::from_millis(300)).await;
            pause(trial, 700).await;
            if let Err(error) = fs::remove_file(&filler) {
                trial.history.wrong(format!("the filler stays: {error}"));
            }
        }
        Fault::ClockJump(side) => {
            for _ in 0..=trial.rng.below(2) {
                let days = i64::try_from(trial.rng.below(181)).unwrap_or(0) - 90;
                trial.site.clock(side, days * 24 * 3_600_000 + i64::try_from(trial.rng.below(1000)).unwrap_or(0));
                pause(trial, 300).await;
            }
        }
        Fault::Nothing => {}
        Fault::LogCut => log_cut(trial).await,
        // The point has done it.
        Fault::Panic => pause(trial, 300).await,
        Fault::LedgerLost => ledger_lost(trial).await,
        Fault::LedgerOld => {
            // Runs that no agent has are gone with the only ledger that had them.
            let history = trial.history.clone();
            let given = async |site: &Site| {
                [BEFORE, FOCUS]
                    .iter()
                    .all(|name| history.run(name).is_some_and(|run| site.spool(run).join("attempt-1").exists()))
            };
            if !trial.site.wait(PATIENCE, given).await {
                trial.history.wrong("a run was not given to the agent");
            }
            trial.site.gateway.kill();
            for name in ledger_files() {
                let _ = fs::remove_file(trial.site.gateway.data.join("gateway").join(name));
            }
            copy_ledger(&trial.site.lab.path().join("backup"), &trial.site.gateway.data.join("gateway"));
            if trial.rng.coin() {
                let _ = fs::remove_dir_all(trial.site.gateway.data.join("gateway/mirror"));
            }
            pause(trial, 200).await;
            trial.site.restart(Side::Gateway).await;
        }
        Fault::Stale(stale) => raw::call(trial, stale).await,
    }
    trial.history.note("the fault is over");
}

async fn pause(trial: &mut Trial, most: u64) {
    let time = trial.rng.ms(most);
    tokio::time::sleep(time).await;
}

fn relays(trial: &Trial, wire: Wire) -> Vec<&super::relay::Relay> {
    match wire {
        Wire::Front => vec![&trial.site.front],
        Wire::Links => vec![&trial.site.fleet, &trial.site.back],
    }
}

/// The processes of the run in focus; the held supervisor, if one is held.
fn of_focus(trial: &Trial, who: Who) -> Vec<i32> {
    if let (Who::Supervisor, When::Point(side, point)) = (who, trial.cell.moment.when)
        && point.starts_with("supervisor.")
    {
        return trial.site.fired(side, point).into_iter().collect();
    }
    let Some(run) = trial.history.run(FOCUS) else { return vec![] };
    let (spool, stem) = (run.to_string(), format!("lh-{}.do", run.short()));
    let found = trial.site.of_runs().into_iter().filter(|p| match who {
        Who::Supervisor => p.command.contains(" supervise ") && p.command.contains(&spool),
        _ => p.command.contains(" standin -b ") && p.command.contains(&stem),
    });
    found.map(|p| p.pid).collect()
}

async fn kill(trial: &mut Trial, who: Who) {
    match who {
        Who::Gateway | Who::Agent => {
            let side = if who == Who::Gateway { Side::Gateway } else { Side::Agent };
            trial.site.daemon(side).kill();
            pause(trial, 300).await;
            trial.site.restart(side).await;
        }
        Who::Supervisor | Who::Stata => {
            of_focus(trial, who).into_iter().for_each(|pid| processes::signal(pid, Signal::KILL));
        }
    }
}

async fn stop(trial: &mut Trial, who: Who, release: impl Fn(&Trial)) {
    let pids = match who {
        Who::Gateway => vec![trial.site.gateway.pid()],
        Who::Agent => vec![trial.site.agent.pid()],
        _ => of_focus(trial, who),
    };
    pids.iter().for_each(|pid| processes::signal(*pid, Signal::STOP));
    release(trial);
    tokio::time::sleep(Duration::from_millis(100)).await;
    pause(trial, 1100).await;
    pids.iter().for_each(|pid| processes::signal(*pid, Signal::CONT));
}

fn ledger_files() -> [&'static str; 3] {
    ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"]
}

fn copy_ledger(from: &std::path::Path, to: &std::path::Path) {
    for name in ledger_files() {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Copies the ledger as it is before any run, with the gateway down.
pub async fn back_up(trial: &mut Trial) {
    trial.site.gateway.terminate().await;
    let backup = trial.site.lab.path().join("backup");
    fs::create_dir_all(&backup).unwrap();
    copy_ledger(&trial.site.gateway.data.join("gateway"), &backup);
    trial.site.restart(Side::Gateway).await;
}

/// The gateway's copy of the focus's output is lost with its process, and so is the end of the log on its host.
async fn log_cut(trial: &mut Trial) {
    let Some(run) = trial.history.run(FOCUS) else { return };
    trial.site.gateway.kill();
    let _ = fs::remove_dir_all(trial.site.gateway.data.join("gateway/mirror").join(run.to_string()));
    let log = trial.site.spool(run).join(format!("lh-{}.log", run.short()));
    let whole = fs::read(&log).unwrap_or_default();
    let left = trial.rng.below(1 + whole.len() as u64);
    let cut = fs::OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(left));
    trial.history.note(format!("log cut to {left} of {}: {cut:?}", whole.len()));
    trial.whole = Some(whole);
    trial.site.restart(Side::Gateway).await;
}

/// The gateway comes up with a new ledger: its agent must be refused and nothing may happen to the runs that it holds.
/// Then the old ledger is brought back.
async fn ledger_lost(trial: &mut Trial) {
    trial.site.gateway.kill();
    let home = trial.site.gateway.data.join("gateway");
    let aside = trial.site.lab.path().join("aside");
    fs::create_dir_all(&aside).unwrap();
    for name in ledger_files() {
        let _ = fs::rename(home.join(name), aside.join(name));
    }
    let credentials = trial.site.gateway.data.join("credentials.json");
    let kept: PathBuf = aside.join("credentials.json");
    let _ = fs::copy(&credentials, &kept);
    trial.site.restart(Side::Gateway).await;
    let words = trial.site.lab.path().join("logs/gateway.log");
    let refused =
        async |_: &Site| fs::read_to_string(&words).is_ok_and(|text| text.contains("belongs to another gateway"));
    if !trial.site.wait(PATIENCE, refused).await {
        trial.history.wrong("an agent of another ledger was not refused");
    }
    for (name, run) in trial.history.runs() {
        if !trial.site.spool(run).is_dir() {
            trial.history.wrong(format!("the spool of {name} is gone with the ledger"));
        }
    }
    trial.site.gateway.kill();
    for name in ledger_files() {
        let _ = fs::remove_file(home.join(name));
        let _ = fs::rename(aside.join(name), home.join(name));
    }
    if lab::json(&kept).is_some() {
        let _ = fs::copy(&kept, &credentials);
    }
    trial.site.restart(Side::Gateway).await;
}

/// Ten minutes of no network, scaled: the agent is silent for long, and every run has ended there meanwhile.
async fn partition(trial: &mut Trial) {
    for relay in relays(trial, Wire::Links) {
        relay.mode(Mode::Refuse);
        relay.cut();
    }
    for name in [BEFORE, FOCUS] {
        trial.site.lab.open_gate(name);
    }
    let runs = trial.history.runs();
    let ended =
        async |site: &Site| runs.values().all(|run| lab::json(&site.spool(*run).join("outcome.json")).is_some());
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
