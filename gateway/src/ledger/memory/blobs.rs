//! Blobs: who may name one, and what holds it.

use std::collections::BTreeSet;

use longhaul_proto::{digest::ContentDigest, ids::RunId};

use super::{MemoryLedger, Row, State};
use crate::{
    ledger::{
        Answer, Blob, BlobBounds, BlobFile, BlobStore, BlobsSwept, DoFiles, Finished, LedgerError, NewUpload, RunFiles,
        Upload, UploadBegun,
    },
    model::Principal,
};

impl State {
    /// Whether the principal may name the blob.
    fn may_name(&self, principal: &Principal, digest: ContentDigest) -> bool {
        self.counts(principal, digest) || self.entered(Some(principal), digest)
    }

    /// Whether it counts for the bounds of the principal: it chose to store it.
    fn counts(&self, principal: &Principal, digest: ContentDigest) -> bool {
        self.uploaded.contains_key(&(principal.clone(), digest)) || self.holds(Some(principal), digest)
    }

    /// Whether a run entered it as a do-file, or left it; of this principal, or of any.
    fn entered(&self, principal: Option<&Principal>, digest: ContentDigest) -> bool {
        let of = |p: &Principal| principal.is_none_or(|principal| principal == p);
        let kept = |row: &Row| {
            row.do_files.as_ref().is_some_and(|entered| entered.kept().contains(&digest))
                || row.files.as_ref().is_some_and(|left| left.held().contains(&digest))
        };
        self.runs.values().any(|row| of(&row.record.principal) && kept(row))
    }

    /// Whether a run holds the blob; of this principal, or of any.
    fn holds(&self, principal: Option<&Principal>, digest: ContentDigest) -> bool {
        let of = |p: &Principal| principal.is_none_or(|principal| principal == p);
        self.runs.values().any(|row| of(&row.record.principal) && row.blobs.contains(&digest))
    }

    pub(super) fn named(&self, principal: &Principal, digest: ContentDigest) -> Option<Blob> {
        self.blobs.get(&digest).filter(|_| self.may_name(principal, digest)).cloned()
    }

    /// What the principal has.
    pub(super) fn used(&self, principal: &Principal) -> BlobBounds {
        let named = self.blobs.keys().filter(|digest| self.counts(principal, **digest));
        let named = named.filter_map(|digest| self.blobs.get(digest)).map(|blob| blob.bytes);
        let open = self.uploads.iter().filter(|((p, _), _)| p == principal).map(|(_, (upload, _))| upload.bytes);
        let all: Vec<u64> = named.chain(open).collect();
        BlobBounds { count: all.len() as u64, bytes: all.iter().sum() }
    }

    /// Checks that a new run may hold these blobs.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchBlobs`].
    pub(super) fn may_hold(&self, principal: &Principal, digests: &[ContentDigest]) -> Result<(), LedgerError> {
        let missing: Vec<_> = digests.iter().copied().filter(|d| self.named(principal, *d).is_none()).collect();
        if missing.is_empty() { Ok(()) } else { Err(LedgerError::NoSuchBlobs(missing)) }
    }

    fn begin_upload(&mut self, new: NewUpload) -> UploadBegun {
        let NewUpload { upload, at_ms, bounds } = new;
        let key = (upload.principal.clone(), upload.file.digest);
        if let Some(blob) = self.named(&key.0, key.1) {
            self.uploaded.insert(key, at_ms);
            return UploadBegun::Kept(blob);
        }
        if let Some((open, used_ms)) = self.uploads.get_mut(&key) {
            *used_ms = at_ms;
            return UploadBegun::Open(open.clone());
        }
        let used = self.used(&key.0);
        if used.count >= bounds.count || used.bytes.saturating_add(upload.bytes) > bounds.bytes {
            return UploadBegun::Full(used);
        }
        self.uploads.insert(key, (upload.clone(), at_ms));
        UploadBegun::Open(upload)
    }

