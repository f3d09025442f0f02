//! The code of a run on its way to the agent, before the one `Run` call of an attempt.
//!
//! An agent that takes blobs gets the files of stored code first, each from where its bytes end ([`RunTask::give_blobs`]):
//! a connection that breaks costs no byte twice, and the request then names digests. To one of an earlier version they go
//! within the request, as many as fit there. Until the call the attempt has not left: whatever fails gives the run back.

use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use longhaul_proto::{
    CHUNK, MAX_CODE_API, faults,
    state::{Cause, RunState},
    wire::{self, submission::Source},
};

use super::{
    follow_attempt::Followed,
    run_task::{Interrupted, RunTask},
    stored_code,
};
use crate::{
    blobs::{BlobError, BlobReader, HeldBlobs},
    fleet::agent_port::{AgentError, Failure, Port},
};

/// How often to look, while files are sent, whether the run's end was asked for.
const LOOK: Duration = Duration::from_millis(250);

/// The files that an agent lacks, and from which offsets.
type Missing = Vec<(wire::StoredFile, u64)>;

impl RunTask {
    /// The request as it goes to the agent, but for the seal. The agent has what it names.
    pub(super) async fn request(
        &mut self,
        connection: &Port,
    ) -> Result<Result<wire::Submission, Followed>, Interrupted> {
        let submission = match self.submission.take() {
            Some(submission) => submission,
            None => match self.inner.ledger.submission(self.record.run).await {
                Ok(Some(submission)) => submission,
                Ok(None) => return Ok(Err(Followed::Broken("the ledger has no submission".to_owned()))),
                Err(error) => {
                    tracing::error!(run = %self.record.run, error = &error as &dyn std::error::Error, "cannot read a submission");
                    return Ok(Err(Followed::Broken("the ledger cannot be read".to_owned())));
                }
            },
        };
        let Some(Source::Stored(code)) = &submission.source else { return Ok(Ok(submission)) };
        if connection.takes_blobs() {
            let given = self.give_blobs(connection, code).await?;
            return Ok(given.map(|()| submission));
        }
        if stored_code::total(code) > MAX_CODE_API as u64 {
            // It was replaced by an earlier version since the run was placed.
            return Ok(Err(Followed::NotTaken(AgentError::new(Failure::Unmet, &stored_code::too_old()))));
        }
        let (inner, run) = (self.inner.clone(), self.record.run);
        let read = async move { stored_code::with_content(&inner, run, submission).await };
        match self.during(Some(connection), read).await? {
            Ok(submission) => Ok(Ok(submission)),
            Err(error) => Ok(Err(self.unreadable(error))),
        }
    }

    /// The code cannot be read here.
    fn unreadable(&mut self, error: BlobError) -> Followed {
        if let BlobError::Gone(_) = &error {
            return Followed::CodeGone(error.to_string());
        }
        self.in_trouble(format!("the gateway cannot read the code of this run: {error}"));
        Followed::Ours("its code cannot be read".to_owned())
    }

    /// Sends the agent what it lacks of the files of the code.
    async fn give_blobs(
        &mut self,
        connection: &Port,
        code: &wire::StoredCode,
    ) -> Result<Result<(), Followed>, Interrupted> {
        let missing = match self.missing(connection, code).await? {
            Ok(missing) if missing.is_empty() => return Ok(Ok(())),
            Ok(missing) => missing,
            Err(error) => return Ok(Err(not_now(connection, error))),
        };
        let held = match self.inner.blobs.held(self.record.run).await {
            Ok(held) => held,
            Err(error) => return Ok(Err(self.unreadable(error))),
        };
        let failed = Failed::default();
        let head = wire::BlobPart {
            run_id: self.record.run.to_string(),
            cluster_id: self.inner.ledger.cluster_id().to_owned(),
            ..wire::BlobPart::default()
        };
        let mut sent = connection.put_blobs(parts(held, head, missing, failed.clone()));
        let sent = loop {
            // In steps: a request to end the run must not wait for gigabytes.
            match self.during(None, tokio::time::timeout(LOOK, &mut sent)).await? {
                Ok(sent) => break sent,
                Err(_) if self.record.cancel.is_some() => return Ok(Err(Followed::Withdrawn)),
                Err(_) => {}
            }
        };
        if let Some(error) = failed.take() {
            return Ok(Err(self.unreadable(error)));
        }
        match sent {
            Ok(wire::PutBlobsReply {}) => Ok(Ok(())),
            // What is kept here is not what it is named by.
            Err(error) if error.failure == Failure::Unreadable => Ok(Err(Followed::CodeGone(format!(
                "a file of its code is damaged at the gateway ({}): upload it again, and submit the run again",
                error.words
            )))),
            Err(error) => Ok(Err(not_now(connection, error))),
        }
    }

