//! After Stata's end, every process that it left is ended: engine processes, shells, Python, whatever its code started.
//! The ended ones are named, because the user may have meant them to go on.

use std::time::Duration;

use rustix::{
    event::poll,
    process::{Pid, Signal, WaitOptions},
};

use super::limits::Limits;
use crate::{
    os::{self, Process},
    spool::Spool,
};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// A process still there after this is stuck in the kernel; the record names it and the run ends all the same.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Between two searches.
const PAUSE: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// How the processes that Stata left are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// This process is the subreaper above all of them.
    Descendants,
    /// By the run's mark in their environment.
    Marked,
}

/// Ends all processes that Stata left; those in its group too, which may be none of the others.
pub(super) fn sweep(spool: &Spool, leftovers: Leftovers, limits: &Limits) -> Vec<String> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let mark = format!("{}={}", os::MARK, spool.run());
    let find = || {
        let mut found = match leftovers {
            Leftovers::Descendants => os::descendants(me),
            Leftovers::Marked => os::marked(&mark, me),
        };
        let left = limits.left().into_iter().filter(|p| !found.iter().any(|known| known.pid == p.pid));
        found.extend(left.collect::<Vec<_>>());
        found
    };
    let start = os::monotonic();
    let mut known: Vec<Process> = vec![];
    loop {
        let now = find();
        let waited = os::monotonic().saturating_sub(start);
        if now.is_empty() || waited >= GIVE_UP {
            break;
        }
        for process in now {
            let new = !known.iter().any(|k| (k.pid, k.start_ticks) == (process.pid, process.start_ticks));
            if waited >= GRACE {
                os::send(&process, Signal::KILL);
            } else if new {
                os::send(&process, Signal::TERM);
            }
            if new {
                known.push(process);
            }
        }
        let _ = poll(&mut [], Some(&PAUSE));
        for zombie in os::zombies_of(me).into_iter().filter_map(Pid::from_raw) {
            if known.iter().any(|k| k.pid == zombie.as_raw_nonzero().get()) {
                let _ = rustix::process::waitpid(Some(zombie), WaitOptions::NOHANG);
            }
        }
    }
    known.into_iter().take(50).map(|p| format!("{} (pid {})", p.name, p.pid)).collect()
}
