//! Processes that are killed, stopped or restarted, and hosts that are lost.

use std::time::Duration;

use longhaul_proto::state::RunState;
use rustix::process::Signal;

use super::{Held, PATIENCE, Side, Trial, pause, release};
use crate::{
    chaos::{
        cell::{When, Who},
        clients,
        trial::FOCUS,
    },
    processes,
};

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

/// Kills a process; a daemon is started again.
pub(super) async fn kill(trial: &mut Trial, who: Who) {
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

/// Stops a process for a while.
pub(super) async fn stop(trial: &mut Trial, who: Who, held: Held) {
    let pids = match who {
        Who::Gateway => vec![trial.site.gateway.pid()],
        Who::Agent => vec![trial.site.agent.pid()],
        _ => of_focus(trial, who),
    };
    // One that stops itself at the moment does so first: else it would do it again after it was continued, for ever.
    if held.is_none() && matches!(trial.cell.moment.when, When::Point(..)) {
        let stopped = async |_: &_| pids.iter().all(processes::is_stopped);
        if !trial.site.wait(PATIENCE, stopped).await {
            trial.history.wrong("it did not stop itself");
        }
    }
    pids.iter().for_each(|pid| processes::signal(*pid, Signal::STOP));
    release(trial, held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    pause(trial, 1100).await;
    pids.iter().for_each(|pid| processes::signal(*pid, Signal::CONT));
}

/// The agent's host boots again, with everything that ran on it gone. `also`: a daemon that was lost with it.
pub(super) async fn host_lost(trial: &mut Trial, also: Option<Side>) {
    trial.site.kill_host();
    if let Some(side) = also {
        trial.site.daemon(side).kill();
    }
    trial.site.new_boot();
    pause(trial, 300).await;
    if let Some(side) = also {
        trial.site.restart(side).await;
    }
    trial.site.restart(Side::Agent).await;
}

/// The agent's host is away until its run is given up.
pub(super) async fn host_gone(trial: &mut Trial) {
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

/// An orderly restart of one daemon.
pub(super) async fn terminate(trial: &mut Trial, side: Side) {
    trial.site.daemon(side).terminate().await;
    pause(trial, 200).await;
    trial.site.restart(side).await;
}

/// An orderly restart of both daemons, in any order.
pub(super) async fn restart_both(trial: &mut Trial) {
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