    /// What the agent lacks.
    async fn missing(
        &mut self,
        connection: &Port,
        code: &wire::StoredCode,
    ) -> Result<Result<Missing, AgentError>, Interrupted> {
        let mut files: Vec<wire::StoredFile> = code.files.iter().filter(|file| file.bytes > 0).cloned().collect();
        files.sort_by(|a, b| a.sha256.cmp(&b.sha256));
        files.dedup_by(|a, b| a.sha256 == b.sha256);
        let request = wire::BlobOffsetsRequest {
            run_id: self.record.run.to_string(),
            cluster_id: self.inner.ledger.cluster_id().to_owned(),
            files: files.iter().map(|file| wire::BlobFile { sha256: file.sha256.clone(), bytes: file.bytes }).collect(),
        };
        let limit = self.inner.options.call_timeout;
        let asked = tokio::time::timeout(limit, connection.blob_offsets(request));
        let reply = match self.during(None, asked).await? {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return Ok(Err(error)),
            Err(_) => return Ok(Err(AgentError::other("it does not say which files of the code it has"))),
        };
        if reply.offsets.len() != files.len() {
            return Ok(Err(AgentError::other("it does not say of each file of the code how far it has it")));
        }
        let missing = files.into_iter().zip(reply.offsets).filter(|(file, offset)| *offset < file.bytes);
        Ok(Ok(missing.collect()))
    }

    /// The agent did not take the code, and the attempt has not left.
    pub(super) async fn not_taken(&mut self, error: AgentError) -> Result<(), Interrupted> {
        let words = format!("its agent did not take its code: {}", error.words);
        self.refused = Some(error);
        if self.refused.as_ref().is_some_and(AgentError::lasts) {
            return self.never_started().await;
        }
        self.give_back(&words).await
    }

    /// The code is not here any more, and the attempt has not left: no other one would find it.
    pub(super) async fn code_gone(&mut self, words: String) -> Result<(), Interrupted> {
        self.unsent = false;
        self.detail().end.message = words;
        self.record.detail.end.complete = self.record.detail.dead_complete();
        self.step(RunState::Errored, Cause::SourceUnreadable).await
    }
}

/// What follows when files could not be sent: with a connection the agent refused them.
fn not_now(connection: &Port, error: AgentError) -> Followed {
    if error.failure == Failure::NeverSent || connection.is_broken() {
        return Followed::NeverSent;
    }
    Followed::NotTaken(error)
}

/// Why the files that are sent ended early.
#[derive(Clone, Debug, Default)]
struct Failed(Arc<Mutex<Option<BlobError>>>);

impl Failed {
    fn set(&self, error: BlobError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn take(&self) -> Option<BlobError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Files on their way to an agent.
struct Sending {
    held: HeldBlobs,
    /// What the first part says.
    head: wire::BlobPart,
    /// The files that follow, the next one last.
    rest: Missing,
    /// The file that is being sent, with the offset of its next byte.
    open: Option<(BlobReader, u64)>,
    failed: Failed,
}

/// The files, in parts that are read when they are sent.
fn parts(
    held: HeldBlobs,
    head: wire::BlobPart,
    mut missing: Missing,
    failed: Failed,
) -> BoxStream<'static, wire::BlobPart> {
    missing.reverse();
    let sending = Sending { held, head, rest: missing, open: None, failed };
    let next = |mut sending: Sending| async move {
        match sending.next().await {
            Ok(part) => part.map(|part| (part, sending)),
            Err(error) => {
                sending.failed.set(error);
                None
            }
        }
    };
    stream::unfold(sending, next).boxed()
}

impl Sending {
    async fn next(&mut self) -> Result<Option<wire::BlobPart>, BlobError> {
        let mut part = wire::BlobPart::default();
        let (reader, offset) = match self.open.take() {
            Some(open) => open,
            None => {
                let Some((file, offset)) = self.rest.pop() else { return Ok(None) };
                let digest = file.sha256.parse().map_err(|_| io::Error::other("a digest is damaged"))?;
                let reader = self.held.open(digest).await?;
                let named = wire::BlobFile { sha256: file.sha256, bytes: file.bytes };
                part = wire::BlobPart { file: Some(named), offset, ..mem::take(&mut self.head) };
                (reader, offset)
            }
        };
        faults::point("dispatch.blob_part");
        let off = u64::from(part.offset > 0 && faults::bug("blobs_resume_one_off"));
        part.data = reader.read(offset - off, CHUNK).await?;
        let next = offset + part.data.len() as u64;
        if next < reader.bytes() {
            self.open = Some((reader, next));
        }
        Ok(Some(part))
    }
}
