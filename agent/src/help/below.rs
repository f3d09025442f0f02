//! Files in a folder of the ado-path: ordinary ones, in it and nowhere else, whatever links are in it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use longhaul_proto::faults;

use crate::{os, stata::smcl::MOST_TEXT};

/// The beginning that shows what a file is about, bytes.
const HEAD: u64 = 8 * 1024;

/// By what a change of a file shows: its length, and when it was written, nanoseconds.
pub(super) type State = (u64, i64, i64);

/// All of a file, 8 MiB at most, and its state.
pub(super) fn read(folder: &Path, file: &Path) -> io::Result<(Vec<u8>, State)> {
    let opened = open(folder, file)?;
    let meta = opened.metadata()?;
    let mut bytes = vec![];
    opened.take(MOST_TEXT as u64).read_to_end(&mut bytes)?;
    Ok((bytes, (meta.len(), meta.mtime(), meta.mtime_nsec())))
}

/// Its beginning.
pub(super) fn head(folder: &Path, file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open(folder, file)?.take(HEAD).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open(folder: &Path, file: &Path) -> io::Result<File> {
    let opened =
        if faults::bug("help_follows_links") { File::open(folder.join(file))? } else { beneath(folder, file)? };
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    Ok(opened)
}

#[cfg(target_os = "linux")]
fn beneath(folder: &Path, file: &Path) -> io::Result<File> {
    use rustix::{
        fs::{Mode, OFlags, ResolveFlags, open, openat2},
        io::Errno,
    };
    // Without blocking: a FIFO of that name would wait for a writer for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let parent = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(&parent, file, flags, Mode::empty(), resolve) {
        Ok(opened) => Ok(opened.into()),
        // A kernel, or a container, that does not have the call.
        Err(Errno::NOSYS | Errno::PERM) => checked(folder, file),
        Err(Errno::XDEV) => Err(leads_out()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn beneath(folder: &Path, file: &Path) -> io::Result<File> {
    checked(folder, file)
}

/// Where the kernel does not hold the file below the folder: its links are followed first, and none is followed then.
fn checked(folder: &Path, file: &Path) -> io::Result<File> {
    let (folder, real) = (std::fs::canonicalize(folder)?, std::fs::canonicalize(folder.join(file))?);
    os::open_below(&folder, real.strip_prefix(&folder).map_err(|_| leads_out())?)
}

fn leads_out() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a link leads out of the ado-path")
}
