//! Files below a folder, opened name by name, so that no link leads out of it; and copies of them, hashed on the way.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use longhaul_proto::{
    digest::{ContentDigest, GrowingDigest},
    durable, faults,
};
use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
};

use super::{error::BackupError, manifest::Entry};

/// Read at once, bytes.
const CHUNK: usize = 1 << 20;

/// A folder, below which nothing is followed.
#[derive(Debug)]
pub(super) struct Tree {
    folder: OwnedFd,
    path: PathBuf,
}

/// A file that was opened.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) bytes: u64,
    pub(super) modified_ns: i64,
}

impl Tree {
    /// The folder itself may be named by a link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let folder = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { folder, path: path.to_owned() })
    }

    /// Opens a plain file; `None` = it is not there.
    pub(super) fn file(&self, below: &Path) -> Result<Option<Opened>, BackupError> {
        let path = self.path.join(below);
        let found = self.descend(below).map_err(io::Error::from).map_err(BackupError::read(&path))?;
        let Some(file) = found else { return Ok(None) };
        let meta = file.metadata().map_err(BackupError::read(&path))?;
        if !meta.is_file() {
            return Err(BackupError::Link(path));
        }
        let modified_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Ok(Some(Opened { file, bytes: meta.len(), modified_ns }))
    }

    fn descend(&self, below: &Path) -> Result<Option<File>, Errno> {
        let gone = |error| if error == Errno::NOENT { Ok(None) } else { Err(error) };
        let nofollow = match faults::bug("backup_follows_links") {
            true => OFlags::empty(),
            false => OFlags::NOFOLLOW,
        };
        let (mut above, mut parts) = (None::<OwnedFd>, below.iter().peekable());
        while let Some(name) = parts.next() {
            let last = parts.peek().is_none();
            // A pipe in the place of a file must not hold this up.
            let kind = if last { OFlags::NONBLOCK } else { OFlags::DIRECTORY };
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | nofollow | kind;
            let opened = match &above {
                None => openat(&self.folder, name, flags, Mode::empty()),
                Some(above) => openat(above, name, flags, Mode::empty()),
            };
            match opened {
                Ok(fd) => above = Some(fd),
                // A link in the place of a folder: on Linux it is no folder.
                Err(Errno::NOTDIR) => return Err(Errno::LOOP),
                Err(error) => return gone(error),
            }
        }
        Ok(above.map(File::from))
    }

    /// The names in a folder, in order; a missing one has none.
    pub(super) fn names(&self, below: &Path) -> Result<Vec<String>, BackupError> {
        let path = self.path.join(below);
        let failed = |error: Errno| BackupError::read(&path)(error.into());
        let Some(folder) = self.descend(below).map_err(failed)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Makes a folder and those above it, for the owner alone.
pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(durable::FOLDER_MODE).create(path).map_err(BackupError::write(path))
}

/// Makes a new file for the owner alone, with its folders.
fn make(path: &Path) -> Result<File, BackupError> {
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(durable::FILE_MODE).open(path);
    made.map_err(BackupError::write(path))
}

/// Writes a new file.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    make(path)?.write_all(content).map_err(BackupError::write(path))
}

/// Copies an opened file to the new file `into`/`below`, as long as it was when it was opened, and digests it.
pub(super) fn copy(from: Opened, below: &Path, into: &Path) -> Result<Entry, BackupError> {
    faults::point("backup.file");
    let path = into.join(below);
    let mut to = make(&path)?;
    let (mut digest, mut bytes, mut buffer) = (GrowingDigest::default(), 0, vec![0; CHUNK]);
    let mut from_file = from.file.take(from.bytes);
    loop {
        let n = from_file.read(&mut buffer).map_err(BackupError::read(below))?;
        if n == 0 {
            break;
        }
        faults::check("backup.write").and_then(|()| to.write_all(&buffer[..n])).map_err(BackupError::write(&path))?;
        digest.update(&buffer[..n]);
        bytes += n as u64;
    }
    Ok(entry(below, bytes, digest.finish(), from.modified_ns))
}

/// As [`copy`], of a log of lines: without one that has no end yet.
pub(super) fn copy_lines(from: Opened, below: &Path, into: &Path) -> Result<Entry, BackupError> {
    let mut text = Vec::new();
    (&from.file).take(from.bytes).read_to_end(&mut text).map_err(BackupError::read(below))?;
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    write(&into.join(below), &text)?;
    Ok(entry(below, text.len() as u64, ContentDigest::of(&text), from.modified_ns))
}

/// The digest of a file that was opened, and how many bytes it has.
pub(super) fn digest(from: Opened, below: &Path) -> Result<(u64, ContentDigest), BackupError> {
    let (mut digest, mut bytes, mut buffer) = (GrowingDigest::default(), 0, vec![0; CHUNK]);
    let mut file = from.file;
    loop {
        match file.read(&mut buffer).map_err(BackupError::read(below))? {
            0 => return Ok((bytes, digest.finish())),
            n => {
                digest.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

/// Gives a file of an earlier backup a second name in this one; `false` = the file system does not.
pub(super) fn link(earlier: &Path, below: &Path, into: &Path) -> Result<bool, BackupError> {
    let path = into.join(below);
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    Ok(fs::hard_link(earlier.join(below), path).is_ok())
}

fn entry(below: &Path, bytes: u64, digest: ContentDigest, modified_ns: i64) -> Entry {
    Entry { path: below.to_string_lossy().into_owned(), bytes, sha256: digest.to_string(), modified_ns }
}

/// Makes all that was written below a folder durable.
#[cfg(target_os = "linux")]
pub(super) fn sync(folder: &Path) -> Result<(), BackupError> {
    // One call for all of it, where each file would wait for the journal.
    File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?)).map_err(BackupError::write(folder))
}

/// Makes all that was written below a folder durable.
#[cfg(not(target_os = "linux"))]
pub(super) fn sync(folder: &Path) -> Result<(), BackupError> {
    let all = || -> io::Result<()> {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => folders.push(entry.path()),
                    false => File::open(entry.path())?.sync_all()?,
                }
            }
            File::open(&folder)?.sync_all()?;
        }
        Ok(())
    };
    all().map_err(BackupError::write(folder))
}
