//! What a run may use of its host: memory, processes, processor time. Beyond it the run is ended, and says so.
//!
//! Where the run has a control group with the kernel's controllers, the kernel keeps the limits on memory and processes and
//! this only finds out. Elsewhere all that the run started is looked at several times a second; a limit of the system's own
//! (`setrlimit`) then stands behind, far above ours, for what grows faster than anyone looks, or is looked at by none.
//! `RLIMIT_NPROC` is not used: it counts what a user has on the whole host. `RLIMIT_FSIZE` neither: a data set may be
//! larger than a spool.

use std::time::Duration;

use longhaul_proto::{
    faults,
    state::Cause,
    words::{bytes, duration},
};
#[cfg(target_os = "linux")]
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::target::Live;
use crate::{
    os::{self, Group, Groups, Process},
    spool::{CancelMode, LimitsRecord, Plan, RunLimits, Spool},
};

/// Between two looks at what the kernel does not keep and may grow fast.
const QUICKLY: Duration = Duration::from_millis(250);
/// Between two looks at the rest.
const SLOWLY: Duration = Duration::from_secs(1);
/// This process is in the run's group no longer than this after Stata's start.
const INSIDE: Duration = Duration::from_millis(200);

/// The limits of one run, and its group.
pub(super) struct Limits {
    wanted: RunLimits,
    record: LimitsRecord,
    group: Option<Group>,
    leave: Option<Duration>,
    next: Duration,
    /// The most memory that was measured, bytes.
    seen: u64,
}

impl Limits {
    /// Sets the limits on a run's group.
    pub(super) fn new(plan: &Plan, group: Option<Group>) -> Self {
        let wanted = if faults::bug("runs_unlimited") { RunLimits::default() } else { plan.limits };
        let means = group.as_ref().map(|group| group.limit(wanted.memory, wanted.processes)).unwrap_or_default();
        let record = LimitsRecord::new(plan.limits, plan.max_spool, means);
        let leave = Some(os::monotonic() + INSIDE);
        Self { wanted, record, group, leave, next: Duration::ZERO, seen: 0 }
    }

    /// What is still to be done for a process that lives.
    pub(super) fn started(&mut self, live: &Live) {
        let pid = live.started.pid;
        // One that is over already needs none.
        let over = !os::alive(pid, live.started.start_ticks) && os::can_be_first_for_memory();
        self.record.first_for_memory = os::first_for_memory(pid) || over;
        #[cfg(target_os = "linux")]
        self.stand_behind(pid);
    }

    /// The system's own limits, for each process.
    #[cfg(target_os = "linux")]
    fn stand_behind(&self, pid: i32) {
        let set = |resource, limit: u64| {
            let rlimit = Rlimit { current: Some(limit), maximum: Some(limit) };
            // One that is lower already, and cannot be raised, is as good.
            let _ = Pid::from_raw(pid).map(|pid| prlimit(Some(pid), resource, rlimit));
        };
        let RunLimits { memory, cpu_ms, .. } = self.wanted;
        if memory > 0 && !self.record.memory_by_kernel {
            set(Resource::Data, memory.saturating_mul(2).saturating_add(1 << 30));
        }
        if cpu_ms > 0 {
            set(Resource::Cpu, cpu_ms.saturating_add(cpu_ms / 10) / 1000 + 60);
        }
    }

    /// For the exit record.
    pub(super) fn record(&self) -> LimitsRecord {
        self.record
    }

    /// When to look again at the latest.
    pub(super) fn look_again(&self) -> Duration {
        let memory = self.wanted.memory > 0 && !self.record.memory_by_kernel;
        let processes = self.wanted.processes > 0 && !self.record.processes_by_kernel;
        if memory || processes || self.leave.is_some() { QUICKLY } else { SLOWLY }
    }

    /// Leaves the run's group when its Stata is at work, or after a moment.
    pub(super) fn leave(&mut self, is_running: bool, now: Duration) {
        if self.leave.is_some_and(|due| is_running || now >= due) {
            self.leave = None;
            self.group.iter_mut().for_each(Group::leave);
        }
    }

    /// What is reached at `now` (the host's monotonic clock): how to end the run, the cause, and words; `None` = it is
    /// within its limits.
    pub(super) fn over(&mut self, live: &Live, now: Duration) -> Option<(CancelMode, Cause, String)> {
        let RunLimits { memory, processes, cpu_ms, .. } = self.wanted;
        if now < self.next || (memory, processes, cpu_ms) == (0, 0, 0) {
            return None;
        }
        self.next = now + self.look_again();
        if processes > 0 {
            let refused = self.refused_processes() > 0;
            let has = if self.record.processes_by_kernel { 0 } else { self.threads(live) };
            if refused || has > processes {
                let has = if refused { processes + 1 } else { has };
                return Some((CancelMode::Kill, Cause::OverLimit, too_many(has, processes)));
            }
        }
        if memory > 0 && !self.record.memory_by_kernel {
            let has = os::memory_of(&self.pids(live), memory);
            self.seen = self.seen.max(has);
            if has > memory {
                return Some((CancelMode::Kill, Cause::OutOfMemory, too_large(has, memory)));
            }
        }
        let took = if cpu_ms > 0 { self.cpu_ms(live) } else { 0 };
        (took > cpu_ms).then(|| (CancelMode::Break, Cause::OverLimit, too_long(took, cpu_ms)))
    }

