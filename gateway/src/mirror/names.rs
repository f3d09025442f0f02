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

    /// Adds them to what is made durable; whether that was needed.
    pub(super) fn add_to(&self, batch: &mut durable::Batch) -> io::Result<bool> {
        if self.durable.load(Ordering::Acquire) || faults::bug("mirror_names_not_synced") {
            return Ok(false);
        }
        for folder in self.folder.ancestors().take(LEVELS) {
            batch.names(folder)?;
        }
        Ok(true)
    }

    /// They were synced.
    pub(super) fn are_durable(&self) {
        self.durable.store(true, Ordering::Release);
    }
}
