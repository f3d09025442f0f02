//! Folders and files that must be this user's alone, checked before anything in them is believed.
//!
//! Who may write into a data folder chooses its secrets, its tokens and its runs; who may read a join secret is an agent
//! or a gateway. As with the keys of `ssh`, what does not hold is refused in words, not mended.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::faults;

/// What is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// Somebody else's.
    #[error(
        "{} belongs to another user (uid {owner}; this is uid {me}): choose a folder or file of your own, or change its owner",
        path.display()
    )]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        me: u32,
    },
    /// Open to others.
    #[error("{} can be {what} by other users (mode {mode:o}): `chmod {chmod} {}` closes it", path.display(), path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// `read` or `written to`.
        what: &'static str,
        /// Its mode.
        mode: u32,
        /// What to give `chmod`.
        chmod: &'static str,
    },
    /// Not to be looked at.
    #[error("cannot look at {}", .0.display())]
    Look(PathBuf, #[source] io::Error),
}

/// A data folder is this user's and nobody else may write into it. One that does not exist yet will be.
///
/// # Errors
/// See [`NotPrivate`].
pub fn check_folder(path: &Path) -> Result<(), NotPrivate> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NotPrivate::Look(path.to_owned(), error)),
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

/// A file with a secret is read by its owner, or by a group that root chose; nobody else reads or writes it.
///
/// # Errors
/// See [`NotPrivate`].
pub fn check_secret(path: &Path) -> Result<(), NotPrivate> {
    let meta = fs::metadata(path).map_err(|error| NotPrivate::Look(path.to_owned(), error))?;
    if faults::bug("open_secret") {
        return Ok(());
    }
    let (me, mode) = (rustix::process::geteuid().as_raw(), meta.mode() & 0o7777);
    if meta.uid() != me && meta.uid() != 0 {
        return Err(NotPrivate::Owner { path: path.to_owned(), owner: meta.uid(), me });
    }
    // Service managers hand secrets out as root's files that the service's group may read.
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
    fn a_secret_is_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("join-secret");
        assert!(matches!(check_secret(&file), Err(NotPrivate::Look(..))));
        fs::write(&file, "x").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o644, false), (0o640, false), (0o602, false)] {
            set(&file, mode);
            assert_eq!(check_secret(&file).is_ok(), good, "{mode:o}");
        }
    }
}
