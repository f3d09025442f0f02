//! Deletes spools: an agent keeps the files of an ended run until its gateway releases them.
//!
//! A spool whose output is whole in the gateway's mirror is deleted after `keep_spool`. Where the mirror is *not* whole
//! (cut at a limit, damaged, or with another digest), the spool has the only copy of some bytes: it stays as long as
//! the record. It is deleted earlier only for room on its host (`max_spool`), after the whole ones, or on an operator's
//! command. It never goes silently: the record then says what was deleted, when and why. An agent deletes a spool only
//! when the gateway repeats length and digest of the agent's own record, which shows that exactly this run is meant.
//!
//! The files that a text or bundle left are kept as long as the record, even when the rest of the spool is deleted.
//! They are deleted earlier only for room on their host, the largest first, and the record then says so too.
//!
//! Runs removed from the ledger are remembered for a while. An agent that was away then, and still reports such a run,
//! is told to delete it; the run is neither imported again nor taken as a sign that the ledger is a restored backup.
//! The same holds for an agent that keeps only the files of such a run ([`left`]).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    api::FilesRemoved,
    clock::rfc3339,
    faults,
    ids::RunId,
    state::RunState,
    visible,
    wire::{self, run_event::Event},
};
use tonic::Code;

use super::{ControlError, Inner, Look, Runs};
use crate::{
    fleet::connection::{Connection, said},
    ledger::LedgerError,
    model::{AttemptRecord, HeldSpool, Identity, OutputLengths, Record, RunSnapshot, Scope},
};

/// How long removed runs are remembered: three times as long as records are kept by default.
pub(crate) const REMEMBER_REMOVED: Duration = Duration::from_secs(90 * 24 * 3600);
/// Removed runs that are remembered at most: some 400 bytes each.
pub(crate) const REMEMBERED: u32 = 200_000;

/// Spools of dead attempts that are remembered at most until their agents can be asked: some 300 bytes each.
const UNFREED: usize = 10_000;

/// Whether the files that a text or bundle left are deleted with its spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// They are kept.
    Stay,
    /// They are deleted too.
    Go,
}

/// The answer to a request to delete a spool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// It is deleted.
    Gone,
    /// It is deleted except for the run's files.
    ButFiles,
    /// The agent refuses, with its words; it is not asked again.
    Refused(String),
    /// The agent could not be asked; try later.
    Unanswered(String),
}

/// Repeats to an agent what it recorded, so that it deletes the spool.
pub(crate) fn request(run: RunId, kept: HeldSpool, files: Files) -> wire::ForgetRequest {
    wire::ForgetRequest {
        run_id: run.to_string(),
        log_len: kept.log_len,
        log_sha256: kept.log_sha256,
        console_len: kept.console_len,
        console_sha256: kept.console_sha256,
        keep_work: files == Files::Stay,
    }
}

/// Asks an agent to delete the spool of an ended run. `why` is for the record, such as `for room on its host
/// (max_spool)`.
pub(crate) async fn free(
    inner: &Arc<Inner>,
    connection: &Connection,
    record: &Record,
    files: Files,
    why: &str,
) -> Result<Freed, LedgerError> {
    let run = record.run;
    let kept = match record.kept() {
        // The last attempt never started there, so there is nothing of the run.
        Some(kept) if kept.agent_id != record.agent_id() => {
            inner.ledger.spool_gone(run, None).await?;
            return Ok(Freed::Gone);
        }
        Some(kept) => kept,
        // A record of an older version lacks what the agent recorded: ask the agent.
        None => match lengths(connection, record).await {
            Ok(kept) => kept,
            Err(status) if status.code() == Code::NotFound => return found_gone(inner, record).await,
            Err(status) => return Ok(Freed::Unanswered(said(&status))),
        },
    };
    let (mut client, asked) = connection.control(request(run, kept, files));
    match tokio::time::timeout(inner.options.call_timeout, client.forget(asked)).await {
        Ok(Ok(reply)) if reply.get_ref().work_kept => {
            inner.ledger.only_files_kept(run).await?;
            Ok(Freed::ButFiles)
        }
        Ok(Ok(reply)) if reply.get_ref().forgotten => {
            // An agent that was asked to keep the files and did not is of a version that cannot.
            let older = "its agent is of an older version, which keeps no files";
            note_files(inner, record, if files == Files::Stay { older } else { why }).await?;
            gone(inner, record, &format!("was released {why}")).await
        }
        Ok(Ok(reply)) => {
            let problem = visible::line(&reply.into_inner().problem).into_owned();
            // It would answer the same again; the spool stays until a person looks.
            tracing::warn!(%run, host = %record.host(), problem, "the agent keeps the spool");
            inner.ledger.spool_gone(run, Some(format!("agent {} keeps its spool: {problem}", record.host()))).await?;
            Ok(Freed::Refused(problem))
        }
        Ok(Err(status)) if status.code() == Code::NotFound => found_gone(inner, record).await,
        Ok(Err(status)) => {
            tracing::debug!(%run, %status, "asked again later");
            Ok(Freed::Unanswered(said(&status)))
        }
        Err(_) => Ok(Freed::Unanswered("it does not answer".to_owned())),
    }
}

