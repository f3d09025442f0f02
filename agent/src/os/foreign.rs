//! Processes of Stata that no Longhaul started: they use the host's licence too.
//!
//! A look reads the list of processes, and of each `stat` only where that may say something new: of one that was not there
//! before, of a young one, which may still become another program, and of a quarter of the others, so that an old process
//! that becomes Stata is seen some looks later. What was found of a process stays while its start and its name do. A `stat`
//! costs about 15 µs of processor time: on a host with 300 processes the first look takes 5 ms, and a later one 1.5 ms. With a
//! look each 5 to 20 s that is at most 0.03 % of a processor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
};

use super::{
    MARK,
    proc::{Process, pids, process},
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

/// A process is young for so many looks, and one that is not is read at every such look.
const OFTEN: u32 = 4;

/// What is known of a process.
#[derive(Debug)]
struct Seen {
    process: Process,
    stata: bool,
    /// Of a Stata: whether a supervisor has it.
    ours: Option<bool>,
    /// Looks since it came.
    looks: u32,
}

/// Looks at a host's processes again and again.
#[derive(Debug)]
pub struct ForeignScan {
    standins: Standins,
    seen: BTreeMap<i32, Seen>,
    looks: u32,
    /// Processes that the last look read.
    read: usize,
}

impl ForeignScan {
    /// One that has not looked yet.
    pub fn new(standins: Standins) -> Self {
        Self { standins, seen: BTreeMap::new(), looks: 0, read: 0 }
    }

    /// All that run on this host now, by user; empty where there is no `/proc`.
    pub fn look(&mut self) -> Vec<ForeignStata> {
        self.read_new();
        let began_ms = boot_ms();
        let mut users: BTreeMap<String, ForeignStata> = BTreeMap::new();
        let candidates = self.seen.values().filter(|seen| seen.stata && !seen.process.zombie);
        // What a Stata starts itself is that Stata's.
        let own_child = |process: &Process| self.seen.get(&process.parent).is_some_and(|parent| parent.stata);
        let candidates: Vec<i32> =
            candidates.map(|seen| &seen.process).filter(|p| !own_child(p)).map(|p| p.pid).collect();
        for pid in candidates {
            let Some(seen) = self.seen.get(&pid) else { continue };
            let ours = seen.ours.unwrap_or_else(|| is_ours(&seen.process, &self.seen));
            let start_ticks = seen.process.start_ticks;
            if let Some(seen) = self.seen.get_mut(&pid) {
                seen.ours = Some(ours);
            }
            let Some(meta) = fs::metadata(format!("/proc/{pid}")).ok().filter(|_| !ours) else { continue };
            let since_ms = began_ms.map_or(0, |boot| boot + started_ms(start_ticks));
            let user = name_of(meta.uid());
            let its = users.entry(user.clone()).or_insert(ForeignStata { user, processes: 0, since_ms });
            its.processes += 1;
            its.since_ms = its.since_ms.min(since_ms);
        }
        users.into_values().collect()
    }

    /// Reads about the processes of which that may say something new.
    fn read_new(&mut self) {
        let there: BTreeSet<i32> = pids().collect();
        self.seen.retain(|pid, _| there.contains(pid));
        self.looks = self.looks.wrapping_add(1);
        self.read = 0;
        for pid in there {
            let turn = pid.unsigned_abs() % OFTEN == self.looks % OFTEN;
            if let Some(seen) = self.seen.get_mut(&pid) {
                seen.looks = seen.looks.saturating_add(1);
                if !turn && !seen.stata && seen.looks >= OFTEN {
                    continue;
                }
            }
            self.read += 1;
            let Some(process) = process(pid) else {
                self.seen.remove(&pid);
                continue;
            };
            match self.seen.get_mut(&pid) {
                Some(seen)
                    if (seen.process.start_ticks, &seen.process.name) == (process.start_ticks, &process.name) =>
                {
                    // Its program may be another in the stand-in's own way: one name, another command line.
                    seen.stata |=
                        self.standins == Standins::Count && seen.looks < OFTEN && is_stata(&process, self.standins);
                    seen.process = process;
                }
                _ => {
                    let stata = is_stata(&process, self.standins);
                    self.seen.insert(pid, Seen { process, stata, ours: None, looks: 0 });
                }
            }
        }
    }
}

fn is_stata(process: &Process, standins: Standins) -> bool {
    let name = process.name.as_str();
    NAMES.contains(&name)
        || name.strip_prefix('x').is_some_and(|name| NAMES.contains(&name))
        || (standins == Standins::Count && word(process.pid, 1).is_some_and(|word| word == b"standin"))
}

/// Whether some agent's supervisor started it: it carries the mark of a run (only its own user can see that), or a
/// supervisor is above it.
fn is_ours(process: &Process, by_pid: &BTreeMap<i32, Seen>) -> bool {
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
        match by_pid.get(&pid).map(|seen| &seen.process) {
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

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command, Stdio},
        time::Duration,
    };

    use longhaul_proto::clock::Clock;

    use super::*;

    struct Sleepers(Vec<Child>);

    impl Drop for Sleepers {
        fn drop(&mut self) {
            for child in &mut self.0 {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    #[test]
    fn a_look_reads_few_processes_twice() {
        let sleeper = || Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let sleepers = Sleepers((0..300).map(|_| sleeper()).collect());
        let mut scan = ForeignScan::new(Standins::Ignore);
        let clock = Clock::system();
        let mut look = || {
            let began = clock.monotonic();
            scan.look();
            (scan.read, scan.seen.len(), clock.monotonic() - began)
        };
        let (first, all, took) = look();
        assert!(first >= sleepers.0.len() && all >= sleepers.0.len(), "{first} of {all}");
        eprintln!("the first look read {first} processes in {took:?}");
        for _ in 0..OFTEN {
            look();
        }
        for _ in 0..OFTEN {
            let (read, all, took) = look();
            eprintln!("a later one read {read} of {all} in {took:?}");
            assert!(read < all / 2, "{read} of {all}");
        }
    }

    #[test]
    fn what_becomes_stata_later_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        let stata = folder.path().join("stata-mp");
        std::os::unix::fs::symlink(std::fs::canonicalize("/bin/sleep").unwrap(), &stata).unwrap();
        let go = folder.path().join("go");
        let script = "until [ -e \"$0\" ]; do sleep 0.05; done; exec \"$1\" 600";
        let mut command = Command::new(shell);
        command.arg("-c").arg(script).arg(&go).arg(&stata).env_remove(MARK).stdin(Stdio::null());
        let old = Sleepers(vec![command.spawn().unwrap()]);
        let pid = i32::try_from(old.0[0].id()).unwrap();
        let mut scan = ForeignScan::new(Standins::Ignore);
        for _ in 0..2 * OFTEN {
            scan.look();
        }
        assert!(!scan.seen[&pid].stata);
        std::fs::write(&go, "").unwrap();
        let clock = Clock::system();
        let until = clock.monotonic() + Duration::from_secs(30);
        while process(pid).is_none_or(|process| process.name != "stata-mp") {
            assert!(clock.monotonic() < until, "it becomes another program");
        }
        let before = (0..OFTEN).find(|_| {
            scan.look();
            scan.seen[&pid].stata
        });
        assert!(before.is_some(), "within {OFTEN} looks");
    }
}
