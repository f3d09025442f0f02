//! What is done from time to time: looking at silences, removing old records, letting agents let go of old spools.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{ids::RunId, wire};

use crate::{
    fleet::{Fleet, link::Link, reconcile::forget_request},
    ledger::LedgerError,
    runs::Inner,
};

/// Records removed in one transaction: short enough that no submission waits for it.
const BATCH: u32 = 200;

/// Calls and sessions that are remembered at most: some 500 bytes each.
const MEMOS: u32 = 50_000;

/// Looks at the fleet every [`crate::Options::tick`].
pub(crate) async fn tick(fleet: Fleet) {
    let mut tick = tokio::time::interval(fleet.options().tick);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        fleet.tick();
    }
}

/// Removes what is old every [`crate::Options::sweep_every`].
pub(crate) async fn sweep(inner: Arc<Inner>) {
    let mut tick = tokio::time::interval(inner.options.sweep_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let swept = async {
            forget_spools(&inner).await?;
            inner.ledger.memo_sweep(before(&inner, inner.options.keep_calls), MEMOS).await?;
            remove_records(&inner).await
        };
        if let Err(error) = swept.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old records stay for now");
        }
    }
}

fn before(inner: &Inner, age: Duration) -> i64 {
    inner.deps.clock.unix_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

async fn remove_records(inner: &Arc<Inner>) -> Result<(), LedgerError> {
    loop {
        let gone = inner.ledger.sweep(before(inner, inner.options.keep_records), BATCH).await?;
        for run in &gone {
            if let Err(error) = inner.mirrors.remove(*run).await {
                tracing::warn!(%run, %error, "the output of a removed record stays on disk");
            }
        }
        if !gone.is_empty() {
            tracing::info!(runs = gone.len(), "old records removed");
        }
        if gone.len() < BATCH as usize {
            return Ok(());
        }
    }
}

async fn forget_spools(inner: &Arc<Inner>) -> Result<(), LedgerError> {
    // An agent that is not there is asked when it returns.
    for (agent_id, link) in inner.fleet.linked() {
        for run in inner.ledger.spools_held(&agent_id, before(inner, inner.options.keep_spool), BATCH).await? {
            forget(inner, &link, run).await?;
        }
    }
    Ok(())
}

async fn forget(inner: &Arc<Inner>, link: &Link, run: RunId) -> Result<(), LedgerError> {
    let Some(record) = inner.ledger.get(run).await? else { return Ok(()) };
    let (mut client, request) = link.control(forget_request(&record));
    match tokio::time::timeout(inner.options.call_timeout, client.forget(request)).await {
        Ok(Ok(reply)) => {
            let wire::ForgetReply { forgotten, problem } = reply.into_inner();
            if !forgotten {
                // It is answered and will be answered the same way again; the spool stays until a person looks.
                tracing::warn!(%run, host = %record.host, problem, "the agent keeps the spool");
            }
            inner.ledger.spool_gone(run).await
        }
        Ok(Err(status)) if status.code() == tonic::Code::NotFound => inner.ledger.spool_gone(run).await,
        Ok(Err(status)) => {
            tracing::debug!(%run, %status, "asked again later");
            Ok(())
        }
        Err(_) => {
            tracing::debug!(%run, "the agent did not answer; asked again later");
            Ok(())
        }
    }
}
