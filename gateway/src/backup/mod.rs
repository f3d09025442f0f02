//! Backups: copies of all that a data folder must have for a gateway to be the same one again, made while it works.
//!
//! ```text
//! TO/longhaul-20261129T021529Z/   one backup; until it is whole and synced .longhaul-…Z.unfinished, which is none
//!     backup.json                 of what it is (Manifest)
//!     files.jsonl                 each file with its length and SHA-256 (Entry)
//!     SHA256SUMS                  of these two
//!     data/                       as the data folder: keys, credentials, audit/, gateway/ledger.sqlite, mirror/, blobs/
//! ```
//!
//! **What a row names is in the copy.** The ledger comes first, by SQLite's own means, and then the files that this copy
//! of it names: they may have grown since, as a mirror does, and are then more than it needs. One that is gone was swept
//! since; then the ledger is copied again, which does not name it any more, and so on until nothing is missing
//! ([`take`]). The audit log comes last, since its lines are written before the ledger has what they tell.
//!
//! **Nothing is followed out of the data folder**: every file is opened name by name without following links
//! ([`tree`]). **A backup is restored only where all of it is as it was written** ([`verify`]), and a gateway that starts on
//! it holds back what waited in its ledger, since agents may have executed it meanwhile ([`restore`],
//! [`crate::runs::restore_guard`]).

mod error;
mod kept;
mod manifest;
mod restore;
mod rounds;
mod take;
mod tree;
mod verify;

pub use error::BackupError;
pub use manifest::Manifest;
pub use restore::{Marker, RESTORED, Restored, is_half_restored, marker, restore};
pub use take::{Made, Request, back_up};
pub use verify::{Verified, verify};

/// The files in the data folder itself that make a gateway the one that it is; those that are there are copied.
pub const OF_DATA: [&str; 8] =
    ["gateway-key", "join-secret", "task-key", "seal-key", "notify-key", "ca-key", "ca.pem", "credentials.json"];

/// Files in its folder `gateway`; the ledger, the mirrors and the blobs are copied in ways of their own.
pub const OF_GATEWAY: [&str; 1] = ["token-uses.json"];

/// The ledger below a data folder.
const LEDGER: &str = "gateway/ledger.sqlite";

/// The folder of a backup with the copies.
const DATA: &str = "data";
