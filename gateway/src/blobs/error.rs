//! Why a blob was not stored or read, in words for whoever asked.

use std::io;

use longhaul_proto::{digest::ContentDigest, words};

use crate::{
    ledger::{BlobBounds, LedgerError},
    model::OverQuota,
};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// One blob may not have so many bytes.
    #[error(
        "{bytes} bytes are more than one blob may have here, which is {most}: put the file on the Stata host instead"
    )]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The largest that is taken.
        most: u64,
    },
    /// The principal has as much as it may.
    #[error("{}", full(.has, .most))]
    Full {
        /// What it has.
        has: BlobBounds,
        /// What it may have.
        most: BlobBounds,
    },
    /// A quota is reached.
    #[error("{0}")]
    OverQuota(Box<OverQuota>),
    /// The disk has no room for it.
    #[error("{0}")]
    NoRoom(String),
    /// There is no such upload of this principal.
    #[error("no upload of {0} is under way: begin it with POST /api/v1/blobs, or send the whole with PUT")]
    NoUpload(ContentDigest),
    /// The upload was begun with another length.
    #[error("an upload of {digest} with {bytes} bytes is under way: go on with it, or end it with DELETE")]
    OtherLength {
        /// What is uploaded.
        digest: ContentDigest,
        /// The length with which it was begun.
        bytes: u64,
    },
    /// The bytes begin elsewhere than those end that are there.
    #[error("the upload has {offset} bytes: go on from there")]
    Offset {
        /// How many bytes are there.
        offset: u64,
    },
    /// Another request is sending bytes of the same upload.
    #[error("another request is sending bytes of this upload: try again when it has ended")]
    Receiving,
    /// More bytes came than were announced.
    #[error("more bytes came than the {bytes} that were announced")]
    TooLong {
        /// The length that was announced.
        bytes: u64,
    },
    /// The bytes have another digest; none of them is kept.
    #[error(
        "the bytes have the SHA-256 {found} and not {wanted}, so none of them is kept: send the right ones from the beginning"
    )]
    Mismatch {
        /// The digest that was announced.
        wanted: ContentDigest,
        /// The digest of what came.
        found: ContentDigest,
    },
    /// Its bytes are not here, although the ledger has it or a run needs it.
    #[error(
        "the gateway does not have the file with the SHA-256 {0} any more (its ledger was restored without the folder of \
         blobs, or files there were removed): upload it again with PUT /api/v1/blobs/{0} or `longhaul run`, and submit the \
         run again"
    )]
    Gone(ContentDigest),
    /// The ledger failed.
    #[error(
        "the gateway could not read or write its ledger: try again, and look at the disk of its data folder and its log"
    )]
    Ledger(#[from] LedgerError),
    /// The disk failed.
    #[error("the gateway could not store or read the bytes: look at the disk of its data folder and its log")]
    Disk(#[from] io::Error),
}

fn full(has: &BlobBounds, most: &BlobBounds) -> String {
    format!(
        "you have {} blobs with {} (uploads, and what your runs hold), and {} with {} are allowed: uploads that no run \
         takes go after a day, and those of runs with their records",
        has.count,
        words::bytes(has.bytes),
        most.count,
        words::bytes(most.bytes)
    )
}
