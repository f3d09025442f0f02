//! The exit record: what happened, with length and digest of the output.

use std::io;

use longhaul_proto::clock::Clock;

use crate::spool::{Exit, FileFacts, Plan, Prefix, Spool, facts_from, file_facts, free_space};

/// Time between two tries to write the record on a full file system.
const AGAIN: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
/// Tries before the supervisor gives up and the agent has to write it.
const TRIES: u32 = 600;

/// Below this many free bytes a file system counts as full.
const FULL: u64 = 1 << 20;

/// Removes the temporary files and writes `exit.json`, retrying until it succeeds or cannot. `log` is what is known of
/// its digest.
pub(super) fn record(spool: &Spool, plan: &Plan, clock: &Clock, mut exit: Exit, log: Prefix) -> io::Result<()> {
    exit.ended_at_ms = clock.unix_ms();
    // Checked before the temporary files are removed: they may be what filled it.
    exit.disk_full = free_space(spool.path()).is_ok_and(|space| space.free < FULL);
    match std::fs::remove_dir_all(spool.tmp()) {
        // Not durable: after a crash of the host they go with the spool.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => eprintln!("supervise: temporary files stay: {error}"),
    }
    let note = exit.log.note.take();
    exit.log = FileFacts { note, ..facts_from(&spool.log(), plan.output_limit, log)? };
    exit.console = file_facts(&spool.console(), plan.output_limit)?;
    spool.release_reserve();
    let mut tries = 0;
    while let Err(error) = spool.write_exit(&exit) {
        tries += 1;
        // A folder that is gone was removed on purpose; no process waits for its record.
        if tries >= TRIES || error.kind() == io::ErrorKind::NotFound {
            return Err(error);
        }
        let _ = rustix::event::poll(&mut [], Some(&AGAIN));
    }
    Ok(())
}
