//! Deletes spools: an agent keeps the files of an ended run until its gateway releases them.
//!
//! A spool whose output is whole in the gateway's mirror is deleted after `keep_spool`. Where the mirror is *not* whole
//! (cut at a limit, damaged, or with another digest), the spool has the only copy of some bytes: it stays as long as
//! the record. It is deleted earlier only for room on its host (`max_spool`), after the whole ones, or on an operator's
//! command. It never goes silently: the record then says what was deleted, when and why. An agent deletes a spool only
//! when the gateway repeats length and digest of the agent's own record, which shows that exactly this run is meant.
//!
//! The files that a text or bundle left are kept as long as the record. Where all of them were copied to the gateway, they go
//! with the spool; else they stay on their host when the rest of the spool is deleted. They are deleted earlier only for room on their host, the largest first, and the record then says so too.
//!
//! Runs removed from the ledger are remembered for a while. An agent that was away then, and still reports such a run,
//! is told to delete it; the run is neither imported again nor taken as a sign that the ledger is a restored backup.
//! The same holds for an agent that keeps only the files of such a run ([`left`]).

mod later;
mod removed;

use std::{fmt, sync::Arc, time::Duration};

use longhaul_proto::{api::FilesRemoved, clock::rfc3339, ids::RunId, state::RunState, visible, wire};

pub(crate) use later::{OwnSpool, Unfreed, free_dead_for_room, free_earlier, free_removed, free_rest};
pub(crate) use removed::{Shown, is_of, left, shown};

use super::{ControlError, Inner, Look, Runs, do_files, files as copies};
use crate::{
    audit::{Event, Kind},
    fleet::agent_port::{AgentError, Failure, Port},
    ledger::LedgerError,
    model::{HeldSpool, Identity, OutputLengths, Principal, Record, RunSnapshot},
};

/// How long removed runs are remembered: three times as long as records are kept by default.
pub(crate) const REMEMBER_REMOVED: Duration = Duration::from_secs(90 * 24 * 3600);
/// Removed runs that are remembered at most: some 400 bytes each.
pub(crate) const REMEMBERED: u32 = 200_000;

/// Why a spool is deleted; its words are for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It ended longer ago than spools are kept.
    SpoolAge,
    /// It ended longer ago than records are kept.
    RecordAge,
    /// The spools of its host take too much.
    HostRoom,
    /// What the gateway keeps takes too much, and the record goes.
    RecordRoom,
    /// An operator's command.
    Command(Principal),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpoolAge => f.write_str("by its age (keep_spool)"),
            Self::RecordAge => f.write_str("with its record, by its age (keep_records)"),
            Self::HostRoom => f.write_str("for room on its host (max_spool)"),
            Self::RecordRoom => f.write_str("with its record, for room at the gateway (max_kept)"),
            Self::Command(operator) => write!(f, "by {operator}"),
        }
    }
}

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

/// Asks an agent to delete the spool of an ended run.
pub(crate) async fn free(
    inner: &Arc<Inner>,
    connection: &Port,
    record: &Record,
    files: Files,
    why: &Reason,
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
            Err(error) if error.failure == Failure::NotFound => return found_gone(inner, record).await,
            Err(error) => return Ok(Freed::Unanswered(error.words)),
        },
    };
    if let Err(error) = do_files::fetch(inner, run).await
        && !do_files::may_go_without(files, why)
    {
        // They would be lost with it.
        return Ok(Freed::Unanswered(error.to_string()));
    }
    // What is here too needs no place there.
    let its_files = if copies::own_are_here(inner, record).await? { Files::Go } else { files };
    let asked = connection.forget(request(run, kept, its_files));
    match tokio::time::timeout(inner.options.call_timeout, asked).await {
        Ok(Ok(reply)) if reply.work_kept => {
            inner.ledger.only_files_kept(run).await?;
            Ok(Freed::ButFiles)
        }
        Ok(Ok(reply)) if reply.forgotten => {
            // An agent that was asked to keep the files and did not is of a version that cannot.
            let older = "its agent is of an older version, which keeps no files";
            let why = why.to_string();
            note_files(inner, record, if files == Files::Stay { older } else { &why }).await?;
            gone(inner, record, &format!("was released {why}")).await
        }
        Ok(Ok(reply)) => {
            let problem = visible::line(&reply.problem).into_owned();
            // It would answer the same again; the spool stays until a person looks.
            tracing::warn!(%run, host = %record.host(), problem, "the agent keeps the spool");
            inner.ledger.spool_gone(run, Some(format!("agent {} keeps its spool: {problem}", record.host()))).await?;
            Ok(Freed::Refused(problem))
        }
        Ok(Err(error)) if error.failure == Failure::NotFound => found_gone(inner, record).await,
        Ok(Err(error)) => {
            tracing::debug!(%run, %error, "asked again later");
            Ok(Freed::Unanswered(error.words))
        }
        Err(_) => Ok(Freed::Unanswered("it does not answer".to_owned())),
    }
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
        let at = rfc3339(inner.wall_clock.now_ms()).unwrap_or_default();
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
    if !copies::left_own(record) || copies::own_are_here(inner, record).await? {
        return Ok(());
    }
    let artifacts = record.detail.present().map_or(&[][..], |attempt| &attempt.execution.artifacts);
    let name = record.run.to_string();
    let measured = inner.fleet.largest_spools(record.agent_id()).into_iter().find(|spool| spool.run_id == name);
    let named = || artifacts.iter().map(|artifact| artifact.bytes).sum();
    let bytes = measured.map_or_else(named, |spool| spool.work_bytes);
    let at = rfc3339(inner.wall_clock.now_ms()).unwrap_or_default();
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
async fn lengths(connection: &Port, record: &Record) -> Result<HeldSpool, AgentError> {
    let request = wire::FollowRequest { run_id: record.run.to_string(), ..wire::FollowRequest::default() };
    let snapshot = connection.follow(request).await?.snapshot().await?;
    let nowhere = || AgentError::new(Failure::NotFound, "it was given to no agent");
    let last = record.detail.attempts.last().ok_or_else(nowhere)?;
    Ok(last.held_spool(OutputLengths { log: snapshot.log_len, console: snapshot.console_len }))
}

impl Runs {
    /// An operator releases the spool of an ended run, even if it has the only copy of some bytes.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn release(&self, who: &Identity, run: RunId) -> Result<Arc<RunSnapshot>, ControlError> {
        if !who.may_operate() {
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
        self.0.audit.must(Event::of(Kind::Release, who).run(run)).await?;
        let why = Reason::Command(who.principal.clone());
        let freed = free(&self.0, connection, &record, Files::Go, &why).await.map_err(ControlError::Ledger)?;
        match freed {
            Freed::Gone | Freed::ButFiles => Ok(self.get(who, run).await?),
            Freed::Refused(problem) => wrong(format!("agent {} keeps its spool: {problem}", record.host())),
            Freed::Unanswered(problem) => wrong(format!("agent {}: {problem}; try again", record.host())),
        }
    }
}
