//! What one run may use of its host, and what keeps it to that.

use longhaul_proto::{not_dumpable, wire};
use serde::{Deserialize, Serialize};

use crate::os::Means;

/// What one run may use, as the agent's owner says; 0 = no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunLimits {
    /// Memory of all that the run starts together, bytes.
    pub memory: u64,
    /// Its processes, each with its threads.
    pub processes: u64,
    /// Their processor time, milliseconds.
    pub cpu_ms: u64,
    /// From the first log byte, milliseconds; a request may ask for less.
    pub time_ms: u64,
}

/// The limits of a run, and what kept it to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsRecord {
    /// The limits.
    #[serde(flatten)]
    pub limits: RunLimits,
    /// What its spool may take, bytes; 0 = no limit.
    pub spool: u64,
    /// It had a control group of its own.
    pub group: bool,
    /// The kernel kept the limit on memory; without that its supervisor looked.
    pub memory_by_kernel: bool,
    /// Likewise on processes.
    pub processes_by_kernel: bool,
    /// It is the first to be ended where the host's memory runs out.
    pub first_for_memory: bool,
    /// No process of its user may read the memory of its agent and its supervisor.
    pub not_dumpable: bool,
}

impl LimitsRecord {
    /// By what the kernel does here.
    pub fn new(limits: RunLimits, spool: u64, means: Means) -> Self {
        Self {
            limits,
            spool,
            group: means.group,
            memory_by_kernel: means.memory,
            processes_by_kernel: means.processes,
            first_for_memory: means.first_for_memory,
            not_dumpable: not_dumpable::holds(),
        }
    }

    /// As it goes over the wire.
    pub fn to_wire(self) -> wire::RunLimits {
        wire::RunLimits {
            memory_bytes: self.limits.memory,
            processes: self.limits.processes,
            cpu_ms: self.limits.cpu_ms,
            time_ms: self.limits.time_ms,
            spool_bytes: self.spool,
            group: self.group,
            memory_by_kernel: self.memory_by_kernel,
            processes_by_kernel: self.processes_by_kernel,
            first_for_memory: self.first_for_memory,
            not_dumpable: self.not_dumpable,
        }
    }
}
