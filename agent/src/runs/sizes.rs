//! The sizes of the spools, at a cost that does not grow with the number of ended runs: an ended run is measured once,
//! a live one a bounded number of names at each step.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{faults, ids::RunId, tasks::blocking, wire};

use super::{Runs, registry::Standing};
use crate::spool::{Meter, SpoolRoot, Taken};

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(20);
/// Names examined in one step, of all spools together: some tens of milliseconds.
const NAMES: u32 = 20_000;
/// Most spools that are reported to the gateway.
const REPORTED: usize = 64;
/// Names of one live run examined in one step.
const LIVE: u32 = 2_000;

/// What is known of each spool.
#[derive(Debug, Default)]
pub(crate) struct Sizes(Mutex<HashMap<RunId, Size>>);

#[derive(Debug)]
enum Size {
    /// The run lives.
    Live(Meter),
    /// The run has ended, and the round that started after that is not complete.
    Ended(Meter),
    /// The final size, and the attempt after whose end it was taken: one that was only revoked may be followed by another.
    Known(Taken, u32),
}

/// A run to be measured.
#[derive(Debug)]
struct ToMeasure {
    run: RunId,
    ended: bool,
    attempt: u32,
}

/// The size of one ended run's spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndedSpool {
    /// The run.
    run: RunId,
    /// All of its spool.
    taken: Taken,
}

impl Sizes {
    /// The spool changed although its run has ended: it is measured again.
    pub(super) fn changed(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    /// Bytes of all spools; `None` = not all have been measured yet.
    pub(crate) fn sum(&self) -> Option<u64> {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.values().try_fold(0_u64, |sum, size| match size {
            Size::Known(taken, _) => Some(sum.saturating_add(taken.sum())),
            Size::Live(meter) | Size::Ended(meter) => meter.is_whole().then(|| sum.saturating_add(meter.taken().sum())),
        })
    }

    /// The largest spools of ended runs, largest first.
    fn largest(&self, most: usize) -> Vec<EndedSpool> {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<EndedSpool> = sizes
            .iter()
            .filter_map(|(run, size)| match size {
                Size::Known(taken, _) => Some(EndedSpool { run: *run, taken: *taken }),
                _ => None,
            })
            .collect();
        drop(sizes);
        all.sort_by_key(|ended| (std::cmp::Reverse(ended.taken.sum()), ended.run));
        all.truncate(most);
        all
    }

    /// Measures all runs on. Returns the number of names examined.
    fn step(&self, root: &SpoolRoot, runs: &[ToMeasure]) -> u32 {
        {
            let there: HashSet<RunId> = runs.iter().map(|run| run.run).collect();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|run, _| there.contains(run));
        }
        let mut left = NAMES;
        for ToMeasure { run, ended, attempt } in runs {
            let run = *run;
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
            let mut meter = match known {
                Some(Size::Known(taken, of))
                    if *ended && of == *attempt && !faults::bug("ended_spools_measured_again") =>
                {
                    self.put(run, Size::Known(taken, of));
                    continue;
                }
                Some(Size::Live(meter)) if !*ended => meter,
                Some(Size::Ended(meter)) if *ended => meter,
                // It has ended since, or was started again: the size found before that does not count.
                _ => Meter::new(&root.path().join(run.to_string())),
            };
            let most = if *ended { left } else { left.min(LIVE) };
            let rest = if most == 0 { None } else { meter.step(most) };
            left -= most - rest.unwrap_or(0);
            let size = match (ended, rest) {
                (true, Some(_)) => Size::Known(meter.taken(), *attempt),
                (true, None) => Size::Ended(meter),
                (false, _) => Size::Live(meter),
            };
            self.put(run, size);
        }
        NAMES - left
    }

    fn put(&self, run: RunId, size: Size) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, size);
    }
}

impl Runs {
    /// The largest spools of runs that have ended, for the gateway.
    pub(crate) fn largest_spools(&self) -> Vec<wire::SpoolSize> {
        let size = |ended: EndedSpool| {
            self.context.registry.standing(ended.run).filter(|standing| standing.over).map(|_| wire::SpoolSize {
                run_id: ended.run.to_string(),
                bytes: ended.taken.sum(),
                work_bytes: ended.taken.work,
            })
        };
        self.sizes().largest(REPORTED).into_iter().filter_map(size).collect()
    }

