//! How many bytes all mirrors take: a running sum. One walk over the files gives what was there at the start, without
//! haste; from then on the sum follows what is written and removed, and no file is looked at again. A crash costs
//! nothing: the next start walks again.
//!
//! A run counts by its entry while its mirror is open, and in `closed` otherwise. The walk leaves out runs with an
//! entry, and entries come and go without a change to `closed` as long as the walk has not passed their run.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use longhaul_proto::ids::RunId;

use super::Mirror;

/// What the mirrors take, and which are open.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<RunId, Entry>,
    /// Bytes of the runs that the walk has passed and that have no entry.
    closed: u64,
    walk: Walk,
    /// Runs whose mirrors are being removed: the walk leaves them out.
    leaving: HashSet<RunId>,
}

/// A mirror that is open, or was a moment ago.
#[derive(Debug)]
struct Entry {
    mirror: Weak<Mirror>,
    /// What it takes: its files add to it.
    bytes: Arc<AtomicU64>,
}

/// How far the walk has come.
#[derive(Debug, Default)]
enum Walk {
    /// Nowhere.
    #[default]
    Ahead,
    /// In this folder of runs; these of its runs are still to come. Folders come in the order of their names.
    In { folder: String, left: HashSet<String> },
    /// All is counted.
    Over,
}

impl Walk {
    fn has_passed(&self, run: RunId) -> bool {
        let of = super::folder_of(run);
        match self {
            Self::Ahead => false,
            Self::In { folder, left } => of < *folder || (of == *folder && !left.contains(&run.to_string())),
            Self::Over => true,
        }
    }
}

impl State {
    /// Forgets mirrors that nobody has open any more.
    fn tidy(&mut self) {
        let Self { open, closed, walk, .. } = self;
        open.retain(|run, entry| {
            let stays = entry.mirror.strong_count() > 0;
            if !stays && walk.has_passed(*run) {
                *closed = closed.saturating_add(entry.bytes.load(Ordering::Relaxed));
            }
            stays
        });
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mirror of a run, if it is open.
    pub(super) fn find(&self, run: RunId) -> Option<Arc<Mirror>> {
        self.state().open.get(&run).and_then(|entry| entry.mirror.upgrade())
    }

    /// Enters a mirror that was just opened, unless another caller was faster: there must be one length and one digest.
    pub(super) fn enter(&self, run: RunId, mirror: Arc<Mirror>) -> Arc<Mirror> {
        let mut state = self.state();
        if let Some(first) = state.open.get(&run).and_then(|entry| entry.mirror.upgrade()) {
            return first;
        }
        let bytes = mirror.bytes.clone();
        let entry = Entry { mirror: Arc::downgrade(&mirror), bytes: bytes.clone() };
        if state.open.insert(run, entry).is_none() && state.walk.has_passed(run) {
            state.closed = state.closed.saturating_sub(bytes.load(Ordering::Relaxed));
        }
        state.tidy();
        mirror
    }

    /// A mirror is about to be removed: nobody finds it any more, and the walk does not count it.
    pub(super) fn leave(&self, run: RunId) -> Leaving {
        let mut state = self.state();
        let counted = state.open.remove(&run).is_none() && state.walk.has_passed(run);
        state.leaving.insert(run);
        if counted { Leaving::Counted } else { Leaving::Uncounted }
    }

    /// Its removal is over: of the bytes that were counted of it, these are still there.
    pub(super) fn left(&self, run: RunId, counted: u64, still: u64) {
        let mut state = self.state();
        state.leaving.remove(&run);
        let still = if state.walk.has_passed(run) { still } else { 0 };
        state.closed = state.closed.saturating_sub(counted).saturating_add(still);
    }

    /// The sum, once the walk is over.
    pub(super) fn sum(&self) -> u64 {
        let mut state = self.state();
        state.tidy();
        let open = state.open.values().map(|entry| entry.bytes.load(Ordering::Relaxed));
        open.fold(state.closed, u64::saturating_add)
    }

    /// The walk begins.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        (state.closed, state.walk) = (0, Walk::Ahead);
    }

    /// The walk enters a folder of runs; returns their names.
    pub(super) fn walk_into(&self, folder: &Path) -> Vec<String> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut state = self.state();
        // Under the lock: a run that comes into the folder later counts as passed.
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        state.walk = Walk::In { folder: name, left: names.iter().cloned().collect() };
        names
    }

    /// The walk counts a run of the folder that it is in.
    pub(super) fn walk_past(&self, folder: &Path, name: &str) {
        let mut state = self.state();
        let counts_itself = |run: RunId| state.open.contains_key(&run) || state.leaving.contains(&run);
        if !name.parse().is_ok_and(counts_itself) {
            state.closed = state.closed.saturating_add(super::bytes_below(&folder.join(name)));
        }
        if let Walk::In { left, .. } = &mut state.walk {
            left.remove(name);
        }
    }

    /// The walk is over.
    pub(super) fn over(&self) {
        self.state().walk = Walk::Over;
    }
}

/// Whether the bytes of a mirror that is removed are in the sum of the closed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// They are.
    Counted,
    /// They are not.
    Uncounted,
}
