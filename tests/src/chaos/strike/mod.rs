//! Carrying out each fault, and the repair that follows it: of processes and hosts ([`daemons`]), of connections
//! ([`connections`]), of disks and clocks ([`machines`]), of what a gateway has recorded ([`records`]).

mod connections;
mod daemons;
mod machines;
mod records;

use std::time::Duration;

pub use records::back_up;

use super::{
    cell::Fault,
    raw,
    site::{Side, Site},
    trial::{BEFORE, Trial},
};

/// Limit for a run to be given up, and for what must happen before a fault is over.
const PATIENCE: Duration = Duration::from_secs(20);

/// The process that is held at a stop point until the fault is there.
pub type Held = Option<(Side, &'static str)>;

/// Does what the cell says. `held`: the process held at a point until then.
pub async fn strike(trial: &mut Trial, held: Held) {
    trial.history.note(format!("strike: {}", trial.cell.title));
    match trial.cell.fault {
        Fault::Kill(who) => daemons::kill(trial, who).await,
        Fault::Stop(who) => daemons::stop(trial, who, held).await,
        Fault::HostLost { gateway } => daemons::host_lost(trial, gateway.then_some(Side::Gateway)).await,
        Fault::HostGone => daemons::host_gone(trial).await,
        Fault::Terminate(side) => daemons::terminate(trial, side).await,
        Fault::RestartBoth => daemons::restart_both(trial).await,
        Fault::Cut(wire) => connections::cut(trial, wire, held).await,
        Fault::HalfOpen(wire) => connections::half_open(trial, wire, held).await,
        Fault::Partition => connections::partition(trial).await,
        Fault::Delay(wire) => connections::delay(trial, wire, held).await,
        Fault::SlowClients => connections::slow_clients(trial).await,
        Fault::LateRun => connections::late_run(trial, held).await,
        Fault::Failing(side, check, what) => machines::failing(trial, side, check, what, held).await,
        Fault::Full(side) => machines::full(trial, side).await,
        Fault::ClockJump(side) => machines::clock_jump(trial, side).await,
        Fault::Nothing => {}
        Fault::LogCut => records::log_cut(trial).await,
        // The point has done it.
        Fault::Panic => pause(trial, 300).await,
        Fault::LedgerLost => records::ledger_lost(trial).await,
        Fault::LedgerOld => records::ledger_old(trial).await,
        Fault::Stale(stale) => raw::call(trial, stale).await,
    }
    trial.history.note("the fault is over");
}

async fn pause(trial: &mut Trial, most: u64) {
    let time = trial.rng.ms(most);
    tokio::time::sleep(time).await;
}

fn release(trial: &Trial, held: Held) {
    if let Some((side, point)) = held {
        trial.site.release(side, point);
    }
}
