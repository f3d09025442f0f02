//! What is done from time to time: looking at silences, removing old records, letting agents let go of old spools.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longhaul_proto::{ids::RunId, wire};

use crate::{
    fleet::{Fleet, link::Link, reconcile::forget_request},
    ledger::LedgerError,
    metrics::count,
    runs::Inner,
};

/// Records removed in one transaction: short enough that no submission waits for it.
const BATCH: u32 = 200;

/// What a spool takes at least beside its output, bytes: its records and the wrapper, a block each.
const LEAST_SPOOL: u64 = 64 * 1024;

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
            remove_records(&inner).await?;
            make_room(&inner).await
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

/// Removes the oldest ended runs while their output takes more than it may.
async fn make_room(inner: &Arc<Inner>) -> Result<(), LedgerError> {
    let mut taken = inner.mirrors.taken().await;
    let before = before(inner, inner.options.duplicate_window);
    let mut passed_over = 0;
    while taken > inner.options.max_kept {
        let ended = inner.ledger.ended(before, passed_over + BATCH).await?;
        let batch: Vec<_> = ended.into_iter().skip(passed_over as usize).collect();
        if batch.is_empty() {
            tracing::warn!(
                taken,
                max_kept = inner.options.max_kept,
                "kept output takes too much, and none of it may go yet"
            );
            break;
        }
        for one in batch {
            if taken <= inner.options.max_kept {
                break;
            }
            if one.spool_held && !let_go(inner, &one.agent_id, one.run).await? {
                // It would come back with its agent.
                passed_over += 1;
                continue;
            }
            let bytes = inner.mirrors.size(one.run).await;
            if !inner.ledger.remove(one.run).await? {
                passed_over += 1;
                continue;
            }
            if let Err(error) = inner.mirrors.remove(one.run).await {
                tracing::warn!(run = %one.run, %error, "the output of a removed record stays on disk");
            }
            tracing::info!(run = %one.run, bytes, "removed for room");
            count(&inner.metrics.removed_for_room);
            taken = taken.saturating_sub(bytes);
        }
    }
    inner.metrics.kept_bytes.store(taken, Ordering::Relaxed);
    Ok(())
}

/// Has an agent let go of a spool; `false` when it is not there or does not.
async fn let_go(inner: &Arc<Inner>, agent_id: &str, run: RunId) -> Result<bool, LedgerError> {
    let linked = inner.fleet.linked();
    let Some((_, link)) = linked.iter().find(|(id, _)| id == agent_id) else { return Ok(false) };
    forget(inner, link, run).await
}

async fn forget_spools(inner: &Arc<Inner>) -> Result<(), LedgerError> {
    // An agent that is not there is asked when it returns.
    for (agent_id, link) in inner.fleet.linked() {
        for run in inner.ledger.spools_held(&agent_id, before(inner, inner.options.keep_spool), BATCH).await? {
            forget(inner, &link, run).await?;
        }
        let mut excess = inner.fleet.spool_excess(&agent_id);
        if excess == 0 {
            continue;
        }
        // Its spools take too much: whatever is whole here may go there, oldest first.
        for run in inner.ledger.spools_held(&agent_id, i64::MAX, BATCH).await? {
            let Some(record) = inner.ledger.get(run).await? else { continue };
            tracing::info!(%run, host = %record.host, excess, "letting go of a spool for room");
            forget(inner, &link, run).await?;
            excess = excess.saturating_sub((record.detail.log_len + record.detail.console_len).max(LEAST_SPOOL));
            if excess == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Whether the spool is gone.
async fn forget(inner: &Arc<Inner>, link: &Link, run: RunId) -> Result<bool, LedgerError> {
    let Some(record) = inner.ledger.get(run).await? else { return Ok(false) };
    let (mut client, request) = link.control(forget_request(&record));
    match tokio::time::timeout(inner.options.call_timeout, client.forget(request)).await {
        Ok(Ok(reply)) => {
            let wire::ForgetReply { forgotten, problem } = reply.into_inner();
            if !forgotten {
                // It is answered and will be answered the same way again; the spool stays until a person looks.
                tracing::warn!(%run, host = %record.host, problem, "the agent keeps the spool");
            }
            inner.ledger.spool_gone(run).await.map(|()| forgotten)
        }
        Ok(Err(status)) if status.code() == tonic::Code::NotFound => inner.ledger.spool_gone(run).await.map(|()| true),
        Ok(Err(status)) => {
            tracing::debug!(%run, %status, "asked again later");
            Ok(false)
        }
        Err(_) => {
            tracing::debug!(%run, "the agent did not answer; asked again later");
            Ok(false)
        }
    }
}
