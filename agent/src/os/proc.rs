//! Processes as `/proc` shows them. A bare pid is reused after a while, so a process is identified by its pid and start
//! time, and a signal goes through a pidfd whose start time was compared first.

use std::{collections::HashMap, fs, sync::LazyLock};

use longhaul_proto::faults;
use rustix::process::{Pid, Signal};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its group.
    pub group: i32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its threads.
    pub threads: u64,
    /// Ended, but not yet waited for.
    pub zombie: bool,
    /// Start in clock ticks since boot.
    pub start_ticks: u64,
    /// Processor time of it and of its children that it has waited for, clock ticks.
    pub cpu_ticks: u64,
}

/// The host's boot id; empty where there is none.
pub fn boot_id() -> String {
    // No process outlives its boot.
    static BOOT_ID: LazyLock<String> = LazyLock::new(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
    });
    faults::boot_id().unwrap_or_else(|| BOOT_ID.clone())
}

/// The process with this pid now; `None` = no such process (or no `/proc`).
pub fn process(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Start time of a process, clock ticks since boot; 0 where it cannot be told.
pub fn start_ticks(pid: i32) -> u64 {
    process(pid).map_or(0, |p| p.start_ticks)
}

/// Whether this very process exists and has not ended.
pub fn alive(pid: i32, start_ticks: u64) -> bool {
    #[cfg(target_os = "linux")]
    return process(pid).is_some_and(|p| p.start_ticks == start_ticks && !p.zombie);
    // Without `/proc` only the bare pid can be checked.
    #[cfg(not(target_os = "linux"))]
    return start_ticks == 0 && Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
}

/// `pid (name) state ppid pgrp session … starttime …`; the name may hold anything, so fields count from its last `)`.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        name: name.to_owned(),
        threads: fields.get(17).and_then(|n| n.parse().ok()).unwrap_or(1),
        zombie: matches!(*fields.first()?, "Z" | "X"),
        start_ticks: fields.get(19)?.parse().ok()?,
        // utime, stime, cutime, cstime (proc_pid_stat(5), fields 14 to 17); the last two are signed.
        cpu_ticks: fields.get(11..15)?.iter().filter_map(|f| f.parse::<u64>().ok()).sum(),
    })
}

pub(super) fn all() -> Vec<Process> {
    pids().filter_map(process).collect()
}

/// The ids of all processes; none where there is no `/proc`.
pub(super) fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// All living descendants of a process. Complete for a subreaper: an orphan becomes its child.
pub fn descendants(root: i32) -> Vec<Process> {
    let below = walk(root).unwrap_or_else(|| below(root, all()));
    below.into_iter().filter(|p| !p.zombie).collect()
}

/// Most walks before the whole list of processes is read instead.
const WALKS: u32 = 100;

/// Most walks while there are living ones to tell of. Where processes come and go all the time no two walks agree, and
/// until this answers, those that ended are not reaped: their number, and with it the time of a walk, would grow.
const WALKS_WITH_LIVING: u32 = 10;

/// The descendants as the kernel lists the children of each, zombies included; `None` where it lists none
/// (`CONFIG_PROC_CHILDREN`), or where they change all the time. It costs as much as there are descendants, and not as much
/// as there are processes on the host.
///
/// A process that ends during a walk hands its children on, perhaps to a parent whose list was read before. So a walk
/// counts only when the one before it saw the same processes in the same states: one that was dead in the earlier walk had
/// handed on its children before the later one began. Where they never agree, a walk that found living ones is the answer,
/// and may lack some: a caller that must reach all asks until there are none.
fn walk(root: i32) -> Option<Vec<Process>> {
    let mut before: Option<Vec<Process>> = None;
    for walks in 1..=WALKS {
        let (mut left, mut found, mut complete) = (children(root)?, vec![], true);
        while let Some(pid) = left.pop() {
            // Its children first: had it ended before they were read, its state says so.
            let its = children(pid);
            let process = process(pid);
            // A thread that ended meanwhile has handed its children to another.
            complete &= its.is_some() || process.is_none();
            left.extend(its.unwrap_or_default());
            found.extend(process);
        }
        found.sort_by_key(|p| p.pid);
        if faults::bug("one_walk_is_enough") {
            return Some(found);
        }
        let same = |a: &Process, b: &Process| (a.pid, a.start_ticks, a.zombie) == (b.pid, b.start_ticks, b.zombie);
        if complete
            && before
                .is_some_and(|before| before.len() == found.len() && before.iter().zip(&found).all(|(a, b)| same(a, b)))
        {
            return Some(found);
        }
        if walks >= WALKS_WITH_LIVING && found.iter().any(|p| !p.zombie) {
            return Some(found);
        }
        before = Some(found).filter(|_| complete);
    }
    None
}

/// The children of a process as the kernel lists them; `None` where it does not.
fn children(pid: i32) -> Option<Vec<i32>> {
    let mut found = vec![];
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let list = fs::read_to_string(task.path().join("children")).ok()?;
        found.extend(list.split_ascii_whitespace().filter_map(|p| p.parse::<i32>().ok()));
    }
    Some(found)
}

/// The descendants of a process among `all`.
fn below(root: i32, all: Vec<Process>) -> Vec<Process> {
    let parents: HashMap<i32, i32> = all.iter().map(|p| (p.pid, p.parent)).collect();
    let below = |mut pid: i32| {
        // The depth is bounded in case pids were reused during the read.
        for _ in 0..1000 {
            match parents.get(&pid) {
                Some(&parent) if parent == root => return true,
                Some(&parent) if parent > 1 => pid = parent,
                _ => return false,
            }
        }
        false
    };
    all.into_iter().filter(|p| below(p.pid)).collect()
}

