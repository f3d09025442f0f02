//! What a supervisor leaves in the spool about boots and processes.

use std::{fs, io};

use longhaul_proto::{durable, ids::RunId};

use super::Usage;
use crate::{
    os,
    spool::{Spool, Started},
};

/// What lies ready in a spool for [`mark_spawning`].
pub fn ready_mark() -> Vec<u8> {
    os::boot_id().into_bytes()
}

/// Marks, durably, that Stata is about to be spawned.
///
/// # Errors
/// Any failure of the file system; the mark may then be there or not.
pub fn mark_spawning(spool: &Spool) -> io::Result<()> {
    let boot = os::boot_id();
    // Made durable with the request; it is of an earlier boot when the host went down in between.
    if fs::read(spool.ready()).is_ok_and(|ready| ready == boot.as_bytes()) {
        durable::rename(&spool.ready(), &spool.spawning())?;
        return durable::sync_folder(spool.control_folder());
    }
    durable::replace(&spool.spawning(), boot.as_bytes())
}

/// Whether a run's Stata lives: the recorded process, or else any that carries the run's mark.
pub(super) fn process_lives(run: RunId, started: Option<&Started>) -> bool {
    match started {
        Some(started) => started.boot_id == os::boot_id() && os::alive(started.pid, started.start_ticks),
        None => !os::marked(&format!("{}={run}", os::MARK), 0).is_empty(),
    }
}

/// What the recorded process and its descendants use; `None` = it is gone, or was not recorded.
pub(super) fn usage(spool: &Spool) -> Option<Usage> {
    let started = spool.read::<Started>(&spool.started()).ok().flatten()?;
    let cpu_ms = os::cpu_ms(started.pid, started.start_ticks)?;
    (started.boot_id == os::boot_id()).then_some(Usage { cpu_ms })
}
