//! Code that is kept as blobs: stored on arrival, checked before the run is recorded, and read when it goes to an agent.
//!
//! The run holds its blobs from the transaction that records it ([`NewRun::blobs`](crate::ledger::NewRun)) until its record
//! goes. Before that they are uploads of its principal.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use longhaul_proto::{
    MAX_CODE_API,
    digest::ContentDigest,
    ids::RunId,
    wire::{self, submission::Source},
};

use super::{
    Inner, MAX_READ, SubmitError,
    check::{Checked, bad},
};
use crate::{
    blobs::{BlobError, BlobReader, HeldBlobs},
    model::{Identity, Principal},
};

/// Most contents of one request that are stored at once: they share the syncs of the ledger.
const AT_ONCE: usize = 16;

/// Stores what of the request is to be stored, and checks the blobs that it names.
///
/// # Errors
/// Blobs are missing, too large together, or no do-file; or they cannot be stored.
pub(super) async fn settle(inner: &Inner, who: &Identity, checked: &mut Checked) -> Result<(), SubmitError> {
    let most = checked.max_stored.min(inner.options.max_bundle);
    let Some(Source::Stored(code)) = &mut checked.submission.source else { return Ok(()) };
    let mut contents = stream::iter(std::mem::take(&mut checked.contents))
        .map(|content| inner.blobs.keep(&who.principal, content).boxed())
        .buffer_unordered(AT_ONCE);
    while let Some(kept) = contents.next().await {
        kept?;
    }
    let (mut missing, mut total) = (Vec::new(), 0_u64);
    for file in &mut code.files {
        let digest = digest_of(file)?;
        // Its file too: a ledger may have been restored without the blobs' folder.
        match inner.blobs.open(&who.principal, digest).await? {
            Some(blob) => {
                file.bytes = blob.bytes();
                total = total.saturating_add(blob.bytes());
            }
            None => missing.push(digest),
        }
    }
    if !missing.is_empty() {
        return Err(SubmitError::MissingBlobs(missing));
    }
    if total > most {
        return Err(SubmitError::TooLarge(too_much(code, total, most)));
    }
    checked.need.large_code = total > MAX_CODE_API as u64;
    check_entry(inner, &who.principal, code).await
}

/// Bytes of all files of the code.
pub(super) fn total(code: &wire::StoredCode) -> u64 {
    code.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
}

/// Why an agent of an earlier version cannot take large code.
pub(super) fn too_old() -> String {
    let most = MAX_CODE_API >> 20;
    format!("its version takes at most {most} MiB of code: install a newer one there")
}

fn too_much(code: &wire::StoredCode, total: u64, most: u64) -> String {
    let what = if code.entry.is_empty() { "text has" } else { "the files of the bundle have together" };
    format!(
        "{what} {total} bytes, and at most {most} are taken: put large data on the Stata host, and name it there by its path"
    )
}

/// The blobs that the source names, each once.
pub(super) fn digests(source: Option<&Source>) -> Vec<ContentDigest> {
    let Some(Source::Stored(code)) = source else { return Vec::new() };
    let all: BTreeSet<_> = code.files.iter().filter_map(|file| file.sha256.parse().ok()).collect();
    all.into_iter().collect()
}

fn digest_of(file: &wire::StoredFile) -> Result<ContentDigest, SubmitError> {
    match file.sha256.parse() {
        Ok(digest) => Ok(digest),
        Err(_) => bad(format!("`{}` is not a SHA-256 digest", file.sha256)),
    }
}

/// Looks into the do-file that is to be run, as is done with one in a request.
async fn check_entry(inner: &Inner, who: &Principal, code: &wire::StoredCode) -> Result<(), SubmitError> {
    let Some(entry) = code.files.iter().find(|file| file.path == code.entry) else { return Ok(()) };
    let digest = digest_of(entry)?;
    let Some(reader) = inner.blobs.open(who, digest).await? else {
        return Err(SubmitError::MissingBlobs(vec![digest]));
    };
    let what = if code.entry.is_empty() { "text" } else { &*code.entry };
    let (mut at, mut blank) = (0, true);
    while at < reader.bytes() {
        let piece = reader.read(at, MAX_READ).await.map_err(BlobError::from)?;
        if piece.contains(&0) {
            return bad(format!("{what} holds a NUL character: it is not a do-file"));
        }
        blank &= piece.trim_ascii().is_empty();
        at += piece.len() as u64;
    }
    if blank { bad(format!("{what} is empty: there is nothing to run")) } else { Ok(()) }
}

/// Replaces stored code by its content, for an agent that gets it with the request.
///
/// # Errors
/// A blob cannot be read.
pub(super) async fn with_content(
    inner: &Inner,
    run: RunId,
    mut submission: wire::Submission,
) -> Result<wire::Submission, BlobError> {
    let Some(Source::Stored(code)) = &submission.source else { return Ok(submission) };
    let held = inner.blobs.held(run).await?;
    let mut files = Vec::with_capacity(code.files.len());
    for file in &code.files {
        let content = content(&held, file).await?;
        files.push(wire::BundleFile { path: file.path.clone(), content, mode: file.mode });
    }
    let entry = code.entry.clone();
    submission.source = Some(match files.pop() {
        Some(text) if entry.is_empty() => Source::Text(text.content),
        last => {
            files.extend(last);
            Source::Bundle(wire::Bundle { files, entry })
        }
    });
    Ok(submission)
}

async fn content(held: &HeldBlobs, file: &wire::StoredFile) -> Result<Vec<u8>, BlobError> {
    let digest = file.sha256.parse().map_err(|_| std::io::Error::other("a digest is damaged"))?;
    let reader: BlobReader = held.open(digest).await?;
    let whole: Bytes = reader.read(0, usize::try_from(reader.bytes()).unwrap_or(usize::MAX)).await?;
    Ok(whole.into())
}
