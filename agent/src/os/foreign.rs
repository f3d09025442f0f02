//! Processes of Stata that no Longhaul started: they use the host's licence too.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt};

use super::{
    MARK,
    proc::{Process, all},
    user::name_of,
};

/// Names of Stata's programs, as the kernel has them.
const NAMES: [&str; 8] = ["stata", "stata-mp", "stata-se", "stata-be", "stata-ic", "StataMP", "StataSE", "StataBE"];
/// Most processes up from one to a supervisor; a bound in case pids were reused during the read.
const MOST_ABOVE: u32 = 100;

/// The processes that one user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignStata {
    /// The user's name, or number.
    pub user: String,
    /// How many.
    pub processes: u32,
    /// Start of the oldest, Unix ms; 0 = not known.
    pub since_ms: i64,
}

/// Whether processes of the stand-in count as Stata's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standins {
    /// Where the engine is the stand-in: there they stand for Stata.
    Count,
    /// Anywhere else.
    Ignore,
}

/// All that run on this host now, by user; empty where there is no `/proc`. It reads about every process of the host.
pub fn foreign(standins: Standins) -> Vec<ForeignStata> {
    let all = all();
    let by_pid: BTreeMap<i32, &Process> = all.iter().map(|process| (process.pid, process)).collect();
    let is_stata = |process: &Process| {
        let name = process.name.as_str();
        NAMES.contains(&name)
            || name.strip_prefix('x').is_some_and(|name| NAMES.contains(&name))
            || (standins == Standins::Count && word(process.pid, 1).is_some_and(|word| word == b"standin"))
    };
    let began_ms = boot_ms();
    let mut users: BTreeMap<String, ForeignStata> = BTreeMap::new();
    for process in all.iter().filter(|process| !process.zombie && is_stata(process)) {
        // What a Stata starts itself is that Stata's.
        let child = by_pid.get(&process.parent).is_some_and(|parent| is_stata(parent));
        if child || is_ours(process, &by_pid) {
            continue;
        }
        let Ok(meta) = fs::metadata(format!("/proc/{}", process.pid)) else { continue };
        let since_ms = began_ms.map_or(0, |boot| boot + started_ms(process.start_ticks));
        let user = name_of(meta.uid());
        let its = users.entry(user.clone()).or_insert(ForeignStata { user, processes: 0, since_ms });
        its.processes += 1;
        its.since_ms = its.since_ms.min(since_ms);
    }
    users.into_values().collect()
}

/// Whether some agent's supervisor started it: it carries the mark of a run (only its own user can see that), or a
/// supervisor is above it.
fn is_ours(process: &Process, by_pid: &BTreeMap<i32, &Process>) -> bool {
    let mark = format!("{MARK}=");
    let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
    if environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(mark.as_bytes())) {
        return true;
    }
    let mut pid = process.parent;
    for _ in 0..MOST_ABOVE {
        if word(pid, 1).is_some_and(|word| word == b"supervise") {
            return true;
        }
        match by_pid.get(&pid) {
            Some(above) if above.parent > 1 => pid = above.parent,
            _ => return false,
        }
    }
    false
}

/// One word of a process's command line.
fn word(pid: i32, at: usize) -> Option<Vec<u8>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    line.split(|byte| *byte == 0).nth(at).map(<[u8]>::to_vec)
}

/// When the host was started, Unix ms.
fn boot_ms() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds: i64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(seconds * 1000)
}

/// From the host's start to that of a process, ms.
fn started_ms(ticks: u64) -> i64 {
    i64::try_from(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1)).unwrap_or(0)
}
