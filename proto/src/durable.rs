//! Writes that survive a crash: the only place for them, in the spool and in the mirror.
//!
//! The rules are the file system's: a new name is durable when its folder was synced after it, content when the file
//! was synced before that. Everything here blocks; call it from a blocking thread or the supervisor.

mod sync_threads;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::faults::{self, Op, did};

/// Mode of every file Longhaul makes: the owner alone.
pub const FILE_MODE: u32 = 0o600;
/// Mode of every folder Longhaul makes.
pub const FOLDER_MODE: u32 = 0o700;

/// Replaces `path` by `content`, whole or not at all: a temporary name beside it, sync, rename, sync of the folder.
///
/// # Errors
/// Any failure of the file system; `path` then holds what it held before.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_after(path, content, Batch::default())
}

/// Like [`replace`], with what must be durable before `path` has the content.
///
/// # Errors
/// As [`replace`].
pub fn replace_after(path: &Path, content: &[u8], mut before: Batch) -> io::Result<()> {
    let folder = folder_of(path)?;
    let temp = temporary(path)?;
    let written = (|| {
        if faults::bug("exit_not_synced") && path.ends_with("exit.json") {
            write(&temp, content)?;
        } else {
            before.write(&temp, content)?;
        }
        before.sync()?;
        rename(&temp, path)
    })();
    if written.is_err() {
        // Best effort: the name is this thread's own, and the failure that matters is already on its way to the
        // caller.
        let _ = fs::remove_file(&temp);
    }
    written?;
    sync_folder(folder)
}

/// Replaces `path` by `content`, whole for whoever reads it while this host runs. A crash of the host may leave what was
/// there before, nothing, or half of it.
///
/// # Errors
/// Any failure of the file system; `path` then holds what it held before.
pub fn replace_unsynced(path: &Path, content: &[u8]) -> io::Result<()> {
    let temp = temporary(path)?;
    let written = write(&temp, content).and_then(|_| rename(&temp, path));
    if written.is_err() {
        let _ = fs::remove_file(&temp);
    }
    written
}

/// The name beside `path` under which this thread writes what is to replace it: another one may replace the same file now.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    if faults::bug("threads_share_a_name") {
        name.push(format!(".{}.tmp", std::process::id()));
    } else {
        name.push(format!(".{}.{:?}.tmp", std::process::id(), std::thread::current().id()));
    }
    Ok(folder_of(path)?.join(name))
}

fn write(path: &Path, content: &[u8]) -> io::Result<File> {
    faults::check("durable.write")?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.write_all(content)?;
    did(|| Op::Write(path.to_owned(), content.to_vec()));
    Ok(file)
}

/// Several files and names that become durable together: a journal commits once for all syncs that wait for it, so they
/// wait at the same time instead of one after the other. No reader may rely on any of them until [`Batch::sync`] has
/// returned; a crash may leave half of each.
#[derive(Debug, Default)]
pub struct Batch(Vec<(File, PathBuf)>);

