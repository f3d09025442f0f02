//! The do-files that an ended run entered: fetched from its agent once, before the run's spool is released, and kept as
//! blobs that the run holds as long as its record. The files that it left follow them ([`super::files`]).
//!
//! ```text
//! the end is committed and told -> the list, then each content that is kept -> blobs -> noted in the ledger
//!     -> from now on the spool may be released
//! ```
//!
//! No end waits for this. What fails is tried again: a few times soon, when the agent registers, in each pass of upkeep,
//! and at last before the spool is released. Whatever cannot be kept is noted with the reason, so that a list is whole
//! even where the bytes are not. An agent is believed what its run entered, and nothing else: a content is taken only with
//! its bytes, unless the run's principal may name the blob already.

mod fetch;
mod read;
mod results;

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use longhaul_proto::{digest::ContentDigest, faults, ids::RunId, state::RunState, visible};
use tokio::sync::Semaphore;

use super::{
    Inner, files, reconcile,
    release::{self, Files, Reason},
};
use crate::{
    blobs::BlobError,
    fleet::agent_port::{AgentError, Failure, Port},
    ledger::LedgerError,
    model::{Principal, Record},
};

pub use read::{DoFileError, Entered};
pub use results::Left;

/// Runs whose do-files are fetched at once: enough for their notes to share commits, and at most 16 MiB in memory.
const AT_ONCE: usize = 16;
/// Pauses before it is tried again, after an end; then upkeep tries.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// How long to wait for the connection to an agent that has registered.
const CONNECTING: Duration = Duration::from_secs(60);
/// Most characters of a path and of a reason.
const LINE: usize = 4096;
/// How often a run's blobs are stored again that went before it could hold them.
pub(super) const AGAIN: u32 = 3;
/// Runs that are looked up at once.
const BATCH: u32 = 200;

/// What is being fetched now.
pub(crate) struct Fetches(Semaphore);

impl Default for Fetches {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// Why the do-files of a run are not here yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Its agent cannot be asked now.
    #[error("its do-files have not come yet: {0}")]
    NotNow(String),
    /// Its agent answers, and does not give them now.
    #[error("its host does not give its do-files now: {0}")]
    Refused(String),
    /// They cannot be stored now.
    #[error("its do-files cannot be stored yet: {0}")]
    Blob(#[from] BlobError),
    /// They cannot be noted now.
    #[error("its do-files cannot be noted yet: {0}")]
    Ledger(#[from] LedgerError),
}

impl From<AgentError> for FetchError {
    fn from(error: AgentError) -> Self {
        match error.failure {
            Failure::NeverSent | Failure::Other => Self::NotNow(error.words),
            _ => Self::Refused(error.words),
        }
    }
}

/// Fetches the do-files of a run that has just ended, in the background.
pub(super) fn fetch_soon(inner: &Arc<Inner>, run: RunId) {
    if faults::bug("do_files_wait_for_upkeep") {
        return;
    }
    let on = inner.clone();
    inner.deps.tasks.spawn_until_stop(Box::pin(async move {
        if let Err(error) = fetch(&on, run).await {
            tracing::debug!(%run, %error, "tried again");
            fetch_late(&on, run).await;
        }
    }));
}

/// Tries again what failed, and does then what waited for it.
async fn fetch_late(inner: &Arc<Inner>, run: RunId) {
    for pause in PAUSES {
        tokio::time::sleep(pause).await;
        match fetch(inner, run).await {
            Ok(()) => {
                if faults::bug("late_do_files_hold_their_spool") {
                    return;
                }
                if let Err(error) = release_old(inner, run).await {
                    tracing::warn!(%run, error = &error as &dyn std::error::Error, "its spool waits for upkeep");
                }
                return;
            }
            Err(error) => tracing::debug!(%run, %error, "tried again"),
        }
    }
}

/// Fetches what is due from an agent that has registered, as soon as it can be called, and releases spools that are old
/// enough and waited for this.
pub(super) fn fetch_when_connected(inner: &Arc<Inner>, agent_id: String) {
    let on = inner.clone();
    inner.deps.tasks.spawn_until_stop(Box::pin(async move {
        let mut connections = on.fleet.connections(&agent_id).await;
        let connected = connections.wait_for(|port| port.as_ref().is_some_and(|port| !port.is_broken()));
        if !matches!(tokio::time::timeout(CONNECTING, connected).await, Ok(Ok(_))) {
            return;
        }
        if let Err(error) = fetch_and_release(&on, &agent_id).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "do-files that are due wait for upkeep");
        }
    }));
}

