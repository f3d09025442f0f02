//! The folder of all runs of one agent.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::{durable, ids::RunId};

use super::{FORGOTTEN, Spool};

/// All runs' folders of one agent.
#[derive(Clone, Debug)]
pub struct SpoolRoot(pub(super) PathBuf);

impl SpoolRoot {
    /// The folder `runs` below the agent's data folder; made if missing.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn open(runs: PathBuf) -> io::Result<Self> {
        durable::create_folder(&runs)?;
        Ok(Self(runs))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what a crash left half removed.
    ///
    /// # Errors
    /// When the folder cannot be listed; what cannot be removed stays for the next call.
    pub fn remove_forgotten(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == FORGOTTEN) {
                let _ = durable::remove_folder(&path);
            }
        }
        Ok(())
    }

    /// The spool of a run, whether or not it exists.
    pub fn of(&self, run: RunId) -> Spool {
        Spool::new(self.0.join(run.to_string()), run)
    }

    /// The runs that have a folder here. Folders with other names are ignored.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn list(&self) -> io::Result<Vec<Spool>> {
        let mut all = vec![];
        for entry in fs::read_dir(&self.0)? {
            if let Some(run) = entry?.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()) {
                all.push(self.of(run));
            }
        }
        all.sort_by_key(Spool::run);
        Ok(all)
    }
}
