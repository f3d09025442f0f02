//! The process that is supervised: one we spawned, or one that a predecessor did.

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

/// What there is to wait for.
pub(super) enum Target {
    /// Nothing was started.
    Never {
        /// Why, when it was tried.
        error: Option<String>,
    },
    /// It was started before, and is gone: how it ended is not known.
    Gone {
        /// What its supervisor wrote about it, if it came to that.
        started: Option<Started>,
    },
    /// It lives, as far as we know.
    Lives(Live),
}

/// A living process.
pub(super) struct Live {
    pub(super) started: Started,
    /// Our child, so that its exit status will be ours to read.
    pub(super) child: bool,
    /// Readable when it has ended; `None` where the kernel has no such thing.
    #[cfg(target_os = "linux")]
    pub(super) pidfd: Option<rustix::fd::OwnedFd>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Not yet.
    No,
    /// It left with a status.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It is gone, and its status with it.
    Unknown,
}

/// Starts Stata: in the spool, in a group of its own, with the plan's environment and nothing else.
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
        .current_dir(spool.path())
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
    if let Err(error) = spool.write(&spool.started(), &started) {
        // Stata runs; without this record only the run's mark finds it again, so going on is still right.
        eprintln!("supervise: started.json could not be written: {error}");
    }
    // Stata need not wait for it either.
    spool.keep_reserve();
    Ok(Live::new(started, true))
}

/// Takes over from a supervisor that died. The lock is ours, so no child of its is still on the way to its `exec`:
/// whatever it started carries the run's mark by now.
pub(super) fn adopt(spool: &Spool, plan: &Plan) -> Target {
    let started = spool.read::<Started>(&spool.started()).ok().flatten();
    if let Some(started) = started {
        let same = started.boot_id == os::boot_id() && os::alive(started.pid, started.start_ticks);
        return if same { Target::Lives(Live::new(started, false)) } else { Target::Gone { started: Some(started) } };
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
    if let Err(error) = spool.write(&spool.started(), &started) {
        eprintln!("supervise: attempt {}: started.json could not be written: {error}", plan.attempt);
    }
    Target::Lives(Live::new(started, false))
}

impl Live {
    fn new(started: Started, child: bool) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            pidfd: Pid::from_raw(started.pid)
                .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok())
                // Between the look and the open the pid may have gone to another process.
                .filter(|_| child || os::alive(started.pid, started.start_ticks)),
            started,
            child,
        }
    }

    /// Whether it has ended. Our own child stays a zombie, so that its pid and group stay ours until [`Live::reap`].
    pub(super) fn ended(&self) -> Ended {
        if !self.child {
            let lives = os::alive(self.started.pid, self.started.start_ticks);
            return if lives { Ended::No } else { Ended::Unknown };
        }
        let Some(pid) = Pid::from_raw(self.started.pid) else { return Ended::Unknown };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(pid), options) {
            Ok(None) => Ended::No,
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ended::Code(code),
                (_, Some(signal)) => Ended::Signal(signal),
                _ => Ended::Unknown,
            },
            Err(rustix::io::Errno::INTR) => Ended::No,
            Err(_) => Ended::Unknown,
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

    /// Lets the kernel forget our child.
    pub(super) fn reap(&self) {
        if let Some(pid) = Pid::from_raw(self.started.pid).filter(|_| self.child) {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        }
    }
}

/// Lets the kernel forget orphans that came to us, but not Stata itself.
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
