//! Taking up the runs that are there at the start: most have ended long ago, and need no task.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use longhaul_proto::tasks::blocking;

use super::{Runs, recover, registry::Resting};
use crate::spool::Spool;

/// Folders that are read in one go.
const BATCH: usize = 64;
/// Threads that read them.
const READERS: usize = 4;

impl Runs {
    /// Reads the folders of all runs beside the start, the newest first, since those are the ones that may go on. Each run
    /// that has not ended gets its task at once when it was read.
    pub(super) fn take_up(&self, spools: Vec<Spool>) {
        for spool in &spools {
            self.context.registry.unread(spool.run());
        }
        let runs = self.clone();
        self.context.tasks.spawn_until_stop(async move {
            let mut batches: Vec<Vec<Spool>> = spools.rchunks(BATCH).map(<[Spool]>::to_vec).collect();
            batches.reverse();
            let shared = Arc::new(Mutex::new(batches));
            join_all((0..READERS).map(|_| runs.read_batches(Arc::clone(&shared)))).await;
            runs.taken_up.cancel();
        });
    }

    async fn read_batches(&self, batches: Arc<Mutex<Vec<Vec<Spool>>>>) {
        let next = || batches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(spools) = next() {
            let (runs, spools) = (self.clone(), Arc::new(spools));
            let batch = Arc::clone(&spools);
            if let Err(error) = blocking(move || batch.iter().rev().for_each(|spool| runs.read_one(spool))).await {
                tracing::error!(%error, "folders of runs could not be read together; each is read by a task");
                spools.iter().for_each(|spool| drop(self.handle(spool)));
            }
        }
    }

    fn read_one(&self, spool: &Spool) {
        match recover::ended(spool).and_then(|status| Resting::of(spool.run(), &status)) {
            Some(resting) => self.context.registry.found_ended(spool.run(), resting),
            // Its task reads it again, does what is left to do, and says what is wrong with it if something is.
            None => drop(self.handle(spool)),
        }
    }
}
