//! The memory of a process that holds secrets (tokens, keys, the join secret), closed to the other processes of its user.
//!
//! A do-file runs as the agent's user, who may otherwise attach to the agent, or read its memory in `/proc`. After
//! [`set`] only root may; the process leaves no core file, and what it starts is as open as ever.

use std::io;

#[cfg(target_os = "linux")]
use crate::faults;

/// Closes this process's memory. For good: nothing opens it again.
///
/// # Errors
/// The system's.
pub fn set() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if !faults::bug("memory_open_to_runs") {
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

/// Whether it is closed.
pub fn holds() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::process::dumpable_behavior().is_ok_and(|now| now == rustix::process::DumpableBehavior::NotDumpable);
    #[cfg(not(target_os = "linux"))]
    return false;
}
