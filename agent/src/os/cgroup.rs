//! Control groups (cgroup v2): one for each run, below the group of its agent.
//!
//! All that a run starts stays in its group, whatever it does to its session, its parents or its environment; so the
//! group lists it, and ends it at once (`cgroup.kill`). Where the group has the kernel's controllers it keeps the limits
//! on memory and processes, too.
//!
//! A group is made only where the agent's own is not the hierarchy's root and belongs to its user: a service manager
//! hands it over (`Delegate=yes`). Controllers are switched on only where that manager put the agent into a group
//! of its own below the one handed over (`DelegateSubgroup=agent`, systemd 254): a group whose children have controllers may hold no
//! process, so that elsewhere the agent's next start, beside runs that go on, would be refused.
//!
//! Moving a process costs up to ten milliseconds, in which the kernel waits for all processors. So the supervisor that
//! waits for the next run is in the run's group before there is a run; what it starts is born there, and it leaves later.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use longhaul_proto::faults;

/// Beginning of the name of a run's group.
const PREFIX: &str = "longhaul-run-";
/// Name of the group into which a service manager puts the agent itself.
const AGENT: &str = "agent";
/// The controllers that keep limits.
const CONTROLLERS: &str = "+memory +pids";
/// Longest wait for the end of what was killed; what is still there then is stuck in the kernel.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// What the kernel does for the limits of runs here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// Each run has a group of its own.
    pub group: bool,
    /// It keeps the limit on memory.
    pub memory: bool,
    /// It keeps the limit on processes.
    pub processes: bool,
    /// Runs are ended before the agent and their supervisors where the host's memory runs out.
    pub first_for_memory: bool,
}

/// Where groups of runs can be made.
#[derive(Clone, Debug)]
pub struct Groups {
    /// This process's own.
    own: PathBuf,
    /// The one that those of runs lie in.
    base: PathBuf,
}

impl Groups {
    /// `None` = not here: no cgroup v2, or the group is not this user's to divide.
    pub fn find() -> Option<Self> {
        if faults::bug("runs_without_group") {
            return None;
        }
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let (root, mount) = mount(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
        let below = Path::new(own).strip_prefix(&root).ok()?;
        if below.as_os_str().is_empty() || own.ends_with(" (deleted)") {
            return None;
        }
        Self::of(mount.join(below))
    }

    /// By the folder of this process's own group.
    fn of(own: PathBuf) -> Option<Self> {
        let above = own.parent().filter(|_| own.file_name().is_some_and(|name| name == AGENT));
        let mine = |folder: &&Path| {
            use rustix::fs::{Access, access};
            let may = |path: &Path| access(path, Access::WRITE_OK).is_ok();
            may(folder) && may(&folder.join("cgroup.procs"))
        };
        let base = above.filter(mine).or_else(|| Some(own.as_path()).filter(mine))?.to_owned();
        Some(Self { own, base })
    }

    /// Switches on the controllers, where that is right, and removes groups of runs that are over. Once, by the agent.
    pub fn prepare(&self) {
        if self.base != self.own {
            // Of two words one may be known and the other not: the kernel takes all of a line or nothing.
            for controller in CONTROLLERS.split(' ') {
                let _ = fs::write(self.base.join("cgroup.subtree_control"), controller);
            }
        }
        for folder in below(&self.base).filter(|folder| is_runs(folder)) {
            // Refused while a process is in it.
            remove_tree(&folder);
        }
    }

    /// What a group has that is made here.
    pub fn means(&self) -> Means {
        let Ok(group) = self.make() else { return Means::default() };
        let means = group.means();
        group.remove();
        means
    }

    /// Makes a group, with this process in it: what it starts from now on is born there. [`Group::leave`] ends that.
    ///
    /// # Errors
    /// The kernel's: there is no group then, and this process is where it was.
    pub fn enter(&self) -> io::Result<Group> {
        // A starting agent may just have removed it: it was empty.
        let entered = self.make().and_then(|group| group.take_in());
        let group = entered.or_else(|_| self.make().and_then(|group| group.take_in()))?;
        Ok(Group { back: Some(self.own.clone()), ..group })
    }

    fn make(&self) -> io::Result<Group> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let (ticks, number) = (super::start_ticks(me), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = self.base.join(format!("{PREFIX}{me}-{ticks}-{number}"));
        fs::create_dir(&folder)?;
        Ok(Group { folder, back: None })
    }
}

/// The root of the hierarchy as mounted, and where.
fn mount(mounts: &str) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then_some(())?;
        let mut fields = place.split(' ').skip(3);
        Some((fields.next()?.into(), fields.next()?.into()))
    })
}

