//! `wait`: follows runs that are there already.

use super::run::{Way, to_end};
use crate::{
    args::Wait,
    context::{Context, Failure},
    exit,
    follow::Follower,
    gateway_handle::{GatewayHandle, Need},
    output::{OwnFiles, ShownOn, Status, When},
    signals::Signals,
};

/// `wait`.
///
/// # Errors
/// With what to do.
pub(crate) async fn wait(context: &Context, args: &Wait) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let need = Need { engine: context.config.settings.engine, starts_runs: true, ..Need::default() };
    let mut gateway = match GatewayHandle::open(context, need).await {
        // Without Stata a queued run cannot start here, but a started one may end.
        Err(_) if context.config.settings.gateway.is_none() && context.data.has_record() => {
            GatewayHandle::open(context, Need { starts_runs: false, ..need }).await?
        }
        gateway => gateway?,
    };
    let done = wait_for_all(context, args, &mut gateway, &mut signals).await;
    gateway.close().await;
    done
}

/// Waits for one after the other; all of them go on meanwhile.
async fn wait_for_all(
    context: &Context,
    args: &Wait,
    gateway: &mut GatewayHandle,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let mut runs = Vec::new();
    // A name that fits no run is told before the waiting, not hours later.
    for name in &args.runs {
        let run = gateway.client.get(name).await?.run_id;
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    let began = context.clock.monotonic();
    let mut worst = 0;
    for run in runs {
        let follower = Follower::new(context, run, None, Status::new(ShownOn::for_json(args.ask.json)));
        let waited = context.clock.monotonic() - began;
        // What has ended is told, whatever time the runs before it took.
        let limit = match args.timeout {
            Some(limit) if !gateway.client.get(&run.to_string()).await?.state.is_end() => {
                Some(limit.0.saturating_sub(waited))
            }
            _ => None,
        };
        let (when, ours) = (When::new(context.utc), OwnFiles::of_process());
        let way = Way { limit, json: args.ask.json, cancels: false, when, ours };
        worst = exit::worse(worst, to_end(follower, gateway, signals, way).await?);
        if worst == exit::GOES_ON && args.timeout.is_none() {
            // A signal: this process leaves them all.
            break;
        }
    }
    Ok(worst)
}
