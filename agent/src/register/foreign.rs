//! What each heartbeat says of processes of Stata that no Longhaul started.
//!
//! The host's processes are looked at each [`SOONEST`], and each time that nothing has changed the next look is later, up to
//! [`LATEST`]. What a look costs is told where it is made (`os/foreign.rs`).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{clock::Clock, tasks, wire};

use crate::os::{ForeignScan, ForeignStata, Standins};

/// Between two looks at the host's processes after one that found something new, and at most.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(20);
/// Most users that are told of.
const MOST: usize = 64;

/// Looks at the host's processes from time to time.
#[derive(Debug)]
pub(crate) struct ForeignWatch {
    clock: Clock,
    /// Each takes a seat of the agent's pool.
    pub(super) counts: bool,
    scan: Arc<Mutex<ForeignScan>>,
    last: Mutex<Option<Look>>,
}

/// The last look.
#[derive(Clone, Debug)]
struct Look {
    at: Duration,
    /// Until the next.
    wait: Duration,
    found: Vec<wire::ForeignStata>,
}

impl ForeignWatch {
    pub(crate) fn new(clock: Clock, standins: Standins, counts: bool) -> Self {
        Self { clock, counts, scan: Arc::new(Mutex::new(ForeignScan::new(standins))), last: Mutex::default() }
    }

    /// What was found lately.
    pub(super) async fn now(&self) -> Vec<wire::ForeignStata> {
        let now = self.clock.monotonic();
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(look) = &known
            && now.saturating_sub(look.at) < look.wait
        {
            return look.found.clone();
        }
        let scan = self.scan.clone();
        let look = move || scan.lock().unwrap_or_else(PoisonError::into_inner).look();
        let found = tasks::blocking(look).await.unwrap_or_default();
        let told =
            |of: ForeignStata| wire::ForeignStata { user: of.user, processes: of.processes, since_ms: of.since_ms };
        let found: Vec<_> = found.into_iter().take(MOST).map(told).collect();
        let wait = match &known {
            Some(before) if before.found == found => (before.wait * 2).min(LATEST),
            _ => SOONEST,
        };
        let look = Look { at: now, wait, found: found.clone() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
        found
    }
}
