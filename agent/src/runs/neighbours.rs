//! Runs that run in the same folder at the same time: a file there may be either's, which both say.
//!
//! Known are the runs of this agent, from when their tasks first look at them.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use longhaul_proto::ids::RunId;

use super::run_task::RunTask;

/// The runs that go on, by where they run. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours(Arc<Mutex<HashMap<RunId, Row>>>);

#[derive(Debug)]
struct Row {
    folder: PathBuf,
    others: BTreeSet<RunId>,
}

/// One run among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Neighbour {
    all: Neighbours,
    run: RunId,
}

impl Neighbours {
    fn rows(&self) -> MutexGuard<'_, HashMap<RunId, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run goes on in this folder: those that run there, above or below it become its neighbours, and it theirs.
    pub(super) fn enter(&self, run: RunId, folder: &Path) -> Neighbour {
        let mut rows = self.rows();
        let mut others = BTreeSet::new();
        for (other, row) in rows.iter_mut().filter(|(other, _)| **other != run) {
            if row.folder.starts_with(folder) || folder.starts_with(&row.folder) {
                row.others.insert(run);
                others.insert(*other);
            }
        }
        rows.insert(run, Row { folder: folder.to_owned(), others });
        drop(rows);
        Neighbour { all: self.clone(), run }
    }
}

impl Neighbour {
    /// The runs that ran beside it, in the order of their ids.
    pub(super) fn others(&self) -> Vec<RunId> {
        self.all.rows().get(&self.run).map(|row| row.others.iter().copied().collect()).unwrap_or_default()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.all.rows().remove(&self.run);
    }
}

impl RunTask {
    /// Joins the runs that run in the same folder of a user's. No other run is in a run's own.
    pub(super) fn meet_neighbours(&mut self) {
        if self.neighbour.is_some() {
            return;
        }
        let folder = PathBuf::from(&self.status.borrow().facts.working_dir);
        if folder.is_absolute() && !folder.starts_with(self.spool.path()) {
            self.neighbour = Some(self.context.neighbours.enter(self.spool.run(), &folder));
        }
    }

    /// The runs that ran in its folder meanwhile.
    pub(super) fn neighbours(&mut self) -> Vec<RunId> {
        self.meet_neighbours();
        self.neighbour.as_ref().map(Neighbour::others).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_know_of_each_other_and_of_no_third() {
        let ids: Vec<RunId> =
            (1..=4).map(|n| format!("019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c2{n}").parse().unwrap()).collect();
        let all = Neighbours::default();
        let first = all.enter(ids[0], Path::new("/p"));
        let elsewhere = all.enter(ids[1], Path::new("/pq"));
        let second = all.enter(ids[2], Path::new("/p/sub"));
        drop(second);
        let third = all.enter(ids[3], Path::new("/p"));
        assert_eq!(first.others(), [ids[2], ids[3]], "also one that has ended meanwhile");
        assert_eq!(third.others(), [ids[0]]);
        assert_eq!(elsewhere.others(), []);
        drop((first, third, elsewhere));
        assert!(all.rows().is_empty());
    }
}
