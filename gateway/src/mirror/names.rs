//! The names that lead to a mirror's files: durable once, when something of it is sealed for the first time.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use longhaul_proto::{durable, faults};

/// Folders whose names a mirror may have made: its own, the one of some 256, the root, and where that lies.
const LEVELS: usize = 4;

/// The names of one mirror.
#[derive(Debug)]
pub(super) struct Names {
    folder: PathBuf,
    /// This process has synced them. Of what an earlier one did nothing is known.
    durable: AtomicBool,
}

impl Names {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, durable: AtomicBool::new(false) }
    }

    /// Makes them durable, unless they are.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.durable.load(Ordering::Acquire) || faults::bug("mirror_names_not_synced") {
            return Ok(());
        }
        let mut batch = durable::Batch::default();
        for folder in self.folder.ancestors().take(LEVELS) {
            batch.names(folder)?;
        }
        batch.sync()?;
        self.durable.store(true, Ordering::Release);
        Ok(())
    }
}
