//! Putting a backup into an empty folder, so that a gateway that starts there is the one that it was made of.
//!
//! Everything is written below [`PARTS`] in that folder, synced, and then given its names; while that folder is there no
//! gateway starts. Beside the ledger lies [`RESTORED`] then, which tells the gateway that its ledger is a backup, and
//! up to which run: what waits in it is held back until an agent or a person says what became of it
//! ([`crate::runs::restore_guard`]). An agent needs nothing: keys and the ledger's name are the ones that it knows.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::{clock, durable, faults, ids::RunId, private, tasks::blocking};
use serde::{Deserialize, Serialize};

use super::{
    DATA,
    error::BackupError,
    manifest::{Entry, Manifest},
    rounds, tree,
    tree::Tree,
    verify,
};
use crate::ledger::sqlite::SqliteLedger;

/// The file beside the ledger by which a gateway knows that it was restored.
pub const RESTORED: &str = "restored.json";

/// Where the parts are until all of them are there.
const PARTS: &str = ".restoring";

/// Content of [`RESTORED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The newest run that the backup has: those that wait up to it may have been executed since.
    pub newest_run: Option<RunId>,
    /// When the backup was made, RFC 3339.
    pub made_at: String,
    /// When it was restored.
    pub restored_at: String,
}

/// A backup that was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The data folder.
    pub data: PathBuf,
    /// Of what it is.
    pub manifest: Manifest,
}

/// Whether a restore into this data folder did not come to its end.
pub fn is_half_restored(data: &Path) -> bool {
    data.join(PARTS).exists()
}

/// The marker in a data folder; `None` = it was not restored.
///
/// # Errors
/// It cannot be read.
pub fn marker(data: &Path) -> io::Result<Option<Marker>> {
    match fs::read(data.join("gateway").join(RESTORED)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts the backup `from` into the data folder `into`, which is empty or does not exist. `now_ms`: the time, Unix
/// milliseconds.
///
/// # Errors
/// See [`BackupError`]; of a damaged backup nothing is restored.
pub async fn restore(from: &Path, into: &Path, now_ms: i64) -> Result<Restored, BackupError> {
    refuse_used(into)?;
    let (verified, entries) = verify::verified(from).await?;
    let manifest = verified.manifest;
    let (found, known) = (manifest.ledger_format, SqliteLedger::known_format());
    if found > known {
        let (version, what) = (manifest.version, "a ledger of the format");
        return Err(BackupError::TooNew { version, what, found, known });
    }
    if !verified.damages.is_empty() && !faults::bug("restore_unverified") {
        return Err(BackupError::Damaged { path: from.to_owned(), what: verified.damages });
    }
    let marker = Marker {
        newest_run: manifest.newest_run,
        made_at: manifest.made_at.clone(),
        restored_at: clock::rfc3339(now_ms).unwrap_or_default(),
    };
    let (from, into) = (from.to_owned(), into.to_owned());
    let data = into.clone();
    blocking(move || put(&from, &into, &entries, &marker)).await.map_err(BackupError::write(&data))??;
    Ok(Restored { data, manifest })
}

/// Refuses a folder with anything in it but what a restore left that was broken off.
fn refuse_used(into: &Path) -> Result<(), BackupError> {
    private::check_folder(into)?;
    if !into.exists() {
        return Ok(());
    }
    if !into.is_dir() {
        return Err(BackupError::NotAFolder(into.to_owned()));
    }
    let names = Tree::open(into).map_err(BackupError::read(into))?.names(Path::new("."))?;
    match names.into_iter().find(|name| name != PARTS) {
        Some(name) => Err(BackupError::NotEmpty { folder: into.to_owned(), name }),
        None => Ok(()),
    }
}

fn put(from: &Path, into: &Path, entries: &[Entry], marker: &Marker) -> Result<(), BackupError> {
    durable::create_folder(into).map_err(BackupError::write(into))?;
    let parts = into.join(PARTS);
    durable::remove_folder(&parts).map_err(BackupError::write(&parts))?;
    rounds::refuse_without_room(entries.iter().map(|entry| entry.bytes).sum(), into)?;
    tree::make_folder(&parts)?;
    let data = from.join(DATA);
    let source = Tree::open(&data).map_err(BackupError::read(&data))?;
    for entry in entries {
        let below = Path::new(&entry.path);
        let damaged = |what: &str| {
            let what = vec![format!("{}: {what}", entry.path)];
            BackupError::Damaged { path: from.to_owned(), what }
        };
        let opened = source.file(below)?.ok_or_else(|| damaged("missing"))?;
        let copied = tree::copy(opened, below, &parts)?;
        if copied.sha256 != entry.sha256 && !faults::bug("restore_unverified") {
            return Err(damaged("its content is another"));
        }
    }
    if !faults::bug("restored_untold") {
        let content = serde_json::to_vec_pretty(marker).unwrap_or_default();
        tree::write(&parts.join("gateway").join(RESTORED), &content)?;
    }
    tree::sync(&parts)?;
    faults::point("restore.before_rename");
    for name in Tree::open(&parts).map_err(BackupError::read(&parts))?.names(Path::new("."))? {
        let to = into.join(&name);
        fs::rename(parts.join(&name), &to).map_err(BackupError::write(&to))?;
    }
    durable::sync_folder(into).map_err(BackupError::write(into))?;
    // Last: until now no gateway starts here.
    durable::remove_folder(&parts).map_err(BackupError::write(&parts))
}
