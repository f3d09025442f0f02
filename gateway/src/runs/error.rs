//! Why a request fails, in words for its caller.

use std::time::Duration;

use longhaul_proto::{digest::ContentDigest, ids::RunId};

use super::{NotThere, Unconfirmed, Unjoined};
use crate::{audit::NotAudited, blobs::BlobError, ledger::LedgerError, model::OverQuota};

/// Why a submission made no run.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request makes no sense; the text says which part and what to do.
    #[error("{0}")]
    Malformed(String),
    /// An agent inspected it and will not run it; the text says which agent and what to do.
    #[error("{0}")]
    Refused(String),
    /// No agent has the do-file or the working directory.
    #[error("{0}")]
    NotThere(NotThere),
    /// A host that may take it wants a person to agree to its risky commands.
    #[error("{0}")]
    Unconfirmed(Box<Unconfirmed>),
    /// An earlier run could answer, but its do-files have changed since, or that cannot be determined: nothing was
    /// joined and nothing started; the text says how to go on.
    #[error("{0}")]
    Changed(Unjoined),
    /// Likewise, because the agent cannot be asked now.
    #[error("{0}")]
    Unasked(Unjoined),
    /// Files that it names by their digests are not there, or not the caller's to name.
    #[error("{}", missing(.0))]
    MissingBlobs(Vec<ContentDigest>),
    /// Its code could not be stored.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It must be in the audit log, and cannot be.
    #[error(transparent)]
    Unaudited(#[from] NotAudited),
    /// Too large.
    #[error("{0}")]
    TooLarge(String),
    /// A limit on waiting or unfinished runs is reached.
    #[error("{text}")]
    Busy {
        /// What is full and what to do.
        text: String,
        /// When to try again, seconds.
        retry_after: u32,
    },
    /// A quota is reached.
    #[error("{0}")]
    OverQuota(Box<OverQuota>),
    /// The caller's token or quota does not permit it.
    #[error("{0}")]
    Forbidden(String),
    /// The key names a run of another request.
    #[error(
        "key `{key}` was used for another request, run {run}: pass a new key for a new request, or the same request for the same run"
    )]
    KeyTaken {
        /// The key.
        key: String,
        /// The run it names.
        run: RunId,
    },
    /// The record could not be made, so there is no run.
    #[error(
        "the gateway could not record the run, so nothing was started: try again, and look at the disk of its data folder and its log"
    )]
    Ledger(#[source] LedgerError),
    /// The ledger does not answer, so it is unknown whether there is a run.
    #[error(
        "the gateway does not know whether it could record the run: look at your runs (stata_runs, `longhaul runs`), or try again with the same key, before you submit it anew"
    )]
    Unsettled(#[source] LedgerError),
    /// The task that records the run panicked, so it is unknown whether there is a run.
    #[error(
        "the gateway failed inside this submission, and whether there is a run is not known: look at your runs (stata_runs, `longhaul runs`), or try again with the same key, before you submit it anew; its log has the details"
    )]
    Panicked,
    /// The gateway is stopping.
    #[error("the gateway is stopping: try again in a few seconds")]
    Stopping,
}

fn missing(digests: &[ContentDigest]) -> String {
    let first = digests.first().map(ToString::to_string).unwrap_or_default();
    format!(
        "{} of its files are not there (uploaded by you within the last day, or held by a run of yours): upload them with \
         PUT /api/v1/blobs/SHA256, then submit again; the first is {first}",
        digests.len()
    )
}

/// Why there is no such run for this caller.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No run of this caller has that name.
    #[error("no run `{0}`: stata_runs or `longhaul runs` lists yours")]
    Unknown(String),
    /// The part of an id fits several runs, which these words name.
    #[error("{0}")]
    Ambiguous(String),
    /// The ledger could not be read.
    #[error("the gateway could not read its ledger: try again, and look at the disk of its data folder and its log")]
    Ledger(#[source] LedgerError),
}

/// Why a command to a run was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such run for this caller.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The caller's token does not permit it.
    #[error("{0}")]
    Forbidden(String),
    /// The run is in a state in which this makes no sense.
    #[error("{0}")]
    WrongState(String),
    /// It must be in the audit log, and cannot be.
    #[error(transparent)]
    Unaudited(#[from] NotAudited),
    /// The command could not be made durable.
    #[error(
        "the gateway could not record the request to end it: try again, and look at the disk of its data folder and its log"
    )]
    Ledger(#[source] LedgerError),
    /// No answer within this time: a disk stalls.
    #[error(
        "the gateway could not record the request to end it within {} s, and it is not known whether it still will: ask again, which is harmless, and look at the disk of its data folder and its log",
        .0.as_secs()
    )]
    Slow(Duration),
    /// The gateway is stopping.
    #[error("the gateway is stopping: try again in a few seconds")]
    Stopping,
}

/// Why hosts were not drained or resumed.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The caller's token does not permit it.
    #[error(
        "draining, resuming and forgetting hosts needs a token with scope `operate`: ask the operator of this gateway"
    )]
    Forbidden,
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// No host has this name or matches this pattern.
    #[error("no host is named `{pattern}`: {known}")]
    Unknown {
        /// As the caller wrote it.
        pattern: String,
        /// The known names, in words.
        known: String,
    },
    /// A host is connected, or holds unfinished runs.
    #[error("{0}")]
    InUse(String),
    /// It must be in the audit log, and cannot be.
    #[error(transparent)]
    Unaudited(#[from] NotAudited),
    /// The command could not be made durable.
    #[error("the gateway could not record that, so nothing has changed: try again, and see the gateway's log")]
    Ledger(#[source] LedgerError),
}

/// Why there is no output to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such run for this caller.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The offset lies beyond the end.
    #[error("offset {offset} is past the end: the output has {len} bytes so far")]
    PastEnd {
        /// The offset asked for.
        offset: u64,
        /// The length of the output.
        len: u64,
    },
    /// The mirror could not be read.
    #[error("the gateway could not read its copy of the output: try again, and see the gateway's log")]
    Io(#[source] std::io::Error),
}