/// Processor time of this very process and its descendants, ms; `None` = it is gone, or there is no `/proc`.
pub fn cpu_ms(pid: i32, start_ticks: u64) -> Option<u64> {
    let root = process(pid).filter(|p| p.start_ticks == start_ticks)?;
    let ticks = root.cpu_ticks + descendants(pid).iter().map(|p| p.cpu_ticks).sum::<u64>();
    Some(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1))
}

/// Processor time of this very process and of its children that it has waited for, ms, also when it has ended and was not waited
/// for; `None` as above.
pub fn own_cpu_ms(pid: i32, start_ticks: u64) -> Option<u64> {
    let process = process(pid).filter(|p| p.start_ticks == start_ticks)?;
    Some(process.cpu_ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1))
}

/// All living processes that carry `mark` (a whole `NAME=value`) in the environment they were started with, except
/// `not`.
pub fn marked(mark: &str, not: i32) -> Vec<Process> {
    let has = |pid: i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|b| *b == 0).any(|entry| entry == mark.as_bytes()))
    };
    all().into_iter().filter(|p| p.pid != not && !p.zombie && has(p.pid)).collect()
}

/// Children of a process that have ended and were not waited for.
pub fn zombies_of(parent: i32) -> Vec<i32> {
    if let Some(children) = children(parent) {
        return children.into_iter().filter(|pid| process(*pid).is_some_and(|p| p.zombie)).collect();
    }
    all().into_iter().filter(|p| p.zombie && p.parent == parent).map(|p| p.pid).collect()
}

/// Sends a signal to this very process; nothing happens when it is gone.
pub fn send(process: &Process, signal: Signal) {
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    #[cfg(target_os = "linux")]
    if let Ok(fd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        && start_ticks(process.pid) == process.start_ticks
    {
        let _ = rustix::process::pidfd_send_signal(fd, signal);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = rustix::process::kill_process(pid, signal);
}

/// Largest resident size of a living process, bytes.
pub fn peak_rss(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

/// Memory of living processes together, bytes: what several of them share counts once. Costs little while they have less than
/// `enough`; beyond that each page of theirs is looked at.
pub fn memory_of(pids: &[i32], enough: u64) -> u64 {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    // Resident without what is of files, and with what a parent shares with its child counted for both: never too little.
    let private = |pid: &i32| {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let mut fields = statm.split(' ').skip(1).map_while(|field| field.parse::<u64>().ok());
        Some(fields.next()?.saturating_sub(fields.next()?).saturating_mul(page))
    };
    let rough: u64 = pids.iter().filter_map(private).sum();
    if rough <= enough {
        return rough;
    }
    let share = |pid: &i32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
    };
    pids.iter().filter_map(|pid| share(pid).or_else(|| private(pid))).sum()
}

/// Makes a process, and what it starts from now on, the first to be ended where the host's memory runs out. False = it is
/// not.
pub fn first_for_memory(pid: i32) -> bool {
    // Half of the host's memory on top of what it has (proc_pid_oom_score_adj(5)). Raising it needs no privilege.
    const MORE: i32 = 500;
    !faults::bug("runs_last_for_memory") && fs::write(format!("/proc/{pid}/oom_score_adj"), MORE.to_string()).is_ok()
}

/// Whether [`first_for_memory`] works here.
pub fn can_be_first_for_memory() -> bool {
    !faults::bug("runs_last_for_memory") && fs::exists("/proc/self/oom_score_adj").unwrap_or(false)
}

/// What a process and the children that it has waited for have written to disks so far, bytes; `None` where the kernel does not
/// tell (no `/proc`, or built without `TASK_IO_ACCOUNTING`).
pub fn written_bytes(pid: i32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

/// The memory of the host, bytes.
pub fn memory_bytes() -> Option<u64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

/// How many processes the kernel has killed for memory in this process's control group (cgroup v2).
pub fn oom_kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|l| l.strip_prefix("0::"))?;
    let events = fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.events")).ok()?;
    events.lines().find_map(|l| l.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse().ok())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "42 (a) (b) c) S 7 8 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 1";
        let p = parse(line).unwrap();
        assert_eq!((p.pid, p.parent, p.group, p.start_ticks, p.name.as_str()), (42, 7, 8, 12345, "a) (b) c"));
    }

    #[test]
    fn this_process_is_alive_under_its_own_start_time_only() {
        let me = i32::try_from(std::process::id()).unwrap();
        let ticks = start_ticks(me);
        assert!(alive(me, ticks));
        assert!(!alive(me, ticks + 1), "another process with the same pid is not this one");
        assert!(peak_rss(me).unwrap() > 0);
        assert!(!boot_id().is_empty());
    }
    fn pids(processes: Vec<Process>) -> Vec<i32> {
        let mut pids: Vec<i32> = processes.into_iter().filter(|p| !p.zombie).map(|p| p.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn the_lists_of_children_and_the_list_of_all_processes_agree() {
        let mut shell = std::process::Command::new("sh");
        let mut shell = shell.args(["-c", "sleep 100 & sh -c 'sleep 100 & wait' & wait"]).spawn().unwrap();
        let root = i32::try_from(shell.id()).unwrap();
        let clock = longhaul_proto::clock::Clock::system();
        while pids(below(root, all())).len() < 4 && clock.monotonic() < std::time::Duration::from_secs(20) {}
        let (walked, listed) = (walk(root), below(root, all()));
        descendants(root).iter().for_each(|process| send(process, Signal::KILL));
        shell.wait().unwrap();
        match walked {
            Some(walked) => assert_eq!(pids(walked), pids(listed)),
            None => println!("skipped: this kernel lists no children"),
        }
    }
}
