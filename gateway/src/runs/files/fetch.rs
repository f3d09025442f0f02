//! Listing the files of one run by its agent, and copying those of its own folder.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use longhaul_proto::{MAX_ARTIFACT_READ, digest::ContentDigest, faults, ids::RunId, wire, words};

use super::{list::of_record, made_with};
use crate::{
    blobs::{BlobError, Progress, Start},
    fleet::agent_port::{AgentError, Failure, Port},
    ledger::{LedgerError, RunFile, RunFiles},
    model::Record,
    runs::{
        Inner,
        do_files::{AGAIN, FetchError, may_name, shown, spool_of},
    },
};

/// Most files that are taken of an agent's list.
const FILES: usize = 1_000;
/// Most runs that are named as neighbours.
const NEIGHBOURS: usize = 100;
/// How long an agent that reads files may be silent: it sends a sign of life after each 16 MiB.
const SIGN: Duration = Duration::from_secs(60);

/// Lists, copies and notes what an ended run left.
pub(super) async fn fetch(inner: &Arc<Inner>, run: RunId) -> Result<(), FetchError> {
    let Some((record, connection)) = spool_of(inner, run).await? else { return Ok(()) };
    let fetching = Fetching { inner, record: &record, connection };
    let mut left = fetching.listed().await?;
    for again in (0..AGAIN).rev() {
        fetching.copy(&mut left).await?;
        if let Some(kept) = &mut left.made_with {
            made_with::take_packages(inner, &record, &fetching.connection, kept).await?;
        }
        faults::point("files.before_noted");
        match inner.ledger.note_files(run, left.clone()).await {
            // They were another run's, whose record went at this moment.
            Err(LedgerError::NoSuchBlobs(_)) if again > 0 => {}
            noted => {
                noted?;
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Fetching<'a> {
    inner: &'a Arc<Inner>,
    record: &'a Record,
    connection: Port,
}

impl Fetching<'_> {
    /// What the agent lists.
    async fn listed(&self) -> Result<RunFiles, FetchError> {
        let older = "their digests are not known: the agent is of an earlier version";
        if !self.connection.lists_files() {
            return Ok(of_record(self.record, older));
        }
        let (run_id, attempt) = (self.record.run.to_string(), self.record.attempt_number());
        let limit = self.inner.options.call_timeout;
        let asked = tokio::time::timeout(limit, self.connection.files(wire::FilesRequest { run_id, attempt })).await;
        let mut parts = match asked.unwrap_or_else(|_| Err(AgentError::other("it does not answer"))) {
            Err(error) if error.failure == Failure::TooOld => return Ok(of_record(self.record, older)),
            parts => parts?,
        };
        let (mut left, mut known) = (RunFiles::default(), false);
        loop {
            let part = match tokio::time::timeout(SIGN, parts.try_next()).await {
                Ok(part) => part?,
                Err(_) => return Err(FetchError::NotNow("its agent stopped answering".to_owned())),
            };
            let Some(part) = part else { break };
            known |= part.known;
            if !part.unsure.is_empty() {
                left.note = shown(&part.unsure);
            }
            left.shared_with.extend(part.shared_with.iter().map(|run| shown(run)).take(NEIGHBOURS));
            left.shared_with.truncate(NEIGHBOURS);
            left.files.extend(part.files.iter().map(run_file));
            if let Some(made_with) = made_with::told(&part) {
                left.made_with = Some(made_with);
            }
            if left.files.len() > FILES {
                left.files.truncate(FILES);
                "it left more files than are named".clone_into(&mut left.note);
                break;
            }
        }
        if !known {
            return Ok(of_record(self.record, "their digests are not known: the run's spool went first"));
        }
        Ok(left)
    }

    /// Copies what lies in the run's own folder, as far as the bounds allow.
    async fn copy(&self, left: &mut RunFiles) -> Result<(), FetchError> {
        let most = self.inner.options.max_artifacts;
        let (mut taken, mut bytes) = (BTreeMap::<ContentDigest, (bool, String)>::new(), 0_u64);
        let own = left.files.iter_mut().filter(|file| file.of_run);
        for file in own {
            let Ok(digest) = file.sha256.parse::<ContentDigest>() else { continue };
            if let Some((kept, why_not)) = taken.get(&digest) {
                (file.kept, file.why_not) = (*kept, why_not.clone());
                continue;
            }
            let copied = match bytes.saturating_add(file.bytes) {
                all if all > most => Err(bound(most)),
                all => {
                    bytes = all;
                    self.take(digest, file).await?
                }
            };
            (file.kept, file.why_not) = (copied.is_ok(), copied.err().unwrap_or_default());
            taken.insert(digest, (file.kept, file.why_not.clone()));
        }
        left.own_are_here = left.note.is_empty()
            && left.files.iter().all(|file| file.kept || !file.of_run)
            && !faults::bug("files_stay_with_their_spool");
        Ok(())
    }

    /// Copies one file, from where an earlier copy ended. The inner error says why it is not kept.
    async fn take(&self, digest: ContentDigest, file: &RunFile) -> Result<Result<(), String>, FetchError> {
        let blobs = &self.inner.blobs;
        if may_name(self.inner, &self.record.principal, digest).await? {
            return Ok(Ok(()));
        }
        let begun = match blobs.begin_sent(digest, file.bytes).await {
            Err(error @ (BlobError::TooLarge { .. } | BlobError::NoRoom(_))) => {
                return Ok(Err(format!("the gateway did not copy it: {error}")));
            }
            begun => begun?,
        };
        let Progress::Open { mut offset, .. } = begun else { return Ok(Ok(())) };
        let mut receiving = match blobs.receive_sent(digest, Start::At(offset)).await {
            Err(BlobError::Receiving) => return Err(FetchError::NotNow("the same file is being copied".to_owned())),
            Err(BlobError::NoRoom(words)) => return Ok(Err(format!("the gateway did not copy it: {words}"))),
            receiving => receiving?,
        };
        while offset < file.bytes {
            let (bytes, len) = match self.piece(file, offset).await {
                Ok(piece) => piece,
                Err(error) if matches!(error.failure, Failure::NotFound | Failure::Unmet) => {
                    return Ok(Err(format!("it could not be copied: {}", shown(&error.words))));
                }
                Err(error) => return Err(error.into()),
            };
            if len != file.bytes || bytes.is_empty() {
                return Ok(Err("it was written to while it was copied".to_owned()));
            }
            offset += bytes.len() as u64;
            receiving.take(bytes).await?;
        }
        match receiving.end().await {
            Ok(Progress::Kept { .. }) => Ok(Ok(())),
            Ok(Progress::Open { .. }) | Err(BlobError::Mismatch { .. } | BlobError::TooLong { .. }) => {
                Ok(Err("its agent sent other bytes than those of its digest".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes from an offset, and how long the file is.
    async fn piece(&self, file: &RunFile, offset: u64) -> Result<(Bytes, u64), AgentError> {
        let limit = MAX_ARTIFACT_READ.min(file.bytes - offset);
        let request =
            wire::ArtifactRequest { run_id: self.record.run.to_string(), path: file.path.clone(), offset, limit };
        let read = super::read::read_part(&self.connection, request);
        let read = tokio::time::timeout(self.inner.options.call_timeout, read).await;
        let (bytes, seen) = read.unwrap_or_else(|_| Err(AgentError::other("it does not answer")))?;
        Ok((bytes, seen.len))
    }
}

fn bound(most: u64) -> String {
    format!("of the files of one run the gateway keeps {} (max_artifacts): it stays on its host", words::bytes(most))
}

fn run_file(file: &wire::WrittenFile) -> RunFile {
    let sha256 = file.sha256.parse::<ContentDigest>().map(|digest| digest.to_string()).unwrap_or_default();
    let mut why_not = shown(&file.missing);
    if sha256.is_empty() && why_not.is_empty() {
        "its agent named no digest".clone_into(&mut why_not);
    }
    RunFile {
        path: shown(&file.path),
        bytes: file.bytes,
        sha256,
        modified_ms: file.modified_at_ms,
        changed: file.changed,
        of_run: file.of_run,
        kept: false,
        why_not,
        perhaps_changed: file.perhaps_changed,
    }
}
