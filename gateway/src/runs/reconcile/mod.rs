//! Decides what an agent shall do with each run that it reports. No run that the ledger does not know is ended or
//! deleted.
//!
//! A reported run is kept, unless a client asked for its end while the agent was away, or its output is whole in the
//! gateway's mirror and its spool old enough to delete. A run that the ledger does not know is *imported*, from the
//! submission that its spool holds. Its lease counts from this moment on, before the agent is given any run.

mod contest;
mod import;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use longhaul_proto::{
    faults,
    ids::RunId,
    state::RunState,
    wire::{self, Verdict},
};

use super::{
    Inner, files,
    registry::Command,
    release::{self, Files, Shown},
    supervise::{LeaseCell, Start},
};
use crate::{
    fleet::{Lease, pool_name},
    ledger::{LeaseHolder, LeaseRecord, LedgerError},
    model::{Attempt, AttemptRecord, Placement, Principal, Record},
};

/// What an agent shall do with a run that it reports.
enum Decision {
    /// Go on with it.
    Keep,
    /// End it: a client asked for that while the agent was away.
    Cancel {
        /// Who asked.
        by: String,
    },
    /// Delete its spool.
    Forget(wire::ForgetRequest),
}

impl Decision {
    fn verdict(self, run_id: String) -> wire::RunVerdict {
        let mut verdict = wire::RunVerdict { run_id, verdict: Verdict::Keep.into(), ..Default::default() };
        match self {
            Self::Keep => {}
            Self::Cancel { by } => (verdict.verdict, verdict.by) = (Verdict::Cancel.into(), by),
            Self::Forget(request) => (verdict.verdict, verdict.forget) = (Verdict::Forget.into(), Some(request)),
        }
        verdict
    }
}

/// Decides about all runs of an agent that registers.
///
/// # Errors
/// When the ledger cannot be read: then the agent must register again.
pub(super) async fn verdicts(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    runs: &[wire::RunSummary],
) -> Result<Vec<wire::RunVerdict>, LedgerError> {
    let mut verdicts = Vec::with_capacity(runs.len());
    let mut known = recorded(inner, runs).await?;
    let due = due(inner, info).await?;
    for summary in runs {
        let Ok(run) = summary.run_id.parse::<RunId>() else {
            tracing::warn!(agent = %info.name, run = %summary.run_id, "an agent names a run that is no run id; left alone");
            continue;
        };
        let decision = match known.remove(&run) {
            None if summary.revoked => Decision::Keep,
            None => unrecorded_run(inner, info, summary, run).await?,
            Some(record) => {
                if let Some(words) = contest::second(&record, info, summary) {
                    contest(inner, &record, words).await?;
                }
                recorded_run(inner, info, summary, record, due.contains(&run)).await?
            }
        };
        verdicts.push(decision.verdict(summary.run_id.clone()));
    }
    Ok(verdicts)
}

/// The records of the reported runs that the ledger knows.
async fn recorded(inner: &Inner, runs: &[wire::RunSummary]) -> Result<HashMap<RunId, Record>, LedgerError> {
    let named: Vec<RunId> = runs.iter().filter_map(|summary| summary.run_id.parse().ok()).collect();
    let known = inner.ledger.get_many(&named).await?;
    Ok(known.into_iter().map(|record| (record.run, record)).collect())
}

fn has_ended(summary: &wire::RunSummary) -> bool {
    RunState::from_wire(summary.state).is_some_and(RunState::is_end)
}

/// Decides about a run that the ledger does not know: it was removed, or it is imported.
async fn unrecorded_run(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    summary: &wire::RunSummary,
    run: RunId,
) -> Result<Decision, LedgerError> {
    match release::shown(inner, &info.agent_id, summary, run).await? {
        Shown::Removed(request) => return Ok(Decision::Forget(request)),
        Shown::Again => {}
        Shown::Foreign => {
            let words = "an agent shows a run whose record was removed and that another agent had; it is left alone";
            tracing::warn!(agent = %info.name, %run, "{words}");
            return Ok(Decision::Keep);
        }
        Shown::Unknown => inner.restore_guard.unknown(run),
    }
    import::import(inner, info, summary, run, has_ended(summary)).await?;
    Ok(Decision::Keep)
}

