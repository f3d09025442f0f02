//! Blobs: who may name one, what holds it, and which file has its bytes.
//!
//! The ledger alone decides that a blob is there. A file of bytes belongs to the blob whose row has its name; names are
//! never used twice. A row is committed before its file is made, and removed before its file is deleted, so:
//!
//! - a file whose name is in no row is a leftover, and may be deleted at any time;
//! - of an upload, a submission and a sweep that meet, the ledger's order decides. A submission that comes first holds
//!   the blob, and the sweep leaves it; one that comes later is told that there is no such blob. An upload that comes
//!   after the sweep makes a new row with a file of its own, which the sweep does not know.
//!
//! A principal may name a blob that it has uploaded, for as long as uploads are kept, or that a run of its own holds. That
//! others may says nothing: for it the blob is not there, and it uploads the bytes itself.

use longhaul_proto::{digest::ContentDigest, ids::RunId};

use super::{Answer, QuotaStore};
use crate::model::Principal;

/// The rows of blobs, for the part that has their bytes, and for those that take them.
pub trait BlobStore: QuotaStore + Send + Sync + 'static {
    /// Begins an upload, or finds the one that is under way or the blob. Counts against the principal's bounds from now
    /// on.
    fn begin_upload(&self, new: NewUpload) -> Answer<'_, UploadBegun>;
    /// The upload of this principal that is under way, which is used at `at_ms`.
    fn use_upload(&self, principal: Principal, digest: ContentDigest, at_ms: i64) -> Answer<'_, Option<Upload>>;
    /// Likewise, unchanged.
    fn upload<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Upload>>;
    /// All bytes of this upload are in its file, and have its digest: from now on its principal may name the blob.
    /// `None` = the upload was ended meanwhile.
    fn finish_upload(&self, upload: Upload, at_ms: i64) -> Answer<'_, Option<Finished>>;
    /// Ends an upload; `false` = it had ended.
    fn end_upload(&self, upload: Upload) -> Answer<'_, bool>;
    /// The blob, if the principal may name it.
    fn blob<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Blob>>;
    /// The blobs that a run holds.
    fn blobs_of(&self, run: RunId) -> Answer<'_, Vec<Blob>>;
    /// Ends uploads that were not used since `before_ms`, lets principals name no more what they uploaded before then and
    /// no run took, and removes blobs that nobody may name; at most `limit` of each.
    fn blob_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, BlobsSwept>;
    /// The files that blobs and uploads have, of digests that begin with these hexadecimal digits.
    fn blob_files<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<BlobFile>>;
}

/// The file that has the bytes of a blob, or will have them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobFile {
    /// The digest of the whole.
    pub digest: ContentDigest,
    /// What tells it from other files of this digest, now or ever.
    pub name: String,
}

/// A blob whose bytes are all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its file.
    pub file: BlobFile,
    /// Its length.
    pub bytes: u64,
}

/// An upload that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Who uploads.
    pub principal: Principal,
    /// Its file.
    pub file: BlobFile,
    /// The length of the whole.
    pub bytes: u64,
}

/// An upload to be begun.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// The upload, with a name for its file that was never used.
    pub upload: Upload,
    /// When, Unix ms.
    pub at_ms: i64,
    /// What its principal may have in all.
    pub bounds: BlobBounds,
}

/// What one principal may have: blobs that it may name, and uploads under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobBounds {
    /// How many.
    pub count: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// The answer to the beginning of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadBegun {
    /// Send its bytes; it may have some already.
    Open(Upload),
    /// The principal may name the blob already. It counts as uploaded now.
    Kept(Blob),
    /// The principal has as much as it may.
    Full(BlobBounds),
}

/// The end of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The blob.
    pub blob: Blob,
    /// The file of the upload, where the blob was there already: it may be deleted.
    pub spare: Option<BlobFile>,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobsSwept {
    /// Files that belong to nothing any more.
    pub files: Vec<BlobFile>,
    /// Whether there may be more to sweep.
    pub more: bool,
}
