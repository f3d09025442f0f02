//! What is removed of a run, and when: temporary files at its end, then all but its files or all but the proof.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::durable;

use super::{DONE, FORGOTTEN, Layout, Spool, layout};

impl Spool {
    /// Removes what is of no use after the end: temporary files, the reserve, the files of the code as they came, and
    /// temporary names of processes that were killed while they wrote. The caller must know that no process writes here any more.
    ///
    /// # Errors
    /// When temporary files cannot be removed or the folder cannot be listed.
    pub fn clear(&self) -> io::Result<()> {
        self.release_reserve();
        self.clear_unfinished()?;
        durable::remove_folder(&self.blobs())?;
        durable::remove_folder(&self.tmp())
    }

    /// Removes temporary names of processes that were killed while they wrote.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn clear_unfinished(&self) -> io::Result<()> {
        for path in self.unfinished()? {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// The temporary names of processes that write, or were killed while they wrote.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn unfinished(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for folder in [self.path(), self.control_folder(), &self.do_files()] {
            let entries = match fs::read_dir(folder) {
                // Nothing was ever accepted here.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let path = entry?.path();
                if durable::is_unfinished(&path) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// Whether the folder in which a text or bundle ran has anything in it.
    pub fn has_work(&self) -> bool {
        fs::read_dir(self.work()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Deletes everything except the proof that the run was here, the folder of its files, and the record that names
    /// them. The proof is written first: from then on this counts as a deleted run whose files are still there. May be
    /// repeated after a crash.
    ///
    /// # Errors
    /// Any failure of the file system; a repeated call deletes the rest.
    pub fn keep_work(&self) -> io::Result<()> {
        durable::create_exclusive(&self.path().with_extension(DONE), b"done\n")?;
        let stay = [self.work(), self.outcome(), self.plain_dir()];
        let stays = |path: &Path| stay.iter().any(|kept| kept == path);
        if self.layout() == Layout::Split {
            delete_but(self.control_folder(), stays)?;
            delete_but(self.run_folder(), stays)?;
        }
        let folders = [layout::CONTROL, layout::RUN];
        delete_but(self.path(), |path| {
            let split = self.layout() == Layout::Split && folders.iter().any(|name| path.ends_with(name));
            split || stays(path)
        })
    }

    /// Deletes everything except the proof that the run was here: the folder is renamed first, so that a crash leaves
    /// no half of it.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn remove(&self) -> io::Result<()> {
        durable::create_exclusive(&self.path().with_extension(DONE), b"done\n")?;
        let aside = self.path().with_extension(FORGOTTEN);
        durable::rename(self.path(), &aside)?;
        durable::remove_folder(&aside)
    }
}

/// Deletes what is in a folder, durably, except what stays.
fn delete_but(folder: &Path, stays: impl Fn(&Path) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if stays(&path) {
            continue;
        }
        if fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
            durable::remove_folder(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    durable::sync_folder(folder)
}
