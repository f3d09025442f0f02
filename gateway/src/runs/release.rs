//! The end of a spool: an agent keeps the files of an ended run until its gateway says that they may go.
//!
//! What is here whole goes from there after `keep_spool`. Where the copy here is *not* whole (cut at a limit, damaged, or
//! with another digest), the spool has bytes that are nowhere else: it stays for as long as the record, and goes earlier
//! only for room on its host (`max_spool`), whole ones first, or by an operator's word. It never goes silently: the record
//! then says what went, when and why. An agent lets a spool go only when length and digest are those of its own record;
//! that they are repeated shows that this very run is meant.
//!
//! The files that a text or bundle left are kept as long as the record, when the rest of its spool goes; they go earlier
//! only for room on their host, the largest first, and the record then says so too.
//!
//! What is removed from the ledger is remembered for a while, so that an agent that was away then and shows the run again
//! is told to let it go; it is neither found anew nor taken for the sign that the ledger is an old copy. So it is with the
//! files of a run of which it keeps nothing else ([`left`]).

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    api::{FilesRemoved, RunView},
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
    auth::principal::{Principal, Scope},
    fleet::connection::{Connection, said},
    ledger::{HeldSpool, LedgerError, Record},
};

/// How long removed runs are remembered: three times as long as records are kept by default.
pub(crate) const REMEMBER_REMOVED: Duration = Duration::from_secs(90 * 24 * 3600);
/// Removed runs that are remembered at most: some 400 bytes each.
pub(crate) const REMEMBERED: u32 = 200_000;

/// Whether the files that a text or bundle left go with its spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// They stay where they are.
    Stay,
    /// They go too.
    Go,
}

/// What became of a spool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// It is gone.
    Gone,
    /// It is gone but for the run's files.
    ButFiles,
    /// The agent keeps it, with its words; it is not asked again.
    Refused(String),
    /// The agent could not be asked; later.
    Unanswered(String),
}

/// Repeats to an agent what it recorded, so that it lets the spool go.
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