/// The runs whose do-files or files are still to be fetched from this agent.
async fn due(inner: &Inner, info: &wire::AgentInfo) -> Result<HashSet<RunId>, LedgerError> {
    let mut due = HashSet::new();
    if faults::bug("do_files_go_unfetched") {
        return Ok(due);
    }
    if info.keeps_do_files {
        due.extend(inner.ledger.do_files_due(&info.agent_id, u32::MAX).await?);
    }
    if info.lists_files {
        due.extend(inner.ledger.files_due(&info.agent_id, u32::MAX).await?);
    }
    Ok(due)
}

/// Decides about a run that the ledger knows.
async fn recorded_run(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    summary: &wire::RunSummary,
    record: Record,
    due: bool,
) -> Result<Decision, LedgerError> {
    let ended = has_ended(summary);
    let asked_to_end = record.cancel.as_ref().filter(|_| !ended && record.agent_id() == info.agent_id);
    let end_or_keep = asked_to_end.map_or(Decision::Keep, |cancel| Decision::Cancel { by: cancel.by.clone() });
    if !record.state.is_end() {
        if record.state == RunState::Queued && !summary.revoked && summary.attempt > record.attempt_number() {
            claimed(inner, info, summary, &record).await?;
        }
        return Ok(end_or_keep);
    }
    let its_own = record.agent_id() == info.agent_id || faults::bug("lost_runs_claimed");
    if record.state == RunState::Lost && record.attempt_number() == summary.attempt && its_own {
        // It came back. While it still runs it holds a lease, whatever the record says.
        let (run, principal) = (record.run, record.principal.clone());
        let lease = if ended || inner.registry.get(run).is_some() {
            None
        } else {
            let lease = hold(inner, info, &principal, run).await;
            inner.ledger.take_lease(came_back(inner, &record, info), inner.owner.clone()).await?;
            Some(lease)
        };
        inner.start_task(Start::recorded(record, LeaseCell::of(lease)));
        return Ok(end_or_keep);
    }
    if !ended || !old_enough(inner, &record) {
        return Ok(Decision::Keep);
    }
    if due {
        // It is released when they have come, which they do when the agent is connected.
        return Ok(Decision::Keep);
    }
    if let Some(forget) = dead_attempt(&record, info, summary) {
        return Ok(Decision::Forget(forget));
    }
    let Some(kept) = record.kept().filter(|_| record.detail.end.complete) else { return Ok(Decision::Keep) };
    let its_files = if files::own_are_here(inner, &record).await? { Files::Go } else { Files::Stay };
    Ok(Decision::Forget(release::request(record.run, kept, its_files)))
}

/// Decides about runs of which an agent keeps only the files that they left: these are deleted when the record has been
/// removed, or when they belong to a dead attempt. They are no runs, and are never imported.
///
/// # Errors
/// As [`verdicts`].
pub(super) async fn leftovers(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    all: &[wire::RunSummary],
) -> Result<Vec<wire::RunVerdict>, LedgerError> {
    let known = recorded(inner, all).await?;
    let mut verdicts = Vec::new();
    for summary in all {
        let Ok(run) = summary.run_id.parse::<RunId>() else { continue };
        let forget = match known.get(&run) {
            None => release::left(inner, &info.agent_id, summary, run).await?,
            // The files of its last attempt are kept as long as the record.
            Some(record) if record.agent_id() == info.agent_id || !old_enough(inner, record) => None,
            Some(record) => {
                let dead = record.detail.dead().filter(|dead| dead.died_complete()).map(AttemptRecord::kept);
                dead.into_iter()
                    .find(|kept| release::is_of(kept, &info.agent_id, summary))
                    .map(|kept| release::request(run, kept, Files::Go))
            }
        };
        if let Some(forget) = forget {
            tracing::info!(agent = %info.name, %run, "the files that a removed run left may go");
            let run_id = summary.run_id.clone();
            let verdict = Verdict::Forget.into();
            verdicts.push(wire::RunVerdict { run_id, verdict, forget: Some(forget), ..Default::default() });
        }
    }
    Ok(verdicts)
}

