//! The limit on the size of one run's spool: log, console, temporary files and work together. Beyond it the run is
//! ended, so that one run cannot fill the host's disk.
//!
//! Log and console are measured at every check, since they grow fastest; the rest is measured a few hundred names a
//! second, so that a run with a million files costs no more than one with ten.

use std::{os::unix::fs::MetadataExt, time::Duration};

use longhaul_proto::{faults, words::bytes};

use crate::spool::{Meter, Spool};

/// Between two steps.
const EVERY: Duration = Duration::from_secs(1);
/// Names examined in one step: a millisecond or two.
const NAMES: u32 = 512;

/// Measures one spool against its limit.
pub(super) struct SpoolLimit {
    limit: u64,
    meter: Meter,
    next: Duration,
}

impl SpoolLimit {
    /// A spool's limit, bytes; 0 = none.
    pub(super) fn new(spool: &Spool, limit: u64) -> Self {
        Self { limit, meter: Meter::new(spool.path()), next: Duration::ZERO }
    }

    /// What is wrong at `now` (the host's monotonic clock), in words; `None` = the spool is within its limit.
    pub(super) fn over(&mut self, spool: &Spool, now: Duration) -> Option<String> {
        let parts = self.measure(spool, now)?;
        let sum: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        (sum > self.limit).then(|| excess(sum, self.limit, parts))
    }

    /// Whether the spool exceeds its limit by more than a quarter although the run is being ended.
    pub(super) fn far_over(&mut self, spool: &Spool, now: Duration) -> bool {
        let most = self.limit.saturating_add(self.limit / 4);
        self.measure(spool, now).is_some_and(|parts| parts.iter().map(|(_, bytes)| bytes).sum::<u64>() > most)
    }

    fn measure(&mut self, spool: &Spool, now: Duration) -> Option<[(&'static str, u64); 4]> {
        if self.limit == 0 || faults::bug("run_spool_not_measured") {
            return None;
        }
        if now >= self.next {
            self.next = now + EVERY;
            self.meter.step(NAMES);
        }
        let taken = self.meter.taken();
        let file = |path| std::fs::metadata(path).map_or(0, |m| m.blocks().saturating_mul(512));
        Some([
            ("log", file(spool.log())),
            ("console", file(spool.console())),
            ("temporary files", taken.tmp),
            ("work", taken.work),
        ])
    }
}

fn excess(sum: u64, limit: u64, mut parts: [(&'static str, u64); 4]) -> String {
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let large: Vec<String> = parts
        .iter()
        .filter(|(_, size)| *size > sum / 20)
        .map(|(name, size)| format!("{name} {}", bytes(*size)))
        .collect();
    format!(
        "the run's files on its host took {} and may take {} (max_run_spool): {}; it was ended, and its output up to \
         then is kept",
        bytes(sum),
        bytes(limit),
        large.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_part_is_named_first() {
        let text =
            excess(9 << 30, 8 << 30, [("log", 1 << 30), ("console", 0), ("temporary files", 8 << 30), ("work", 9)]);
        assert_eq!(
            text,
            "the run's files on its host took 9.0 GiB and may take 8.0 GiB (max_run_spool): temporary files 8.0 GiB, \
             log 1.0 GiB; it was ended, and its output up to then is kept"
        );
    }
}
