//! Blobs: files that are kept by the SHA-256 of their content, in the gateway's folder.
//!
//! **A blob that the ledger has is whole**: its bytes were compared with its digest, synced and put in place before the
//! ledger said so. And **nothing that anyone may name goes**: the ledger decides what that is, in the transaction that
//! records an upload, a run, or a sweep ([`crate::ledger::blobs`] has the rule by which these cannot race). Here are the
//! bytes:
//!
//! ```text
//! begin: the ledger has the upload -> bytes come to <digest>.<name>.part, hashed while written (receive)
//!     -> all are there, with the right digest: synced, renamed to <digest>.<name> -> the ledger has the blob
//! sweep: the ledger has it no more -> the file is deleted
//! ```
//!
//! A connection that breaks, or a gateway that dies, leaves a `.part` that a later request goes on with. A gateway that
//! dies between two arrows leaves a file that the ledger does not know, which [`Blobs::sweep_leftovers`] deletes.

mod claims;
mod error;
mod folder;
mod mend;
mod read;
mod receive;
mod sweep;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use longhaul_proto::{
    api::{QuotaKind, QuotaReached},
    clock::Clock,
    digest::ContentDigest,
    faults,
    free_space::{MinFree, free_space},
    ids::Ids,
    tasks::blocking,
};

use crate::{
    Deps, Options,
    ledger::{BlobBounds, BlobFile, BlobStore, NewUpload, Upload, UploadBegun, do_files::gateway_principal},
    model::{OverQuota, Principal},
    options::quotas::{QuotaRules, Share},
};
use claims::Claims;
use folder::Folder;

pub use error::BlobError;
pub use folder::Start;
pub(crate) use folder::place_of;
pub use read::{BlobReader, HeldBlobs};
pub use receive::Receiving;

/// What agents send of runs is bounded for each run.
const SENT: BlobBounds = BlobBounds { count: u64::MAX, bytes: i64::MAX as u64 };

/// How often to look whether another request has stored the same bytes, 10 s in all.
const LOOKS: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What may be stored.
#[derive(Clone, Debug)]
pub struct BlobLimits {
    /// Bytes of one blob.
    pub largest: u64,
    /// What one principal may have.
    pub of_principal: BlobBounds,
    /// What must stay free on the disk.
    pub min_free: MinFree,
    /// What principals may have of what is kept, uploads and output together.
    pub quotas: Arc<QuotaRules>,
}

impl BlobLimits {
    /// As the settings have them.
    pub fn of(options: &Options) -> Self {
        let of_principal = BlobBounds { count: options.max_blobs, bytes: options.max_blob_bytes };
        let quotas = Arc::new(options.quotas.clone());
        Self { largest: options.max_bundle, of_principal, min_free: options.min_free, quotas }
    }
}

/// The blobs of one gateway. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    folder: Folder,
    ledger: Arc<dyn BlobStore>,
    limits: BlobLimits,
    clock: Clock,
    ids: Ids,
    claims: Claims,
}

/// How far a blob has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All bytes are there.
    Kept {
        /// Its length.
        bytes: u64,
    },
    /// Bytes are missing.
    Open {
        /// How many are there.
        offset: u64,
        /// The length of the whole.
        bytes: u64,
    },
}

impl Progress {
    /// The offset of the next byte, and the length of the whole.
    pub fn offset_of(self) -> (u64, u64) {
        match self {
            Self::Kept { bytes } => (bytes, bytes),
            Self::Open { offset, bytes } => (offset, bytes),
        }
    }
}

impl Blobs {
    /// The blobs below `root`, of which this ledger has the rows.
    pub fn new(root: &Path, ledger: Arc<dyn BlobStore>, limits: BlobLimits, deps: &Deps) -> Self {
        let (clock, ids) = (deps.clock.clone(), deps.ids.clone());
        Self { folder: Folder::new(root.to_owned()), ledger, limits, clock, ids, claims: Claims::default() }
    }