/// Spools of dead attempts of removed runs whose agents could not be asked. They are asked in a later pass of upkeep.
///
/// The list is lost with the process, which does no harm: agents register with the next one, and are told then
/// ([`shown`], [`left`]). For the same reason what is beyond [`UNFREED`] is not kept.
#[derive(Default)]
pub(crate) struct Unfreed(Mutex<Vec<(RunId, HeldSpool)>>);

impl Unfreed {
    fn add(&self, run: RunId, spools: Vec<HeldSpool>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = UNFREED.saturating_sub(list.len());
        list.extend(spools.into_iter().take(room).map(|spool| (run, spool)));
    }

    fn take_of(&self, agents: &[String]) -> Vec<(RunId, HeldSpool)> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.extract_if(.., |(_, spool)| agents.contains(&spool.agent_id)).collect()
    }
}

/// Asks other agents to delete the spools of attempts that died before the last one, if all of their output is in the
/// mirror. An agent that is away is asked when it returns.
pub(crate) async fn free_earlier(inner: &Arc<Inner>, record: &Record) {
    if faults::bug("earlier_spools_stay") {
        return;
    }
    let elsewhere = record.detail.dead().filter(|dead| dead.died_complete() && dead.at.agent_id != record.agent_id());
    free_dead(inner, record.run, elsewhere.map(AttemptRecord::kept).collect()).await;
}

/// Asks agents to delete what the dead attempts of a removed run left with them, also where their output was not whole in
/// the mirror: it was the only copy for as long as the record. An agent that cannot be called is asked in a later pass
/// ([`free_rest`]), or when it registers again ([`shown`], [`left`]).
pub(crate) async fn free_removed(inner: &Arc<Inner>, run: RunId) -> Result<(), LedgerError> {
    // Most runs have one attempt, whose agent was asked before the record went.
    if let Some(removed) = inner.ledger.removed(run).await?.filter(|removed| removed.kept.len() > 1) {
        let unanswered = free_dead(inner, run, removed.kept).await;
        if !faults::bug("unreachable_dead_spools_stay") {
            inner.unfreed.add(run, unanswered);
        }
    }
    Ok(())
}

/// Asks again for what could not be asked for when the records were removed, as far as the agents are connected.
pub(crate) async fn free_rest(inner: &Arc<Inner>) {
    let connected: Vec<String> = inner.fleet.connected_agents().into_iter().map(|(agent, _)| agent).collect();
    for (run, spool) in inner.unfreed.take_of(&connected) {
        let unanswered = free_dead(inner, run, vec![spool]).await;
        inner.unfreed.add(run, unanswered);
    }
}