    fn finish_upload(&mut self, upload: Upload, at_ms: i64) -> Option<Finished> {
        let digest = upload.file.digest;
        let key = (upload.principal.clone(), digest);
        if self.uploads.get(&key).is_none_or(|(open, _)| *open != upload) {
            // When the answer to the same call was lost.
            let blob = self.named(&key.0, digest)?;
            return Some(Finished { spare: (blob.file != upload.file).then_some(upload.file), blob });
        }
        self.uploads.remove(&key);
        self.uploaded.insert(key, at_ms);
        let new = Blob { file: upload.file.clone(), bytes: upload.bytes };
        let blob = self.blobs.entry(digest).or_insert(new).clone();
        Some(Finished { spare: (blob.file != upload.file).then_some(upload.file), blob })
    }

    fn blob_sweep(&mut self, before_ms: i64, limit: u32) -> BlobsSwept {
        let limit = limit as usize;
        let mut swept = BlobsSwept::default();
        let old = self.uploads.iter().filter(|(_, (_, at_ms))| *at_ms < before_ms);
        let old: Vec<_> = old.map(|(key, _)| key.clone()).take(limit).collect();
        swept.more |= old.len() == limit;
        let ended = old.iter().filter_map(|key| self.uploads.remove(key));
        swept.files.extend(ended.map(|(upload, _)| upload.file));
        let old = self.uploaded.iter().filter(|(_, at_ms)| **at_ms < before_ms);
        let old: Vec<_> = old.map(|(key, _)| key.clone()).take(limit).collect();
        swept.more |= old.len() == limit;
        self.uploaded.retain(|key, _| !old.contains(key));
        let named = |digest: ContentDigest| {
            self.uploaded.keys().any(|(_, named)| *named == digest)
                || self.holds(None, digest)
                || self.entered(None, digest)
        };
        let gone: Vec<_> = self.blobs.keys().copied().filter(|digest| !named(*digest)).take(limit).collect();
        swept.more |= gone.len() == limit;
        swept.files.extend(gone.iter().filter_map(|digest| self.blobs.remove(digest)).map(|blob| blob.file));
        swept
    }
}

impl BlobStore for MemoryLedger {
    fn begin_upload(&self, new: NewUpload) -> Answer<'_, UploadBegun> {
        self.answer(|state| Ok(state.begin_upload(new)))
    }

    fn use_upload(&self, principal: Principal, digest: ContentDigest, at_ms: i64) -> Answer<'_, Option<Upload>> {
        self.answer(|state| {
            Ok(state.uploads.get_mut(&(principal, digest)).map(|(upload, used_ms)| {
                *used_ms = at_ms;
                upload.clone()
            }))
        })
    }

    fn upload<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Upload>> {
        self.answer(|state| Ok(state.uploads.get(&(principal.clone(), digest)).map(|(upload, _)| upload.clone())))
    }

    fn finish_upload(&self, upload: Upload, at_ms: i64) -> Answer<'_, Option<Finished>> {
        self.answer(|state| Ok(state.finish_upload(upload, at_ms)))
    }

    fn end_upload(&self, upload: Upload) -> Answer<'_, bool> {
        self.answer(|state| {
            let key = (upload.principal.clone(), upload.file.digest);
            let open = state.uploads.get(&key).is_some_and(|(open, _)| *open == upload);
            if open {
                state.uploads.remove(&key);
            }
            Ok(open)
        })
    }

    fn blob<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Blob>> {
        self.answer(|state| Ok(state.named(principal, digest)))
    }

    fn blobs_of(&self, run: RunId) -> Answer<'_, Vec<Blob>> {
        self.answer(|state| {
            let Some(row) = state.runs.get(&run) else { return Ok(Vec::new()) };
            let entered = row.do_files.iter().flat_map(DoFiles::kept);
            let left = row.files.iter().flat_map(RunFiles::held);
            let held: BTreeSet<_> = row.blobs.iter().copied().chain(entered).chain(left).collect();
            Ok(held.iter().filter_map(|digest| state.blobs.get(digest)).cloned().collect())
        })
    }

    fn blob_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, BlobsSwept> {
        self.answer(|state| Ok(state.blob_sweep(before_ms, limit)))
    }

    fn blob_files<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<BlobFile>> {
        self.answer(|state| {
            let open = state.uploads.values().map(|(upload, _)| &upload.file);
            let all = state.blobs.values().map(|blob| &blob.file).chain(open);
            Ok(all.filter(|file| file.digest.to_string().starts_with(prefix)).cloned().collect())
        })
    }
}