    /// Measures the spools from time to time.
    pub(crate) async fn measure(self) {
        // Until then no sum would be one of all.
        self.taken_up.cancelled().await;
        loop {
            let to_measure = |(run, Standing { over, attempt })| ToMeasure { run, ended: over, attempt };
            let mut runs: Vec<ToMeasure> = self.context.registry.standings().into_iter().map(to_measure).collect();
            runs.sort_by_key(|run| run.run);
            let context = std::sync::Arc::clone(&self.context);
            let stepped = blocking(move || context.sizes.step(&context.root, &runs)).await;
            // At a start there are many ended ones: they are measured one step after another, with pauses.
            let more = stepped.is_ok_and(|names| names >= NAMES);
            tokio::time::sleep(if more { EVERY / 20 } else { EVERY }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;

    use super::*;
    use crate::spool::SpoolRoot;

    /// Two runs, the first of which has ended, looked at twice: the names of the second look, and what is known then.
    fn twice() -> (u32, u64, Vec<EndedSpool>) {
        let folder = tempfile::tempdir().unwrap();
        let root = SpoolRoot::open(folder.path().join("runs")).unwrap();
        let spools = [root.of(Ids::system().run()), root.of(Ids::system().run())];
        for (n, spool) in spools.iter().enumerate() {
            std::fs::create_dir_all(spool.work()).unwrap();
            for file in 0..10 {
                std::fs::write(spool.work().join(file.to_string()), vec![1_u8; 10_000 * (n + 1)]).unwrap();
            }
        }
        let runs = || -> Vec<ToMeasure> {
            spools
                .iter()
                .enumerate()
                .map(|(n, spool)| ToMeasure { run: spool.run(), ended: n == 0, attempt: 1 })
                .collect()
        };
        let sizes = Sizes::default();
        sizes.step(&root, &runs());
        (sizes.step(&root, &runs()), sizes.sum().unwrap(), sizes.largest(5))
    }

    #[test]
    fn an_ended_run_is_measured_once() {
        let (names, sum, largest) = twice();
        assert_eq!(names, 10 + 2 + 3, "the live one's files, the folders around them, and the end of each");
        assert!((300_000..500_000).contains(&sum), "{sum}");
        assert!(largest.len() == 1 && largest[0].taken.work >= 100_000, "{largest:?}");
    }

    /// Revoked and measured; then another attempt came, printed and ended between two steps.
    #[test]
    fn a_later_attempt_is_measured_anew() {
        let folder = tempfile::tempdir().unwrap();
        let root = SpoolRoot::open(folder.path().join("runs")).unwrap();
        let spool = root.of(Ids::system().run());
        std::fs::create_dir_all(spool.work()).unwrap();
        let sizes = Sizes::default();
        let measured = |attempt| {
            sizes.step(&root, &[ToMeasure { run: spool.run(), ended: true, attempt }]);
            sizes.sum().unwrap()
        };
        let before = measured(1);
        std::fs::write(spool.work().join("file"), vec![1_u8; 100_000]).unwrap();
        assert_eq!(measured(1), before, "the same attempt ended for good");
        assert!(measured(2) >= before + 100_000);
    }

    #[cfg(feature = "faults")]
    #[test]
    fn measured_again_it_would_be_seen() {
        let _bug = faults::enter("bug=ended_spools_measured_again");
        assert_eq!(twice().0, 2 * (10 + 2 + 3));
    }

    #[test]
    fn what_is_not_measured_yet_has_no_sum() {
        let folder = tempfile::tempdir().unwrap();
        let root = SpoolRoot::open(folder.path().join("runs")).unwrap();
        let spool = root.of(Ids::system().run());
        std::fs::create_dir_all(spool.work()).unwrap();
        let names = LIVE + 10;
        for file in 0..names {
            std::fs::write(spool.work().join(file.to_string()), "").unwrap();
        }
        let sizes = Sizes::default();
        let runs = [ToMeasure { run: spool.run(), ended: false, attempt: 1 }];
        assert_eq!((sizes.step(&root, &runs), sizes.sum()), (LIVE, None), "a live one costs no more than this");
        sizes.step(&root, &runs);
        assert!(sizes.sum().is_some());
        assert_eq!(
            sizes.step(&root, &[ToMeasure { run: spool.run(), ended: true, attempt: 1 }]),
            names + 5,
            "and once more when it has ended"
        );
        sizes.step(&root, &[]);
        assert_eq!(sizes.sum(), Some(0), "what is gone counts nothing");
    }
}
