//! The size of a run's spool on its disk, measured a bounded number of names at a time, so that a million files cost no
//! more a second than a few.

use std::{
    fs::{self, ReadDir},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::layout;

/// Deepest nesting of folders that is measured; deeper files are not counted. Each level holds a descriptor meanwhile.
const DEPTH: usize = 64;

/// The size of a spool, bytes as the file system counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Stata's temporary files.
    pub tmp: u64,
    /// The folder of a text or bundle.
    pub work: u64,
    /// Files of previous attempts.
    pub previous: u64,
    /// Logs and records.
    pub rest: u64,
}

impl Taken {
    /// All of it.
    pub fn sum(self) -> u64 {
        self.tmp.saturating_add(self.work).saturating_add(self.previous).saturating_add(self.rest)
    }

    fn part(&mut self, name: &[u8]) -> &mut u64 {
        match name {
            b"tmp" => &mut self.tmp,
            b"work" => &mut self.work,
            b"earlier" => &mut self.previous,
            _ => &mut self.rest,
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            tmp: self.tmp.max(other.tmp),
            work: self.work.max(other.work),
            previous: self.previous.max(other.previous),
            rest: self.rest.max(other.rest),
        }
    }
}

/// Measures one spool round after round. A file that is removed meanwhile counts nothing; links are not followed.
#[derive(Debug)]
pub struct Meter {
    folder: PathBuf,
    open: Vec<ReadDir>,
    /// The entry of the spool below which the meter is, and the one that decides what it counts as: the same, or in
    /// format 2 the one within `run`.
    top: Vec<u8>,
    part: Vec<u8>,
    now: Taken,
    last: Option<Taken>,
}

impl Meter {
    /// A meter before its first step.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), open: vec![], top: vec![], part: vec![], now: Taken::default(), last: None }
    }

    /// Examines up to `names` more; at the end of a round returns how many it did not need.
    pub fn step(&mut self, names: u32) -> Option<u32> {
        let mut left = names;
        if self.open.is_empty() {
            self.now = Taken::default();
            self.open.extend(fs::read_dir(&self.folder));
        }
        while let Some(folder) = self.open.last_mut() {
            if left == 0 {
                return None;
            }
            left -= 1;
            let Some(entry) = folder.next() else {
                self.open.pop();
                continue;
            };
            let Ok(entry) = entry else { continue };
            let path = entry.path();
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let name = entry.file_name();
            if self.open.len() == 1 {
                name.as_encoded_bytes().clone_into(&mut self.top);
            }
            if self.open.len() == 1 || (self.open.len() == 2 && self.top == layout::RUN.as_bytes()) {
                name.as_encoded_bytes().clone_into(&mut self.part);
            }
            // A file of the code that also lies where the run finds it is counted there.
            if meta.is_file() && meta.nlink() > 1 && path.parent().is_some_and(|above| above.ends_with(layout::BLOBS)) {
                continue;
            }
            let part = self.now.part(&self.part);
            // A block is 512 bytes whatever the file system's own size is (stat(2)).
            *part = part.saturating_add(meta.blocks().saturating_mul(512));
            if meta.is_dir() && self.open.len() < DEPTH {
                self.open.extend(fs::read_dir(&path));
            }
        }
        self.last = Some(self.now);
        Some(left)
    }

    /// What is known: of each part the size of the last whole round, or of this one where it is larger already.
    pub fn taken(&self) -> Taken {
        self.last.unwrap_or_default().max(self.now)
    }

    /// Whether it has completed a round.
    pub fn is_whole(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_takes_what_is_in_it_however_slowly_it_is_measured() {
        measured("");
        measured("run/");
    }

    /// With the run's own files below this.
    fn measured(run: &str) {
        let folder = tempfile::tempdir().unwrap();
        let mut meter = Meter::new(folder.path());
        assert_eq!((meter.step(9), meter.taken().sum(), meter.is_whole()), (Some(8), 0, true));
        let path = |name: &str| folder.path().join(format!("{run}{name}"));
        for name in [path("work/a/b"), path("tmp"), folder.path().join("earlier/1/run/work")] {
            fs::create_dir_all(name).unwrap();
        }
        let earlier = folder.path().join("earlier/1/run/work/log");
        for name in [path("work/a/b/large"), path("tmp/x"), earlier, path("console")] {
            fs::write(name, vec![1_u8; 100_000]).unwrap();
        }
        std::os::unix::fs::symlink("/", path("work/link")).unwrap();
        for names in [1, 2, 1000] {
            let mut meter = Meter::new(folder.path());
            let mut steps = 0;
            while meter.step(names).is_none() {
                steps += 1;
                assert!(steps < 100, "it comes round");
            }
            let taken = meter.taken();
            for part in [taken.tmp, taken.work, taken.previous, taken.rest] {
                assert!((100_000..160_000).contains(&part), "{names}: {taken:?}");
            }
        }
        // Growth counts at once, a removal at the end of the next round.
        let mut meter = Meter::new(folder.path());
        while meter.step(1).is_none() {}
        fs::remove_file(path("work/a/b/large")).unwrap();
        assert!(meter.step(1).is_none() && meter.taken().work >= 100_000);
        while meter.step(1).is_none() {}
        assert!(meter.taken().work < 50_000, "{:?}", meter.taken());
        assert_eq!(Meter::new(Path::new("/nowhere")).step(1), Some(1));
    }
}
