//! The files that a run left: named in its record, never copied.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use longhaul_proto::faults;

use crate::{
    spool::{Artifact, Plan, Spool},
    stata,
};

/// Most files that are named.
const ARTIFACTS: usize = 200;
/// Most directory entries examined for them: naming files must not delay a verdict.
const ENTRIES: u32 = 10_000;

/// When Stata was about to be started, Unix ms, where it is told as started at `started_ms`: the supervisor notes that only when
/// Stata works already, and times of files are those of the kernel's last tick. So a mark on the same disk is what files
/// are compared with.
pub(crate) fn since_ms(spool: &Spool, started_ms: i64) -> i64 {
    if faults::bug("files_since_the_note") {
        return started_ms;
    }
    let marked = fs::metadata(spool.spawning()).map(|mark| mark.ctime() * 1000 + mark.ctime_nsec() / 1_000_000);
    marked.map_or(started_ms, |marked| marked.min(started_ms))
}

/// The files that are younger than the run's start, in its working directory and the folders below, and the graphs
/// that its log says were saved, wherever they are. `true` = there are more. The paths have no links in them, by which a
/// later reader knows that a folder was not replaced by one.
pub(super) fn of_run(spool: &Spool, plan: &Plan, since_ms: i64, log_len: u64) -> (Vec<Artifact>, bool) {
    let own = spool.path().canonicalize().unwrap_or_else(|_| spool.path().to_owned());
    let folder = plan.working_dir.canonicalize().unwrap_or_else(|_| plan.working_dir.clone());
    let is_own = folder.starts_with(&own);
    let mut search = Search { own, since_ms, entries_left: ENTRIES, known: vec![], found: vec![], more: false };
    if log_len <= super::SEARCHED
        && let Ok(log) = File::open(spool.log())
    {
        // A log that cannot be read is reported elsewhere.
        let graphs = stata::saved::saved(io::BufReader::new(log.take(log_len))).unwrap_or_default();
        graphs.iter().for_each(|name| search.named(&folder, name));
    }
    // A run's own folder is searched deeper than a project's, which may be large.
    search.folder(&folder, if is_own { 8 } else { 2 });
    search.found.sort_by(|a, b| a.path.cmp(&b.path));
    (search.found, search.more)
}

struct Search {
    /// The run's spool: a folder around it is the agent's, not the user's.
    own: PathBuf,
    since_ms: i64,
    entries_left: u32,
    /// Device and inode of the files found: a file may have several names.
    known: Vec<(u64, u64)>,
    found: Vec<Artifact>,
    /// Not all was looked at or named.
    more: bool,
}

impl Search {
    fn take(&mut self, path: &Path, meta: &fs::Metadata) {
        let young = meta.is_file() && meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000 >= self.since_ms;
        let file = (meta.dev(), meta.ino());
        if !young || self.known.contains(&file) {
            return;
        }
        self.more |= self.found.len() >= ARTIFACTS;
        if self.found.len() < ARTIFACTS {
            self.known.push(file);
            self.found.push(Artifact { path: path.display().to_string(), bytes: meta.len() });
        }
    }

    /// A file by the name that the do-file gave it.
    fn named(&mut self, working_dir: &Path, name: &str) {
        let path = working_dir.join(name);
        // Without `..`, as people write paths; the file itself is not followed.
        let Some((folder, file)) = path.parent().zip(path.file_name()) else { return };
        let Ok(path) = folder.canonicalize().map(|folder| folder.join(file)) else { return };
        if let Ok(meta) = fs::symlink_metadata(&path) {
            self.take(&path, &meta);
        }
    }

    /// The files of a folder before its subfolders, so that a large subfolder does not hide them.
    fn folder(&mut self, folder: &Path, depth: u32) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut below = vec![];
        for entry in entries.flatten() {
            if self.entries_left == 0 || self.found.len() > ARTIFACTS {
                self.more = true;
                return;
            }
            self.entries_left -= 1;
            let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
            if meta.is_dir() {
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                let is_own = self.own.starts_with(entry.path());
                if depth > 0 && !hidden && !is_own {
                    below.push(entry.path());
                }
                self.more |= folder.starts_with(&self.own) && !below.contains(&entry.path());
            } else {
                self.take(&entry.path(), &meta);
            }
        }
        below.sort();
        for folder in below {
            self.folder(&folder, depth - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_wrote_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, at_s: u64| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(at_s)).unwrap();
        };
        for name in
            ["b.png", "a.log", "figures/x.svg", "one/two/y.png", "one/two/three/z.png", ".git/w", "data/spool/v"]
        {
            write(name, 1_000);
        }
        write("before.dta", 999);
        let found = |depth: u32, entries_left: u32| {
            let own = dir.path().join("data/spool");
            let mut search =
                Search { own, since_ms: 1_000_000, entries_left, known: vec![], found: vec![], more: false };
            search.named(&dir.path().join("figures"), "../one/two/y.png");
            search.named(dir.path(), "no/such.png");
            search.folder(dir.path(), depth);
            let strip = |a: Artifact| a.path.strip_prefix(&format!("{}/", dir.path().display())).unwrap().to_owned();
            let mut names: Vec<String> = search.found.into_iter().map(strip).collect();
            names.sort();
            names
        };
        assert_eq!(found(2, 100), ["a.log", "b.png", "figures/x.svg", "one/two/y.png"]);
        assert_eq!(found(0, 100), ["a.log", "b.png", "one/two/y.png"]);
        assert_eq!(found(2, 0), ["one/two/y.png"]);
    }
}
