//! Room in the spool's file system.

use std::{io, path::Path};

/// Free and total bytes of a file system, as an ordinary user may use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// What must stay free, or no run is taken.
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
pub(crate) fn room(path: &Path) -> io::Result<Room> {
    let vfs = rustix::fs::statvfs(path)?;
    Ok(Room { free: vfs.f_bavail.saturating_mul(vfs.f_frsize), total: vfs.f_blocks.saturating_mul(vfs.f_frsize) })
}

/// Bytes that a folder takes with everything in it, as the file system counts them. What goes away meanwhile counts
/// nothing; links are not followed.
pub(crate) fn taken(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0_u64;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = std::fs::symlink_metadata(entry.path()) else { continue };
            // A block is 512 bytes whatever the file system's own size is (stat(2)).
            bytes = bytes.saturating_add(meta.blocks().saturating_mul(512));
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

impl MinFree {
    /// What is wrong, in words for people; `None` = room enough.
    pub fn problem(self, room: Room, path: &Path) -> Option<String> {
        let share = room.total / 100 * u64::from(self.percent);
        let need = self.bytes.max(share);
        (room.free < need).then(|| {
            format!(
                "the file system of {} has {} MiB free and a run needs {} MiB there: make room, or lower the agent's \
                 limit on free space",
                path.display(),
                room.free >> 20,
                need >> 20
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_takes_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(taken(folder.path()), 0);
        std::fs::create_dir(folder.path().join("below")).unwrap();
        std::fs::write(folder.path().join("below/file"), vec![1_u8; 100_000]).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        let bytes = taken(folder.path());
        assert!((100_000..200_000).contains(&bytes), "{bytes}");
        assert_eq!(taken(Path::new("/nowhere")), 0);
    }

    #[test]
    fn both_limits_count() {
        let path = Path::new("/spool");
        let check = |bytes, percent, free, total, ok: bool| {
            let said = MinFree { bytes, percent }.problem(Room { free, total }, path);
            assert_eq!(said.is_none(), ok, "{said:?}");
        };
        check(2 << 30, 5, 3 << 30, 10 << 30, true);
        check(2 << 30, 5, 1 << 30, 10 << 30, false);
        check(2 << 30, 5, 3 << 30, 100 << 30, false);
        check(0, 0, 0, 100 << 30, true);
    }
}