/// Returns those whose agents did not answer.
async fn free_dead(inner: &Arc<Inner>, run: RunId, spools: Vec<HeldSpool>) -> Vec<HeldSpool> {
    let connected = inner.fleet.connected_agents();
    let mut unanswered = Vec::new();
    for dead in spools {
        let Some((agent, connection)) = connected.iter().find(|(id, _)| *id == dead.agent_id) else {
            unanswered.push(dead);
            continue;
        };
        let (mut client, asked) = connection.control(request(run, dead.clone(), Files::Go));
        match tokio::time::timeout(inner.options.call_timeout, client.forget(asked)).await {
            Ok(Ok(reply)) if !reply.get_ref().forgotten => {
                let problem = visible::line(&reply.into_inner().problem).into_owned();
                tracing::warn!(%run, %agent, problem, "the agent keeps the spool of a dead attempt");
            }
            Ok(Ok(_)) => {}
            Ok(Err(status)) if status.code() == Code::NotFound => {}
            Ok(Err(status)) => {
                tracing::debug!(%run, %agent, %status, "a dead attempt's spool stays for now");
                unanswered.push(dead);
            }
            Err(_) => {
                tracing::debug!(%run, %agent, "a dead attempt's spool stays for now");
                unanswered.push(dead);
            }
        }
    }
    unanswered
}

/// The agent has nothing of the run any more: a person deleted it, or the answer to an earlier request was lost.
async fn found_gone(inner: &Arc<Inner>, record: &Record) -> Result<Freed, LedgerError> {
    if record.detail.end.files_removed.is_none() {
        note_files(inner, record, "found gone with its spool").await?;
    }
    gone(inner, record, "was found gone").await
}

/// Notes that a spool is gone; if it had the only copy of some bytes, the record says so.
async fn gone(inner: &Arc<Inner>, record: &Record, how: &str) -> Result<Freed, LedgerError> {
    let words = (!record.detail.end.complete).then(|| {
        let at = rfc3339(inner.wall.now_ms()).unwrap_or_default();
        format!("the spool on {} {how} at {at}{}", record.host(), missing(record))
    });
    if let Some(words) = &words {
        tracing::warn!(run = %record.run, words, "a spool that was the only copy is gone");
    }
    inner.ledger.spool_gone(record.run, words).await?;
    Ok(Freed::Gone)
}

/// Notes in the record that the run's files were deleted, if it left any in a folder of its own.
async fn note_files(inner: &Arc<Inner>, record: &Record, why: &str) -> Result<(), LedgerError> {
    let own = record.detail.working_dir().ends_with(&format!("/{}/work", record.run));
    let artifacts = record.detail.present().map_or(&[][..], |attempt| &attempt.execution.artifacts);
    if !own || artifacts.is_empty() {
        return Ok(());
    }
    let name = record.run.to_string();
    let measured = inner.fleet.largest_spools(record.agent_id()).into_iter().find(|spool| spool.run_id == name);
    let named = || artifacts.iter().map(|artifact| artifact.bytes).sum();
    let bytes = measured.map_or_else(named, |spool| spool.work_bytes);
    let at = rfc3339(inner.wall.now_ms()).unwrap_or_default();
    inner.ledger.files_removed(record.run, FilesRemoved { at, bytes, why: why.to_owned() }).await
}

/// What only the spool had, in words.
fn missing(record: &Record) -> String {
    let (output, base) = (record.detail.end.output, record.detail.base());
    let recorded = record.detail.present().and_then(|attempt| attempt.recorded);
    let Some(recorded) = recorded else { return String::new() };
    let here = [
        ("log", recorded.log, output.log.saturating_sub(base.log)),
        ("console", recorded.console, output.console.saturating_sub(base.console)),
    ];
    let lost = here.iter().filter(|(_, told, here)| told > here);
    let lost = lost.map(|(what, told, here)| format!("{} bytes of its {what}", told - here)).collect::<Vec<_>>();
    if lost.is_empty() { String::new() } else { format!(", and with it {}", lost.join(" and ")) }
}

/// Asks the agent for the lengths that it recorded.
async fn lengths(connection: &Connection, record: &Record) -> Result<HeldSpool, tonic::Status> {
    let (mut client, request) =
        connection.data(wire::FollowRequest { run_id: record.run.to_string(), ..wire::FollowRequest::default() });
    let mut stream = client.follow(request).await?.into_inner();
    let Some(wire::RunEvent { event: Some(Event::Snapshot(snapshot)) }) = stream.message().await? else {
        return Err(tonic::Status::internal("the agent did not begin with a snapshot"));
    };
    let last = record.detail.attempts.last().ok_or_else(|| tonic::Status::not_found("it was given to no agent"))?;
    Ok(last.held_spool(OutputLengths { log: snapshot.log_len, console: snapshot.console_len }))
}

