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

/// What must stay free, or the agent takes no run.
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

/// A number of bytes for people: `512 B`, `64.0 KiB`, `8.0 GiB`.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
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
