//! The files that an ended run left: listed with their digests, and those of its own folder copied here before its spool
//! goes.
//!
//! ```text
//! the end is committed -> its do-files are here -> the agent lists the files, and reads their digests
//!     -> what lies in the run's own folder -> blobs, up to `max_artifacts` -> noted in the ledger
//! ```
//!
//! The agent's last word is with what the run was made ([`made_with`]), which is noted with its files.
//!
//! What lies in a folder of the user's stays there, and is read on its host when it is asked for. What was not copied is
//! named with the reason, and stays on its host too. No end waits for any of this; what fails is tried again with the
//! do-files ([`super::do_files`]). A digest that an agent names is believed only with its bytes.

mod fetch;
mod list;
mod made_with;
mod read;

use std::sync::Arc;

use longhaul_proto::ids::RunId;
use tokio::sync::Semaphore;

use super::{Inner, do_files::FetchError};
use crate::{ledger::LedgerError, model::Record};

pub use list::Listed;
pub use made_with::Made;
pub use read::{ArtifactError, Fetched, OpenFile};

/// Runs whose files are copied at once: they share one disk, and large ones must not keep do-files waiting.
const AT_ONCE: usize = 4;

/// What is being copied now.
pub(crate) struct Copies(Semaphore);

impl Default for Copies {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// Lists and copies the files of an ended run, if they are not noted yet.
///
/// # Errors
/// See [`FetchError`]; nothing is noted then.
pub(super) async fn fetch(inner: &Arc<Inner>, run: RunId) -> Result<(), FetchError> {
    if inner.ledger.files(run).await?.is_some() {
        return Ok(());
    }
    let Ok(_permit) = inner.copies.0.acquire().await else { return Ok(()) };
    Box::pin(fetch::fetch(inner, run)).await
}

/// Whether the run left files in a folder of its own, and all of them are here too: then the folder may go with the spool.
///
/// # Errors
/// The ledger cannot be read.
pub(super) async fn own_are_here(inner: &Arc<Inner>, record: &Record) -> Result<bool, LedgerError> {
    if !left_own(record) {
        return Ok(false);
    }
    Ok(inner.ledger.files(record.run).await?.is_some_and(|left| left.own_are_here))
}

/// Whether the run left files in a folder of its own.
pub(super) fn left_own(record: &Record) -> bool {
    // As the agent's spools have it, of format 1 and of format 2.
    let (run, folder) = (record.run, record.detail.working_dir());
    let own = [format!("/{run}/work"), format!("/{run}/run/work")].iter().any(|end| folder.ends_with(end));
    own && record.detail.present().is_some_and(|attempt| !attempt.execution.artifacts.is_empty())
}
