//! The wait: one `poll` over Stata's end, the control FIFO, the first log byte, and the clock.

use std::{fs, io, time::Duration};

use longhaul_proto::{clock::Clock, faults, state::Cause};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::{AsFd, OwnedFd},
    fs::{Mode, OFlags},
};

use super::{
    gathering::Gathering,
    grace::Grace,
    kept_log::LogKeeper,
    limits::{self, Limits},
    spool_limit::SpoolLimit,
    sweep::{self, Leftovers},
    target::{Live, ProcessEnd, Target, reap_orphans},
};
use crate::{
    os,
    spool::{CancelMode, CancelRecord, Ending, Exit, Plan, Prefix, Running, Spool},
};

/// Besides every wake-up: requests and orphans are checked at least this often.
const TICK: Duration = Duration::from_secs(1);
/// The same for the first log byte, and for everything where the kernel sends no wake-ups.
const SHORT_TICK: Duration = Duration::from_millis(100);

/// The FIFO by which the agent wakes the supervisor after it has written a request. Without it (no FIFO, no permission)
/// a request takes effect later, at the next tick.
pub(super) struct Control(Option<OwnedFd>);

impl Control {
    pub(super) fn open(spool: &Spool) -> Self {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, FileType, mknodat, open};
            let path = spool.nudge();
            let _ = mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
            // Read and write, so that a writer that closes causes no end of file.
            Self(open(&path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok())
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (spool, Mode::empty(), OFlags::empty());
            Self(None)
        }
    }

    /// Waits for a request, or so long.
    pub(super) fn wait(&self, most: Duration) {
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(1),
            tv_nsec: most.subsec_nanos().into(),
        };
        let mut fds: Vec<_> = self.0.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
        // An interruption by a signal is a wake-up like any other.
        let _ = poll(&mut fds, Some(&timeout));
        self.drain();
    }

    fn drain(&self) {
        if let Some(fd) = &self.0 {
            let mut buffer = [0_u8; 64];
            while rustix::io::read(fd, &mut buffer).is_ok_and(|n| n > 0) {}
        }
    }
}

/// Wakes when something is written in the spool; needed until the first log byte.
fn watch_folder(spool: &Spool) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::inotify;
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
        inotify::add_watch(&fd, spool.run_folder(), inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE).ok()?;
        Some(fd)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = spool;
        None
    }
}

/// Waits for the end of `target` and ends it when a request or a limit demands that. The facts go into `exit`, except
/// the log's digest, which is returned as far as it is known.
pub(super) fn until_end(
    spool: &Spool,
    plan: &Plan,
    clock: &Clock,
    control: Control,
    (target, mut limits): (Target, Limits),
    exit: &mut Exit,
) -> io::Result<Prefix> {
    exit.limits = Some(limits.record());
    match target {
        Target::Never { error } => {
            limits.close();
            exit.spawn_error = error;
        }
        Target::Gone { started } => {
            exit.spawned = true;
            exit.status_lost = true;
            exit.started_at_ms = started.map_or(0, |s| s.at_ms);
            exit.running_at_ms = spool.read::<Running>(&spool.running())?.map_or(0, |r| r.at_ms);
            exit.leftovers = sweep::sweep(spool, Leftovers::Marked, &limits);
            limits.close();
        }
        Target::Lives(live) => {
            exit.spawned = true;
            exit.started_at_ms = live.started.at_ms;
            limits.started(&live);
            exit.limits = Some(limits.record());
            return Ok(Watch::new(spool, plan, clock, control, (live, limits)).run(exit));
        }
    }
    Ok(Prefix::default())
}

struct Watch<'a> {
    spool: &'a Spool,
    plan: &'a Plan,
    clock: &'a Clock,
    control: Control,
    folder: Option<OwnedFd>,
    live: Live,
    running: Option<Running>,
    grace: Option<Grace>,
    max_rss: u64,
    cpu_ms: u64,
    written: Option<u64>,
    log: LogKeeper,
    spool_limit: SpoolLimit,
    limits: Limits,
    gathering: Gathering,
}

