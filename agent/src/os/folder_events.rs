//! What the kernel tells of changes in folders (inotify(7)): files that were made, written, or moved into place.
//!
//! Elsewhere than on Linux nothing is told, and whoever asks polls.

use std::{io, path::Path};

/// One watched folder. The kernel does not use a number again while the process lives, except after 2^31 watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId(i32);

/// One thing that the kernel told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Something changed in the folder.
    Change(WatchId),
    /// The folder is not watched any more.
    Unwatched(WatchId),
    /// Some changes were not told.
    Overflow,
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::mem::MaybeUninit;

    use rustix::{
        fd::OwnedFd,
        fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    };
    use tokio::io::unix::AsyncFd;

    use super::{Path, Seen, WatchId, io};

    /// Bytes of events that are read at once: some hundred events.
    const AT_ONCE: usize = 8 * 1024;

    /// The kernel's events of all watched folders.
    #[derive(Debug)]
    pub struct FolderEvents(AsyncFd<OwnedFd>);

    impl FolderEvents {
        /// No folder is watched yet. Within a runtime.
        ///
        /// # Errors
        /// The kernel has none left for this user (`fs.inotify.max_user_instances`).
        pub fn new() -> io::Result<Self> {
            let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            #[expect(
                deprecated,
                reason = "its successor is unsafe to call, for types that do not own their descriptor"
            )]
            AsyncFd::new(events).map(Self)
        }

        /// Watches a folder; one that is watched keeps its id.
        ///
        /// # Errors
        /// There is no such folder, or the kernel has no watch left for this user (`fs.inotify.max_user_watches`).
        pub fn watch(&self, folder: &Path) -> io::Result<WatchId> {
            let changes = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            Ok(WatchId(inotify::add_watch(self.0.get_ref(), folder, changes)?))
        }

        /// Ends the watch on a folder.
        pub fn unwatch(&self, id: WatchId) {
            // A folder that is gone is no longer watched anyway.
            let _ = inotify::remove_watch(self.0.get_ref(), id.0);
        }

        /// Waits for events and adds them to `seen`, each change of a folder once.
        ///
        /// # Errors
        /// The kernel cannot be asked.
        pub async fn next(&self, seen: &mut Vec<Seen>) -> io::Result<()> {
            loop {
                let mut ready = self.0.readable().await?;
                // An error here is only that nothing has come yet.
                if let Ok(read) = ready.try_io(|fd| read(fd.get_ref(), seen)) {
                    return read;
                }
            }
        }
    }

    fn read(fd: &OwnedFd, seen: &mut Vec<Seen>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); AT_ONCE];
        let mut events = inotify::Reader::new(fd, &mut buffer);
        loop {
            let event = events.next()?;
            let id = WatchId(event.wd());
            let now = match event.events() {
                flags if flags.contains(ReadFlags::QUEUE_OVERFLOW) => Seen::Overflow,
                flags if flags.contains(ReadFlags::IGNORED) => Seen::Unwatched(id),
                _ => Seen::Change(id),
            };
            if !seen.contains(&now) {
                seen.push(now);
            }
            if events.is_buffer_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::{Path, Seen, WatchId, io};

    /// The kernel's events, of which there are none here.
    #[derive(Debug)]
    pub struct FolderEvents(());

    impl FolderEvents {
        /// Always an error.
        pub fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Never called.
        pub fn watch(&self, _folder: &Path) -> io::Result<WatchId> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Never called.
        pub fn unwatch(&self, _id: WatchId) {}

        /// Never called.
        pub async fn next(&self, _seen: &mut Vec<Seen>) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

pub use kernel::FolderEvents;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_is_made_written_or_moved_is_told_and_what_is_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (watched, beside) = (folder.path().join("watched"), folder.path().join("beside"));
        fs::create_dir(&watched).unwrap();
        fs::write(&beside, "moved").unwrap();
        let events = FolderEvents::new().unwrap();
        assert!(events.watch(&folder.path().join("absent")).is_err());
        let id = events.watch(&watched).unwrap();
        assert_eq!(events.watch(&watched).unwrap(), id);
        let mut seen = Vec::new();
        for content in ["", "written"] {
            fs::write(watched.join("made"), content).unwrap();
            events.next(&mut seen).await.unwrap();
            assert_eq!(std::mem::take(&mut seen), [Seen::Change(id)]);
        }
        fs::read(watched.join("made")).unwrap();
        fs::rename(&beside, watched.join("moved")).unwrap();
        events.next(&mut seen).await.unwrap();
        assert_eq!(std::mem::take(&mut seen), [Seen::Change(id)]);
        fs::remove_dir_all(&watched).unwrap();
        events.next(&mut seen).await.unwrap();
        assert_eq!(seen, [Seen::Unwatched(id)]);
    }
}
