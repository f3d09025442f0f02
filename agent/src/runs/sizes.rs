//! What the spools take, at a cost that does not grow with what has ended: an ended run is measured once, a live one a
//! bounded number of names at each look.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{faults, ids::RunId, tasks::blocking};

use super::{Handle, Runs};
use crate::spool::{Meter, Taken};

/// How often.
pub(super) const EVERY: Duration = Duration::from_secs(20);
/// Names looked at in one look, of all spools together: some tens of milliseconds.
const NAMES: u32 = 20_000;
/// Names of one live run in one look.
const LIVE: u32 = 2_000;

/// What is known of each spool.
#[derive(Debug, Default)]
pub(crate) struct Sizes(Mutex<HashMap<RunId, Size>>);

#[derive(Debug)]
enum Size {
    /// It lives.
    Live(Meter),
    /// It has ended, and the round that began after that is not over.
    Ended(Meter),
    /// All of it.
    Known(Taken),
}

/// What one ended run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The run.
    pub(crate) run: RunId,
    /// All of it.
    pub(crate) taken: Taken,
}

impl Sizes {
    /// The spool changed although its run has ended: it is measured anew.
    pub(super) fn changed(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    /// Bytes of all; `None` = not all have been measured yet.
    pub(crate) fn sum(&self) -> Option<u64> {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.values().try_fold(0_u64, |sum, size| match size {
            Size::Known(taken) => Some(sum.saturating_add(taken.sum())),
            Size::Live(meter) | Size::Ended(meter) => meter.is_whole().then(|| sum.saturating_add(meter.taken().sum())),
        })
    }

    /// The largest of the ended, largest first.
    pub(crate) fn largest(&self, most: usize) -> Vec<Ended> {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Ended> = sizes
            .iter()
            .filter_map(|(run, size)| match size {
                Size::Known(taken) => Some(Ended { run: *run, taken: *taken }),
                _ => None,
            })
            .collect();
        drop(sizes);
        all.sort_by_key(|ended| (std::cmp::Reverse(ended.taken.sum()), ended.run));
        all.truncate(most);
        all
    }

    /// One look. `runs` are all there are, each with whether it has ended. Returns the names that were looked at.
    fn look(&self, runs: &[(Handle, bool)]) -> u32 {
        {
            let there: std::collections::HashSet<RunId> = runs.iter().map(|(handle, _)| handle.spool.run()).collect();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|run, _| there.contains(run));
        }
        let mut left = NAMES;
        for (handle, ended) in runs {
            let run = handle.spool.run();
            let take = || self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
            let mut meter = match take() {
                Some(Size::Known(taken)) if *ended && !faults::bug("ended_spools_measured_again") => {
                    self.put(run, Size::Known(taken));
                    continue;
                }
                Some(Size::Live(meter)) if !*ended => meter,
                Some(Size::Ended(meter)) if *ended => meter,
                // It has ended since, or was begun again: what was found before that is not what it takes.
                _ => Meter::new(handle.spool.path()),
            };
            let most = if *ended { left } else { left.min(LIVE) };
            let rest = if most == 0 { None } else { meter.step(most) };
            left -= most - rest.unwrap_or(0);
            let size = match (ended, rest) {
                (true, Some(_)) => Size::Known(meter.taken()),
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
    /// Measures from time to time what the spools take.
    pub(crate) async fn measure(self) {
        loop {
            let runs: Vec<(Handle, bool)> = self
                .all()
                .into_iter()
                .map(|handle| {
                    let status = handle.status.borrow();
                    let ended = status.outcome.is_some() || status.revoked || !status.trouble.is_empty();
                    drop(status);
                    (handle, ended)
                })
                .collect();
            let context = std::sync::Arc::clone(&self.context);
            let looked = blocking(move || context.sizes.look(&runs)).await;
            // Many that have ended are there at a start: soon gone through, and with pauses.
            let more = looked.is_ok_and(|names| names >= NAMES);
            tokio::time::sleep(if more { EVERY / 20 } else { EVERY }).await;
        }
    }
}
