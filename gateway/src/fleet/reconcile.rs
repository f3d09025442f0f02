//! Decides what an agent shall do with each run that it reports. No run that the ledger does not know is ended or
//! deleted.
//!
//! A reported run is kept, unless a client asked for its end while the agent was away, or its output is whole in the
//! gateway's mirror and its spool old enough to delete. A run that the ledger does not know is *imported*, from the
//! submission that its spool holds. Its lease counts from this moment on, before the agent is given any run.

use std::{collections::HashMap, sync::Arc, time::Duration};

use longhaul_proto::{
    faults,
    ids::RunId,
    ordered_watch::OrderedReceiver,
    state::{Cause, RunState},
    visible::{self, Foreign},
    wire::{self, Verdict, run_event::Event, submission::Source},
};

use tokio::sync::oneshot;

use super::{
    Lease, bounds,
    connection::{Connection, said},
    contest,
    placement::Need,
    scheduler::pool_name,
};
use crate::{
    ledger::{Dedupe, Earlier, LedgerError, NewRun, Record},
    runs::{
        BETWEEN_LOOKS, Inner, adopt,
        registry::Command,
        release::{self, Files, Shown},
        submit::new_record,
    },
};

/// How often the import of a run checks whether the run's agent is still connected.
const AWAY: Duration = Duration::from_secs(60);

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
    let named: Vec<RunId> = runs.iter().filter_map(|summary| summary.run_id.parse().ok()).collect();
    let known = inner.ledger.get_many(&named).await?;
    let mut known: HashMap<RunId, Record> = known.into_iter().map(|record| (record.run, record)).collect();
    for summary in runs {
        let Ok(run) = summary.run_id.parse::<RunId>() else {
            tracing::warn!(agent = %info.name, run = %summary.run_id, "an agent names a run that is no run id; left alone");
            continue;
        };
        let mut verdict =
            wire::RunVerdict { run_id: summary.run_id.clone(), verdict: Verdict::Keep.into(), ..Default::default() };
        let state = RunState::from_wire(summary.state);
        let ended = state.is_some_and(RunState::is_end);
        let record = known.remove(&run);
        if let Some(record) = &record
            && let Some(words) = contest::second(record, info, summary)
        {
            contest(inner, record, words).await?;
        }
        match record {
            None if summary.revoked => {}
            None => {
                match release::shown(inner, &info.agent_id, summary, run).await? {
                    Shown::Removed(request) => {
                        (verdict.verdict, verdict.forget) = (Verdict::Forget.into(), Some(request));
                        verdicts.push(verdict);
                        continue;
                    }
                    Shown::Again => {}
                    Shown::Foreign => {
                        let words = "an agent shows a run whose record was removed and that another agent had; it is left alone";
                        tracing::warn!(agent = %info.name, %run, "{words}");
                        verdicts.push(verdict);
                        continue;
                    }
                    Shown::Unknown => inner.past.unknown(run),
                }
                import(inner, info, summary, run, ended).await?;
            }
            Some(record) if !record.state.is_end() => {
                if let Some(wish) = record.cancel.as_ref().filter(|_| !ended && record.agent_id == info.agent_id) {
                    verdict.verdict = Verdict::Cancel.into();
                    verdict.by.clone_from(&wish.by);
                }
                if record.state == RunState::Queued && !summary.revoked && summary.attempt > record.attempt {
                    claimed(inner, info, summary, &record).await?;
                }
            }
            Some(record)
                if record.state == RunState::Lost
                    && record.attempt == summary.attempt
                    && (record.agent_id == info.agent_id || faults::bug("lost_runs_claimed")) =>
            {
                if let Some(wish) = record.cancel.as_ref().filter(|_| !ended && record.agent_id == info.agent_id) {
                    verdict.verdict = Verdict::Cancel.into();
                    verdict.by.clone_from(&wish.by);
                }
                // It came back. While it still runs it holds a lease, whatever the record says.
                let principal = record.principal.clone();
                inner.keep_holding(record, || (!ended).then(|| hold(inner, info, &principal, run)));
            }
            Some(record) if ended && old_enough(inner, &record) && earlier(&record, info, summary).is_some() => {
                verdict.verdict = Verdict::Forget.into();
                verdict.forget = earlier(&record, info, summary);
            }
            Some(record) if ended && may_forget(inner, &record) => {
                verdict.verdict = Verdict::Forget.into();
                verdict.forget = record.kept().map(|kept| release::request(run, kept, Files::Stay));
            }
            Some(_) => {}
        }
        verdicts.push(verdict);
    }
    Ok(verdicts)
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
    let named: Vec<RunId> = all.iter().filter_map(|summary| summary.run_id.parse().ok()).collect();
    let known = inner.ledger.get_many(&named).await?;
    let known: HashMap<RunId, Record> = known.into_iter().map(|record| (record.run, record)).collect();
    let mut verdicts = Vec::new();
    for summary in all {
        let Ok(run) = summary.run_id.parse::<RunId>() else { continue };
        let forget = match known.get(&run) {
            None => release::left(inner, &info.agent_id, summary, run).await?,
            // The files of its last attempt are kept as long as the record.
            Some(record) if record.agent_id == info.agent_id || !old_enough(inner, record) => None,
            Some(record) => {
                let dead = record.detail.earlier.iter().filter(|dead| dead.complete).map(Earlier::kept);
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

/// Whether the spool of an ended run may be deleted: its output is whole in the mirror, and it is old enough.
pub(crate) fn may_forget(inner: &Inner, record: &Record) -> bool {
    record.detail.complete && old_enough(inner, record)
}

fn old_enough(inner: &Inner, record: &Record) -> bool {
    let keep_ms = i64::try_from(inner.options.keep_spool.as_millis()).unwrap_or(i64::MAX);
    inner.wall.in_doubt().is_none()
        && record.finished_ms > 0
        && record.finished_ms < inner.deps.clock.unix_ms().saturating_sub(keep_ms)
}

/// The request to delete the spool of an attempt that died and was followed by one elsewhere.
fn earlier(record: &Record, info: &wire::AgentInfo, summary: &wire::RunSummary) -> Option<wire::ForgetRequest> {
    let of = |e: &&Earlier| e.complete && e.attempt == summary.attempt && e.agent_id == info.agent_id;
    let found = record.detail.earlier.iter().find(of)?;
    Some(release::request(record.run, found.kept(), Files::Go))
}

fn hold(inner: &Arc<Inner>, info: &wire::AgentInfo, principal: &str, run: RunId) -> Lease {
    inner.fleet.hold(run, principal, &info.agent_id, &info.name, &pool_name(info))
}

/// Notes that an agent contradicts the record: another result of an attempt, or a claim to have started a queued run.
async fn contest(inner: &Arc<Inner>, record: &Record, words: String) -> Result<(), LedgerError> {
    tracing::warn!(run = %record.run, words, "an agent contradicts the record");
    if let Some(active) = inner.table.get(record.run)
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
    let its = inner.seal.vouched(summary) && summary.principal == record.principal;
    if its || faults::bug("queued_runs_claimed") {
        inner.past.found_old(record.run);
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
    let Some(active) = inner.table.get(run) else { return };
    let (agent_id, host, pool) = (info.agent_id.clone(), info.name.clone(), pool_name(info));
    // A task that has just ended needs no adoption.
    let _ = active.mailbox.send(Command::Adopt { agent_id, host, pool, attempt }).await;
}

/// A restored ledger does not know the call of this run, and may have recorded it a second time meanwhile.
async fn supersede(inner: &Arc<Inner>, principal: &str, key: &str, run: RunId) -> Result<(), LedgerError> {
    if key.is_empty() {
        return Ok(());
    }
    while inner.table.records_call(principal, key) {
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let Some((second, _)) = inner.ledger.by_key(principal, key).await? else { return Ok(()) };
    let Some(active) = inner.table.get(second).filter(|_| second != run) else { return Ok(()) };
    let (reply, done) = oneshot::channel();
    if active.mailbox.send(Command::Supersede { by: run, reply }).await.is_ok() {
        tracing::warn!(%run, %second, "a call was recorded twice; the run that an agent has stays");
        // Before the agent is given any run. An error means that the second run had started, or has ended.
        let _ = done.await;
    }
    Ok(())
}

async fn import(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    summary: &wire::RunSummary,
    run: RunId,
    ended: bool,
) -> Result<(), LedgerError> {
    // Its principal and its call count only if this gateway's seal is on them.
    let vouched = inner.seal.vouched(summary);
    let (principal, key) = if vouched { (summary.principal.as_str(), summary.key.as_str()) } else { ("", "") };
    // From here on the same call waits for the import; what was recorded of it before is found by `supersede`.
    if !inner.table.importing(run, principal, key) {
        return Ok(());
    }
    if let Err(error) = supersede(inner, principal, key, run).await {
        inner.table.imported(run);
        return Err(error);
    }
    tracing::info!(agent = %info.name, %run, vouched, "importing a run that the ledger does not know");
    let seat = (!ended).then(|| hold(inner, info, principal, run));
    let (inner, info) = (inner.clone(), info.clone());
    let tasks = inner.deps.tasks.clone();
    tasks.spawn_until_stop(async move {
        if let Err(why) = fetch(&inner, &info, run, seat, vouched).await {
            tracing::warn!(agent = %info.name, %run, why, "a run was not imported; it stays in its spool");
        }
        inner.table.imported(run);
    });
    Ok(())
}

/// Waits for a connection to an agent that has registered.
///
/// # Errors
/// When the gateway stops, or the agent is away for so long that it must register again anyway.
async fn usable(
    inner: &Inner,
    connections: &mut OrderedReceiver<Option<Arc<Connection>>>,
    agent_id: &str,
) -> Result<Arc<Connection>, String> {
    loop {
        let linked = connections.wait_for(|l| l.as_ref().is_some_and(|l| !l.is_broken()));
        match tokio::time::timeout(AWAY, linked).await {
            Ok(Ok(Some(connection))) => return Ok(connection),
            Ok(Ok(None)) => {}
            Ok(Err(_)) => return Err("the gateway stops".to_owned()),
            Err(_) if inner.fleet.silent_for(agent_id).is_some() => {
                return Err("its agent went away; it is imported when the agent returns".to_owned());
            }
            Err(_) => {}
        }
    }
}

async fn fetch(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    run: RunId,
    seat: Option<Lease>,
    vouched: bool,
) -> Result<(), String> {
    let mut connections = inner.fleet.connections(&info.agent_id);
    let mut pause = inner.options.backoff.0;
    let mut snapshot = loop {
        let connection = usable(inner, &mut connections, &info.agent_id).await?;
        let _turn = inner.fleet.imports().acquire().await.map_err(|_| "the gateway stops")?;
        // An unresponsive agent must not keep the other imports from their turn.
        let asked = tokio::time::timeout(inner.options.call_timeout, first_snapshot(&connection, run)).await;
        match asked.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("the agent does not answer"))) {
            Ok(snapshot) => break snapshot,
            Err(status) if status.code() == tonic::Code::NotFound => return Err(said(&status)),
            Err(status) => {
                tracing::debug!(%run, %status, "import is tried again");
                drop(_turn);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(inner.options.backoff.1);
            }
        }
    };
    bounds::cut(&mut snapshot);
    let submission = snapshot.submission.clone().ok_or("its spool has no submission")?;
    if submission.run_id != run.to_string() {
        return Err("its spool holds another run's submission".to_owned());
    }
    let sealed = inner.seal.sealed(&submission);
    if let Some(problem) = bounds::request(&submission).filter(|_| !sealed) {
        return Err(format!("its request is not one of a gateway: {problem}"));
    }
    if vouched && !sealed {
        return Err("its seal is of another request".to_owned());
    }
    let mut record = imported_record(run, &submission, info, &snapshot, sealed);
    if record.created_ms == 0 {
        record.created_ms = inner.deps.clock.unix_ms();
    }
    // From now on a repeated call finds this run, whatever the ledger has lost, and so does an equal request.
    let (key, dedupe) = if sealed {
        (adopt::key(&submission), adopt::dedupe(&record, &record.principal, &submission, &snapshot.code_sha256))
    } else {
        tracing::warn!(agent = %info.name, %run, "an imported run is unverified: an operator decides (`longhaul runs adopt`)");
        (None, Dedupe::default())
    };
    let new = NewRun { record: record.clone(), submission, key, dedupe };
    loop {
        match inner.ledger.insert(new.clone()).await {
            Ok(_) => break,
            // It is recorded already: by a commit whose answer was lost.
            Err(LedgerError::LostRace(_)) => break,
            Err(LedgerError::Storage(error)) => {
                tracing::error!(%run, %error, "cannot record an imported run; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(inner.options.backoff.1);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    inner.keep(record, None, seat, Vec::new());
    Ok(())
}

async fn first_snapshot(
    connection: &super::connection::Connection,
    run: RunId,
) -> Result<wire::Snapshot, tonic::Status> {
    let (mut client, request) =
        connection.data(wire::FollowRequest { run_id: run.to_string(), with_submission: true, ..Default::default() });
    let mut stream = client.follow(request).await?.into_inner();
    match stream.message().await? {
        Some(wire::RunEvent { event: Some(Event::Snapshot(mut snapshot)) }) => {
            snapshot.make_harmless();
            Ok(snapshot)
        }
        _ => Err(tonic::Status::internal("the agent did not begin with a snapshot")),
    }
}

/// The record of a run as it was found: unfinished here, so that its task fetches the output and records the end.
fn imported_record(
    run: RunId,
    submission: &wire::Submission,
    info: &wire::AgentInfo,
    snapshot: &wire::Snapshot,
    sealed: bool,
) -> Record {
    let source = match &submission.source {
        Some(Source::Path(path)) => path.clone(),
        Some(Source::Bundle(bundle)) => format!("bundle: {}", bundle.entry),
        _ => "text".to_owned(),
    };
    let need = Need {
        host: submission.host.clone(),
        labels: submission.labels.clone().into_iter().collect(),
        engine: submission.engine.clone(),
        ..Need::default()
    };
    let source = visible::line(&source).into_owned();
    let mut record = new_record(run, submission, source, need, &submission.code_sha256);
    let ran = snapshot.running_at_ms > 0 || RunState::from_wire(snapshot.state) == Some(RunState::Running);
    (record.state, record.cause) =
        if ran { (RunState::Running, Cause::FirstOutput) } else { (RunState::Starting, Cause::Dispatched) };
    record.attempt = snapshot.attempt.max(1);
    (record.agent_id, record.host, record.pool) = (info.agent_id.clone(), info.name.clone(), pool_name(info));
    // The gateway did not see it start; its end aligns this with the gateway's clock.
    record.detail.running_ms = snapshot.running_at_ms;
    record.detail.host_running_ms = snapshot.running_at_ms;
    record.detail.imported = true;
    record.detail.code_sha256.clone_from(&snapshot.code_sha256);
    if !sealed {
        record.detail.claims = visible::line(&std::mem::take(&mut record.principal)).into_owned();
        record.detail.unverified = true;
    }
    record
}
