//! One kernel watch for all runs of the agent: a change to a file in a spool wakes that run's readers.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use longhaul_proto::tasks::Tasks;
use tokio::sync::watch;

use crate::{
    os::folder_events::{FolderEvents, Seen, WatchId},
    spool::Spool,
};

/// Fires when something in a run's spool changed; how often does not matter. Closed means that it will not fire any
/// more: its holder then polls, and never takes it for a change.
pub type Changes = watch::Receiver<Watched>;
/// The sender of a [`Changes`]. The run's task holds it for as long as the run exists, so that a later attempt reaches
/// the readers of both.
pub type Trigger = watch::Sender<Watched>;

/// Whether the kernel tells of the changes in a run's folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watched {
    /// It does not, or not yet.
    #[default]
    No,
    /// It does, of all of them.
    ByKernel,
}

#[derive(Default)]
struct Watches {
    triggers: HashMap<WatchId, Trigger>,
    folders: HashMap<PathBuf, WatchId>,
}

/// The watch. Cheap to clone.
#[derive(Clone)]
pub struct Watcher {
    kernel: Option<Arc<FolderEvents>>,
    watches: Arc<Mutex<Watches>>,
}

impl Watcher {
    /// A watch, whose task ends with `tasks`; where the kernel offers none, only the poll works.
    pub fn new(tasks: &Tasks) -> Self {
        let watches = Arc::<Mutex<Watches>>::default();
        // In a simulation the kernel's events would come at times that cannot be replayed.
        let simulated = longhaul_proto::tasks::simulated();
        let kernel = (!simulated).then(FolderEvents::new).and_then(|kernel| match kernel {
            Ok(kernel) => Some(Arc::new(kernel)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the kernel reports no changes of files; looking every 250 ms instead");
                None
            }
        });
        if let Some(kernel) = kernel.clone() {
            tasks.spawn_until_stop(hear(kernel, watches.clone()));
        }
        Self { kernel, watches }
    }

    /// Watches a run's folders, from now on or again: when they did not exist, or their watch had ended.
    pub fn add(&self, spool: &Spool, trigger: &Trigger) {
        let watched = match &self.kernel {
            Some(kernel) => self.add_folders(kernel, spool, trigger),
            None => Watched::No,
        };
        trigger.send_replace(watched);
    }

    fn add_folders(&self, kernel: &FolderEvents, spool: &Spool, trigger: &Trigger) -> Watched {
        let mut watched = Watched::ByKernel;
        // Held over the kernel's answer: an event of the new watch finds its trigger.
        let mut watches = lock(&self.watches);
        for folder in spool.changing_folders() {
            match kernel.watch(folder) {
                Ok(id) => {
                    watches.triggers.insert(id, trigger.clone());
                    watches.folders.insert(folder.to_owned(), id);
                }
                Err(error) => {
                    tracing::debug!(%error, folder = %folder.display(), "no kernel watch on this folder");
                    watched = Watched::No;
                }
            }
        }
        watched
    }

    /// Ends the watch on them.
    pub fn remove(&self, spool: &Spool) {
        let Some(kernel) = &self.kernel else { return };
        let mut watches = lock(&self.watches);
        for folder in spool.changing_folders() {
            let Some(id) = watches.folders.remove(folder) else { continue };
            // A folder that is gone is no longer watched; the kernel's word for that may have come, or not.
            if watches.triggers.remove(&id).is_some() {
                kernel.unwatch(id);
            }
        }
    }
}

/// Passes on what the kernel tells.
async fn hear(kernel: Arc<FolderEvents>, watches: Arc<Mutex<Watches>>) {
    let mut seen = Vec::new();
    loop {
        if let Err(error) = kernel.next(&mut seen).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the kernel reports no more changes of files");
            for trigger in lock(&watches).triggers.values() {
                trigger.send_replace(Watched::No);
            }
            return;
        }
        let mut watches = lock(&watches);
        for seen in seen.drain(..) {
            match seen {
                Seen::Change(id) => watches.triggers.get(&id).into_iter().for_each(pulse),
                Seen::Unwatched(id) => drop(watches.triggers.remove(&id)),
                // More came than the kernel holds; which they were is not known.
                Seen::Overflow => watches.triggers.values().for_each(pulse),
            }
        }
    }
}

fn lock(watches: &Mutex<Watches>) -> MutexGuard<'_, Watches> {
    watches.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pulse(trigger: &Trigger) {
    trigger.send_modify(|_| {});
}
