//! Free space in a file system, and how much of it must stay free: spools and blobs go by one rule.

use std::{io, path::Path};

/// Free and total bytes of a file system, as an ordinary user may use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    /// Free.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// What must stay free: otherwise an agent takes no run, and a gateway no upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinFree {
    /// Bytes; 2 GiB by default.
    pub bytes: u64,
    /// Percent of the file system; 5 by default.
    pub percent: u8,
}

impl Default for MinFree {
    fn default() -> Self {
        Self { bytes: 2 << 30, percent: 5 }
    }
}

/// Asks the file system that holds `path`.
///
/// # Errors
/// Any failure of the file system.
pub fn free_space(path: &Path) -> io::Result<FreeSpace> {
    let vfs = rustix::fs::statvfs(path)?;
    Ok(FreeSpace { free: vfs.f_bavail.saturating_mul(vfs.f_frsize), total: vfs.f_blocks.saturating_mul(vfs.f_frsize) })
}

impl MinFree {
    /// Bytes that must be free.
    pub fn needed(self, space: FreeSpace) -> u64 {
        self.bytes.max(space.total / 100 * u64::from(self.percent))
    }

    /// Why an agent takes no run, in words for people; `None` = room enough.
    pub fn problem(self, space: FreeSpace, path: &Path) -> Option<String> {
        self.problem_with(0, space, path)
    }

    /// Why an agent does not take so many bytes of a run's code; `None` = room enough, and they may come.
    pub fn problem_with(self, bytes: u64, space: FreeSpace, path: &Path) -> Option<String> {
        self.words(bytes, space, path, "a run", "the agent's")
    }

    /// Why a gateway does not take so many bytes of an upload; `None` = room enough.
    pub fn problem_of_upload(self, bytes: u64, space: FreeSpace, path: &Path) -> Option<String> {
        self.words(bytes, space, path, "this upload", "the gateway's")
    }

    fn words(self, bytes: u64, space: FreeSpace, path: &Path, what: &str, whose: &str) -> Option<String> {
        let need = self.needed(space).saturating_add(bytes);
        (space.free < need).then(|| {
            format!(
                "the file system of {} has {} MiB free and {what} needs {} MiB there: make room, or lower {whose} limit \
                 on free space",
                path.display(),
                space.free >> 20,
                need >> 20
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_count() {
        let path = Path::new("/spool");
        let check = |bytes, percent, free, total, ok: bool| {
            let problem = MinFree { bytes, percent }.problem(FreeSpace { free, total }, path);
            assert_eq!(problem.is_none(), ok, "{problem:?}");
        };
        check(2 << 30, 5, 3 << 30, 10 << 30, true);
        check(2 << 30, 5, 1 << 30, 10 << 30, false);
        check(2 << 30, 5, 3 << 30, 100 << 30, false);
        check(0, 0, 0, 100 << 30, true);
        let space = FreeSpace { free: 3 << 30, total: 10 << 30 };
        let with = |bytes| MinFree::default().problem_with(bytes, space, path).is_none();
        assert!(with(1 << 30) && !with((1 << 30) + 1) && !with(u64::MAX), "what comes is counted");
    }
}