/// What is known of a run without a record that an agent reports.
pub(crate) enum Shown {
    /// The ledger never knew it.
    Unknown,
    /// Its record was removed after its end was known: the agent may delete it.
    Removed(wire::ForgetRequest),
    /// Its record was removed without this end: the run was lost, and is found again.
    Again,
    /// Its record was removed, and another agent had the run.
    Foreign,
}

/// Looks up a run that an agent reports among the removed ones.
pub(crate) async fn shown(
    inner: &Arc<Inner>,
    agent_id: &str,
    summary: &wire::RunSummary,
    run: RunId,
) -> Result<Shown, LedgerError> {
    if faults::bug("removed_runs_forgotten") {
        return Ok(Shown::Unknown);
    }
    let Some(removed) = inner.ledger.removed(run).await? else { return Ok(Shown::Unknown) };
    let ended = RunState::from_wire(summary.state).is_some_and(RunState::is_end);
    let its = |kept: &HeldSpool| ended && kept.agent_id == agent_id && kept.attempt == summary.attempt;
    let foreign = !removed.agents.is_empty() && removed.agents.iter().all(|given| given != agent_id);
    Ok(match removed.kept.into_iter().find(its) {
        Some(kept) => Shown::Removed(request(run, kept, Files::Go)),
        None if foreign && !faults::bug("removed_runs_claimed") => Shown::Foreign,
        None => Shown::Again,
    })
}

/// Whether an agent's summary has the known end: the same lengths and digests.
pub(crate) fn is_of(kept: &HeldSpool, agent_id: &str, summary: &wire::RunSummary) -> bool {
    let Some(outcome) = &summary.outcome else { return false };
    kept.agent_id == agent_id
        && (kept.log_len, kept.console_len) == (outcome.log_len, outcome.console_len)
        && kept.log_sha256 == outcome.log_sha256
        && kept.console_sha256 == outcome.console_sha256
}

/// The request to delete the files that a removed run left with an agent, if they are that run's. `None` for a run that
/// the ledger never knew: the ledger may be an old copy.
pub(crate) async fn left(
    inner: &Arc<Inner>,
    agent_id: &str,
    summary: &wire::RunSummary,
    run: RunId,
) -> Result<Option<wire::ForgetRequest>, LedgerError> {
    let removed = inner.ledger.removed(run).await?;
    let its = removed.into_iter().flat_map(|removed| removed.kept).find(|kept| is_of(kept, agent_id, summary));
    Ok(its.map(|kept| request(run, kept, Files::Go)))
}

impl Runs {
    /// An operator releases the spool of an ended run, even if it has the only copy of some bytes.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn release(&self, who: &Identity, run: RunId) -> Result<Arc<RunSnapshot>, ControlError> {
        if who.scope != Scope::Operate {
            return Err(ControlError::Forbidden("releasing a spool needs a token with scope `operate`".to_owned()));
        }
        let wrong = |words: String| Err(ControlError::WrongState(format!("run {}: {words}", run.short())));
        let record = match self.look(who, run).await? {
            Look::Live(active) => {
                let state = active.snapshot.borrow().state;
                return wrong(format!("it has not ended ({state}), and its spool is in use"));
            }
            Look::Ended(record) if record.state == RunState::Lost => {
                return wrong("it is lost: only its spool can tell what became of it".to_owned());
            }
            Look::Ended(record) => *record,
        };
        if record.agent_id().is_empty() {
            return wrong("it never left for an agent, so there is no spool".to_owned());
        }
        let connected = self.0.fleet.connected_agents();
        let Some((_, connection)) = connected.iter().find(|(id, _)| *id == record.agent_id()) else {
            return wrong(format!("agent {} is not connected: start it, then release again", record.host()));
        };
        let freed = free(&self.0, connection, &record, Files::Go, &format!("by {}", who.principal))
            .await
            .map_err(ControlError::Ledger)?;
        match freed {
            Freed::Gone | Freed::ButFiles => Ok(self.get(who, run).await?),
            Freed::Refused(problem) => wrong(format!("agent {} keeps its spool: {problem}", record.host())),
            Freed::Unanswered(problem) => wrong(format!("agent {}: {problem}; try again", record.host())),
        }
    }
}
