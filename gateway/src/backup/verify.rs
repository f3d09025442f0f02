//! Whether a backup is as it was written.

use std::path::Path;

use longhaul_proto::tasks::blocking;

use super::{
    DATA, LEDGER,
    error::BackupError,
    kept,
    manifest::{self, Entry, Manifest},
    tree::{self, Tree},
};
use crate::ledger::sqlite::SqliteLedger;

/// What was found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Of what it is.
    pub manifest: Manifest,
    /// Each file that is damaged or missing, with what is wrong; empty = all of it is as it was written.
    pub damages: Vec<String>,
}

/// Reads all of a backup and compares it with its lists.
///
/// # Errors
/// It is no backup, or cannot be read.
pub async fn verify(backup: &Path) -> Result<Verified, BackupError> {
    let (verified, _) = verified(backup).await?;
    Ok(verified)
}

/// As [`verify`], with the list of its files.
pub(super) async fn verified(backup: &Path) -> Result<(Verified, Vec<Entry>), BackupError> {
    let path = backup.to_owned();
    let (manifest, entries, mut damages) =
        blocking(move || files(&path)).await.map_err(BackupError::read(backup))??;
    if damages.is_empty() && manifest.ledger_format <= SqliteLedger::known_format() {
        let ledger = backup.join(DATA).join(LEDGER);
        match SqliteLedger::check_copy(&ledger).await {
            Ok(words) if words == "ok" => {}
            Ok(words) => damages.push(format!("{LEDGER}: {words}")),
            Err(error) => damages.push(format!("{LEDGER}: {error}")),
        }
    }
    Ok((Verified { manifest, damages }, entries))
}

fn files(backup: &Path) -> Result<(Manifest, Vec<Entry>, Vec<String>), BackupError> {
    kept::refuse_others(backup)?;
    let (manifest, mut damages) = (manifest::header(backup)?, Vec::new());
    let entries = manifest::entries(backup, &mut damages)?;
    if damages.is_empty() && manifest.files != entries.len() as u64 {
        damages.push(format!("{}: it has {} files of {}", manifest::FILES, entries.len(), manifest.files));
    }
    let data = backup.join(DATA);
    let tree = match Tree::open(&data) {
        Ok(tree) => tree,
        Err(error) => return Ok((manifest, entries, vec![format!("{DATA}: {error}")])),
    };
    for entry in &entries {
        let path = Path::new(&entry.path);
        let found = tree.file(path).and_then(|opened| opened.map(|opened| tree::digest(opened, path)).transpose());
        match found {
            Ok(None) => damages.push(format!("{}: missing", entry.path)),
            Ok(Some((bytes, _))) if bytes != entry.bytes => {
                damages.push(format!("{}: it has {bytes} bytes, and had {}", entry.path, entry.bytes));
            }
            Ok(Some((_, digest))) if digest.to_string() != entry.sha256 => {
                damages.push(format!("{}: its content is another", entry.path));
            }
            Ok(Some(_)) => {}
            Err(error) => damages.push(format!("{}: {error}", entry.path)),
        }
    }
    Ok((manifest, entries, damages))
}
