//! After Stata's end, every process that it left is ended: engine processes, shells, Python, whatever its code started.
//! The ended ones are named, because the user may have meant them to go on.

use std::time::Duration;

use rustix::{
    event::poll,
    process::{Pid, Signal, WaitOptions},
};

use crate::{
    os::{self, Process},
    spool::Spool,
};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// A process still there after this is stuck in the kernel; the record names it and the run ends all the same.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Ends all processes that Stata left. With `parent` this process is the subreaper above all of them; else the run's
/// mark in the environment identifies them.
pub(super) fn sweep(spool: &Spool, parent: bool) -> Vec<String> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let mark = format!("{}={}", os::MARK, spool.run());
    let left = || if parent { os::descendants(me) } else { os::marked(&mark, me) };
    let start = os::monotonic();
    let mut known: Vec<Process> = vec![];
    loop {
        let now = left();
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
        let _ = poll(&mut [], Some(&LOOK));
        for zombie in os::zombies_of(me).into_iter().filter_map(Pid::from_raw) {
            if known.iter().any(|k| k.pid == zombie.as_raw_nonzero().get()) {
                let _ = rustix::process::waitpid(Some(zombie), WaitOptions::NOHANG);
            }
        }
    }
    known.into_iter().take(50).map(|p| format!("{} (pid {})", p.name, p.pid)).collect()
}
