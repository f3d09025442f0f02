//! Receiving the bytes of an upload, piece by piece.

use std::io;

use bytes::Bytes;
use longhaul_proto::{digest::ContentDigest, tasks::blocking};

use super::{
    BlobError, Blobs, Progress, Start,
    folder::{Opened, Partial, Whole},
};
use crate::{ledger::Upload, model::Principal};

/// An upload whose bytes come in now. Dropping it at any moment leaves what has come, and another request goes on there.
pub struct Receiving {
    blobs: Blobs,
    upload: Upload,
    /// The ledger has the blob, and its file was missing.
    mends: bool,
    /// `None` while a piece is being written.
    partial: Option<Box<Partial>>,
}

impl Blobs {
    /// Receives bytes of an upload that was begun.
    ///
    /// # Errors
    /// Another request receives them, they begin at another offset than `start` says, there is no such upload, or the disk
    /// has no room for the rest.
    pub async fn receive(
        &self,
        principal: &Principal,
        digest: ContentDigest,
        start: Start,
    ) -> Result<Receiving, BlobError> {
        let (known, mends) = match self.ledger.upload(principal, digest).await? {
            Some(known) => (known, false),
            None => (self.missing(principal, digest).await?.ok_or(BlobError::NoUpload(digest))?, true),
        };
        let claim = self.claims.take(&known.file.name).ok_or(BlobError::Receiving)?;
        // Looked up again under the claim: a request that had it may have finished the upload since, and then its file is
        // a blob's.
        let used = if mends {
            self.missing(principal, digest).await?
        } else {
            self.ledger.use_upload(principal.clone(), digest, self.clock.unix_ms()).await?
        };
        let upload = used.filter(|upload| *upload == known).ok_or(BlobError::NoUpload(digest))?;
        let (folder, of) = (self.folder.clone(), upload.clone());
        match blocking(move || Partial::open(&folder, &of, start, claim)).await?? {
            Opened::Here(partial) => {
                self.room_for(upload.bytes.saturating_sub(partial.len()))?;
                Ok(Receiving { blobs: self.clone(), upload, mends, partial: Some(partial) })
            }
            Opened::Elsewhere(offset) => Err(BlobError::Offset { offset }),
        }
    }
}

impl Receiving {
    /// Takes the bytes that follow.
    ///
    /// # Errors
    /// They are more than were announced, or the disk fails.
    pub async fn take(&mut self, piece: Bytes) -> Result<(), BlobError> {
        let mut partial = self.partial.take().ok_or_else(broken)?;
        let (partial, appended) = blocking(move || {
            let appended = partial.append(&piece);
            (partial, appended)
        })
        .await?;
        let bytes = self.upload.bytes;
        if !appended? {
            return Err(BlobError::TooLong { bytes });
        }
        self.partial = Some(partial);
        Ok(())
    }

    /// The caller sends no more in this request. When all bytes are there and have the right digest, the blob is kept.
    ///
    /// # Errors
    /// Their digest is another one: then the upload is ended. Or the disk or the ledger fails: then it goes on.
    pub async fn end(mut self) -> Result<Progress, BlobError> {
        let partial = self.partial.take().ok_or_else(broken)?;
        let (offset, bytes) = (partial.len(), self.upload.bytes);
        let (blobs, upload) = (&self.blobs, &self.upload);
        let (placed, _claim) = blocking(move || partial.put_in_place()).await?;
        let placed = match placed {
            // It was ended meanwhile, and its file deleted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.gone()),
            placed => placed?,
        };
        match placed {
            Whole::No => Ok(Progress::Open { offset, bytes }),
            Whole::Differs(found) => {
                if self.mends || blobs.ledger.end_upload(upload.clone()).await? {
                    blobs.remove(&upload.file).await;
                }
                Err(BlobError::Mismatch { wanted: upload.file.digest, found })
            }
            Whole::Yes if self.mends => match blobs.ledger.blob(&upload.principal, upload.file.digest).await? {
                Some(blob) if blob.file == upload.file => Ok(Progress::Kept { bytes: blob.bytes }),
                // It went meanwhile.
                _ => {
                    blobs.remove(&upload.file).await;
                    Err(self.gone())
                }
            },
            Whole::Yes => {
                let finished = blobs.ledger.finish_upload(upload.clone(), blobs.clock.unix_ms()).await?;
                let Some(finished) = finished else {
                    blobs.remove(&upload.file).await;
                    return Err(self.gone());
                };
                if let Some(spare) = &finished.spare {
                    blobs.spare(spare, &finished.blob).await?;
                }
                Ok(Progress::Kept { bytes: finished.blob.bytes })
            }
        }
    }

    fn gone(&self) -> BlobError {
        BlobError::NoUpload(self.upload.file.digest)
    }
}

/// A piece before this one failed.
fn broken() -> BlobError {
    io::Error::other("the upload failed before").into()
}
