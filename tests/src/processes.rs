//! The processes of one lab, found by its folder in their command line or as their working directory.

use std::{collections::HashMap, fmt::Display, fs, os::unix::ffi::OsStrExt, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// One process of the lab.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its id.
    pub pid: i32,
    /// Its arguments, joined by blanks.
    pub command: String,
}

/// Every live process (no zombies) whose command line or working directory names `folder`.
pub fn below(folder: &Path) -> Vec<Found> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let needle = folder.as_os_str().as_bytes();
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let raw = fs::read(entry.path().join("cmdline")).ok()?;
            let works_there = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
            let named = raw.windows(needle.len().max(1)).any(|part| part == needle);
            let zombie = fs::read_to_string(entry.path().join("stat"))
                .ok()
                .is_none_or(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X'])));
            ((named || works_there) && !zombie)
                .then(|| Found { pid, command: String::from_utf8_lossy(&raw).replace('\0', " ").trim_end().to_owned() })
        })
        .collect()
}

/// Whether the process is stopped by a signal.
pub fn is_stopped(pid: impl Display) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// The supervisors among them.
pub fn supervisors(folder: &Path) -> Vec<Found> {
    let below = below(folder);
    // One that waited for its run does not name it, and where it works only root may see: then it is the parent of one here.
    let parent = |found: &Found| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", found.pid)).ok()?;
        let pid: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&raw).replace('\0', " ").trim_end().to_owned();
        command.ends_with(" supervise --ready").then_some(Found { pid, command })
    };
    let parents: Vec<Found> = below.iter().filter_map(parent).collect();
    let named = below.into_iter().filter(|p| p.command.contains(" supervise ")).chain(parents);
    named.fold(Vec::new(), |mut all, one| {
        if !all.iter().any(|known: &Found| known.pid == one.pid) {
            all.push(one);
        }
        all
    })
}

/// The stand-in engines among them.
pub fn engines(folder: &Path) -> Vec<Found> {
    below(folder).into_iter().filter(|p| p.command.contains(" standin -b ")).collect()
}

/// The children of a process, as the kernel lists them.
pub fn children(pid: impl Display) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// How often each thread of a process has waited and woken.
pub fn switches(pid: impl Display) -> HashMap<String, u64> {
    let count = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse().ok())
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |path: &Path| count(&fs::read_to_string(path.join("status")).ok()?);
    tasks.filter_map(|task| Some((task.file_name().to_string_lossy().into_owned(), of(&task.path())?))).collect()
}

/// How often its threads have woken since. A thread that has ended takes its count with it: a few of a pool that shrinks.
pub fn woken_since(pid: impl Display, before: &HashMap<String, u64>) -> u64 {
    let now = switches(pid);
    now.iter().map(|(thread, n)| n.saturating_sub(*before.get(thread).unwrap_or(&0))).sum()
}

/// Processor time of a process, and of its descendants that have ended and were waited for, seconds.
///
/// # Panics
/// When the process does not live.
pub fn cpu_seconds(pid: impl Display) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // After the name, which may hold anything: proc_pid_stat(5), fields 14 to 17.
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split_ascii_whitespace().collect();
    let ticks = |n: usize| fields[n].parse::<f64>().expect("a number");
    let second = rustix::param::clock_ticks_per_second() as f64;
    ((ticks(11) + ticks(12)) / second, (ticks(13) + ticks(14)) / second)
}

/// Sends a signal; a process that is already gone is ignored.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}
