//! The lock of a user on a host, which a run holds whose code installs packages: two that install into one folder at a time
//! leave halves of packages.
//!
//! It is taken before Stata is started, and waited for without a limit; meanwhile `waiting.json` says who has it, and a
//! request to end the run ends the wait. Stata gets a copy of the descriptor, so the lock is held for as long as Stata or
//! a process below it lives, also when the supervisor dies; the supervisor frees it for all copies when they have ended.

use std::{fs, io, time::Duration};

use longhaul_proto::{durable, faults};
use serde::{Deserialize, Serialize};

use super::watch::Control;
use crate::{
    os::FileLock,
    spool::{CancelRecord, Installs, Plan, Spool, Waiting},
};

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);

/// Whether Stata may be started.
pub(super) enum Turn {
    /// Now.
    Now {
        /// Held while Stata runs.
        lock: Option<FileLock>,
        /// Why there is none though it is wanted, in words.
        unlocked: Option<String>,
    },
    /// Not at all: the run's end was requested.
    Withdrawn(CancelRecord),
}

/// Who holds the lock; in its file.
#[derive(Serialize, Deserialize)]
struct Holder {
    /// The agent's name.
    host: String,
    /// The run, in short.
    run: String,
}

/// Waits until Stata may be started.
pub(super) fn turn(spool: &Spool, plan: &Plan) -> io::Result<Turn> {
    let withdrawn = || spool.read::<CancelRecord>(&spool.cancel());
    if let Some(request) = withdrawn()? {
        return Ok(Turn::Withdrawn(request));
    }
    let Some(installs) = plan.installs.as_ref().filter(|_| !faults::bug("installs_unlocked")) else {
        return Ok(Turn::Now { lock: None, unlocked: None });
    };
    let control = Control::open(spool);
    let mut told = None;
    loop {
        match take(spool, installs) {
            Ok(Some(lock)) => {
                let _ = fs::remove_file(spool.waiting());
                return Ok(Turn::Now { lock: Some(lock), unlocked: None });
            }
            Ok(None) => {}
            Err(error) => {
                let lock = installs.lock.display();
                let unlocked = Some(format!(
                    "its code installs packages, and the lock that keeps other runs from that meanwhile could not be taken \
                     ({lock}: {error}); nothing was waited for"
                ));
                return Ok(Turn::Now { lock: None, unlocked });
            }
        }
        let now = Some(Waiting { reason: reason(installs) });
        if now != told {
            // Without it the run waits all the same, and does not say why.
            let _ = spool.write_unsynced_whole(&spool.waiting(), &now);
            told = now;
        }
        control.wait(AGAIN);
        if let Some(request) = withdrawn().ok().flatten() {
            return Ok(Turn::Withdrawn(request));
        }
    }
}

/// Takes the lock if it is free, notes who has it, and lets Stata inherit it.
fn take(spool: &Spool, installs: &Installs) -> io::Result<Option<FileLock>> {
    if let Some(folder) = installs.lock.parent() {
        durable::create_folder(folder)?;
    }
    let Some(lock) = FileLock::try_take(&installs.lock)? else { return Ok(None) };
    if !faults::bug("install_lock_not_inherited") {
        lock.pass_on()?;
    }
    let holder = Holder { host: installs.host.clone(), run: spool.run().short() };
    // For people; the lock holds without it.
    let _ = lock.note(&serde_json::to_vec(&holder)?);
    Ok(Some(lock))
}

fn reason(installs: &Installs) -> String {
    let holder = fs::read(&installs.lock).ok().and_then(|bytes| serde_json::from_slice::<Holder>(&bytes).ok());
    match holder {
        Some(Holder { host, run }) => format!("another run on {host} installs packages (run {run})"),
        None => format!("another run of this user on {} installs packages", installs.host),
    }
}
