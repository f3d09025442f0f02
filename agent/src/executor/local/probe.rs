//! What lock and markers say of a job.
//!
//! ```text
//! the lock is held                                         alive
//! the record of the end can be read                        gone: recorded
//! nothing was about to be spawned                          gone: never began
//! it was, in another boot of the host                      gone: the host was restarted
//! it was, in this boot, and a process of the run lives     alive, and orphaned
//! it was, in this boot, and none does                      gone: unrecorded
//! ```
//!
//! A proof holds the run's lock, so no supervisor that is still on its way can begin meanwhile.

use std::io;

use super::{NAME, markers::process_lives};
use crate::{
    executor::{Grounds, Job, JobHandle, Probe, Proof, Supervision},
    os,
    spool::{Exit, Started, is_damaged},
};

/// What is known of a job now. Blocks for as long as a few small files take.
pub fn probe(job: &Job, handle: Option<&JobHandle>) -> Probe {
    if let Some(handle) = handle.filter(|handle| handle.executor() != NAME) {
        let other = handle.executor();
        return Probe::Unknown(format!("it was handed to the executor {other:?}, and this agent has {NAME:?}"));
    }
    look(job).unwrap_or_else(|error| Probe::Unknown(error.to_string()))
}

fn look(Job { spool, .. }: &Job) -> io::Result<Probe> {
    if os::is_locked(&spool.lock())? {
        return Ok(Probe::Alive(Supervision::Attended));
    }
    let Some(lock) = os::FileLock::try_take(&spool.lock())? else { return Ok(Probe::Alive(Supervision::Attended)) };
    let gone = |grounds, words: &str| Ok(Probe::Gone(Proof::new(grounds, words, lock)));
    match spool.read::<Exit>(&spool.exit()) {
        Ok(Some(_)) => return gone(Grounds::Recorded, "its end is recorded"),
        // One that cannot be read says nothing.
        Err(error) if !is_damaged(&error) => return Err(error),
        Ok(None) | Err(_) => {}
    }
    match std::fs::read_to_string(spool.spawning()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let words = "the supervisor ended twice before it started Stata; nothing was run. Its words are in \
                         supervisor.log in the run's spool";
            return gone(Grounds::NeverBegan, words);
        }
        Err(error) => return Err(error),
        Ok(boot) if boot != os::boot_id() => {
            return gone(Grounds::HostRestarted, "the host was restarted while it ran");
        }
        Ok(_) => {}
    }
    let started = spool.read_or_name::<Started>(&spool.started(), &mut vec![])?;
    if process_lives(spool.run(), started.as_ref()) {
        return Ok(Probe::Alive(Supervision::Orphaned));
    }
    gone(Grounds::Unrecorded, "its supervisor is gone, and Stata too")
}