impl<'a> Watch<'a> {
    fn new(
        spool: &'a Spool,
        plan: &'a Plan,
        clock: &'a Clock,
        control: Control,
        (live, limits): (Live, Limits),
    ) -> Self {
        let running: Option<Running> = spool.read(&spool.running()).ok().flatten();
        let folder = if running.is_none() { watch_folder(spool) } else { None };
        // A predecessor may have started to end it; continue from the same cause with the gentlest step again.
        let ending: Option<Ending> = spool.read(&spool.ending()).ok().flatten();
        let grace = ending.map(|ending| Grace::new(CancelMode::Break, ending));
        let (log, spool_limit) = (LogKeeper::default(), SpoolLimit::new(spool, plan.max_spool));
        let (max_rss, cpu_ms, written, gathering) = (0, 0, None, Gathering::new(plan));
        Self {
            spool,
            plan,
            clock,
            control,
            folder,
            live,
            running,
            grace,
            max_rss,
            cpu_ms,
            written,
            log,
            spool_limit,
            limits,
            gathering,
        }
    }

    fn run(mut self, exit: &mut Exit) -> Prefix {
        let ended = loop {
            self.sample();
            // The log is opened before its existence is recorded.
            self.log.read_on(self.spool, self.plan.output_limit);
            self.note_first_output();
            self.limits.leave(self.running.is_some(), os::monotonic());
            let ended = self.live.ended();
            if ended != ProcessEnd::No {
                break ended;
            }
            self.note_reason_to_end();
            let now = os::monotonic();
            let step = match &mut self.grace {
                Some(grace) => grace.step(now, &self.plan.timing, &self.live),
                None => self.gathering.step(now, self.plan, &self.live),
            };
            reap_orphans(self.live.started.pid);
            self.wait(now, step);
        };
        match ended {
            ProcessEnd::Code(code) => exit.code = Some(code),
            ProcessEnd::Signal(signal) => exit.signal = Some(signal),
            _ => exit.status_lost = true,
        }
        // The user's part, without what was gathered after it.
        let after = self.gathering.took_ms(self.spool, self.clock.unix_ms());
        exit.duration_ms =
            self.running.map_or(0, |r| os::monotonic_ms().saturating_sub(r.mono_ms).saturating_sub(after));
        exit.gathering = self.gathering.why.take();
        exit.running_at_ms = self.running.map_or(0, |r| r.at_ms);
        // Ended and not waited for, it still tells its processor time.
        self.sample();
        (exit.max_rss_bytes, exit.cpu_ms, exit.written_bytes) = (self.max_rss, self.cpu_ms, self.written);
        exit.max_rss_bytes = exit.max_rss_bytes.max(self.limits.memory_peak().unwrap_or(0));
        exit.out_of_memory = match (self.limits.oom_kills(), self.live.started.oom_kills, os::oom_kills()) {
            (Some(own), ..) => own > 0,
            (None, Some(before), Some(after)) => after > before,
            _ => false,
        };
        exit.refused_processes = self.limits.refused_processes();
        exit.ending = self.grace.map(|grace| grace.ending);
        // Where descendants cannot be listed, the group is what can be reached.
        #[cfg(not(target_os = "linux"))]
        self.live.signal_group(rustix::process::Signal::KILL);
        let leftovers = if self.live.child { Leftovers::Descendants } else { Leftovers::Marked };
        exit.leftovers = sweep::sweep(self.spool, leftovers, &self.limits);
        self.limits.close();
        self.live.reap();
        self.log.settle(self.spool, self.plan.output_limit).unwrap_or_else(|what| {
            exit.log.note = Some(what);
            Prefix::default()
        })
    }

    /// Notes what Stata's process has taken so far.
    fn sample(&mut self) {
        let started = &self.live.started;
        self.max_rss = self.max_rss.max(os::peak_rss(started.pid).unwrap_or(0));
        let cpu_ms = os::own_cpu_ms(started.pid, started.start_ticks);
        self.cpu_ms = self.cpu_ms.max(cpu_ms.unwrap_or(0));
        // Of the same process.
        self.written = self.written.max(cpu_ms.and_then(|_| os::written_bytes(started.pid)));
    }

    fn note_first_output(&mut self) {
        if self.running.is_some() || !fs::metadata(self.spool.log()).is_ok_and(|m| m.len() > 0) {
            return;
        }
        let running = Running { at_ms: self.clock.unix_ms(), mono_ms: os::monotonic_ms() };
        self.running = Some(running);
        self.folder = None;
        if self.spool.write_unsynced_whole(&self.spool.running(), &running).is_err() {
            self.write_record(&self.spool.running(), &running);
        }
        faults::point("supervisor.after_running");
    }

