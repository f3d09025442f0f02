//! The numbers of `/metrics`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use longhaul_proto::state::RunState;

/// Upper bounds of the latency buckets, seconds; the last bucket has none.
pub const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0, 60.0];

/// All numbers of one gateway.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Certificates issued to agents, renewals among them.
    pub certificates_issued: AtomicU64,
    ends: [AtomicU64; RunState::ALL.len()],
    /// Runs recorded.
    pub submitted: AtomicU64,
    /// Submissions that were answered with an earlier run.
    pub joined: AtomicU64,
    /// Submissions refused.
    pub refused: AtomicU64,
    /// Of those, because a limit on waiting or unfinished runs was reached.
    pub over_limit: AtomicU64,
    /// Bytes of output that are kept, as measured at the last sweep.
    pub kept_bytes: AtomicU64,
    /// Ended runs removed because the kept output took too much room.
    pub removed_for_room: AtomicU64,
    /// Sweeps that came to their end.
    pub sweeps: AtomicU64,
    /// 1 while nothing is removed by its age because the clock is in doubt.
    pub sweep_paused: AtomicU64,
    /// Runs that are queued now.
    pub queued: AtomicU64,
    /// Leases held now.
    pub seats: AtomicU64,
    /// Agents that are up now.
    pub agents_up: AtomicU64,
    /// Hosts that are drained now.
    pub hosts_draining: AtomicU64,
    /// Bytes appended to mirrors.
    pub mirror_bytes: AtomicU64,
    /// Mirrors that were fetched again because their digest differed.
    pub mirror_refetched: AtomicU64,
    /// Attempts that were returned to the queue with the proof that they never started.
    pub returned: AtomicU64,
    /// Attempts that died and were followed by another.
    pub retried: AtomicU64,
    /// Tasks of runs that panicked or returned early; each run was taken up again.
    pub tasks_panicked: AtomicU64,
    /// From the durable record of a run to the agent's first answer, if there was no queueing between.
    pub dispatch: Histogram,
    /// From the start of a wait to the grant of its lease: each attempt's own wait.
    pub queue_wait: Histogram,
}

impl Metrics {
    /// Counts a run that ended in this state.
    pub fn ended(&self, state: RunState) {
        if let Some(at) = RunState::ALL.iter().position(|s| *s == state) {
            self.ends[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many runs ended in each state since this process started.
    pub fn ends(&self) -> impl Iterator<Item = (RunState, u64)> + '_ {
        RunState::ALL.iter().zip(&self.ends).filter(|(s, _)| s.is_end()).map(|(s, n)| (*s, n.load(Ordering::Relaxed)))
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Durations by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Records one duration.
    pub fn record(&self, took: Duration) {
        let at = BUCKETS.iter().position(|b| took.as_secs_f64() <= *b).unwrap_or(BUCKETS.len());
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts per bucket (not cumulative; one more than [`BUCKETS`]) and the sum in seconds.
    pub fn read(&self) -> ([u64; BUCKETS.len() + 1], f64) {
        let mut counts = [0; BUCKETS.len() + 1];
        for (out, n) in counts.iter_mut().zip(&self.buckets) {
            *out = n.load(Ordering::Relaxed);
        }
        (counts, self.sum_us.load(Ordering::Relaxed) as f64 / 1e6)
    }
}
