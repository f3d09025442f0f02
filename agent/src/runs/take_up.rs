//! Taking up the runs that are there at the start: most have ended long ago, and need no task.

use std::sync::Arc;

use futures_util::future::join_all;
use longhaul_proto::tasks::{blocking, simulated};

use super::{Runs, adopt, table::Resting};
use crate::spool::Spool;

/// Folders that are read in one go.
const BATCH: usize = 64;
/// Threads that read them.
const READERS: usize = 4;

impl Runs {
    /// Reads the folders of all runs beside the start, the newest first, since those are the ones that may go on. Each run
    /// that has not ended gets its task at once when it was read.
    pub(super) fn take_up(&self, spools: Vec<Spool>) {
        if simulated() {
            // One task each, in order: what batches read beside each other cannot be replayed.
            spools.iter().for_each(|spool| drop(self.handle(spool)));
            return self.taken_up.cancel();
        }
        for spool in &spools {
            self.context.table.unread(spool.run());
        }
        let runs = self.clone();
        self.context.tasks.spawn_until_stop(async move {
            let mut batches: Vec<Vec<Spool>> = spools.rchunks(BATCH).map(<[Spool]>::to_vec).collect();
            batches.reverse();
            let shared = Arc::new(std::sync::Mutex::new(batches));
            join_all((0..READERS).map(|_| runs.read_batches(Arc::clone(&shared)))).await;
            runs.taken_up.cancel();
        });
    }

    async fn read_batches(&self, batches: Arc<std::sync::Mutex<Vec<Vec<Spool>>>>) {
        let next = || batches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        while let Some(spools) = next() {
            let runs = self.clone();
            let read = blocking(move || {
                for spool in spools.iter().rev() {
                    runs.read_one(spool);
                }
            });
            if let Err(error) = read.await {
                tracing::error!(%error, "folders of runs could not be read; each is read again when it is asked for");
            }
        }
    }

    fn read_one(&self, spool: &Spool) {
        let found = adopt::read(spool).map(adopt::Found::into_status);
        match found.ok().and_then(|status| Resting::of(spool.run(), &status)) {
            Some(resting) => self.context.table.found_ended(spool.run(), resting),
            // Its task reads it again, and says what is wrong with it if something is.
            None => drop(self.handle(spool)),
        }
    }
}