/// Has an agent let the spool of an ended run go. `why` is for the record, such as `for room on its host (max_spool)`.
pub(crate) async fn free(
    inner: &Arc<Inner>,
    connection: &Connection,
    record: &Record,
    files: Files,
    why: &str,
) -> Result<Freed, LedgerError> {
    let run = record.run;
    let kept = match record.kept() {
        Some(kept) => kept,
        // A record of an older version does not say what the agent recorded; the agent does.
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
            // An agent that was asked to keep them and did not is of a version before that.
            let older = "its agent is of an older version, which keeps no files";
            note_files(inner, record, if files == Files::Stay { older } else { why }).await?;
            gone(inner, record, &format!("was released {why}")).await
        }
        Ok(Ok(reply)) => {
            let problem = visible::line(&reply.into_inner().problem).into_owned();
            // It will be answered the same way again; the spool stays until a person looks.
            tracing::warn!(%run, host = %record.host, problem, "the agent keeps the spool");
            inner.ledger.spool_gone(run, Some(format!("agent {} keeps its spool: {problem}", record.host))).await?;
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

/// Has other agents let go the spools of attempts that died before the last one, where all of their output is here. One
/// that is away is told when it returns.
pub(crate) async fn free_earlier(inner: &Arc<Inner>, record: &Record) {
    if faults::bug("earlier_spools_stay") {
        return;
    }
    let linked = inner.fleet.linked();
    for dead in record.detail.earlier.iter().filter(|dead| dead.complete && dead.agent_id != record.agent_id) {
        let Some((_, connection)) = linked.iter().find(|(id, _)| *id == dead.agent_id) else { continue };
        let (mut client, asked) = connection.control(request(record.run, dead.kept(), Files::Go));
        match tokio::time::timeout(inner.options.call_timeout, client.forget(asked)).await {
            Ok(Ok(reply)) if !reply.get_ref().forgotten => {
                let problem = visible::line(&reply.into_inner().problem).into_owned();
                tracing::warn!(run = %record.run, host = %dead.host, problem, "the agent keeps the spool of a dead attempt");
            }
            Ok(Ok(_)) => {}
            Ok(Err(status)) if status.code() == Code::NotFound => {}
            Ok(Err(status)) => tracing::debug!(run = %record.run, %status, "a dead attempt's spool stays for now"),
            Err(_) => tracing::debug!(run = %record.run, "a dead attempt's spool stays for now"),
        }
    }
}

/// The agent has nothing of the run any more: a person removed it, or the answer to an earlier request was lost.
async fn found_gone(inner: &Arc<Inner>, record: &Record) -> Result<Freed, LedgerError> {
    if record.detail.files_removed.is_none() {
        note_files(inner, record, "found gone with its spool").await?;
    }
    gone(inner, record, "was found gone").await
}

/// Notes that a spool is gone; of bytes that were nowhere else the record says so.
async fn gone(inner: &Arc<Inner>, record: &Record, how: &str) -> Result<Freed, LedgerError> {
    let words = (!record.detail.complete).then(|| {
        let at = rfc3339(inner.wall.now_ms()).unwrap_or_default();
        format!("the spool on {} {how} at {at}{}", record.host, missing(record))
    });
    if let Some(words) = &words {
        tracing::warn!(run = %record.run, words, "a spool that was the only copy is gone");
    }
    inner.ledger.spool_gone(record.run, words).await?;
    Ok(Freed::Gone)
}

/// Notes in the record that the run's files went, if it left any in a folder of its own.
async fn note_files(inner: &Arc<Inner>, record: &Record, why: &str) -> Result<(), LedgerError> {
    let own = record.detail.working_dir.ends_with(&format!("/{}/work", record.run));
    if !own || record.detail.artifacts.is_empty() {
        return Ok(());
    }
    let name = record.run.to_string();
    let measured = inner.fleet.largest_spools(&record.agent_id).into_iter().find(|spool| spool.run_id == name);
    let named = || record.detail.artifacts.iter().map(|artifact| artifact.bytes).sum();
    let bytes = measured.map_or_else(named, |spool| spool.work_bytes);
    let at = rfc3339(inner.wall.now_ms()).unwrap_or_default();
    inner.ledger.files_removed(record.run, FilesRemoved { at, bytes, why: why.to_owned() }).await
}

/// What only the spool had.
fn missing(record: &Record) -> String {
    let detail = &record.detail;
    let Some(told) = detail.told else { return String::new() };
    let here = [
        ("log", told.log_len, detail.log_len.saturating_sub(detail.log_base)),
        ("console", told.console_len, detail.console_len.saturating_sub(detail.console_base)),
    ];
    let lost = here.iter().filter(|(_, told, here)| told > here);
    let lost = lost.map(|(what, told, here)| format!("{} bytes of its {what}", told - here)).collect::<Vec<_>>();
    if lost.is_empty() { String::new() } else { format!(", and with it {}", lost.join(" and ")) }
}

/// What the agent recorded, from itself.
async fn lengths(connection: &Connection, record: &Record) -> Result<HeldSpool, tonic::Status> {
    let (mut client, request) =
        connection.data(wire::FollowRequest { run_id: record.run.to_string(), ..wire::FollowRequest::default() });
    let mut stream = client.follow(request).await?.into_inner();
    let Some(wire::RunEvent { event: Some(Event::Snapshot(snapshot)) }) = stream.message().await? else {
        return Err(tonic::Status::internal("the agent did not begin with a snapshot"));
    };
    Ok(HeldSpool {
        agent_id: record.agent_id.clone(),
        attempt: record.attempt,
        log_len: snapshot.log_len,
        log_sha256: record.detail.log_sha256.clone(),
        console_len: snapshot.console_len,
        console_sha256: record.detail.console_sha256.clone(),
    })
}

/// What a run is that an agent shows and that has no record.
pub(crate) enum Shown {
    /// The ledger never knew it.
    Unknown,
    /// Its record was removed after its end was known: the agent may let it go.
    Removed(wire::ForgetRequest),
    /// Its record was removed and did not know this end: it was lost, and is found again.
    Again,
}

/// Looks among the removed runs for one that an agent shows.
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
    Ok(match removed.kept.into_iter().find(its) {
        Some(kept) => Shown::Removed(request(run, kept, Files::Go)),
        None => Shown::Again,
    })
}

/// Whether an agent's summary tells the end that is known: by lengths and digests.
pub(crate) fn is_of(kept: &HeldSpool, agent_id: &str, summary: &wire::RunSummary) -> bool {
    let Some(outcome) = &summary.outcome else { return false };
    kept.agent_id == agent_id
        && (kept.log_len, kept.console_len) == (outcome.log_len, outcome.console_len)
        && kept.log_sha256 == outcome.log_sha256
        && kept.console_sha256 == outcome.console_sha256
}

/// What lets the files go that a removed run left with an agent, where they are its own. Of a run that the ledger never
/// knew nothing is said: it may be an old copy.
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
    /// An operator's word that the spool of an ended run may go, whatever only it has.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn release(&self, who: &Principal, run: RunId) -> Result<RunView, ControlError> {
        if who.scope != Scope::Operate {
            return Err(ControlError::Forbidden("releasing a spool needs a token with scope `operate`".to_owned()));
        }
        let wrong = |words: String| Err(ControlError::WrongState(format!("run {}: {words}", run.short())));
        let record = match self.look(who, run).await? {
            Look::Live(active) => {
                let state = active.view.borrow().state;
                return wrong(format!("it has not ended ({state}), and its spool is in use"));
            }
            Look::Ended(record) if record.state == RunState::Lost => {
                return wrong("it is lost: only its spool can tell what became of it".to_owned());
            }
            Look::Ended(record) => *record,
        };
        if record.agent_id.is_empty() {
            return wrong("it never left for an agent, so there is no spool".to_owned());
        }
        let linked = self.0.fleet.linked();
        let Some((_, connection)) = linked.iter().find(|(id, _)| *id == record.agent_id) else {
            return wrong(format!("agent {} is not connected: start it, then release again", record.host));
        };
        let freed = free(&self.0, connection, &record, Files::Go, &format!("by {}", who.name))
            .await
            .map_err(ControlError::Ledger)?;
        match freed {
            Freed::Gone | Freed::ButFiles => Ok(self.get(who, run).await?),
            Freed::Refused(problem) => wrong(format!("agent {} keeps its spool: {problem}", record.host)),
            Freed::Unanswered(problem) => wrong(format!("agent {}: {problem}; try again", record.host)),
        }
    }
}