    /// The processes of the run, as far as they can be found.
    fn members(&self, live: &Live) -> Vec<Process> {
        match (&self.group, live.child) {
            (Some(group), _) => group.members().into_iter().filter_map(os::process).filter(|p| !p.zombie).collect(),
            (None, true) => os::descendants(me()),
            (None, false) => {
                let own = os::process(live.started.pid).filter(|p| p.start_ticks == live.started.start_ticks);
                own.into_iter().chain(os::descendants(live.started.pid)).collect()
            }
        }
    }

    fn pids(&self, live: &Live) -> Vec<i32> {
        self.members(live).iter().map(|process| process.pid).collect()
    }

    fn threads(&self, live: &Live) -> u64 {
        self.members(live).iter().map(|process| process.threads).sum()
    }

    fn cpu_ms(&self, live: &Live) -> u64 {
        let (pid, ticks) = match live.child {
            // With what it has waited for, this process has the time of all that is over.
            true => (me(), os::start_ticks(me())),
            false => (live.started.pid, live.started.start_ticks),
        };
        self.group.as_ref().and_then(Group::cpu_ms).or_else(|| os::cpu_ms(pid, ticks)).unwrap_or(0)
    }

    /// The processes that are in the run's group after Stata's end.
    pub(super) fn left(&self) -> Vec<Process> {
        let members = self.group.iter().flat_map(Group::members);
        members.filter_map(os::process).filter(|process| !process.zombie).collect()
    }

    /// Ends all that is in the run's group, at once.
    pub(super) fn kill(&mut self) {
        if let Some(group) = &mut self.group
            && !group.kill()
        {
            eprintln!("supervise: processes stay in {}", group.folder().display());
        }
    }

    /// Ends all that is left in the run's group, and removes it.
    pub(super) fn close(&mut self) {
        self.kill();
        if let Some(group) = self.group.take() {
            group.remove();
        }
    }

    /// How often the kernel refused the run another process; 0 also where it keeps no such limit of the run.
    pub(super) fn refused_processes(&self) -> u64 {
        self.group.as_ref().and_then(Group::refused_processes).unwrap_or(0)
    }

    /// How often the kernel ended a process of the run for memory; `None` = it does not count that by runs.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        self.group.as_ref().and_then(Group::oom_kills)
    }

    /// The most memory that the run had at once, bytes; `None` likewise.
    pub(super) fn memory_peak(&self) -> Option<u64> {
        // What was measured for the limit counts, too: the record must not have less than the words about its end.
        self.group.as_ref().and_then(Group::memory_peak).max(Some(self.seen).filter(|seen| *seen > 0))
    }
}

fn me() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Puts this process into a new group, where that is possible: for the run that it starts next.
pub(super) fn enter() -> Option<Group> {
    Groups::find()?.enter().ok()
}

/// Leaves and removes a group of which nothing was made.
pub(super) fn abandon(group: Option<Group>) {
    if let Some(mut group) = group {
        group.leave();
        group.remove();
    }
}

/// Notes which group is the run's, for a later supervisor. Of this boot, like the processes in it.
pub(super) fn note(spool: &Spool, group: Option<&Group>) {
    if let Some(group) = group
        && let Err(error) = spool.write_unsynced(&spool.group(), &group.folder())
    {
        eprintln!("supervise: the run's group could not be noted: {error}");
    }
}

/// The group of a run that another supervisor began.
pub(super) fn noted(spool: &Spool) -> Option<Group> {
    let folder = spool.read::<std::path::PathBuf>(&spool.group()).ok().flatten()?;
    Group::at(folder).filter(|_| !faults::bug("runs_without_group"))
}

const KEPT: &str = "it was ended, and its output up to then is kept; the agent's owner sets this limit";

fn too_large(has: u64, limit: u64) -> String {
    format!("the run had {} of memory and may have {} (max_run_memory): {KEPT}", bytes(has), bytes(limit))
}

fn too_many(has: u64, limit: u64) -> String {
    format!("the run had {has} processes, threads counted, and may have {limit} (max_run_processes): {KEPT}")
}

fn too_long(took: u64, limit: u64) -> String {
    let seconds = |ms: u64| duration(Duration::from_millis(ms).as_secs_f64());
    format!("the run took {} of processor time and may take {} (max_run_cpu): {KEPT}", seconds(took), seconds(limit))
}

/// Of a run that ran for as long as its agent lets any run.
pub(super) fn too_late(limit: u64) -> String {
    let limit = duration(Duration::from_millis(limit).as_secs_f64());
    format!("the run ran for {limit}, as long as a run may here (max_run_time): {KEPT}")
}
