//! What the host's kernel reports about processes, time and locks. Linux has all of it; elsewhere the missing parts are
//! reported as missing (`None`, an empty list), and the callers fall back to polling and to the process group.

mod cgroup;
pub mod folder_events;
mod foreign;
mod lock;
mod no_links;
mod proc;
mod user;

use std::time::Duration;

pub use cgroup::{Group, Groups, Means};
pub use foreign::{ForeignScan, ForeignStata, Standins};
pub use lock::{FileLock, is_locked};
pub use no_links::{open_below, open_without_links};
pub use proc::{
    Process, alive, boot_id, can_be_first_for_memory, cpu_ms, descendants, first_for_memory, marked, memory_bytes,
    memory_of, oom_kills, own_cpu_ms, peak_rss, process, send, start_ticks, written_bytes, zombies_of,
};
pub use user::{user, user_of_system};

/// The variable that marks every process of a run, so that a later supervisor finds them again.
pub const MARK: &str = "LONGHAUL_RUN_ID";

/// The host's monotonic clock, the same in all its processes, which is why a record of this boot may hold it.
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// [`monotonic`] in whole milliseconds.
pub fn monotonic_ms() -> u64 {
    u64::try_from(monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// The host's own name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
