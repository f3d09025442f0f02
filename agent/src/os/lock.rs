//! Locks that end with their holder's process: `flock`, never a file with a pid in it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use longhaul_proto::durable::FILE_MODE;
use rustix::fs::{FlockOperation, flock};

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct FileLock(File);

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

impl FileLock {
    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets programs that this process starts from now on inherit the lock: it is then held for as long as one of them
    /// lives, or until it is dropped here.
    ///
    /// # Errors
    /// Any failure of the system.
    pub fn pass_on(&self) -> io::Result<()> {
        Ok(rustix::io::fcntl_setfd(&self.0, rustix::io::FdFlags::empty())?)
    }

    /// Writes what others may read about the holder.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn note(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all_at(bytes, 0)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        release(&self.0);
    }
}

/// Closing the file is not enough: a child that this process is just starting has a copy of the descriptor until it
/// becomes its program, and the lock would look held until then. Unlocking ends it for every copy (flock(2)).
fn release(file: &File) {
    // It can only fail where there is no lock.
    let _ = flock(file, FlockOperation::Unlock);
}

/// Whether a process holds the lock now. Tests with a shared lock, so that two processes that test do not take each
/// other's for that of a holder.
///
/// # Errors
/// Any failure of the file system except a missing file, which counts as not locked.
pub fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            release(&file);
            Ok(false)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_locked(&path).unwrap());
        let held = FileLock::try_take(&path).unwrap().unwrap();
        assert!(FileLock::try_take(&path).unwrap().is_none());
        assert!(is_locked(&path).unwrap());
        drop(held);
        assert!(!is_locked(&path).unwrap());
    }

    /// Of what became of it while this process lives, only dropping frees it: for every copy.
    #[test]
    fn a_lock_that_was_passed_on_is_freed_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::try_take(&path).unwrap().unwrap();
        held.pass_on().unwrap();
        held.note(b"a longer note").unwrap();
        held.note(b"me").unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(FileLock::try_take(&path).unwrap().is_none());
        drop(held);
        assert!(FileLock::try_take(&path).unwrap().is_some());
        assert_eq!(std::fs::read(&path).unwrap(), b"me");
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// As a child has it that was started while the lock was held.
    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::try_take(&path).unwrap().unwrap();
        let _copy = held.0.try_clone().unwrap();
        drop(held);
        assert!(FileLock::try_take(&path).unwrap().is_some());
    }
}
