//! The processes of one lab, found by its folder in their command line or as their working directory.

use std::{fs, os::unix::ffi::OsStrExt, path::Path};

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

/// The supervisors among them.
pub fn supervisors(folder: &Path) -> Vec<Found> {
    below(folder).into_iter().filter(|p| p.command.contains(" supervise ")).collect()
}

/// The stand-in engines among them.
pub fn engines(folder: &Path) -> Vec<Found> {
    below(folder).into_iter().filter(|p| p.command.contains(" standin -b ")).collect()
}

/// Sends a signal; a process that is already gone is ignored.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}
