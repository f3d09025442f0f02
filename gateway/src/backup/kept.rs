//! The folder of backups: what is in it, the one that is being made, and the oldest ones that go.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use longhaul_proto::{clock, durable, faults, private};
use rustix::fs::{FlockOperation, flock};

use super::{
    error::BackupError,
    manifest::{self, Manifest},
    tree,
};

const PREFIX: &str = "longhaul-";
const UNFINISHED: &str = ".unfinished";

/// The folder that holds backups, locked for one that is being made.
pub(super) struct Kept {
    folder: PathBuf,
    _lock: File,
}

/// A backup that is being made. What is not whole is removed with it.
pub(super) struct Unfinished {
    pub(super) path: PathBuf,
    whole: PathBuf,
    done: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            // The next backup removes it, if this cannot.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Kept {
    /// Opens the folder, making it if it is missing, and removes what a killed process left in it.
    pub(super) fn open(folder: &Path, data: &Path) -> Result<Self, BackupError> {
        refuse_inside(folder, data)?;
        if folder.exists() && !folder.is_dir() {
            return Err(BackupError::NotAFolder(folder.to_owned()));
        }
        private::check_folder(folder)?;
        durable::create_folder(folder).map_err(BackupError::write(folder))?;
        let lock = File::open(folder).map_err(BackupError::read(folder))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| BackupError::Busy(folder.to_owned()))?;
        let this = Self { folder: folder.to_owned(), _lock: lock };
        for name in this.names()?.iter().filter(|name| is_unfinished(name)) {
            let path = folder.join(name);
            fs::remove_dir_all(&path).map_err(BackupError::write(&path))?;
        }
        Ok(this)
    }

    fn names(&self) -> Result<Vec<String>, BackupError> {
        names(&self.folder)
    }

    /// Begins a backup.
    pub(super) fn begin(&self, now_ms: i64) -> Result<Unfinished, BackupError> {
        let stem = format!("{PREFIX}{}", stamp(now_ms));
        // Several in a second sort behind the first.
        let name = std::iter::once(stem.clone())
            .chain((2..).map(|n| format!("{stem}-{n}")))
            .find(|name| !self.folder.join(name).exists())
            .unwrap_or(stem);
        let whole = self.folder.join(&name);
        let path = match faults::bug("backup_in_place") {
            true => whole.clone(),
            false => self.folder.join(format!(".{name}{UNFINISHED}")),
        };
        tree::make_folder(&path)?;
        let made = Unfinished { path, whole, done: false };
        refuse_without_modes(&made.path)?;
        Ok(made)
    }

    /// Gives a backup that is whole its name, durably.
    pub(super) fn finish(&self, mut made: Unfinished) -> Result<PathBuf, BackupError> {
        tree::sync(&made.path)?;
        faults::point("backup.before_rename");
        if made.path != made.whole {
            durable::rename(&made.path, &made.whole).map_err(BackupError::write(&made.whole))?;
        }
        made.done = true;
        durable::sync_folder(&self.folder).map_err(BackupError::write(&self.folder))?;
        Ok(made.whole.clone())
    }

    /// The backups of this gateway, the oldest first.
    pub(super) fn of(&self, cluster_id: &str) -> Result<Vec<PathBuf>, BackupError> {
        let is_its = |path: &PathBuf| manifest::header(path).is_ok_and(|header| header.cluster_id == cluster_id);
        Ok(self.names()?.iter().filter(|name| is_backup(name)).map(|n| self.folder.join(n)).filter(is_its).collect())
    }

    /// Removes the oldest backups of this gateway beyond `keep`; returns which.
    pub(super) fn keep(&self, keep: usize, cluster_id: &str) -> Result<Vec<PathBuf>, BackupError> {
        let all = self.of(cluster_id)?;
        let gone = &all[..all.len().saturating_sub(keep)];
        for path in gone {
            // Under another name first: half of one is never taken for a backup.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let leaving = self.folder.join(format!(".{name}{UNFINISHED}"));
            durable::rename(path, &leaving)
                .and_then(|()| fs::remove_dir_all(&leaving))
                .map_err(BackupError::write(path))?;
        }
        Ok(gone.to_vec())
    }
}

fn names(folder: &Path) -> Result<Vec<String>, BackupError> {
    let entries = fs::read_dir(folder).map_err(BackupError::read(folder))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn is_backup(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_unfinished(name: &str) -> bool {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(UNFINISHED)).is_some_and(is_backup)
}

/// `20261129T021529Z`.
fn stamp(now_ms: i64) -> String {
    let text = clock::rfc3339(now_ms).unwrap_or_default();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{}Z", seconds.replace(['-', ':'], ""))
}

/// Refuses what was named as a backup and is the folder of several, or one that was never whole.
pub(super) fn refuse_others(path: &Path) -> Result<(), BackupError> {
    let none = |why: String| Err(BackupError::NoBackup { path: path.to_owned(), why });
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if is_unfinished(&name) {
        return none("it was broken off before it was whole, and the next backup removes it".to_owned());
    }
    if !path.is_dir() {
        return none("there is no such folder".to_owned());
    }
    if path.join(manifest::HEADER).exists() {
        return Ok(());
    }
    match names(path)?.iter().rfind(|name| is_backup(name)) {
        Some(newest) => none(format!("it holds backups; the newest is {}", path.join(newest).display())),
        None => none(format!("there is no {} in it", manifest::HEADER)),
    }
}

fn refuse_inside(to: &Path, data: &Path) -> Result<(), BackupError> {
    // What does not exist yet has no links in it.
    let there = to.ancestors().find(|path| path.exists()).unwrap_or(to);
    let (Ok(real_to), Ok(real_data)) = (there.canonicalize(), data.canonicalize()) else { return Ok(()) };
    match real_to.starts_with(&real_data) {
        true => Err(BackupError::Inside { to: to.to_owned(), data: data.to_owned() }),
        false => Ok(()),
    }
}

fn refuse_without_modes(folder: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::MetadataExt;
    let mode = fs::symlink_metadata(folder).map_err(BackupError::read(folder))?.mode() & 0o7777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(BackupError::NoModes { folder: folder.to_owned(), mode }),
    }
}

/// What was read of the newest backup before this one, by the path of each file.
pub(super) fn earlier(
    kept: &Kept,
    cluster_id: &str,
) -> Result<Option<(PathBuf, Manifest, Vec<manifest::Entry>)>, BackupError> {
    let Some(newest) = kept.of(cluster_id)?.pop() else { return Ok(None) };
    let (header, mut damages) = (manifest::header(&newest)?, Vec::new());
    // One whose lists are damaged is no base for another.
    let entries = manifest::entries(&newest, &mut damages).unwrap_or_default();
    Ok(damages.is_empty().then_some((newest, header, entries)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_in_the_order_of_time() {
        assert_eq!(stamp(1_764_382_529_123), "20251129T021529Z");
        for (name, backup, unfinished) in [
            ("longhaul-20261129T021529Z", true, false),
            ("longhaul-20261129T021529Z-2", true, false),
            (".longhaul-20261129T021529Z.unfinished", false, true),
            ("longhaul-notes", false, false),
            (".notes.unfinished", false, false),
        ] {
            assert_eq!((is_backup(name), is_unfinished(name)), (backup, unfinished), "{name}");
        }
        assert!("longhaul-20261129T021529Z" < "longhaul-20261129T021529Z-2");
        assert!("longhaul-20261129T021529Z-2" < "longhaul-20261129T021530Z");
    }
}
