//! How a run's process ended, and what it took.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LimitsView;
use crate::{wire, words};

/// A run that had this share of its host's memory came close to its end.
const FULL: f64 = 0.85;
/// Of a run that used no more than this share of its host's cores ...
const IDLE: f64 = 0.25;
/// ... of so many at least ...
const MANY: u32 = 4;
/// ... for so many seconds it is said.
const LONG: f64 = 60.0;

/// How Stata's process ended, and what it took. What is not known is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ProcessView {
    /// Its exit status; batch Stata exits with 0 also after an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The most memory that it had at once, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rss_bytes: Option<u64>,
    /// Processor time that it and its children took, seconds; absent also where it is less than the kernel counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// What they wrote to disks, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// Cores that it could use: those of its host, or fewer where Stata was told so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Memory of its host, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What it was allowed to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsView>,
}

impl ProcessView {
    /// What an agent recorded of the process; `None` = nothing.
    pub fn of(outcome: &wire::Outcome) -> Option<Self> {
        let max_rss_bytes = (outcome.max_rss_bytes > 0).then_some(outcome.max_rss_bytes);
        let cpu = (outcome.cpu_ms > 0).then(|| Duration::from_millis(outcome.cpu_ms).as_secs_f64());
        let process = Self {
            exit_code: outcome.exit_code,
            signal: outcome.signal,
            max_rss_bytes,
            cpu,
            written_bytes: outcome.written_bytes,
            cores: None,
            memory_bytes: None,
            limits: None,
        };
        let host = Self {
            cores: Some(outcome.cores).filter(|cores| *cores > 0),
            memory_bytes: Some(outcome.memory_bytes).filter(|bytes| *bytes > 0),
            limits: outcome.limits.as_ref().map(LimitsView::of),
            ..process
        };
        (process != Self::default()).then_some(host)
    }
}

impl ProcessView {
    /// How many cores it used on average in so many seconds.
    pub fn cores_used(&self, duration: f64) -> Option<f64> {
        self.cpu.filter(|_| duration >= 1.0).map(|cpu| cpu / duration)
    }

    /// What to do otherwise next time, in a line; `None` where there is nothing to say. `duration` = seconds.
    pub fn hint(&self, duration: f64) -> Option<String> {
        if let (Some(most), Some(all)) = (self.max_rss_bytes, self.memory_bytes)
            && most as f64 >= all as f64 * FULL
        {
            let (most, all) = (words::bytes(most), words::bytes(all));
            return Some(format!("peak memory {most} of {all}: with more data it may be ended for want of memory"));
        }
        let (used, cores) = (self.cores_used(duration)?, self.cores?);
        (duration >= LONG && cores >= MANY && used <= f64::from(cores) * IDLE).then(|| {
            format!("used {used:.1} of {cores} cores on average: others could run beside it (seats, host_limit)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_given_where_there_is_something_to_say() {
        let check = |cpu: f64, cores: u32, rss_gib: u64, duration: f64, want: Option<&str>| {
            let process = ProcessView {
                cpu: Some(cpu),
                cores: Some(cores),
                max_rss_bytes: Some(rss_gib << 30),
                memory_bytes: Some(16 << 30),
                ..ProcessView::default()
            };
            assert_eq!(process.hint(duration).as_deref(), want, "{process:?}");
        };
        let cores = "used 1.0 of 8 cores on average: others could run beside it (seats, host_limit)";
        let memory = "peak memory 14.0 GiB of 16.0 GiB: with more data it may be ended for want of memory";
        check(600.0, 8, 1, 600.0, Some(cores));
        check(600.0, 8, 14, 600.0, Some(memory));
        check(2_400.0, 8, 1, 600.0, None);
        check(600.0, 2, 1, 600.0, None);
        check(5.0, 8, 1, 5.0, None);
        assert_eq!(ProcessView::default().hint(600.0), None);
    }
}