impl Batch {
    /// Writes a file, in place.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn write(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.0.push((write(path, content)?, path.to_owned()));
        Ok(())
    }

    /// Adds what a file has when [`Batch::sync`] is called; a missing one has nothing, nor has an empty one, of which only
    /// the name counts.
    ///
    /// # Errors
    /// Any other failure of the file system.
    pub fn content(&mut self, path: &Path) -> io::Result<()> {
        match File::open(path) {
            Ok(file) if file.metadata()?.len() == 0 => Ok(()),
            Ok(file) => {
                self.0.push((file, path.to_owned()));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds what an open file has when [`Batch::sync`] is called.
    ///
    /// # Errors
    /// When the process has too many files open.
    pub fn file(&mut self, file: &File, path: &Path) -> io::Result<()> {
        self.0.push((file.try_clone()?, path.to_owned()));
        Ok(())
    }

    /// Adds the names in a folder that are there when [`Batch::sync`] is called.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn names(&mut self, folder: &Path) -> io::Result<()> {
        self.0.push((File::open(folder)?, folder.to_owned()));
        Ok(())
    }

    /// Makes all of it durable.
    ///
    /// # Errors
    /// The first failure; the rest may be durable or not.
    pub fn sync(self) -> io::Result<()> {
        let (files, paths): (Vec<File>, Vec<PathBuf>) = self.0.into_iter().unzip();
        sync_threads::sync_all(files)?;
        for path in paths {
            did(|| if path.is_dir() { Op::SyncFolder(path.clone()) } else { Op::Sync(path.clone()) });
        }
        Ok(())
    }
}

/// Makes `path` with `content` if and only if it does not exist yet (`O_EXCL`). `Ok(false)`: it existed. The process
/// that makes it first decides; all may read the content afterwards.
///
/// # Errors
/// Any failure of the file system. A failure after the file was made leaves it, so that no other process decides.
pub fn create_exclusive(path: &Path, content: &[u8]) -> io::Result<bool> {
    create_exclusive_after(path, content, Batch::default())
}

/// Like [`create_exclusive`], with what must be durable before another process can see `path`.
///
/// # Errors
/// As [`create_exclusive`]. If syncing `before` fails, `path` is not created.
pub fn create_exclusive_after(path: &Path, content: &[u8], mut before: Batch) -> io::Result<bool> {
    let folder = folder_of(path)?;
    // Content under a private name first and then a hard link: no process ever reads a half-written decision.
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.{:?}.new", std::process::id(), std::thread::current().id()));
    let temp = folder.join(name);
    let linked = before.write(&temp, content).and_then(|()| before.sync()).and_then(|()| fs::hard_link(&temp, path));
    let made = match linked {
        Ok(()) => {
            did(|| Op::Link(temp.clone(), path.to_owned()));
            true
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => {
            let _ = fs::remove_file(&temp);
            return Err(error);
        }
    };
    fs::remove_file(&temp)?;
    did(|| Op::Remove(temp.clone()));
    sync_folder(folder)?;
    Ok(made)
}

/// Makes a folder (and those above it) for the owner alone, durably. Existing ones are left as they are.
///
/// # Errors
/// Any failure of the file system.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    // Each new name lies in the folder above it, so that one has to be durable too.
    if let Some(above) = above.filter(|above| !above.exists()) {
        create_folder(above)?;
    }
    make_folder(path)?;
    above.map_or(Ok(()), sync_folder)
}

/// Makes a folder (and those above it) for the owner alone; durable when the caller has synced the one above.
///
/// # Errors
/// Any failure of the file system.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    did(|| Op::Folder(path.to_owned()));
    Ok(())
}

/// Gives a file or folder another name in its folder; durable when the caller has synced that folder.
///
/// # Errors
/// Any failure of the file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    did(|| Op::Rename(from.to_owned(), to.to_owned()));
    Ok(())
}

/// Syncs the content of a file that lies at `path`.
///
/// # Errors
/// Any failure of the file system.
pub fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    file.sync_data()?;
    did(|| Op::Sync(path.to_owned()));
    Ok(())
}

/// Opens a file for appending, made for the owner alone if missing. The name is durable at return.
///
/// # Errors
/// Any failure of the file system.
pub fn open_append(path: &Path) -> io::Result<File> {
    let file = make_append(path)?;
    sync_folder(folder_of(path)?)?;
    Ok(file)
}

/// Opens a file for appending, made for the owner alone if missing; a new name is durable when the caller has synced its
/// folder.
///
/// # Errors
/// Any failure of the file system.
pub fn make_append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).read(true).create(true).mode(FILE_MODE).open(path)?;
    did(|| Op::Append(path.to_owned(), Vec::new()));
    Ok(file)
}

/// Removes a folder and all in it; missing is fine.
///
/// # Errors
/// Any failure of the file system but "not found".
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            did(|| Op::RemoveAll(path.to_owned()));
            sync_folder(folder_of(path)?)
        }
    }
}

/// Syncs a folder, so that the names in it are durable.
///
/// # Errors
/// Any failure of the file system.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    did(|| Op::SyncFolder(path.to_owned()));
    Ok(())
}

/// Whether this is a temporary name under which [`replace`] or [`create_exclusive`] writes in another process: a
/// leftover when that process is known to be dead.
pub fn is_unfinished(path: &Path) -> bool {
    writer(path).is_some_and(|pid| pid != std::process::id())
}

/// The process that writes under this name, when it is a temporary one.
fn writer(path: &Path) -> Option<u32> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.rsplit('.');
    if !matches!(parts.next(), Some("tmp" | "new")) {
        return None;
    }
    // `NAME.PID.ThreadId(N).new`; an earlier version wrote `NAME.PID.tmp`.
    let word = parts.next()?;
    if word.starts_with("ThreadId(") { parts.next()? } else { word }.parse().ok()
}

/// Removes from a folder what [`is_unfinished`], when its writer is dead: a daemon that was killed while it wrote may leave
/// one, and the next one writes under another name. Best effort: what cannot be removed does no harm.
pub fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let ended = |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
        if writer(&path).and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)).is_some_and(ended) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "a path without a folder")),
    }
}

#[cfg(test)]
mod tests;