fn is_runs(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
}

fn below(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// Innermost first; the files in a group go with it.
fn remove_tree(folder: &Path) {
    below(folder).for_each(|inner| remove_tree(&inner));
    let _ = fs::remove_dir(folder);
}

/// The group of one run.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    /// Where this process goes from it; `None` = it is not in it.
    back: Option<PathBuf>,
}

impl Group {
    /// One that another supervisor made; `None` = it is gone.
    pub fn at(folder: PathBuf) -> Option<Self> {
        (is_runs(&folder) && folder.join("cgroup.procs").exists()).then_some(Self { folder, back: None })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn take_in(self) -> io::Result<Self> {
        match fs::write(self.folder.join("cgroup.procs"), "0") {
            Ok(()) => Ok(self),
            Err(error) => {
                self.remove();
                Err(error)
            }
        }
    }

    /// Takes this process out of it, if it is in it.
    pub fn leave(&mut self) {
        if let Some(back) = self.back.take()
            && let Err(error) = fs::write(back.join("cgroup.procs"), "0")
        {
            eprintln!("supervise: the run's group could not be left: {error}");
        }
    }

    /// What it has.
    pub fn means(&self) -> Means {
        let has = |name: &str| self.folder.join(name).exists();
        Means { group: true, memory: has("memory.max"), processes: has("pids.max"), first_for_memory: false }
    }

    /// Sets limits, bytes and processes with their threads; 0 = none. What the kernel keeps is in the answer.
    pub fn limit(&self, memory: u64, processes: u64) -> Means {
        let set = |name: &str, value: String| fs::write(self.folder.join(name), value).is_ok();
        let means = self.means();
        let memory_kept = means.memory && (memory == 0 || set("memory.max", memory.to_string()));
        if memory_kept && memory > 0 {
            // What is swapped out would be memory all the same; and half a run is worth nothing.
            set("memory.swap.max", "0".to_owned());
            set("memory.oom.group", "1".to_owned());
        }
        // The supervisor is in it at first.
        let processes_kept = means.processes && (processes == 0 || set("pids.max", (processes + 1).to_string()));
        Means { memory: memory_kept, processes: processes_kept, ..means }
    }

    /// The processes in it and in groups below it, without this one.
    pub fn members(&self) -> Vec<i32> {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let (mut found, mut left) = (vec![], vec![self.folder.clone()]);
        while let Some(folder) = left.pop() {
            let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()).filter(|pid| *pid != me));
            left.extend(below(&folder));
        }
        found
    }

    /// Ends all processes in it at once, and waits until they are gone. False = some are not.
    pub fn kill(&mut self) -> bool {
        self.leave();
        let since = super::monotonic();
        while self.populated() {
            if fs::write(self.folder.join("cgroup.kill"), "1").is_err() {
                // A kernel before 5.14. New ones may come meanwhile, so until there are none.
                self.members().into_iter().filter_map(super::process).for_each(|process| {
                    super::send(&process, rustix::process::Signal::KILL);
                });
            }
            if super::monotonic().saturating_sub(since) >= GIVE_UP {
                return false;
            }
            let _ = rustix::event::poll(&mut [], Some(&PAUSE));
        }
        true
    }

    fn populated(&self) -> bool {
        self.number("cgroup.events", "populated ").is_some_and(|n| n > 0)
    }

    /// Removes it; it must be empty.
    pub fn remove(&self) {
        remove_tree(&self.folder);
    }

    /// How many processes the kernel has ended in it for memory; `None` = it does not count.
    pub fn oom_kills(&self) -> Option<u64> {
        self.number("memory.events", "oom_kill ")
    }

    /// How often the kernel has refused it another process; `None` likewise.
    pub fn refused_processes(&self) -> Option<u64> {
        self.number("pids.events", "max ")
    }

    /// The most memory that it had at once, bytes; `None` likewise.
    pub fn memory_peak(&self) -> Option<u64> {
        self.number("memory.peak", "")
    }

    /// Processor time of all that was ever in it, ms; `None` likewise.
    pub fn cpu_ms(&self) -> Option<u64> {
        self.number("cpu.stat", "usage_usec ").map(|us| us / 1000)
    }

    /// The number in a file of the group after a word at the beginning of a line.
    fn number(&self, file: &str, word: &str) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(word)).and_then(|number| number.trim().parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_hierarchy_is() {
        let mounts =
            "24 1 0:22 / /sys rw - sysfs sysfs rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(mounts), Some(("/".into(), "/sys/fs/cgroup".into())));
        assert_eq!(mount("30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"), None);
    }

    /// A folder with the files of a group, since few machines let a test make one with controllers.
    fn pretend(files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(format!("{PREFIX}1-2-0"));
        fs::create_dir(&folder).unwrap();
        for (name, text) in [&[("cgroup.procs", "")], files].concat() {
            fs::write(folder.join(name), text).unwrap();
        }
        let group = Group::at(folder).unwrap();
        (dir, group)
    }

    #[test]
    fn limits_are_set_where_there_are_controllers() {
        let all = [("memory.max", "max"), ("memory.swap.max", "max"), ("memory.oom.group", "0"), ("pids.max", "max")];
        let (_dir, group) = pretend(&all);
        let kept = |memory, processes| Means { group: true, memory, processes, first_for_memory: false };
        assert_eq!(group.limit(64 << 20, 12), kept(true, true));
        let now = |name: &str| fs::read_to_string(group.folder.join(name)).unwrap();
        assert_eq!(all.map(|(name, _)| now(name)), ["67108864", "0", "1", "13"]);
        let (_dir, bare) = pretend(&[]);
        assert_eq!(bare.limit(64 << 20, 12), kept(false, false));
        assert!(!bare.folder.join("memory.max").exists(), "nothing is written where the kernel has no such file");
    }

    #[test]
    fn what_the_kernel_counted_is_read() {
        let (_dir, group) = pretend(&[
            ("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\n"),
            ("pids.events", "max 7\n"),
            ("memory.peak", "4096\n"),
            ("cpu.stat", "usage_usec 2500\nuser_usec 1\n"),
        ]);
        let read = (group.oom_kills(), group.refused_processes(), group.memory_peak(), group.cpu_ms());
        assert_eq!(read, (Some(3), Some(7), Some(4096), Some(2)));
    }

    #[test]
    fn only_a_group_of_the_agents_own_below_the_one_handed_over_gets_controllers() {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("longhaul-agent@ana.service");
        fs::create_dir_all(unit.join(AGENT)).unwrap();
        for folder in [&unit, &unit.join(AGENT)] {
            fs::write(folder.join("cgroup.procs"), "").unwrap();
        }
        let groups = Groups::of(unit.join(AGENT)).unwrap();
        assert_eq!(groups.base, unit);
        groups.prepare();
        assert_eq!(fs::read_to_string(unit.join("cgroup.subtree_control")).unwrap(), "+pids");
        fs::remove_file(unit.join("cgroup.subtree_control")).unwrap();
        let groups = Groups::of(unit.clone()).unwrap();
        assert_eq!(groups.base, unit);
        groups.prepare();
        assert!(!unit.join("cgroup.subtree_control").exists());
    }
}