    /// Checks for a request or a reached limit; and for a stronger request while one is being carried out.
    fn note_reason_to_end(&mut self) {
        let request = self.spool.read::<CancelRecord>(&self.spool.cancel()).ok().flatten();
        if let Some(grace) = &mut self.grace {
            if let Some(request) = request {
                grace.strengthen(request.mode);
            }
            // A disk can fill up within any grace time.
            if grace.ending.cause == Cause::SpoolFull && self.spool_limit.far_over(self.spool, os::monotonic()) {
                grace.strengthen(CancelMode::Kill);
            }
            return;
        }
        if self.gathering.goes_on(self.spool, request.as_ref()) {
            return;
        }
        let none = String::new;
        let reason = if let Some(request) = request {
            Some((request.mode, Cause::CancelRequested, request.by, none()))
        } else {
            let now = os::monotonic();
            let spool =
                |limit: &mut SpoolLimit| limit.over(self.spool, now).map(|w| (CancelMode::Break, Cause::SpoolFull, w));
            let limit =
                self.overdue().or_else(|| spool(&mut self.spool_limit)).or_else(|| self.limits.over(&self.live, now));
            limit.map(|(mode, cause, words)| (mode, cause, none(), words))
        };
        if let Some((mode, cause, by, words)) = reason {
            let ending = Ending { cause, by, at_ms: self.clock.unix_ms(), words };
            self.write_record(&self.spool.ending(), &ending);
            let limit = cause != Cause::CancelRequested;
            faults::point("supervisor.after_ending");
            self.grace = Some(Grace::new(mode, ending));
            if mode == CancelMode::Kill && limit {
                // What it started may grow as fast as itself.
                self.limits.kill();
            }
        }
    }

    /// A time limit that is reached.
    fn overdue(&self) -> Option<(CancelMode, Cause, String)> {
        let since = |mono_ms: u64| os::monotonic_ms().saturating_sub(mono_ms);
        match self.running {
            Some(running) => {
                let limit = self.plan.timing.timeout.filter(|limit| since(running.mono_ms) >= *limit);
                let own = |limit: &u64| *limit == self.plan.limits.time_ms;
                let words = limit.filter(own).map(limits::too_late).unwrap_or_default();
                limit.map(|_| (CancelMode::Break, Cause::RunTimeout, words))
            }
            // No do-file runs yet, so there is nothing to break.
            None => (since(self.live.started.mono_ms) >= self.plan.timing.start).then_some((
                CancelMode::Terminate,
                Cause::StartTimeout,
                String::new(),
            )),
        }
    }

    /// Writes a record; on a full file system the reserve makes room, and what cannot be written at all stays in memory
    /// and goes into the exit record.
    fn write_record<T: serde::Serialize>(&self, path: &std::path::Path, record: &T) {
        if self.spool.write(path, record).is_err() {
            self.spool.release_reserve();
            if let Err(error) = self.spool.write(path, record) {
                eprintln!("supervise: {}: {error}", path.display());
            }
        }
    }

    fn wait(&self, now: Duration, step: Option<Duration>) {
        let mut sleep = if self.running.is_none() || !self.wakes() { SHORT_TICK } else { TICK };
        sleep = sleep.min(self.limits.look_again());
        let until = |limit: Duration| limit.saturating_sub(now).max(Duration::from_millis(1));
        if let Some(step) = step {
            sleep = sleep.min(until(step));
        } else if let (Some(running), Some(limit)) = (self.running, self.plan.timing.timeout) {
            sleep = sleep.min(until(Duration::from_millis(running.mono_ms.saturating_add(limit))));
        }
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(sleep.as_secs()).unwrap_or(1),
            tv_nsec: sleep.subsec_nanos().into(),
        };
        let mut fds = vec![];
        fds.extend(self.control.0.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        fds.extend(self.folder.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        #[cfg(target_os = "linux")]
        fds.extend(self.live.pidfd.as_ref().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
        // An interruption by a signal is a wake-up like any other.
        let _ = poll(&mut fds, Some(&timeout));
        self.control.drain();
        if let Some(folder) = &self.folder {
            let mut buffer = [0_u8; 4096];
            while rustix::io::read(folder, &mut buffer).is_ok_and(|n| n > 0) {}
        }
    }

    fn wakes(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.live.pidfd.is_some();
        #[cfg(not(target_os = "linux"))]
        return false;
    }
}
