//! The files that runs left, with their digests, and what holds the bytes of those that were copied here.
//!
//! The same law as for do-files ([`super::do_files`]): the bytes are blobs, a run holds those of its files as long as its
//! record, they count for no bounds of a person's uploads, and no digest that an agent only names lets anyone read what
//! another principal has.

use longhaul_proto::{api::MadeWith, digest::ContentDigest, ids::RunId};
use serde::{Deserialize, Serialize};

use super::{Answer, KeptResults};

/// The files of runs.
pub trait RunFileStore: Send + Sync + 'static {
    /// Notes what a run left, once: what is noted stays. The run holds the blobs of the files that are kept, as in
    /// [`super::DoFileStore::note_do_files`]. `false` = the run has no record.
    ///
    /// Fails with [`super::LedgerError::NoSuchBlobs`] when blobs are not there.
    fn note_files(&self, run: RunId, left: RunFiles) -> Answer<'_, bool>;
    /// What is noted; `None` = nothing yet.
    fn files(&self, run: RunId) -> Answer<'_, Option<RunFiles>>;
    /// Ended runs whose spool this agent keeps and of whose files nothing is noted yet, oldest end first.
    fn files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>>;
}

/// What a run left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFiles {
    /// In the order of their paths.
    pub files: Vec<RunFile>,
    /// Why these may not be all, in words; empty = they are.
    pub note: String,
    /// Ids of runs that ran in the same folder meanwhile: the files may be theirs.
    pub shared_with: Vec<String>,
    /// The agent was asked, and its run's own folder has nothing that is not here.
    pub own_are_here: bool,
    /// With what it was made; `None` = its agent did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_with: Option<KeptMadeWith>,
}

/// With what a run was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptMadeWith {
    /// Stata, seeds and data files; `None` = what the agent told cannot be read.
    pub facts: Option<MadeWith>,
    /// The list of packages, a blob.
    pub packages: KeptResults,
}

/// A file that a run created or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFile {
    /// Where it is on the host.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest, hex; empty = not known.
    pub sha256: String,
    /// When it was last written to, Unix milliseconds; 0 = not known.
    pub modified_ms: i64,
    /// It was there before the run.
    pub changed: bool,
    /// It lies in the run's own folder, which goes with the spool.
    pub of_run: bool,
    /// Its bytes are kept here.
    pub kept: bool,
    /// Why its digest is not known, or why bytes that should be kept are not, in words.
    pub why_not: String,
    /// It was written to after the run had ended.
    pub perhaps_changed: bool,
}

impl RunFile {
    /// Its digest, if its bytes are kept.
    pub fn held(&self) -> Option<ContentDigest> {
        self.sha256.parse().ok().filter(|_| self.kept)
    }
}

impl RunFiles {
    /// The digests of those that are kept, and of the list of packages, each once, in order.
    pub fn held(&self) -> Vec<ContentDigest> {
        let packages = self.made_with.iter().filter_map(|made_with| made_with.packages.kept());
        let mut all: Vec<_> = self.files.iter().filter_map(RunFile::held).chain(packages).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
