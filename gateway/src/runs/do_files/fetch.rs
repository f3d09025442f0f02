//! Fetching the do-files of one run from its agent.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use longhaul_proto::{
    MAX_DO_FILE, MAX_DO_FILES, MAX_DO_FILES_BYTES, MAX_DO_FILES_NAMED, digest::ContentDigest, faults, ids::RunId, wire,
};

use super::{AGAIN, FetchError, may_name, shown, spool_of};
use crate::{
    fleet::agent_port::{AgentError, Failure, Port},
    ledger::{DoFile, DoFiles, KeptResults, LedgerError},
    model::Record,
    runs::Inner,
};

/// Why there are no results.
const TOO_OLD: &str = "not gathered: the agent is of an earlier version, which gathers no results";
const NOT_THERE: &str = "its agent has nothing of the run: its spool went before its results had come";

/// Fetches and notes what an ended run entered.
pub(super) async fn fetch(inner: &Arc<Inner>, run: RunId) -> Result<(), FetchError> {
    let Some((record, connection)) = spool_of(inner, run).await? else { return Ok(()) };
    let fetching = Fetching { inner, record: &record, connection };
    for again in (0..AGAIN).rev() {
        let entered = fetching.entered().await?;
        faults::point("do_files.before_noted");
        match inner.ledger.note_do_files(run, entered).await {
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
    async fn within<T>(&self, call: impl Future<Output = Result<T, AgentError>>) -> Result<T, AgentError> {
        let limit: Duration = self.inner.options.call_timeout;
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(AgentError::other("it does not answer")))
    }

    /// What the run entered; the bytes are stored.
    async fn entered(&self) -> Result<DoFiles, FetchError> {
        if !self.connection.keeps_do_files() {
            return Ok(too_old());
        }
        let (run_id, attempt) = (self.record.run.to_string(), self.record.attempt_number());
        let reply = match self.within(self.connection.do_files(wire::DoFilesRequest { run_id, attempt })).await {
            Err(error) if error.failure == Failure::TooOld => return Ok(too_old()),
            reply => reply?,
        };
        if !reply.known {
            let note = format!(
                "the agent on {} has nothing of the run: it entered none, or its spool went first",
                self.record.host()
            );
            return Ok(DoFiles { note, results: Some(none(NOT_THERE)), ..DoFiles::default() });
        }
        let mut entered = DoFiles { note: shown(&reply.unsure), ..DoFiles::default() };
        if reply.files.len() > MAX_DO_FILES_NAMED {
            "it entered more do-files than are named".clone_into(&mut entered.note);
        }
        entered.files.extend(reply.files.iter().take(MAX_DO_FILES_NAMED).map(do_file));
        let (mut taken, mut bytes) = (BTreeMap::<ContentDigest, String>::new(), 0_u64);
        for file in &mut entered.files {
            let Some(digest) = file.kept() else { continue };
            if let Some(missing) = taken.get(&digest) {
                file.missing.clone_from(missing);
                continue;
            }
            bytes = bytes.saturating_add(file.bytes);
            file.missing = match file.bytes > MAX_DO_FILE || bytes > MAX_DO_FILES_BYTES || taken.len() >= MAX_DO_FILES {
                true => "its agent sent more than is kept of a run".to_owned(),
                false => self.take(digest, file.bytes).await?,
            };
            taken.insert(digest, file.missing.clone());
        }
        entered.results = Some(self.results(&reply).await?);
        Ok(entered)
    }

    /// What it left in r(), e() and s(); the bytes are stored.
    async fn results(&self, reply: &wire::DoFilesReply) -> Result<KeptResults, FetchError> {
        let why = shown(&reply.results_missing);
        if !why.is_empty() {
            return Ok(none(&why));
        }
        let Ok(digest) = reply.results_sha256.parse::<ContentDigest>() else { return Ok(none(TOO_OLD)) };
        let missing = match reply.results_bytes > MAX_DO_FILE {
            true => "its agent sent more than is kept of a run".to_owned(),
            false => self.take(digest, reply.results_bytes).await?,
        };
        Ok(KeptResults { sha256: digest.to_string(), bytes: reply.results_bytes, missing })
    }

    /// Takes one content, if it is not the principal's to name already. Returns why it is not kept; empty = it is.
    async fn take(&self, digest: ContentDigest, bytes: u64) -> Result<String, FetchError> {
        if may_name(self.inner, &self.record.principal, digest).await? {
            return Ok(String::new());
        }
        let (run_id, attempt) = (self.record.run.to_string(), self.record.attempt_number());
        let request = wire::DoFileRequest { run_id, attempt, sha256: digest.to_string() };
        let content = match self.within(self.connection.do_file(request)).await {
            Ok(reply) => reply.content,
            Err(error) if error.failure == Failure::NotFound => return Ok("its bytes were lost on its host".to_owned()),
            Err(error) => return Err(error.into()),
        };
        let wrong = ContentDigest::of(&content) != digest || content.len() as u64 != bytes;
        if wrong && !faults::bug("do_files_unchecked") {
            return Ok("its agent sent other bytes than those of its digest".to_owned());
        }
        self.inner.blobs.keep_sent(content.into()).await?;
        Ok(String::new())
    }
}

fn too_old() -> DoFiles {
    let note = "not kept: the agent is of an earlier version, which keeps no do-files".to_owned();
    DoFiles { note, results: Some(none(TOO_OLD)), ..DoFiles::default() }
}

/// No results, for this reason.
fn none(why: &str) -> KeptResults {
    KeptResults { missing: why.to_owned(), ..KeptResults::default() }
}

fn do_file(file: &wire::EnteredFile) -> DoFile {
    let mut missing = shown(&file.missing);
    let sha256 = file.sha256.parse::<ContentDigest>().map(|digest| digest.to_string()).unwrap_or_default();
    if sha256.is_empty() && missing.is_empty() {
        "its agent named no digest".clone_into(&mut missing);
    }
    DoFile { path: shown(&file.path), bytes: file.bytes, sha256, missing, perhaps_changed: file.perhaps_changed }
}
