//! The supervised process: one that this supervisor spawned, or one that its predecessor did.

use std::{
    fs::OpenOptions,
    io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    process::{Command, Stdio},
};

use longhaul_proto::{clock::Clock, durable::FILE_MODE, faults};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::{
    os,
    spool::{Plan, Spool, Started},
};

/// The process to wait for.
pub(super) enum Target {
    /// Nothing was started.
    Never {
        /// Why, when a start was tried.
        error: Option<String>,
    },
    /// It was started by a predecessor, and is gone: how it ended is not known.
    Gone {
        /// Its supervisor's record of it, if one was written.
        started: Option<Started>,
    },
    /// It lives, as far as is known.
    Lives(Live),
}

/// A living process.
pub(super) struct Live {
    pub(super) started: Started,
    /// It is this process's child, so its exit status can be read.
    pub(super) child: bool,
    /// Readable when it has ended; `None` where the kernel has no pidfd.
    #[cfg(target_os = "linux")]
    pub(super) pidfd: Option<rustix::fd::OwnedFd>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessEnd {
    /// Not yet.
    No,
    /// It exited with a status.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It is gone, and its status with it.
    Unknown,
}

/// Starts Stata: in the spool, in a group of its own, with only the plan's environment.
pub(super) fn spawn(spool: &Spool, plan: &Plan, clock: &Clock) -> Target {
    match try_spawn(spool, plan, clock) {
        Ok(live) => Target::Lives(live),
        Err(error) => {
            Target::Never { error: Some(format!("{} could not be started: {error}", plan.program.display())) }
        }
    }
}

fn try_spawn(spool: &Spool, plan: &Plan, clock: &Clock) -> io::Result<Live> {
    let console = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(spool.console())?;
    let oom_kills = os::oom_kills();
    let mut command = Command::new(&plan.program);
    if let Some(arg0) = &plan.arg0 {
        command.arg0(arg0);
    }
    command
        .args(&plan.argv)
        .env_clear()
        .envs(&plan.env)
        .env(os::MARK, spool.run().to_string())
        .current_dir(spool.run_folder())
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .process_group(0);
    let child = command.spawn()?;
    faults::point("supervisor.after_spawn");
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let started = Started {
        pid,
        pgid: pid,
        boot_id: os::boot_id(),
        start_ticks: os::start_ticks(pid),
        at_ms: clock.unix_ms(),
        mono_ms: os::monotonic_ms(),
        oom_kills,
    };
    if let Err(error) = spool.write_unsynced_whole(&spool.started(), &started) {
        // Stata runs; without this record only the run's mark finds it again, so going on is still right.
        eprintln!("supervise: started.json could not be written: {error}");
    }
    // Stata does not need to wait for this either.
    spool.keep_reserve();
    Ok(Live::child(started))
}

/// What a supervisor that died has started. This process holds the lock, so no child of the predecessor is still on the
/// way to its `exec`: every process it started carries the run's mark by now.
pub(super) fn find_started(spool: &Spool, plan: &Plan) -> Target {
    let started = spool.read::<Started>(&spool.started()).ok().flatten();
    if let Some(started) = started {
        let same = started.boot_id == os::boot_id() && os::alive(started.pid, started.start_ticks);
        return if same { Target::Lives(Live::found(started)) } else { Target::Gone { started: Some(started) } };
    }
    let mark = format!("{}={}", os::MARK, spool.run());
    let leader = os::marked(&mark, 0).into_iter().filter(|p| p.pid == p.group).min_by_key(|p| p.start_ticks);
    let Some(leader) = leader else { return Target::Gone { started: None } };
    let started = Started {
        pid: leader.pid,
        pgid: leader.pid,
        boot_id: os::boot_id(),
        start_ticks: leader.start_ticks,
        at_ms: Clock::system().unix_ms(),
        mono_ms: os::monotonic_ms(),
        oom_kills: None,
    };
    if let Err(error) = spool.write_unsynced_whole(&spool.started(), &started) {
        eprintln!("supervise: attempt {}: started.json could not be written: {error}", plan.attempt);
    }
    Target::Lives(Live::found(started))
}

impl Live {
    /// A process that this one spawned.
    fn child(started: Started) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            pidfd: pidfd(started.pid),
            started,
            child: true,
        }
    }

    /// A process that a predecessor spawned.
    fn found(started: Started) -> Self {
        Self {
            // Between the check and the open the pid may have gone to another process.
            #[cfg(target_os = "linux")]
            pidfd: pidfd(started.pid).filter(|_| os::alive(started.pid, started.start_ticks)),
            started,
            child: false,
        }
    }

    /// Whether it has ended. A child stays a zombie, so that its pid and group are not reused until [`Live::reap`].
    pub(super) fn ended(&self) -> ProcessEnd {
        if !self.child {
            let lives = os::alive(self.started.pid, self.started.start_ticks);
            return if lives { ProcessEnd::No } else { ProcessEnd::Unknown };
        }
        let Some(pid) = Pid::from_raw(self.started.pid) else { return ProcessEnd::Unknown };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(pid), options) {
            Ok(None) => ProcessEnd::No,
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => ProcessEnd::Code(code),
                (_, Some(signal)) => ProcessEnd::Signal(signal),
                _ => ProcessEnd::Unknown,
            },
            Err(rustix::io::Errno::INTR) => ProcessEnd::No,
            Err(_) => ProcessEnd::Unknown,
        }
    }

    /// Sends a signal to the whole group, while the pid is still this process's.
    pub(super) fn signal_group(&self, signal: Signal) {
        let ours = self.child || os::alive(self.started.pid, self.started.start_ticks);
        if let Some(group) = Pid::from_raw(self.started.pgid).filter(|_| ours) {
            // ESRCH: all of it is gone already.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    /// Reaps the child.
    pub(super) fn reap(&self) {
        if let Some(pid) = Pid::from_raw(self.started.pid).filter(|_| self.child) {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        }
    }
}

#[cfg(target_os = "linux")]
fn pidfd(pid: i32) -> Option<rustix::fd::OwnedFd> {
    rustix::process::pidfd_open(Pid::from_raw(pid)?, rustix::process::PidfdFlags::empty()).ok()
}

/// Reaps orphans that became children of this process, but not Stata itself.
pub(super) fn reap_orphans(stata: i32) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(rustix::process::waitid(WaitId::All, options), Ok(Some(_))) {
        return;
    }
    let me = rustix::process::getpid().as_raw_nonzero().get();
    for pid in os::zombies_of(me).into_iter().filter(|pid| *pid != stata).filter_map(Pid::from_raw) {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    }
}
