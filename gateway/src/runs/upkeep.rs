//! Periodic work: checks silences, removes old records, and asks agents to delete old spools.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use longhaul_proto::{faults, ids::RunId, state::RunState};

use crate::{
    fleet::agent_port::Port,
    ledger::{LedgerError, ListQuery, MirrorCopy, UpkeepStore},
    metrics::count,
    model::{AttemptRecord, Principal},
    runs::{
        Inner, do_files,
        release::{self, Files, Freed, OwnSpool, REMEMBER_REMOVED, REMEMBERED, Reason},
    },
};

/// Records removed in one transaction: short enough that no submission waits for it.
const BATCH: u32 = 200;

/// Most records that one sweep removes: one in `SHARE.0` of the ended ones, but not fewer than `SHARE.1`.
const SHARE: (u64, u64) = (10, 10);

/// What may be removed by its age now: what ended before these times, Unix ms; `None` = nothing.
#[derive(Clone, Copy)]
struct Aged {
    /// Spools whose output is whole in the mirror.
    spools: Option<i64>,
    /// Records, and with them files and spools that are the only copy.
    records: Option<i64>,
}

/// Least bytes of a spool besides its output: its records and the wrapper, one block each.
const LEAST_SPOOL: u64 = 64 * 1024;

/// Unverified runs may take `max_kept` divided by this, in addition to `max_kept`.
const UNVERIFIED_SHARE: u64 = 10;

/// Most calls and sessions that are remembered: some 500 bytes each.
const STASHED: u32 = 50_000;

/// Removes old things every [`crate::Options::sweep_every`]: by age only as far as the clock may be trusted
/// ([`crate::wall_clock`]), and records only once the gateway has been up for [`crate::Options::sweep_after`].
pub(crate) async fn sweep(inner: Arc<Inner>) {
    let mut tick = tokio::time::interval(inner.options.sweep_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        tick.tick().await;
        match look(&inner, &mut told).await {
            Ok(()) => count(&inner.metrics.sweeps),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "old records stay for now"),
        }
    }
}

/// One sweep; `told` is the last doubt about the clock that was logged.
pub(crate) async fn look(inner: &Arc<Inner>, told: &mut Option<String>) -> Result<(), LedgerError> {
    let newest = inner.ledger.list(ListQuery { limit: 1, ..ListQuery::default() }).await?;
    let doubt = inner.wall_clock.doubt(newest.first().map_or(0, |record| record.created_ms));
    inner.metrics.sweep_paused.store(u64::from(doubt.is_some()), Ordering::Relaxed);
    let rested = inner.wall_clock.up() >= inner.options.sweep_after || faults::bug("sweep_trusts_the_clock");
    match &doubt {
        Some(words) if told.is_none() => tracing::error!("{words}"),
        None if told.is_some() => tracing::warn!("the clock is trusted again"),
        _ => {}
    }
    *told = doubt;
    // One time for the whole sweep: what is old enough for its record to be removed is old enough for its agent to be
    // asked.
    let records = before(inner, inner.options.keep_records);
    let aged = Aged {
        spools: told.is_none().then(|| before(inner, inner.options.keep_spool)),
        records: (told.is_none() && rested).then_some(records),
    };
    forget_spools(inner, aged).await?;
    release::free_rest(inner).await;
    if aged.spools.is_some() {
        while inner.ledger.call_sweep(before(inner, inner.options.call_window), BATCH).await? == BATCH {}
    }
    if let Some(records) = aged.records {
        inner.ledger.stash_sweep(before(inner, inner.options.keep_calls), STASHED).await?;
        remove_records(inner, records).await?;
        inner.ledger.removed_sweep(before(inner, REMEMBER_REMOVED), REMEMBERED).await?;
    }
    make_room(inner).await?;
    sweep_blobs(inner, aged).await;
    Ok(())
}

/// Lets go what no record names any more, and old uploads as far as the clock may be trusted.
async fn sweep_blobs(inner: &Inner, aged: Aged) {
    let old = aged.spools.map_or(0, |_| before(inner, inner.options.keep_uploads));
    match inner.blobs.sweep(old).await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "blobs removed that nothing names"),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "old blobs stay for now"),
    }
}

