//! One kernel watch for all runs of the agent: who changes a file in a spool wakes that run's readers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

/// Fires when something in a run's spool changed; how often does not matter. Closed means only that nothing fires it
/// any more: its holder polls then, and never takes it for a change.
pub type Pulse = watch::Receiver<()>;
/// What fires it. Its run's owner holds it for as long as there is the run, so that an attempt after another one reaches
/// the readers of both.
pub type Trigger = watch::Sender<()>;

type Pulses = Arc<Mutex<HashMap<PathBuf, Trigger>>>;

/// The watch. Cheap to clone.
#[derive(Clone)]
pub struct Watcher {
    pulses: Pulses,
    kernel: Arc<Mutex<Option<RecommendedWatcher>>>,
}

impl Watcher {
    /// A watch; where the kernel offers none, the poll alone does the work.
    pub fn new() -> Self {
        let pulses = Pulses::default();
        let seen = Arc::clone(&pulses);
        if longhaul_proto::tasks::simulated() {
            // The kernel's word comes when it likes.
            return Self { pulses, kernel: Arc::default() };
        }
        let kernel = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            // Opening and reading is what we do ourselves.
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

    /// Watches a folder, from now on or again: when it was not there, or was not watched any more.
    pub fn add(&self, folder: &Path, trigger: &Trigger) {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), trigger.clone());
        if let Some(kernel) = self.kernel.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            && let Err(error) = kernel.watch(folder, RecursiveMode::NonRecursive)
        {
            tracing::debug!(%error, folder = %folder.display(), "no kernel watch on this folder");
        }
    }

    /// Ends it.
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