async fn fetch_and_release(inner: &Arc<Inner>, agent_id: &str) -> Result<(), LedgerError> {
    let mut released = stream::iter(fetch_due(inner, agent_id).await?)
        .map(|run| async move { release_old(inner, run).await })
        .buffer_unordered(AT_ONCE);
    while let Some(released) = released.next().await {
        released?;
    }
    Ok(())
}

/// Fetches what is due from an agent, as long as it answers; returns of which runs it has come. What the agent cannot read
/// holds up no other run.
///
/// # Errors
/// The ledger cannot be read.
pub(super) async fn fetch_due(inner: &Arc<Inner>, agent_id: &str) -> Result<Vec<RunId>, LedgerError> {
    let (mut come, mut asked) = (Vec::new(), HashSet::new());
    loop {
        let mut due = inner.ledger.do_files_due(agent_id, BATCH).await?;
        let files = inner.ledger.files_due(agent_id, BATCH).await?;
        let full = due.len().max(files.len()) >= BATCH as usize;
        due.extend(files);
        // What failed is due again, first.
        let new: Vec<RunId> = due.into_iter().filter(|run| asked.insert(*run)).collect();
        if new.is_empty() {
            return Ok(come);
        }
        let mut fetches = stream::iter(new)
            .map(|run| async move { (run, Box::pin(fetch(inner, run)).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((run, fetched)) = fetches.next().await {
            match fetched {
                Ok(()) => come.push(run),
                Err(error @ FetchError::Refused(_)) if !faults::bug("do_files_stop_at_damage") => {
                    tracing::debug!(%run, %error, "asked again later")
                }
                Err(error) => {
                    tracing::debug!(%run, %error, "do-files wait");
                    return Ok(come);
                }
            }
        }
        if !full {
            return Ok(come);
        }
    }
}

/// Releases the spool of a run whose do-files have come late, if it is old enough.
async fn release_old(inner: &Arc<Inner>, run: RunId) -> Result<(), LedgerError> {
    let Some(record) = inner.ledger.get(run).await? else { return Ok(()) };
    let connected = inner.fleet.connected_agents();
    let connection = connected.iter().find(|(id, _)| *id == record.agent_id());
    if let Some((_, connection)) =
        connection.filter(|_| record.detail.end.complete && reconcile::old_enough(inner, &record))
    {
        release::free_earlier(inner, &record).await;
        release::free(inner, connection, &record, Files::Stay, &Reason::SpoolAge).await?;
    }
    Ok(())
}

/// Fetches the do-files of an ended run, then the files that it left, if they are not noted yet.
///
/// # Errors
/// See [`FetchError`]; what is not noted then is due again.
pub(super) async fn fetch(inner: &Arc<Inner>, run: RunId) -> Result<(), FetchError> {
    if inner.ledger.do_files(run).await?.is_none() {
        let Ok(_permit) = inner.fetches.0.acquire().await else { return Ok(()) };
        Box::pin(fetch::fetch(inner, run)).await?;
    }
    files::fetch(inner, run).await
}

/// An ended run, and the connection to the agent that has its spool; `None` = there is nothing to fetch.
///
/// # Errors
/// The agent cannot be called now, or the ledger cannot be read.
pub(super) async fn spool_of(inner: &Arc<Inner>, run: RunId) -> Result<Option<(Record, Port)>, FetchError> {
    let Some(record) = inner.ledger.get(run).await? else { return Ok(None) };
    // A lost run may come back, and one that was given to no agent has left nothing.
    if !record.state.is_end() || record.state == RunState::Lost || record.agent_id().is_empty() {
        return Ok(None);
    }
    let connection = inner.fleet.connections(record.agent_id()).await.get();
    match connection.filter(|connection| !connection.is_broken()) {
        Some(connection) => Ok(Some((record, connection))),
        None => Err(FetchError::NotNow(format!("host {} is not connected", record.host()))),
    }
}

/// Whether a blob is the principal's to name already.
///
/// # Errors
/// The blobs cannot be read.
pub(super) async fn may_name(inner: &Inner, who: &Principal, digest: ContentDigest) -> Result<bool, FetchError> {
    // Of runs without a principal it is not known whose they are.
    Ok(!who.is_none() && inner.blobs.open(who, digest).await?.is_some())
}

/// Text of an agent, made harmless.
pub(super) fn shown(text: &str) -> String {
    visible::line(text).chars().take(LINE).collect()
}

/// Whether a spool may be released although its do-files could not be fetched: for room, and with the record or on an
/// operator's command.
pub(super) fn may_go_without(files: Files, why: &Reason) -> bool {
    files == Files::Go || *why == Reason::HostRoom || faults::bug("do_files_go_unfetched")
}
