//! Folders and files that must be this user's alone, checked before anything in them is trusted.
//!
//! A user who can write into a data folder chooses its secrets, its tokens and its runs; a user who can read a join
//! secret can pose as an agent or a gateway. As `ssh` does with its keys, a folder or file that fails the check is
//! refused with an explanation instead of being mended.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::faults;

/// What is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// It belongs to another user.
    #[error(
        "{} belongs to another user (uid {owner}; this is uid {me}): choose a folder or file of your own, or change its owner",
        path.display()
    )]
    Owner {
        /// The path.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
        /// This process's user id.
        me: u32,
    },
    /// Other users have access.
    #[error("{} can be {what} by other users (mode {mode:o}): `chmod {chmod} {}` closes it", path.display(), path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// `read` or `written to`.
        what: &'static str,
        /// Its mode.
        mode: u32,
        /// The argument for `chmod`.
        chmod: &'static str,
    },
    /// It cannot be examined.
    #[error("cannot look at {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
}

/// Checks that a data folder is this user's and that no other user may write into it. One that does not exist yet
/// passes.
///
/// # Errors
/// See [`NotPrivate`].
pub fn check_folder(path: &Path) -> Result<(), NotPrivate> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NotPrivate::Unreadable(path.to_owned(), error)),
    };
    if faults::bug("foreign_data_folder") {
        return Ok(());
    }
    let (me, mode) = (rustix::process::geteuid().as_raw(), meta.mode() & 0o7777);
    if meta.uid() != me {
        return Err(NotPrivate::Owner { path: path.to_owned(), owner: meta.uid(), me });
    }
    if mode & 0o022 != 0 {
        return Err(NotPrivate::Open { path: path.to_owned(), what: "written to", mode, chmod: "go-w" });
    }
    Ok(())
}

/// Checks that a folder is this user's, and that no other user may even look into it.
///
/// # Errors
/// See [`NotPrivate`].
pub fn check_closed(path: &Path) -> Result<(), NotPrivate> {
    // Not through a link: who may change the link chooses the folder.
    let meta = fs::symlink_metadata(path).map_err(|error| NotPrivate::Unreadable(path.to_owned(), error))?;
    if !meta.is_dir() {
        let not_a_folder = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(NotPrivate::Unreadable(path.to_owned(), not_a_folder));
    }
    if faults::bug("open_folder") {
        return Ok(());
    }
    let (me, mode) = (rustix::process::geteuid().as_raw(), meta.mode() & 0o7777);
    if meta.uid() != me {
        return Err(NotPrivate::Owner { path: path.to_owned(), owner: meta.uid(), me });
    }
    if mode & 0o077 != 0 {
        return Err(NotPrivate::Open { path: path.to_owned(), what: "entered", mode, chmod: "go=" });
    }
    Ok(())
}

/// Checks that only its owner, or a group that root chose, can read a file with a secret, and only its owner can write
/// it.
///
/// # Errors
/// See [`NotPrivate`].
pub fn check_secret(path: &Path) -> Result<(), NotPrivate> {
    let meta = fs::metadata(path).map_err(|error| NotPrivate::Unreadable(path.to_owned(), error))?;
    if faults::bug("open_secret") {
        return Ok(());
    }
    let (me, mode) = (rustix::process::geteuid().as_raw(), meta.mode() & 0o7777);
    if meta.uid() != me && meta.uid() != 0 {
        return Err(NotPrivate::Owner { path: path.to_owned(), owner: meta.uid(), me });
    }
    // Service managers provide secrets as root's files that the service's group may read.
    let closed = if meta.uid() == 0 && me != 0 { 0o027 } else { 0o077 };
    if mode & closed != 0 {
        return Err(NotPrivate::Open { path: path.to_owned(), what: "read", mode, chmod: "go=" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_is_this_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        check_folder(&data).unwrap();
        fs::create_dir(&data).unwrap();
        for (mode, good) in [(0o700, true), (0o755, true), (0o775, false), (0o777, false)] {
            set(&data, mode);
            assert_eq!(check_folder(&data).is_ok(), good, "{mode:o}");
        }
        let said = check_folder(&data).unwrap_err().to_string();
        assert!(said.contains("written to by other users (mode 777): `chmod go-w"), "{said}");
    }

    #[test]
    fn a_closed_folder_is_entered_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        assert!(matches!(check_closed(&closed), Err(NotPrivate::Unreadable(..))));
        fs::create_dir(&closed).unwrap();
        for (mode, good) in [(0o700, true), (0o710, false), (0o701, false), (0o755, false)] {
            set(&closed, mode);
            assert_eq!(check_closed(&closed).is_ok(), good, "{mode:o}");
        }
        set(&closed, 0o700);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&closed, &link).unwrap();
        assert!(check_closed(&link).is_err(), "a link is no folder");
    }

    #[test]
    fn a_secret_is_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("join-secret");
        assert!(matches!(check_secret(&file), Err(NotPrivate::Unreadable(..))));
        fs::write(&file, "x").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o644, false), (0o640, false), (0o602, false)] {
            set(&file, mode);
            assert_eq!(check_secret(&file).is_ok(), good, "{mode:o}");
        }
    }
}
