//! The do-files that runs entered, with their digests, and what holds the bytes of those that were kept.
//!
//! The bytes are blobs. A run holds those of its do-files as it holds its code: its principal may name them, and they go
//! when the last record that names them goes. They count for no bounds of a person's uploads: nobody chose to store them.
//!
//! Bytes that an agent sent are first the [`gateway_principal`]'s upload, and the run's from the transaction that notes its do-files.
//! So no digest that an agent only names lets anyone read what another principal has.

use longhaul_proto::{digest::ContentDigest, ids::RunId};
use serde::{Deserialize, Serialize};

use super::Answer;
use crate::model::Principal;

/// The do-files of runs.
pub trait DoFileStore: Send + Sync + 'static {
    /// Notes what a run entered, once: what is noted stays. The run holds the blobs of those that are kept, which its
    /// principal may name or the [`gateway_principal`] has uploaded; that one names them no more. `false` = the run has no record.
    ///
    /// Fails with [`super::LedgerError::NoSuchBlobs`] when blobs are not there.
    fn note_do_files(&self, run: RunId, entered: DoFiles) -> Answer<'_, bool>;
    /// What is noted; `None` = nothing yet.
    fn do_files(&self, run: RunId) -> Answer<'_, Option<DoFiles>>;
    /// Ended runs whose spool this agent keeps and of which nothing is noted yet, oldest end first.
    fn do_files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>>;
}

/// What a run entered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DoFiles {
    /// In the order in which it first did.
    pub files: Vec<DoFile>,
    /// Why these may not be all, or not what ran, in words; empty = they are.
    pub note: String,
    /// What it left in r(), e() and s(), which comes and goes with its do-files; `None` = this was noted by an earlier
    /// version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<KeptResults>,
}

/// The results of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptResults {
    /// Digest of their JSON, hex; empty = there is none.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Why there is none, in words; empty = its bytes are kept.
    pub missing: String,
}

impl KeptResults {
    /// Their digest, if the bytes are kept.
    pub fn kept(&self) -> Option<ContentDigest> {
        self.sha256.parse().ok().filter(|_| self.missing.is_empty())
    }
}

/// One content of a do-file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DoFile {
    /// Where it was on the host.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest, hex; empty = not known.
    pub sha256: String,
    /// Why its bytes are not kept, in words; empty = they are.
    pub missing: String,
    /// It was read late, and had been changed since the run started.
    pub perhaps_changed: bool,
}

impl DoFile {
    /// Its digest, if its bytes are kept.
    pub fn kept(&self) -> Option<ContentDigest> {
        self.sha256.parse().ok().filter(|_| self.missing.is_empty())
    }
}

impl DoFiles {
    /// The digests of those that are kept, each once, in order.
    pub fn kept(&self) -> Vec<ContentDigest> {
        let results = self.results.iter().filter_map(KeptResults::kept);
        let mut all: Vec<_> = self.files.iter().filter_map(DoFile::kept).chain(results).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The gateway itself, as it uploads what agents sent. No token names this issuer.
pub fn gateway_principal() -> Principal {
    Principal::new("gateway", "do-files")
}
