//! Makes sure that a ledger lies on a local disk.
//!
//! SQLite's WAL needs shared memory and reliable locks; network file systems give neither, and lose records silently.
//! So the folder is checked before the first byte is written.

use std::path::Path;

use crate::ledger::LedgerError;

/// Magic numbers (`statfs(2)`, `linux/magic.h`) of file systems that live on another machine.
#[cfg(target_os = "linux")]
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9p"),
    (0x1983_0326, "BeeGFS"),
];

/// `statfs` does not tell which file system is behind FUSE; the mount table names it.
const NETWORK_FUSE: &[&str] = &[
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.davfs2",
    "fuse.juicefs",
    "fuse.cifs",
    "fuse.curlftpfs",
    "fuse.gcsfuse",
];

/// Refuses a folder that lies on a network file system.
///
/// # Errors
/// [`LedgerError::Place`] with the kind of file system and what to do.
pub(super) fn refuse_network(folder: &Path) -> Result<(), LedgerError> {
    let place = |reason: String| LedgerError::Place { folder: folder.display().to_string(), reason };
    match network_name(folder).map_err(|e| place(format!("it cannot be looked at ({e})")))? {
        None => Ok(()),
        Some(name) => Err(place(format!(
            "it lies on a network file system ({name}), where a crash can lose records: choose a folder on a local disk with --data or LONGHAUL_DATA"
        ))),
    }
}

#[cfg(target_os = "linux")]
fn network_name(folder: &Path) -> std::io::Result<Option<String>> {
    const FUSE: u64 = 0x6573_5546;
    let magic = u64::try_from(rustix::fs::statfs(folder)?.f_type).unwrap_or_default() & 0xffff_ffff;
    if magic == FUSE {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        return Ok(fuse_type(&mounts, &folder.canonicalize()?).filter(|t| NETWORK_FUSE.contains(&t.as_str())));
    }
    Ok(NETWORK.iter().find(|(m, _)| *m == magic).map(|(_, name)| (*name).to_owned()))
}

#[cfg(not(target_os = "linux"))]
fn network_name(_folder: &Path) -> std::io::Result<Option<String>> {
    let _ = (fuse_type, NETWORK_FUSE);
    Ok(None)
}

/// File system type of the mount that holds `path`: the longest mount point above it (proc(5), mountinfo: field 5 is
/// the mount point, the type follows ` - `).
fn fuse_type(mountinfo: &str, path: &Path) -> Option<String> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?.replace("\\040", " ");
            let kind = right.split(' ').next()?;
            path.starts_with(&point).then(|| (point.len(), kind.to_owned()))
        })
        .max_by_key(|(len, _)| *len)
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_is_local_enough() {
        let folder = tempfile::tempdir().unwrap();
        refuse_network(folder.path()).unwrap();
        assert!(refuse_network(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn the_longest_mount_point_decides() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                      2 1 0:44 / /home/ann/lab\\040disk rw - fuse.sshfs host:/ rw\n\
                      3 1 0:45 / /home/ann rw - fuse.ntfs /dev/b rw\n";
        let check = |path: &str, want: &str| {
            assert_eq!(fuse_type(mounts, Path::new(path)).as_deref(), Some(want), "{path}");
        };
        check("/home/ann/lab disk/x", "fuse.sshfs");
        check("/home/ann/x", "fuse.ntfs");
        check("/var", "ext4");
    }
}