    /// Begins to upload `bytes` bytes with this digest, or finds how far that has come.
    ///
    /// # Errors
    /// It has another length, or is more than may be stored or than the disk has room for.
    pub async fn begin(&self, principal: &Principal, digest: ContentDigest, bytes: u64) -> Result<Progress, BlobError> {
        self.quota_for(principal, digest, bytes).await?;
        self.begin_within(principal, digest, bytes, self.limits.of_principal).await
    }

    /// Looks at the quotas of what is kept, before another upload starts. Uploads that begin in the same moment may exceed
    /// them together, by no more than one principal may have under way.
    async fn quota_for(&self, principal: &Principal, digest: ContentDigest, bytes: u64) -> Result<(), BlobError> {
        let kept = |share: &Share<'_>| share.rule.limit(QuotaKind::Kept);
        let shares: Vec<Share<'_>> =
            self.limits.quotas.shares(principal).filter(|share| kept(share).is_some()).collect();
        if shares.is_empty() || faults::bug("quotas_of_uploads_ignored") {
            return Ok(());
        }
        // What counts already takes no more.
        let counts = self.ledger.blob(principal, digest).await?.is_some()
            || self.ledger.upload(principal, digest).await?.is_some();
        for share in shares.into_iter().filter(|_| !counts) {
            let used = self.ledger.usage(share.members(), 0, 0).await?.kept;
            if let Some(limit) = kept(&share).filter(|limit| used.saturating_add(bytes) > *limit) {
                let reached = QuotaReached { of: share.holder.to_string(), kind: QuotaKind::Kept, limit, used };
                return Err(BlobError::OverQuota(Box::new(OverQuota { reached, retry_after: None })));
            }
        }
        Ok(())
    }

    async fn begin_within(
        &self,
        principal: &Principal,
        digest: ContentDigest,
        bytes: u64,
        bounds: BlobBounds,
    ) -> Result<Progress, BlobError> {
        let most = self.limits.largest;
        if bytes > most {
            return Err(BlobError::TooLarge { bytes, most });
        }
        let name = if faults::bug("one_file_for_a_digest") { "one".to_owned() } else { self.ids.name() };
        let file = BlobFile { digest, name };
        let upload = Upload { principal: principal.clone(), file, bytes };
        let new = NewUpload { upload, at_ms: self.clock.unix_ms(), bounds };
        match self.ledger.begin_upload(new).await? {
            UploadBegun::Open(open) if open.bytes != bytes => Err(BlobError::OtherLength { digest, bytes: open.bytes }),
            UploadBegun::Open(open) => {
                let progress = self.settled(open.clone()).await?;
                let (offset, _) = progress.offset_of();
                if let Err(error) = self.room_for(bytes.saturating_sub(offset)) {
                    if offset == 0 {
                        // So that it does not count among what its principal has.
                        self.ledger.end_upload(open).await?;
                    }
                    return Err(error);
                }
                Ok(progress)
            }
            UploadBegun::Kept(blob) => self.kept(principal, blob).await,
            UploadBegun::Full(has) => Err(BlobError::Full { has, most: bounds }),
        }
    }

    /// Looks at the free disk, before so many bytes are taken.
    fn room_for(&self, bytes: u64) -> Result<(), BlobError> {
        if bytes == 0 || faults::bug("uploads_without_room") {
            return Ok(());
        }
        let path = self.folder.root();
        match self.limits.min_free.problem_of_upload(bytes, free_space(path)?, path) {
            Some(problem) => Err(BlobError::NoRoom(problem)),
            None => Ok(()),
        }
    }

    /// How far a blob has come that this principal uploads or may name; `None` = it does neither.
    ///
    /// # Errors
    /// All bytes had come, and they have another digest; or the disk or the ledger fails.
    pub async fn progress(&self, principal: &Principal, digest: ContentDigest) -> Result<Option<Progress>, BlobError> {
        if let Some(blob) = self.ledger.blob(principal, digest).await? {
            return self.kept(principal, blob).await.map(Some);
        }
        match self.ledger.upload(principal, digest).await? {
            Some(open) => self.settled(open).await.map(Some),
            None => Ok(None),
        }
    }