/// Whether the spool of an ended run may be deleted by its age.
pub(super) fn old_enough(inner: &Inner, record: &Record) -> bool {
    let keep_ms = i64::try_from(inner.options.keep_spool.as_millis()).unwrap_or(i64::MAX);
    inner.wall_clock.in_doubt().is_none()
        && record.finished_ms > 0
        && record.finished_ms < inner.deps.clock.unix_ms().saturating_sub(keep_ms)
}

/// The request to delete the spool of an attempt that died and was followed by one elsewhere.
fn dead_attempt(record: &Record, info: &wire::AgentInfo, summary: &wire::RunSummary) -> Option<wire::ForgetRequest> {
    let of = |dead: &&AttemptRecord| {
        dead.died_complete() && dead.number.number() == summary.attempt && dead.at.agent_id == info.agent_id
    };
    let found = record.detail.dead().find(of)?;
    Some(release::request(record.run, found.kept(), Files::Go))
}

/// The lease of a lost run that came back, for a start that comes before its end.
fn came_back(inner: &Inner, record: &Record, info: &wire::AgentInfo) -> LeaseRecord {
    LeaseRecord {
        holder: LeaseHolder::run(record.run),
        attempt: record.attempt(),
        at: placement(info),
        since_ms: inner.wall_clock.now_ms(),
    }
}

fn placement(info: &wire::AgentInfo) -> Placement {
    Placement { agent_id: info.agent_id.clone(), host: info.name.clone(), pool: pool_name(info) }
}

/// The principal that a summary names.
fn named(summary: &wire::RunSummary) -> Principal {
    Principal::new(&*summary.principal_issuer, &*summary.principal)
}

async fn hold(inner: &Arc<Inner>, info: &wire::AgentInfo, principal: &Principal, run: RunId) -> Lease {
    inner.fleet.hold(run, principal, placement(info)).await
}

/// Notes that an agent contradicts the record: another result of an attempt, or a claim to have started a queued run.
async fn contest(inner: &Arc<Inner>, record: &Record, words: String) -> Result<(), LedgerError> {
    tracing::warn!(run = %record.run, words, "an agent contradicts the record");
    if let Some(active) = inner.registry.get(record.run)
        && active.mailbox.try_send(Command::Contest { words: words.clone() }).is_ok()
    {
        return Ok(());
    }
    inner.ledger.contest(record.run, words).await.map(drop)
}

/// An agent reports that it has started a run that is queued here. With the seal under which the run was once given to
/// it this is true, and the ledger is a restored backup. Without it the report is only noted, and the run stays queued.
async fn claimed(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    summary: &wire::RunSummary,
    record: &Record,
) -> Result<(), LedgerError> {
    let its = inner.seal.vouched(summary) && named(summary) == record.principal;
    if its || faults::bug("queued_runs_claimed") {
        inner.restore_guard.found_old(record.run);
        adopt(inner, info, record.run, summary.attempt).await;
        return Ok(());
    }
    let words = format!(
        "agent {} says that it has started this run as attempt {}, and shows no seal of this gateway: it was not given the run, \
         which goes on waiting",
        info.name, summary.attempt
    );
    contest(inner, record, words).await
}

async fn adopt(inner: &Arc<Inner>, info: &wire::AgentInfo, run: RunId, attempt: u32) {
    tracing::warn!(agent = %info.name, %run, attempt, "an agent holds an attempt that the ledger does not know of; adopting it");
    let Some(active) = inner.registry.get(run) else { return };
    let Some(attempt) = Attempt::known(attempt) else { return };
    // A task that has just ended needs no adoption.
    let _ = active.mailbox.send(Command::Adopt { at: placement(info), attempt }).await;
}
