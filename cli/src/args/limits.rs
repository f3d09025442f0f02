//! The command line of what one run may use of its host.

use clap::Args;

use crate::config::{Bytes, Settings, Time};

/// What one run may use of its host before it is ended; 0 = no limit.
#[derive(Debug, Default, Args)]
pub(crate) struct LimitArgs {
    /// What one run's files in the spool may take before it is ended, such as 8GiB; 0 = no limit [default: 8GiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_run_spool: Option<Bytes>,
    /// Memory that one run may have, with all that it starts, such as 16GiB [default: no limit].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_run_memory: Option<Bytes>,
    /// Processes that one run may have, threads counted [default: no limit].
    #[arg(long, value_name = "N")]
    pub(crate) max_run_processes: Option<u32>,
    /// Processor time that one run may take, with all that it starts, such as 8h [default: no limit].
    #[arg(long, value_name = "TIME")]
    pub(crate) max_run_cpu: Option<Time>,
    /// How long one run may run, from its first output, such as 3d [default: no limit].
    #[arg(long, value_name = "TIME")]
    pub(crate) max_run_time: Option<Time>,
}

impl LimitArgs {
    pub(super) fn put(&self, settings: &mut Settings) {
        settings.max_run_spool = self.max_run_spool;
        settings.max_run_memory = self.max_run_memory;
        settings.max_run_processes = self.max_run_processes;
        settings.max_run_cpu = self.max_run_cpu;
        settings.max_run_time = self.max_run_time;
    }
}
