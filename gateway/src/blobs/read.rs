//! Reading the bytes of a blob.

use std::{collections::HashMap, fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use longhaul_proto::{digest::ContentDigest, ids::RunId, tasks::blocking};

use super::{BlobError, Blobs, folder};
use crate::{ledger::Blob, model::Principal};

/// An open blob: its bytes stay readable, even when it goes meanwhile. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobReader {
    file: Arc<File>,
    bytes: u64,
}

impl Blobs {
    /// Opens a blob that this principal may name; `None` = it is not there, or not the principal's to name.
    ///
    /// # Errors
    /// The disk or the ledger fails.
    pub async fn open(&self, principal: &Principal, digest: ContentDigest) -> Result<Option<BlobReader>, BlobError> {
        match self.ledger.blob(principal, digest).await? {
            Some(blob) => self.reader(blob).await,
            None => Ok(None),
        }
    }

    /// What a run holds, to open it.
    ///
    /// # Errors
    /// The ledger fails.
    pub async fn held(&self, run: RunId) -> Result<HeldBlobs, BlobError> {
        let held = self.ledger.blobs_of(run).await?;
        let by_digest = held.into_iter().map(|blob| (blob.file.digest, blob)).collect();
        Ok(HeldBlobs { blobs: self.clone(), by_digest })
    }

    async fn reader(&self, blob: Blob) -> Result<Option<BlobReader>, BlobError> {
        let path = self.folder.whole(&blob.file);
        match blocking(move || folder::open(&path)).await? {
            Ok(file) => Ok(Some(BlobReader { file: Arc::new(file), bytes: blob.bytes })),
            // It went between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The blobs that a run holds.
pub struct HeldBlobs {
    blobs: Blobs,
    by_digest: HashMap<ContentDigest, Blob>,
}

impl HeldBlobs {
    /// Opens one of them.
    ///
    /// # Errors
    /// The run does not hold it or its bytes are gone, or the disk fails.
    pub async fn open(&self, digest: ContentDigest) -> Result<BlobReader, BlobError> {
        let blob = self.by_digest.get(&digest).cloned().ok_or(BlobError::Gone(digest))?;
        self.blobs.reader(blob).await?.ok_or(BlobError::Gone(digest))
    }
}

impl BlobReader {
    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The open file, for a process that reads it itself.
    pub(crate) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// At most `max` bytes from `offset`; none at the end.
    ///
    /// # Errors
    /// The disk fails, or has fewer bytes than the blob.
    pub async fn read(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (file, len) = (self.file.clone(), left.min(max));
        blocking(move || {
            let mut piece = vec![0; len];
            file.read_exact_at(&mut piece, offset)?;
            Ok(Bytes::from(piece))
        })
        .await?
    }
}
