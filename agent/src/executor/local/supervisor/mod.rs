//! The supervisor: the small process that owns one Stata and outlives the agent.
//!
//! It is started as `<program> supervise SPOOL`, or ahead of its run as `<program> supervise --ready`, before any async
//! runtime, in a session of its own, and does one thing:
//!
//! 1. takes the spool's lock (held = alive); a second supervisor of the same run exits at once;
//! 2. where its code installs packages, waits for the lock that such runs hold (`installs`);
//!    writes `spawning`, then spawns Stata in a process group of its own, then writes `started.json`;
//! 3. waits for Stata's end, a cancel request, or a limit, and writes `ending.json` before the first signal it sends;
//!    what gathers results after the user's code has a limit of its own;
//!    what a run may use of its host (`limits`) is kept meanwhile, by the kernel where it can;
//! 4. ends all processes that Stata left behind, and names them; all that is in the run's control group, where it has one;
//! 5. writes the exit record with length and digest of the output.
//!
//! When it finds `spawning` already there, its predecessor died: Stata is never started twice, so it goes on with the process
//! if it still lives, waits for its end as a parent would (without learning the exit status), and writes the record.
//!
//! It judges nothing and uses no network. A signal from the terminal or a service manager does not end it.

mod exit;
mod gathering;
mod grace;
mod installs;
mod kept_log;
mod limits;
mod spool_limit;
mod sweep;
mod target;
mod watch;

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, BufRead},
    os::unix::{ffi::OsStringExt, fs::OpenOptionsExt},
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use longhaul_proto::{clock::Clock, descriptors, durable::FILE_MODE, faults, not_dumpable, state::Cause};

use super::mark_spawning;
use crate::{
    os::{FileLock, Group},
    spool::{Ending, Exit, FORMAT, OLDEST_FORMAT, Plan, Prefix, Spool},
};
use installs::Turn;
use limits::Limits;

/// Exit status of a supervisor that found another one at work.
pub const ALREADY_SUPERVISED: u8 = 3;

/// The argument instead of a folder: it comes as a line at the standard input.
pub(super) const READY: &str = "--ready";

/// `supervise SPOOL`, or `supervise --ready`: `args` are the arguments after `supervise`.
pub fn main(mut args: Vec<OsString>) -> ExitCode {
    let mut group = None;
    if args == [READY] {
        match await_run(&mut group) {
            Ok(Some(folder)) => args = vec![folder],
            // The agent has no run for it any more.
            Ok(None) => {
                limits::abandon(group);
                return ExitCode::SUCCESS;
            }
            Err(_) => {
                limits::abandon(group);
                return ExitCode::FAILURE;
            }
        }
    }
    let [folder] = args.as_slice() else {
        eprintln!("supervise: one argument is needed, the folder of a run; agents start this by themselves");
        return ExitCode::from(2);
    };
    let Some(spool) = Spool::at(Path::new(folder)) else {
        eprintln!("supervise: `{}` is not the folder of a run", folder.to_string_lossy());
        return ExitCode::from(2);
    };
    // A run gets the limit that was there before its agent raised it.
    descriptors::lower(std::env::var(descriptors::VARIABLE).ok().as_deref());
    match supervise(&spool, group) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(ALREADY_SUPERVISED),
        Err(error) => {
            eprintln!("supervise: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for the folder of a run, ready to begin at once; `None` = the input ended. From then on what it says goes to
/// the run's own log of the supervisor.
fn await_run(group: &mut Option<Group>) -> io::Result<Option<OsString>> {
    detach()?;
    *group = limits::enter();
    let mut line = Vec::new();
    io::BufReader::with_capacity(LONGEST_PATH, io::stdin()).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    let folder = OsString::from_vec(line);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    if let Some(spool) = Spool::at(Path::new(&folder)) {
        let log = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(spool.supervisor_log())?;
        rustix::stdio::dup2_stderr(log)?;
        // Its arguments do not name the run; this does, for people who look at the process.
        std::env::set_current_dir(spool.path())?;
    }
    Ok(Some(folder))
}

/// Longest path that a system call takes, bytes (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Supervises the run in `spool` to its end. `group` = the one that this process is in for it. `Ok(false)`: another
/// supervisor does.
fn supervise(spool: &Spool, mut group: Option<Group>) -> io::Result<bool> {
    detach()?;
    let lock = FileLock::try_take(&spool.lock())?;
    if lock.is_none() || spool.exit().exists() {
        limits::abandon(group);
        return Ok(lock.is_some());
    }
    let clock = Clock::system();
    let plan: Plan =
        spool.read(&spool.plan())?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the run has no plan"))?;
    if !(OLDEST_FORMAT..=FORMAT).contains(&plan.format) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the spool was written by another version"));
    }
    let mut exit = Exit { attempt: plan.attempt, by: "supervisor".into(), ..Exit::default() };

    let (mut held, mut limits) = (None, None);
    let target = if spool.spawning().exists() {
        exit.by = "second supervisor".into();
        limits::abandon(group.take());
        group = limits::noted(spool);
        target::find_started(spool, &plan)
    } else {
        match installs::turn(spool, &plan)? {
            Turn::Withdrawn(request) => {
                // Nothing was started, and nothing will be.
                limits::abandon(group.take());
                let (cause, at_ms) = (Cause::CancelRequested, clock.unix_ms());
                spool.write(&spool.ending(), &Ending { cause, by: request.by, at_ms, words: String::new() })?;
                target::Target::Never { error: None }
            }
            Turn::Now { lock, unlocked } => {
                (held, exit.unlocked) = (lock, unlocked);
                group = group.or_else(limits::enter);
                limits::note(spool, group.as_ref());
                faults::point("supervisor.before_spawning");
                mark_spawning(spool)?;
                faults::point("supervisor.after_spawning");
                limits = Some(Limits::new(&plan, group.take()));
                target::spawn(spool, &plan, &clock)
            }
        }
    };
    let limits = limits.unwrap_or_else(|| Limits::new(&plan, group));
    // Opened after the spawn, which need not wait for it: the first look after this reads a request that came earlier.
    let control = watch::Control::open(spool);
    let log = watch::until_end(spool, &plan, &clock, control, (target, limits), &mut exit).unwrap_or_else(|error| {
        // The end is recorded in any case; the error goes to the supervisor's own log.
        eprintln!("supervise: {error}");
        Prefix::default()
    });
    // Stata and all that it started have ended.
    drop(held);
    faults::point("supervisor.before_exit");
    exit::record(spool, &plan, &clock, exit, log)?;
    faults::point("supervisor.after_exit");
    Ok(true)
}

/// Leaves the agent's session, becomes the parent of orphans below, and survives signals meant for others.
fn detach() -> io::Result<()> {
    not_dumpable::set()?;
    // Fails only for the leader of a process group, which then has a group of its own already.
    let _ = rustix::process::setsid();
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // Handled, not ignored: Stata must start with the default reaction, also when this process's parent ignored a
    // signal.
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
        signal_hook::consts::SIGQUIT,
        signal_hook::consts::SIGUSR1,
        signal_hook::consts::SIGUSR2,
        signal_hook::consts::SIGALRM,
    ] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}
