//! A blob that the ledger has and whose file is missing: the ledger was restored without the folder, or the file was
//! removed. It is uploaded again under the same row, so that whatever holds it has it again.

use longhaul_proto::{digest::ContentDigest, durable, faults, tasks::blocking};

use super::{BlobError, Blobs, Progress};
use crate::{
    ledger::{Blob, BlobFile, Upload},
    model::Principal,
};

impl Blobs {
    /// How far a blob has come that the ledger has: all of it, unless its file is missing.
    pub(super) async fn kept(&self, principal: &Principal, blob: Blob) -> Result<Progress, BlobError> {
        if self.is_here(&blob.file).await? || faults::bug("lost_blobs_stay_lost") {
            return Ok(Progress::Kept { bytes: blob.bytes });
        }
        self.settled(Upload { principal: principal.clone(), file: blob.file, bytes: blob.bytes }).await
    }

    /// The upload that brings back a blob of which the file is missing; `None` = there is no such blob, or all of it is
    /// here.
    pub(super) async fn missing(
        &self,
        principal: &Principal,
        digest: ContentDigest,
    ) -> Result<Option<Upload>, BlobError> {
        let Some(blob) = self.ledger.blob(principal, digest).await? else { return Ok(None) };
        if self.is_here(&blob.file).await? {
            return Ok(None);
        }
        Ok(Some(Upload { principal: principal.clone(), file: blob.file, bytes: blob.bytes }))
    }

    async fn is_here(&self, file: &BlobFile) -> Result<bool, BlobError> {
        let path = self.folder.whole(file);
        Ok(blocking(move || path.try_exists()).await??)
    }

    /// The file of an upload whose blob was there already: deleted, or put where that one's own is missing.
    pub(super) async fn spare(&self, spare: &BlobFile, blob: &Blob) -> Result<(), BlobError> {
        if self.is_here(&blob.file).await? {
            self.remove(spare).await;
            return Ok(());
        }
        let (from, to) = (self.folder.whole(spare), self.folder.whole(&blob.file));
        blocking(move || {
            durable::rename(&from, &to)?;
            to.parent().map_or(Ok(()), durable::sync_folder)
        })
        .await??;
        Ok(())
    }
}
