//! One kernel watch for all runs of the agent: a change to a file in a spool wakes that run's readers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

/// Fires when something in a run's spool changed; how often does not matter. Closed means that it will not fire any
/// more: its holder then polls, and never takes it for a change.
pub type Changes = watch::Receiver<()>;
/// The sender of a [`Changes`]. The run's task holds it for as long as the run exists, so that a later attempt reaches
/// the readers of both.
pub type Trigger = watch::Sender<()>;

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
            for folder in event.paths.iter().filter_map(|p| p.parent()) {
                if let Some(pulse) = pulses.get(folder) {
                    pulse.send_replace(());
                }
            }
        });
        if let Err(error) = &kernel {
            tracing::warn!(%error, "the kernel reports no changes of files; looking every 250 ms instead");
        }
        Self { pulses, kernel: Arc::new(Mutex::new(kernel.ok())) }
    }

    /// Watches a folder, from now on or again: when it did not exist, or its watch had ended.
    pub fn add(&self, folder: &Path, trigger: &Trigger) {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), trigger.clone());
        if let Some(kernel) = self.kernel.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            && let Err(error) = kernel.watch(folder, RecursiveMode::NonRecursive)
        {
            tracing::debug!(%error, folder = %folder.display(), "no kernel watch on this folder");
        }
    }

    /// Ends the watch on a folder.
    pub fn remove(&self, folder: &Path) {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
        if let Some(kernel) = self.kernel.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // A folder that is gone is no longer watched anyway.
            let _ = kernel.unwatch(folder);
        }
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}