    /// How far an upload has come. One whose bytes are all there is finished now: it was interrupted before it could be.
    async fn settled(&self, open: Upload) -> Result<Progress, BlobError> {
        let (folder, file, bytes) = (self.folder.clone(), open.file.clone(), open.bytes);
        let offset = blocking(move || folder.received(&file)).await??;
        if offset < bytes {
            return Ok(Progress::Open { offset, bytes });
        }
        match self.receive(&open.principal, open.file.digest, Start::At(offset)).await {
            Ok(receiving) => receiving.end().await,
            // The request that sent the last byte is about to finish it.
            Err(BlobError::Receiving) => Ok(Progress::Open { offset, bytes }),
            // It has, since it was looked up.
            Err(BlobError::NoUpload(digest)) => match self.ledger.blob(&open.principal, digest).await? {
                Some(blob) => Ok(Progress::Kept { bytes: blob.bytes }),
                None => Err(BlobError::NoUpload(digest)),
            },
            Err(error) => Err(error),
        }
    }

    /// Ends an upload that is under way; `false` = there is none.
    ///
    /// # Errors
    /// The ledger fails.
    pub async fn end_upload(&self, principal: &Principal, digest: ContentDigest) -> Result<bool, BlobError> {
        let Some(open) = self.ledger.upload(principal, digest).await? else { return Ok(false) };
        let ended = self.ledger.end_upload(open.clone()).await?;
        if ended {
            self.remove(&open.file).await;
        }
        Ok(ended)
    }

    /// Stores bytes that are here already, as an upload of this principal.
    ///
    /// # Errors
    /// As [`Blobs::begin`] and [`Receiving::end`].
    pub async fn keep(&self, principal: &Principal, bytes: Bytes) -> Result<ContentDigest, BlobError> {
        self.keep_within(principal, bytes, self.limits.of_principal).await
    }

    /// Begins to store bytes that an agent sends of a run in pieces, until the ledger notes that the run holds them.
    ///
    /// # Errors
    /// As [`Blobs::begin`].
    pub async fn begin_sent(&self, digest: ContentDigest, bytes: u64) -> Result<Progress, BlobError> {
        self.begin_within(&gateway_principal(), digest, bytes, SENT).await
    }

    /// Receives such bytes.
    ///
    /// # Errors
    /// As [`Blobs::receive`].
    pub async fn receive_sent(&self, digest: ContentDigest, start: Start) -> Result<Receiving, BlobError> {
        self.receive(&gateway_principal(), digest, start).await
    }

    /// Stores bytes that an agent sent of a run, until the ledger notes that the run holds them.
    ///
    /// # Errors
    /// As [`Blobs::keep`].
    pub async fn keep_sent(&self, bytes: Bytes) -> Result<ContentDigest, BlobError> {
        self.keep_within(&gateway_principal(), bytes, SENT).await
    }

    async fn keep_within(
        &self,
        principal: &Principal,
        bytes: Bytes,
        bounds: BlobBounds,
    ) -> Result<ContentDigest, BlobError> {
        let digest = ContentDigest::of(&bytes);
        for looks_left in (0..=LOOKS).rev() {
            if let Progress::Kept { .. } = self.begin_within(principal, digest, bytes.len() as u64, bounds).await? {
                break;
            }
            match self.receive(principal, digest, Start::Over).await {
                Ok(mut receiving) => {
                    receiving.take(bytes).await?;
                    receiving.end().await?;
                    break;
                }
                // Another request stores the same bytes, or has just done so.
                Err(BlobError::Receiving | BlobError::NoUpload(_)) if looks_left > 0 => {
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(digest)
    }

    /// Deletes a file that belongs to nothing any more. If that fails, it is a leftover.
    async fn remove(&self, file: &BlobFile) {
        let (folder, of) = (self.folder.clone(), file.clone());
        let removed = blocking(move || folder.remove(&of)).await.and_then(|removed| removed);
        if let Err(error) = removed {
            tracing::warn!(blob = %file.digest, %error, "the file of a blob that is gone stays on disk for now");
        }
    }
}
