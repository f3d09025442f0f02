//! Opening a file without following a symbolic link anywhere on its way.
//!
//! A path was looked at earlier, and another user who may write to one of its folders may have replaced a part of it
//! by a link since. So the folders are opened one below the other, each refused when it is a link: what Linux calls
//! `RESOLVE_NO_SYMLINKS`, and as available on other systems and in containers that forbid `openat2`.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Component, Path},
};

use longhaul_proto::faults;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// A folder on the way: it is only gone through.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(SEARCH);
/// What is opened at last: a pipe that took its name must not block the agent before it is recognised.
const LAST: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = OFlags::RDONLY;

/// Opens the regular file at an absolute path to read it.
///
/// # Errors
/// As [`open_below`].
pub fn open_without_links(path: &Path) -> io::Result<File> {
    if faults::bug("links_are_followed") {
        return File::open(path);
    }
    let rest = path.strip_prefix("/").map_err(|_| not_plain())?;
    let file = open_below(Path::new("/"), rest)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(odd("it is no regular file any more")) }
}

/// Opens what is at a path below a folder to read it, whatever it is. The folder itself must be no link either.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when it is not there; [`io::ErrorKind::InvalidInput`] when a part of the path is a link or
/// leads out; or whatever the system says.
pub fn open_below(folder: &Path, rest: &Path) -> io::Result<File> {
    let named = |error| on_the_way(error, &folder.join(rest));
    let mut at: OwnedFd = openat(CWD, folder, FOLDER, Mode::empty()).map_err(named)?;
    let mut parts = rest.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Err(not_plain()) };
        let flags = if parts.peek().is_some() { FOLDER } else { LAST };
        at = openat(&at, name, flags, Mode::empty()).map_err(named)?;
        if parts.peek().is_none() {
            return Ok(File::from(at));
        }
    }
    Err(not_plain())
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.to_owned())
}

fn not_plain() -> io::Error {
    odd("its path is not absolute and plain")
}

fn on_the_way(error: rustix::io::Errno, path: &Path) -> io::Error {
    use rustix::io::Errno;
    let link = || path.ancestors().any(|part| part.is_symlink());
    match error {
        Errno::LOOP | Errno::MLINK => odd("it is a symbolic link now"),
        // What a link gives where a folder was to be opened.
        Errno::NOTDIR if link() => odd("a folder on its way is a symbolic link now"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{ErrorKind, Read},
        os::unix::fs::symlink,
    };

    use super::*;

    #[test]
    fn no_link_on_the_way_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(root.join("elsewhere")).unwrap();
        fs::write(root.join("a/b/file"), "its own").unwrap();
        fs::write(root.join("elsewhere/file"), "of others").unwrap();
        symlink(root.join("elsewhere"), root.join("a/link")).unwrap();
        symlink(root.join("elsewhere/file"), root.join("a/b/link")).unwrap();
        let mut text = String::new();
        open_without_links(&root.join("a/b/file")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "its own");
        let check = |path: &str, kind: ErrorKind, words: &str| {
            let error = open_without_links(&root.join(path)).unwrap_err();
            assert_eq!(error.kind(), kind, "{path}: {error}");
            assert!(error.to_string().contains(words), "{path}: {error}");
        };
        check("a/link/file", ErrorKind::InvalidInput, "a folder on its way is a symbolic link now");
        check("a/b/link", ErrorKind::InvalidInput, "it is a symbolic link now");
        check("a/b", ErrorKind::InvalidInput, "no regular file");
        check("a/b/none", ErrorKind::NotFound, "");
        check("a/../elsewhere/file", ErrorKind::InvalidInput, "plain");
        assert_eq!(open_without_links(Path::new("a/b/file")).unwrap_err().kind(), ErrorKind::InvalidInput);
        #[cfg(feature = "faults")]
        {
            let _bug = faults::enter("bug=links_are_followed");
            assert!(open_without_links(&root.join("a/link/file")).is_ok());
        }
    }
}
