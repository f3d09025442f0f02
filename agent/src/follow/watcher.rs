//! One kernel watch for all runs of the agent: a change to a file in a spool wakes that run's readers.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use crate::spool::Spool;

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

type Triggers = Arc<Mutex<HashMap<PathBuf, Trigger>>>;

/// The watch. Cheap to clone.
#[derive(Clone)]
pub struct Watcher {
    pulses: Triggers,
    kernel: Arc<Mutex<Option<RecommendedWatcher>>>,
}

impl Watcher {
    /// A watch; where the kernel offers none, only the poll works.
    pub fn new() -> Self {
        let pulses = Triggers::default();
        let seen = Arc::clone(&pulses);
        if longhaul_proto::tasks::simulated() {
            // The kernel's events come at times that cannot be replayed.
            return Self { pulses, kernel: Arc::default() };
        }
        let kernel = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            // The agent itself opens and reads these files.
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            let pulses = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if event.need_rescan() {
                // More came than the kernel holds; which they were is not known.
                pulses.values().for_each(pulse);
            }
            for folder in event.paths.iter().filter_map(|p| p.parent()) {
                pulses.get(folder).into_iter().for_each(pulse);
            }
        });
        if let Err(error) = &kernel {
            tracing::warn!(%error, "the kernel reports no changes of files; looking every 250 ms instead");
        }
        Self { pulses, kernel: Arc::new(Mutex::new(kernel.ok())) }
    }

    /// Watches a run's folders, from now on or again: when they did not exist, or their watch had ended.
    pub fn add(&self, spool: &Spool, trigger: &Trigger) {
        let mut watched = Watched::ByKernel;
        for folder in spool.changing_folders() {
            self.pulses.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), trigger.clone());
            match self.kernel.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                Some(kernel) => {
                    if let Err(error) = kernel.watch(folder, RecursiveMode::NonRecursive) {
                        tracing::debug!(%error, folder = %folder.display(), "no kernel watch on this folder");
                        watched = Watched::No;
                    }
                }
                None => watched = Watched::No,
            }
        }
        trigger.send_replace(watched);
    }

    /// Ends the watch on them.
    pub fn remove(&self, spool: &Spool) {
        for folder in spool.changing_folders() {
            self.pulses.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
            if let Some(kernel) = self.kernel.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                // A folder that is gone is no longer watched anyway.
                let _ = kernel.unwatch(folder);
            }
        }
    }
}

fn pulse(trigger: &Trigger) {
    trigger.send_modify(|_| {});
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}
