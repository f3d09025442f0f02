//! What each heartbeat says of processes of Stata that no Longhaul started.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{clock::Clock, tasks, wire};

use crate::os::{Standins, foreign};

/// Between two looks at the host's processes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Most users that are told of.
const MOST: usize = 64;

/// Looks at the host's processes from time to time.
#[derive(Debug)]
pub(crate) struct ForeignWatch {
    clock: Clock,
    standins: Standins,
    /// Each takes a seat of the agent's pool.
    pub(super) counts: bool,
    last: Mutex<Option<(Duration, Vec<wire::ForeignStata>)>>,
}

impl ForeignWatch {
    pub(crate) fn new(clock: Clock, standins: Standins, counts: bool) -> Self {
        Self { clock, standins, counts, last: Mutex::default() }
    }

    /// What was found lately.
    pub(super) async fn now(&self) -> Vec<wire::ForeignStata> {
        let now = self.clock.monotonic();
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, found)) = known
            && now.saturating_sub(at) < LOOK_EVERY
        {
            return found;
        }
        let standins = self.standins;
        let found = tasks::blocking(move || foreign(standins)).await.unwrap_or_default();
        let told = |of: crate::os::ForeignStata| wire::ForeignStata {
            user: of.user,
            processes: of.processes,
            since_ms: of.since_ms,
        };
        let found: Vec<_> = found.into_iter().take(MOST).map(told).collect();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, found.clone()));
        found
    }
}