fn before(inner: &Inner, age: Duration) -> i64 {
    inner.wall_clock.now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Removes old records, in one sweep only a share of all, so that there is time to notice if they were taken for old by
/// mistake. An agent whose heartbeats arrive and that still keeps something of a run is asked to delete it first, in
/// this sweep or a later one, even if its connection is down now; a silent one is asked when it is connected again.
async fn remove_records(inner: &Arc<Inner>, old: i64) -> Result<(), LedgerError> {
    let share = (inner.ledger.ended_count().await? / SHARE.0).max(SHARE.1);
    let mut most = u32::try_from(share).unwrap_or(u32::MAX);
    loop {
        let here = match faults::bug("records_go_before_files") {
            true => Vec::new(),
            false => inner.fleet.present(),
        };
        let gone = remove_old(&*inner.ledger, old, most.min(BATCH), here, inner.wall_clock.now_ms()).await?;
        most -= u32::try_from(gone.len()).unwrap_or(most);
        for (run, own) in &gone {
            release::free_removed(inner, *run, *own).await?;
            if let Err(error) = inner.mirrors.remove(*run).await {
                tracing::warn!(%run, %error, "the output of a removed record stays on disk");
            }
        }
        if !gone.is_empty() {
            tracing::info!(runs = gone.len(), "old records removed");
        }
        if gone.len() < BATCH as usize || most == 0 {
            return Ok(());
        }
    }
}

/// Removes at most `limit` records of runs that ended before `old`; returns which, and whether an agent may still have the
/// spool. Where the ledger does not answer whether it did, that is looked up: what those runs left is to be deleted.
pub(crate) async fn remove_old(
    ledger: &dyn UpkeepStore,
    old: i64,
    limit: u32,
    here: Vec<String>,
    at_ms: i64,
) -> Result<Vec<(RunId, OwnSpool)>, LedgerError> {
    match ledger.sweep(old, limit, here, at_ms).await {
        Err(LedgerError::Unknown(_)) if !faults::bug("unknown_removals_forgotten") => {
            Ok(ledger.removed_since(at_ms).await?.into_iter().map(|run| (run, OwnSpool::Held)).collect())
        }
        swept => {
            let own = |held| if held { OwnSpool::Held } else { OwnSpool::Gone };
            Ok(swept?.into_iter().map(|ended| (ended.run, own(ended.spool_held))).collect())
        }
    }
}

/// Removes the oldest ended runs while their output takes too much room. Unverified runs cannot push out those that
/// clients of this gateway submitted: they have a limit of their own, in addition.
async fn make_room(inner: &Arc<Inner>) -> Result<(), LedgerError> {
    let taken = inner.mirrors.taken().await;
    let mut freed = 0;
    if taken > inner.options.max_kept {
        let brought = unverified(inner).await?;
        let theirs: u64 = brought.values().sum();
        let (asked_for, most) = (taken.saturating_sub(theirs), inner.options.max_kept);
        freed += remove_for_room(inner, asked_for.saturating_sub(most), |run| !brought.contains_key(run)).await?;
        let most = most / UNVERIFIED_SHARE;
        freed += remove_for_room(inner, theirs.saturating_sub(most), |run| brought.contains_key(run)).await?;
    }
    inner.metrics.kept_bytes.store(taken.saturating_sub(freed), Ordering::Relaxed);
    Ok(())
}

/// The sizes of the mirrors of unverified runs.
async fn unverified(inner: &Arc<Inner>) -> Result<HashMap<RunId, u64>, LedgerError> {
    let mut sizes = HashMap::new();
    if faults::bug("unverified_push_out") {
        return Ok(sizes);
    }
    let mut before = None;
    loop {
        // Unverified runs have no principal.
        let query = ListQuery { principal: Some(Principal::default()), before, limit: BATCH, ..ListQuery::default() };
        let page = inner.ledger.list(query).await?;
        for record in &page {
            sizes.insert(record.run, inner.mirrors.size(record.run).await);
        }
        before = page.last().map(|record| record.run);
        if page.len() < BATCH as usize {
            return Ok(sizes);
        }
    }
}

/// Removes the oldest ended runs for which `of` holds, until `excess` bytes are freed; returns how many were.
async fn remove_for_room(inner: &Arc<Inner>, excess: u64, of: impl Fn(&RunId) -> bool) -> Result<u64, LedgerError> {
    let before = before(inner, inner.options.duplicate_window);
    let (mut freed, mut passed_over) = (0, 0);
    while freed < excess {
        let ended = inner.ledger.ended(before, passed_over + BATCH).await?;
        let batch: Vec<_> = ended.into_iter().skip(passed_over as usize).collect();
        if batch.is_empty() {
            let over = excess - freed;
            tracing::warn!(over, "kept output takes too much (max_kept), and none of it may go yet");
            break;
        }
        for one in batch {
            if freed >= excess {
                break;
            }
            // The task of an ended run may not know yet that its last step was committed.
            if !of(&one.run) || inner.registry.get(one.run).is_some() {
                passed_over += 1;
                continue;
            }
            if one.spool_held && !release_for_room(inner, &one.agent_id, one.run).await? {
                // It would be imported again when its agent returns.
                passed_over += 1;
                continue;
            }
            let bytes = inner.mirrors.size(one.run).await;
            let removed = match inner.ledger.remove(one.run, inner.wall_clock.now_ms()).await {
                Err(LedgerError::Unknown(_)) => inner.ledger.get(one.run).await?.is_none(),
                removed => removed?,
            };
            if !removed {
                passed_over += 1;
                continue;
            }
            release::free_removed(inner, one.run, OwnSpool::Gone).await?;
            if let Err(error) = inner.mirrors.remove(one.run).await {
                tracing::warn!(run = %one.run, %error, "the output of a removed record stays on disk");
            }
            tracing::info!(run = %one.run, bytes, "removed for room");
            count(&inner.metrics.removed_for_room);
            freed += bytes;
        }
    }
    Ok(freed)
}

/// Asks an agent to delete a spool; `false` when the agent is not connected or keeps it.
async fn release_for_room(inner: &Arc<Inner>, agent_id: &str, run: RunId) -> Result<bool, LedgerError> {
    let connected = inner.fleet.connected_agents();
    let Some((_, connection)) = connected.iter().find(|(id, _)| id == agent_id) else { return Ok(false) };
    forget(inner, connection, run, Files::Go, &Reason::RecordRoom).await.map(|freed| freed == Some(Freed::Gone))
}

/// Asks agents to delete spools: by age as far as the clock may be trusted, and for room on their hosts.
async fn forget_spools(inner: &Arc<Inner>, aged: Aged) -> Result<(), LedgerError> {
    // An agent that is not connected is asked when it returns.
    for (agent_id, connection) in inner.fleet.connected_agents() {
        do_files::fetch_due(inner, &agent_id).await?;
        // Even where spools are kept for longer than records: no spool outlives its record.
        let old = aged.spools.max(aged.records).unwrap_or(0);
        let mut asked = HashSet::new();
        loop {
            let held = inner.ledger.spools_held(&agent_id, old, MirrorCopy::Whole, BATCH).await?;
            let full = held.len() == BATCH as usize;
            // Spools that stay, because the agent did not answer, come first again: then stop asking.
            let new: Vec<RunId> = held.into_iter().filter(|run| asked.insert(*run)).collect();
            let none_new = new.is_empty();
            for run in new {
                forget(inner, &connection, run, Files::Stay, &Reason::SpoolAge).await?;
            }
            if !full || none_new || faults::bug("forget_one_batch") {
                break;
            }
        }
        // A spool that is the only copy of some bytes stays as long as the record.
        let old = aged.records.unwrap_or(0);
        for run in inner.ledger.spools_held(&agent_id, old, MirrorCopy::Incomplete, BATCH).await? {
            forget(inner, &connection, run, Files::Go, &Reason::RecordAge).await?;
        }
        for run in inner.ledger.files_held(&agent_id, old, BATCH).await? {
            forget(inner, &connection, run, Files::Go, &Reason::RecordAge).await?;
        }
        make_room_there(inner, &agent_id, &connection).await?;
    }
    Ok(())
}

/// Frees room on a host whose spools take too much: first output that is whole in the mirror, the oldest first, then what
/// dead attempts of runs that ended on other hosts left; then the files of ended runs, the largest first; then spools that are the
/// only copy, those of dead attempts last.
async fn make_room_there(inner: &Arc<Inner>, agent_id: &str, connection: &Port) -> Result<(), LedgerError> {
    let mut excess = inner.fleet.spool_excess(agent_id);
    let incomplete_too = !faults::bug("incomplete_spools_stay");
    let copies = [MirrorCopy::Whole, MirrorCopy::Incomplete];
    for copy in copies.into_iter().filter(|copy| *copy == MirrorCopy::Whole || incomplete_too) {
        if copy == MirrorCopy::Incomplete {
            excess = make_room_of_files(inner, agent_id, connection, excess).await?;
        }
        if excess == 0 {
            return Ok(());
        }
        for run in inner.ledger.spools_held(agent_id, i64::MAX, copy, BATCH).await? {
            let Some(record) = inner.ledger.get(run).await? else { continue };
            let recorded = record.detail.present().and_then(|attempt| attempt.recorded).unwrap_or_default();
            let (there, here) = (recorded.log + recorded.console, record.detail.end.output);
            let bytes = there.max(here.log + here.console).max(LEAST_SPOOL);
            tracing::info!(%run, host = %record.host(), excess, "releasing a spool for room");
            let files = if copy == MirrorCopy::Whole { Files::Stay } else { Files::Go };
            if matches!(
                forget(inner, connection, run, files, &Reason::HostRoom).await?,
                Some(Freed::Gone | Freed::ButFiles)
            ) {
                excess = excess.saturating_sub(bytes);
            }
            if excess == 0 {
                return Ok(());
            }
        }
        excess = make_room_of_dead(inner, agent_id, copy, excess).await?;
    }
    Ok(())
}

/// Deletes what dead attempts left on this host of ended runs whose last attempt was on another, the largest first, until
/// `excess` bytes are freed; returns what is left of it.
async fn make_room_of_dead(
    inner: &Arc<Inner>,
    agent_id: &str,
    copy: MirrorCopy,
    mut excess: u64,
) -> Result<u64, LedgerError> {
    if faults::bug("dead_spools_take_room") {
        return Ok(excess);
    }
    for spool in inner.fleet.largest_spools(agent_id) {
        let Some(run) = spool.run_id.parse().ok().filter(|_| excess > 0) else { continue };
        let Some(record) = inner.ledger.get(run).await? else { continue };
        let its = |dead: &&AttemptRecord| dead.at.agent_id == agent_id && record.agent_id() != agent_id;
        let Some(dead) = record.detail.dead().rfind(its) else { continue };
        // Of an unfinished run the next attempt may be given to this agent at any moment.
        let ended = record.state.is_end() && record.state != RunState::Lost;
        if ended && dead.died_complete() == (copy == MirrorCopy::Whole) {
            tracing::info!(%run, host = %dead.at.host, excess, "releasing the spool of a dead attempt for room");
            if release::free_dead_for_room(inner, &record, dead).await? {
                excess = excess.saturating_sub(spool.bytes);
            }
        }
    }
    Ok(excess)
}

/// Deletes the files of ended runs, the largest first, until `excess` bytes are freed; returns what is left of it.
/// Unfinished runs, and those whose output is not whole in the mirror, are left alone.
async fn make_room_of_files(
    inner: &Arc<Inner>,
    agent_id: &str,
    connection: &Port,
    mut excess: u64,
) -> Result<u64, LedgerError> {
    let mut largest = inner.fleet.largest_spools(agent_id);
    largest.sort_by_key(|spool| std::cmp::Reverse(spool.work_bytes));
    for spool in largest.into_iter().filter(|spool| spool.work_bytes > 0) {
        let Some(run) = spool.run_id.parse().ok().filter(|_| excess > 0) else { continue };
        let Some(record) = inner.ledger.get(run).await? else { continue };
        if record.agent_id() == agent_id && record.state.is_end() && record.detail.end.complete {
            tracing::info!(%run, host = %record.host(), bytes = spool.work_bytes, "the files of a run go for room");
            if forget(inner, connection, run, Files::Go, &Reason::HostRoom).await? == Some(Freed::Gone) {
                excess = excess.saturating_sub(spool.work_bytes);
            }
        }
    }
    Ok(excess)
}

/// Asks an agent to delete the spool of a run; `None` = there is no record of the run.
async fn forget(
    inner: &Arc<Inner>,
    connection: &Port,
    run: RunId,
    files: Files,
    why: &Reason,
) -> Result<Option<Freed>, LedgerError> {
    let Some(record) = inner.ledger.get(run).await? else { return Ok(None) };
    release::free_earlier(inner, &record).await;
    release::free(inner, connection, &record, files, why).await.map(Some)
}
