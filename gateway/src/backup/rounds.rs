//! The files that the ledger names: copied until a copy of the ledger names none that is missing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::{faults, free_space::free_space};

use super::{
    error::BackupError,
    manifest::Entry,
    tree::{self, Tree},
};
use crate::{blobs, ledger::sqlite::Named, mirror};

/// More rounds than there are reasons for.
pub(super) const MOST: usize = 16;

/// What a ledger names.
struct Wanted {
    below: PathBuf,
    /// Its bytes must be there: the ledger says that the gateway has them.
    due: bool,
    /// Its content does not change any more.
    settled: bool,
}

/// What has been copied so far.
#[derive(Default)]
pub(super) struct Rounds {
    pub(super) entries: BTreeMap<String, Entry>,
    /// Of these, what has a second name for the bytes of the backup before.
    linked: BTreeSet<String>,
    /// What was missing in the round before.
    missing: BTreeSet<String>,
    /// What the gateway itself does not have.
    pub(super) lacking: Vec<String>,
    pub(super) done: usize,
}

/// The backup before, by path.
#[derive(Default)]
pub(super) struct Earlier {
    pub(super) folder: PathBuf,
    pub(super) entries: HashMap<String, Entry>,
}

impl Earlier {
    /// Its file of this path, when that is the same as the one that is there now.
    pub(super) fn same(&self, below: &Path, now: &tree::Opened) -> Option<&Entry> {
        let entry = self.entries.get(&*below.to_string_lossy())?;
        (entry.bytes == now.bytes && entry.modified_ns == now.modified_ns).then_some(entry)
    }
}

impl Rounds {
    /// Copies what this copy of the ledger names; `true` = nothing that it names is missing, but for what the gateway
    /// itself lacks.
    pub(super) fn round(
        &mut self,
        named: &Named,
        from: &Tree,
        earlier: &Earlier,
        into: &Path,
    ) -> Result<bool, BackupError> {
        self.done += 1;
        let wanted = wanted(named);
        self.refuse_without_room(&wanted, from, earlier, into)?;
        let mut missing = BTreeSet::new();
        for one in &wanted {
            let path = one.below.to_string_lossy().into_owned();
            let Some(opened) = from.file(&one.below)? else {
                self.drop(&path, into)?;
                if one.due {
                    missing.insert(path);
                }
                continue;
            };
            let same = |entry: &Entry| (entry.bytes, entry.modified_ns) == (opened.bytes, opened.modified_ns);
            if self.entries.get(&path).is_some_and(same) {
                continue;
            }
            self.drop(&path, into)?;
            let before = earlier.same(&one.below, &opened).filter(|_| one.settled).cloned();
            let entry = match before {
                Some(before) if tree::link(&earlier.folder, &one.below, into)? => {
                    self.linked.insert(path.clone());
                    before
                }
                _ => tree::copy(opened, &one.below, into)?,
            };
            self.entries.insert(path, entry);
        }
        if faults::bug("backup_swept_untold") {
            missing.clear();
        }
        // What was missing before this copy of the ledger was made, and is in it, was not swept: it is not there.
        let settled = missing.is_subset(&self.missing);
        self.missing = missing;
        if settled {
            self.lacking = self.missing.iter().cloned().collect();
            let names: BTreeSet<_> = wanted.iter().map(|one| one.below.to_string_lossy().into_owned()).collect();
            let others: Vec<String> = self.entries.keys().filter(|path| !names.contains(*path)).cloned().collect();
            others.iter().try_for_each(|path| self.drop(path, into))?;
        }
        Ok(settled)
    }

    /// Files and bytes that have a second name only.
    pub(super) fn linked(&self) -> (u64, u64) {
        let bytes = self.linked.iter().filter_map(|path| Some(self.entries.get(path)?.bytes)).sum();
        (self.linked.len() as u64, bytes)
    }

    /// Removes what was copied under this path.
    fn drop(&mut self, path: &str, into: &Path) -> Result<(), BackupError> {
        if self.entries.remove(path).is_some() {
            self.linked.remove(path);
            let path = into.join(path);
            fs::remove_file(&path).map_err(BackupError::write(&path))?;
        }
        Ok(())
    }

    fn refuse_without_room(
        &self,
        wanted: &[Wanted],
        from: &Tree,
        earlier: &Earlier,
        into: &Path,
    ) -> Result<(), BackupError> {
        let mut needed = 0_u64;
        for one in wanted.iter().filter(|one| !self.entries.contains_key(&*one.below.to_string_lossy())) {
            let Some(opened) = from.file(&one.below)? else { continue };
            if !one.settled || earlier.same(&one.below, &opened).is_none() {
                needed = needed.saturating_add(opened.bytes);
            }
        }
        refuse_without_room(needed, into)
    }
}

/// Refuses to begin what the disk has no room for.
pub(super) fn refuse_without_room(needed: u64, folder: &Path) -> Result<(), BackupError> {
    let free = free_space(folder).map_err(BackupError::read(folder))?.free;
    let free = if faults::check("backup.room").is_err() { 0 } else { free };
    match needed > free {
        true => Err(BackupError::NoRoom { folder: folder.to_owned(), free, needed }),
        false => Ok(()),
    }
}

fn wanted(named: &Named) -> Vec<Wanted> {
    let blobs = named.blobs.iter().map(|blob| Wanted {
        below: Path::new("gateway/blobs").join(blobs::place_of(&blob.file)),
        due: true,
        settled: true,
    });
    let mirrors = named.runs.iter().flat_map(|run| {
        let folder = Path::new("gateway/mirror").join(mirror::place_of(run.run));
        [("log", run.kept[0]), ("console", run.kept[1])].map(|(name, kept)| Wanted {
            below: folder.join(name),
            due: run.ended && kept > 0,
            settled: run.ended,
        })
    });
    blobs.chain(mirrors).collect()
}
