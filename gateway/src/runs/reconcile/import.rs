//! Imports a run that an agent has and the ledger does not know, from the submission that its spool holds.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    MAX_CODE_API,
    ids::RunId,
    ordered_watch::OrderedReceiver,
    state::{Cause, RunState},
    visible::{self, Foreign},
    wire::{self, submission::Source},
};
use tokio::sync::oneshot;

use super::{
    super::supervise::{LeaseCell, Start},
    hold, named, placement,
};
use crate::{
    audit::{Event, Kind},
    fleet::{
        Lease,
        agent_port::{AgentError, Failure, Port},
        bounds,
    },
    ledger::{Dedupe, LeaseChange, LedgerError, NewRun},
    metrics::count,
    model::{Attempt, Need, Origin, Principal, Record},
    runs::{BETWEEN_LOOKS, Inner, adopt, egress, new_record::new_record, registry::Command, stored_code::total},
};

/// How often the import of a run checks whether the run's agent is still connected.
const AWAY: Duration = Duration::from_secs(60);

/// A restored ledger does not know the call of this run, and may have recorded it a second time meanwhile.
async fn supersede(inner: &Arc<Inner>, principal: &Principal, key: &str, run: RunId) -> Result<(), LedgerError> {
    if key.is_empty() {
        return Ok(());
    }
    while inner.registry.records_call(principal, key) {
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let Some((second, _)) = inner.ledger.by_key(principal, key).await? else { return Ok(()) };
    let Some(active) = inner.registry.get(second).filter(|_| second != run) else { return Ok(()) };
    let (reply, done) = oneshot::channel();
    if active.mailbox.send(Command::Supersede { by: run, reply }).await.is_ok() {
        tracing::warn!(%run, %second, "a call was recorded twice; the run that an agent has stays");
        // Before the agent is given any run. An error means that the second run had started, or has ended.
        let _ = done.await;
    }
    Ok(())
}

/// Starts the import of a run; its lease counts from this moment on.
pub(super) async fn import(
    inner: &Arc<Inner>,
    info: &wire::AgentInfo,
    summary: &wire::RunSummary,
    run: RunId,
    ended: bool,
) -> Result<(), LedgerError> {
    // Its principal and its call count only if this gateway's seal is on them.
    let vouched = inner.seal.vouched(summary);
    let (principal, key) = if vouched { (named(summary), summary.key.as_str()) } else { (Principal::default(), "") };
    // From here on the same call waits for the import; what was recorded of it before is found by `supersede`.
    if !inner.registry.importing(run, &principal, key) {
        return Ok(());
    }
    if let Err(error) = supersede(inner, &principal, key, run).await {
        inner.registry.imported(run);
        return Err(error);
    }
    tracing::info!(agent = %info.name, %run, vouched, "importing a run that the ledger does not know");
    let seat = if ended { None } else { Some(hold(inner, info, &principal, run).await) };
    let (inner, info) = (inner.clone(), info.clone());
    let tasks = inner.deps.tasks.clone();
    tasks.spawn_until_stop(async move {
        match fetch(&inner, &info, run, seat, vouched).await {
            Ok(()) => count(&inner.metrics.imported),
            Err(why) => {
                tracing::warn!(agent = %info.name, %run, why, "a run was not imported; it stays in its spool");
            }
        }
        inner.registry.imported(run);
    });
    Ok(())
}

/// Waits for a connection to an agent that has registered.
///
/// # Errors
/// When the gateway stops, or the agent is away for so long that it must register again anyway.
async fn usable(
    inner: &Inner,
    connections: &mut OrderedReceiver<Option<Port>>,
    agent_id: &str,
) -> Result<Port, String> {
    loop {
        let connected = connections.wait_for(|l| l.as_ref().is_some_and(|l| !l.is_broken()));
        match tokio::time::timeout(AWAY, connected).await {
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
    let snapshot = found(inner, info, run).await?;
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
    record.owner.clone_from(&inner.owner);
    egress::note(inner, &mut record.detail);
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
    // Where it cannot be written, that is counted and told: the run is there all the same.
    let event = Event::own(Kind::Import).run(run).with("agent", info.name.clone()).with("verified", sealed);
    let _ = inner.audit.must(event.with("of", record.principal.to_string())).await;
    let lease = if seat.is_some() { LeaseChange::Take } else { LeaseChange::Keep };
    let blobs = Vec::new();
    insert(inner, NewRun { record: record.clone(), submission, key, dedupe, lease, blobs, receivers: Vec::new() })
        .await?;
    inner.start_task(Start::recorded(record, LeaseCell::of(seat)));
    Ok(())
}

/// What the run's spool holds, as soon as its agent can be asked.
async fn found(inner: &Arc<Inner>, info: &wire::AgentInfo, run: RunId) -> Result<wire::Snapshot, String> {
    let mut connections = inner.fleet.connections(&info.agent_id).await;
    let mut pause = inner.options.backoff.0;
    loop {
        let connection = usable(inner, &mut connections, &info.agent_id).await?;
        let turn = inner.fleet.imports().acquire().await.map_err(|_| "the gateway stops")?;
        // An unresponsive agent must not keep the other imports from their turn.
        let asked = tokio::time::timeout(inner.options.call_timeout, first_snapshot(&connection, run)).await;
        match asked.unwrap_or_else(|_| Err(AgentError::other("the agent does not answer"))) {
            Ok(mut snapshot) => {
                bounds::cut(&mut snapshot);
                return Ok(snapshot);
            }
            Err(error) if error.failure == Failure::NotFound => return Err(error.words),
            Err(error) => {
                tracing::debug!(%run, %error, "import is tried again");
                drop(turn);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(inner.options.backoff.1);
            }
        }
    }
}

/// Records an imported run, as soon as the ledger can be written.
async fn insert(inner: &Arc<Inner>, new: NewRun) -> Result<(), String> {
    let mut pause = inner.options.backoff.0;
    loop {
        match inner.ledger.insert(new.clone()).await {
            Ok(_) => return Ok(()),
            // It is recorded already: by a commit whose answer was lost.
            Err(LedgerError::Lost(_)) => return Ok(()),
            Err(LedgerError::Unavailable(error) | LedgerError::Unknown(error)) => {
                tracing::error!(run = %new.record.run, %error, "cannot record an imported run; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(inner.options.backoff.1);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn first_snapshot(connection: &Port, run: RunId) -> Result<wire::Snapshot, AgentError> {
    let request = wire::FollowRequest { run_id: run.to_string(), with_submission: true, ..Default::default() };
    let mut snapshot = connection.follow(request).await?.snapshot().await?;
    snapshot.make_harmless();
    Ok(snapshot)
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
        Some(Source::Stored(code)) if !code.entry.is_empty() => format!("bundle: {}", code.entry),
        _ => "text".to_owned(),
    };
    let need = Need {
        host: submission.host.clone(),
        labels: submission.labels.clone().into_iter().collect(),
        engine: submission.engine.clone(),
        large_code: matches!(&submission.source, Some(Source::Stored(code)) if total(code) > MAX_CODE_API as u64),
        ..Need::default()
    };
    let source = visible::line(&source).into_owned();
    let mut record = new_record(run, submission, source, need, &submission.code_sha256);
    let ran = snapshot.running_at_ms > 0 || RunState::from_wire(snapshot.state) == Some(RunState::Running);
    (record.state, record.cause) =
        if ran { (RunState::Running, Cause::FirstOutput) } else { (RunState::Starting, Cause::Dispatched) };
    let number = Attempt::known(snapshot.attempt).unwrap_or_else(|| Attempt::after(None));
    record.detail.asked.found_sha256.clone_from(&snapshot.code_sha256);
    record.detail.give(number, placement(info));
    record.detail.origin = Origin::Imported;
    if let Some(attempt) = record.detail.present_mut() {
        // The gateway did not see it start; its end aligns this with the gateway's clock.
        attempt.execution.running_ms = snapshot.running_at_ms;
        attempt.execution.host_running_ms = snapshot.running_at_ms;
    }
    if !sealed {
        let claims = std::mem::take(&mut record.principal);
        let claims = Principal::new(visible::line(claims.issuer()), visible::line(claims.subject()));
        record.detail.origin = Origin::Unverified { claims };
    }
    record
}
