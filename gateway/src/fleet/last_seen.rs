//! When each agent was last seen, and what its latest heartbeat said.
//!
//! What each heartbeat of an agent changes. It is shared by the scheduler, which alone writes it, and by all that is
//! published, so that a heartbeat copies no table.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::wire;
use tokio::sync::Notify;

/// When an agent was last seen, and what it reported of its disk.
#[derive(Debug, Default)]
pub(crate) struct LastSeen {
    /// By the monotonic clock, ns.
    at_ns: AtomicU64,
    /// Unix ms.
    seen_ms: AtomicI64,
    /// Free on the disk of its spools, bytes.
    free_bytes: AtomicU64,
    spools: Mutex<Spools>,
    /// Processes of Stata on its host that no Longhaul started.
    foreign: Mutex<Arc<[wire::ForeignStata]>>,
    /// Fires at each heartbeat.
    beat: Notify,
}

/// What an agent's spools take.
#[derive(Clone, Debug, Default)]
pub(super) struct Spools {
    /// Bytes in use; 0 = not known.
    pub(super) bytes: u64,
    /// Bytes that they may take; 0 = no limit.
    pub(super) limit: u64,
    /// The largest of its ended runs' spools, largest first.
    pub(super) largest: Arc<[wire::SpoolSize]>,
}

impl Spools {
    /// Bytes by which they exceed their limit.
    pub(super) fn excess(&self) -> u64 {
        if self.limit == 0 { 0 } else { self.bytes.saturating_sub(self.limit) }
    }
}

impl LastSeen {
    /// Seen at this time by the monotonic clock, and at this one by the wall clock, Unix ms.
    pub(super) fn new(now: Duration, seen_ms: i64) -> Arc<Self> {
        let last_seen = Self::default();
        last_seen.note(now, seen_ms);
        Arc::new(last_seen)
    }

    /// It is seen now.
    pub(super) fn note(&self, now: Duration, seen_ms: i64) {
        self.at_ns.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.seen_ms.store(seen_ms, Ordering::Relaxed);
    }

    /// Notes what a heartbeat reports of the disk.
    pub(super) fn note_disk(&self, free_bytes: u64, spools: Spools) {
        self.note_free(free_bytes);
        *self.spools.lock().unwrap_or_else(PoisonError::into_inner) = spools;
    }

    /// Notes the processes of Stata on its host that no Longhaul started.
    pub(super) fn note_foreign(&self, foreign: Vec<wire::ForeignStata>) {
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = foreign.into();
    }

    /// The processes of Stata on its host that no Longhaul started, by user.
    pub(super) fn foreign(&self) -> Arc<[wire::ForeignStata]> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is free on its disk, bytes.
    pub(super) fn note_free(&self, free_bytes: u64) {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
    }

    /// Wakes those that wait for its next heartbeat.
    pub(super) fn wake(&self) {
        self.beat.notify_waiters();
    }

    /// Returns at its next heartbeat.
    pub(super) async fn next(&self) {
        self.beat.notified().await;
    }

    /// For how long it has not been seen.
    pub(super) fn silent(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_nanos(self.at_ns.load(Ordering::Relaxed)))
    }

    /// When it was last seen, Unix ms.
    pub(super) fn seen_ms(&self) -> i64 {
        self.seen_ms.load(Ordering::Relaxed)
    }

    /// Free on its disk, bytes.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// What its spools take.
    pub(super) fn spools(&self) -> Spools {
        self.spools.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
