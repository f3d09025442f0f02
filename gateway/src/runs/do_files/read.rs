//! What callers may read of the do-files of a run.

use longhaul_proto::{digest::ContentDigest, ids::RunId, state::RunState};

use crate::{
    blobs::{BlobError, BlobReader},
    ledger::{DoFiles, LedgerError},
    model::{Identity, Record},
    runs::{FindError, Look, Runs},
};

/// Why the bytes of a do-file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DoFileError {
    /// There is no such run for this caller.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The run entered no do-file with this content, or its bytes are not kept, or not here yet.
    #[error(
        "run {run} has no do-file with the SHA-256 {digest} that is kept: its list (GET /api/v1/runs/{run}/do-files) \
             has those that are, and of the others why not"
    )]
    Unknown {
        /// The run.
        run: RunId,
        /// What was asked for.
        digest: ContentDigest,
    },
    /// The bytes are gone, or cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// The do-files of a run, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// In the order in which the run first entered them.
    pub do_files: DoFiles,
    /// Whether all that will ever be known is here.
    pub complete: bool,
}

impl Entered {
    fn not_yet(note: String) -> Self {
        Self { do_files: DoFiles { note, ..DoFiles::default() }, complete: false }
    }
}

impl Runs {
    /// The do-files that a run entered.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn do_files(&self, who: &Identity, run: RunId) -> Result<Entered, FindError> {
        let record = match self.look(who, run).await? {
            Look::Live(active) if !active.snapshot.borrow().state.is_end() => {
                let note = "the run goes on: its do-files are listed when it has ended".to_owned();
                return Ok(Entered::not_yet(note));
            }
            Look::Live(_) => self.record(run).await?.ok_or_else(|| FindError::Unknown(run.to_string()))?,
            Look::Ended(record) => *record,
        };
        match self.0.ledger.do_files(run).await.map_err(FindError::Ledger)? {
            Some(do_files) => Ok(Entered { do_files, complete: true }),
            None => Ok(unnoted(&record)),
        }
    }

    /// Opens the bytes of a do-file that a run entered.
    ///
    /// # Errors
    /// See [`DoFileError`].
    pub async fn do_file(&self, who: &Identity, run: RunId, digest: ContentDigest) -> Result<BlobReader, DoFileError> {
        // Whoever may not see the run sees none of it.
        self.look(who, run).await?;
        let noted = self.0.ledger.do_files(run).await.map_err(FindError::Ledger)?.unwrap_or_default();
        if !noted.kept().contains(&digest) {
            return Err(DoFileError::Unknown { run, digest });
        }
        Ok(self.0.blobs.held(run).await?.open(digest).await?)
    }
}

/// What is said of an ended run of which nothing is noted.
fn unnoted(record: &Record) -> Entered {
    if record.agent_id().is_empty() {
        let note = "the run was given to no host, so it entered none".to_owned();
        return Entered { do_files: DoFiles { note, ..DoFiles::default() }, complete: true };
    }
    let host = record.host();
    Entered::not_yet(match record.state {
        RunState::Lost => format!("the run is lost: its do-files come if host {host} returns with it"),
        _ => format!(
            "its do-files have not come from host {host} yet: they do when it is connected, if its spool is still there"
        ),
    })
}

impl From<LedgerError> for DoFileError {
    fn from(error: LedgerError) -> Self {
        Self::Find(FindError::Ledger(error))
    }
}
