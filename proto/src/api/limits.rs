//! What one run may use of its host, and what keeps it to that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{wire, words};

/// What one run may use of its host. What has no limit is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct LimitsView {
    /// Memory of all that it starts together, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its processes, each with its threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Their processor time, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// From its first output, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
    /// Its folder in the spool, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool_bytes: Option<u64>,
    /// It has a control group of its own: nothing that it starts outlives it.
    pub group: bool,
    /// The kernel keeps the limit on memory; else its supervisor looks several times a second.
    pub memory_by_kernel: bool,
    /// Likewise on processes.
    pub processes_by_kernel: bool,
    /// It is ended before its agent and its supervisor where the host's memory runs out.
    pub first_for_memory: bool,
    /// No process of its user may read the memory of agent and supervisor.
    pub not_dumpable: bool,
}

impl LimitsView {
    /// What an agent told.
    pub fn of(limits: &wire::RunLimits) -> Self {
        let some = |n: u64| (n > 0).then_some(n);
        let seconds = |ms: u64| some(ms).map(|ms| Duration::from_millis(ms).as_secs_f64());
        Self {
            memory_bytes: some(limits.memory_bytes),
            processes: some(limits.processes),
            cpu: seconds(limits.cpu_ms),
            time: seconds(limits.time_ms),
            spool_bytes: some(limits.spool_bytes),
            group: limits.group,
            memory_by_kernel: limits.memory_by_kernel,
            processes_by_kernel: limits.processes_by_kernel,
            first_for_memory: limits.first_for_memory,
            not_dumpable: limits.not_dumpable,
        }
    }

    /// In a line: `4.0 GiB of memory (by the kernel), 8.0 GiB of spool; in a control group of its own`.
    pub fn words(&self) -> String {
        let by = |kernel: bool| if kernel { " (by the kernel)" } else { "" };
        let (memory, processes) = (by(self.memory_by_kernel), by(self.processes_by_kernel));
        let limits: Vec<String> = [
            self.memory_bytes.map(|n| format!("{} of memory{memory}", words::bytes(n))),
            self.processes.map(|n| format!("{n} processes{processes}")),
            self.cpu.map(|s| format!("{} of processor time", words::duration(s))),
            self.time.map(|s| format!("{} in all", words::duration(s))),
            self.spool_bytes.map(|n| format!("{} of spool", words::bytes(n))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let limits = if limits.is_empty() { "no limit".to_owned() } else { limits.join(", ") };
        let group = if self.group { "in a control group of its own" } else { "without a control group of its own" };
        let mut text = format!("{limits}; {group}");
        if !self.first_for_memory {
            text.push_str(", not ended before its agent where memory runs out");
        }
        if !self.not_dumpable {
            text.push_str(", and its user can read its agent's memory");
        }
        text
    }

    /// What to do where less holds than could; `None` = nothing.
    pub fn advice(&self) -> Option<&'static str> {
        let weak = !self.group
            || (self.memory_bytes.is_some() && !self.memory_by_kernel)
            || (self.processes.is_some() && !self.processes_by_kernel);
        weak.then_some(
            "what is not kept by the kernel is looked at by each run's supervisor; the agent's systemd unit \
             (`Delegate=yes`, and `DelegateSubgroup=agent` of systemd 254) gives each run a control group",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_holds() {
        let all = LimitsView::of(&wire::RunLimits {
            memory_bytes: 4 << 30,
            processes: 512,
            cpu_ms: 90_000,
            time_ms: 3_600_000,
            spool_bytes: 8 << 30,
            group: true,
            memory_by_kernel: true,
            processes_by_kernel: true,
            first_for_memory: true,
            not_dumpable: true,
        });
        assert_eq!(
            all.words(),
            "4.0 GiB of memory (by the kernel), 512 processes (by the kernel), 1 min 30 s of processor time, 1 h 00 min in \
             all, 8.0 GiB of spool; in a control group of its own"
        );
        assert_eq!(all.advice(), None);
        let none = LimitsView::default();
        assert_eq!(
            none.words(),
            "no limit; without a control group of its own, not ended before its agent where memory runs out, and its \
             user can read its agent's memory"
        );
        assert!(none.advice().is_some() && LimitsView { memory_by_kernel: false, ..all }.advice().is_some());
    }
}
