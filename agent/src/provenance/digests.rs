//! Digests of files that were read before.

use std::{
    collections::HashMap,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{clock::Clock, digest::ContentDigest, faults};

/// Most files that are remembered: some 100 bytes each.
const MOST: usize = 20_000;
/// A file that was written to more recently may change again within one tick of its times, milliseconds.
const SETTLED: i64 = 2_000;

/// By what a change of a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Key {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What is remembered. Cheap to clone; lost with the process.
#[derive(Clone, Debug)]
pub(crate) struct Digests {
    known: Arc<Mutex<HashMap<Key, ContentDigest>>>,
    clock: Clock,
}

impl Digests {
    /// None yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { known: Arc::default(), clock }
    }

    /// The digest of a file, if it is as it was when it was read.
    pub(crate) fn known(&self, meta: &Metadata) -> Option<ContentDigest> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&Key::of(meta)).copied().filter(|_| !faults::bug("digests_are_forgotten"))
    }

    /// Remembers the digest of a file that had this state before it was read.
    pub(crate) fn learn(&self, meta: &Metadata, digest: ContentDigest) {
        let changed_ms = meta.ctime() * 1000 + meta.ctime_nsec() / 1_000_000;
        if self.clock.unix_ms() < changed_ms + SETTLED {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            // Rare, and what is needed is read again.
            known.clear();
        }
        known.insert(Key::of(meta), digest);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The time in an hour.
    struct Later;

    impl longhaul_proto::clock::Source for Later {
        fn unix_ms(&self) -> i64 {
            Clock::system().unix_ms() + 3_600_000
        }

        fn monotonic(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }
    }

    #[test]
    fn a_file_that_changed_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let state = || fs::metadata(&path).unwrap();
        fs::write(&path, "one").unwrap();
        let now = Digests::new(Clock::system());
        let one = ContentDigest::of(b"one");
        now.learn(&state(), one);
        assert_eq!(now.known(&state()), None, "it may change within the same tick");
        let later = Digests::new(Clock::from_source(Later));
        later.learn(&state(), one);
        assert_eq!(later.known(&state()), Some(one));
        let before = state().modified().unwrap();
        fs::write(&path, "two").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        assert_eq!(later.known(&state()), None, "its times tell, though one was put back");
    }
}
