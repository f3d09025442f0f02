//! The gateway's copy of every run's output: two files per run. Each is always a prefix of the agent's output, preceded
//! by the output of attempts that are proven dead.
//!
//! Only the run's task appends, and only at the present length: bytes that the mirror already has are skipped, bytes
//! beyond a gap are refused. All others read by offset from the one open file. At the end, length and SHA-256 must be
//! the agent's. The digest grows while bytes arrive, and after a restart it is recomputed from the file: what a crash
//! left is trusted only as far as its digest is the agent's.

mod track;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use longhaul_proto::{durable, faults, ids::RunId};

use crate::model::Stream;
use track::Track;

pub use track::{Appended, Sealed};

/// All mirrors of one gateway, by run.
#[derive(Debug)]
pub struct Mirrors {
    root: PathBuf,
    limit: u64,
    open: Mutex<HashMap<RunId, Weak<Mirror>>>,
}

/// The copy of one run's output.
#[derive(Debug)]
pub struct Mirror {
    log: Arc<Track>,
    console: Arc<Track>,
}

/// Runs blocking work on a thread where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    longhaul_proto::tasks::blocking(work).await?
}

/// Bytes of all files below a folder; a file that disappears meanwhile counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0_u64;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = std::fs::symlink_metadata(entry.path()) else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                bytes = bytes.saturating_add(meta.len());
            }
        }
    }
    bytes
}

impl Mirrors {
    /// The mirrors under `root`; each stream keeps at most `limit` bytes.
    pub fn new(root: &Path, limit: u64) -> Self {
        Self { root: root.to_owned(), limit, open: Mutex::default() }
    }

    /// `<root>/<2 hex>/<run id>`: the last two characters, since the first ones of a UUIDv7 are the time.
    fn folder(&self, run: RunId) -> PathBuf {
        let short = run.short();
        self.root.join(short.get(short.len() - 2..).unwrap_or("00")).join(run.to_string())
    }

    /// The mirror of a run, created if missing.
    ///
    /// # Errors
    /// When its files cannot be created.
    pub async fn open(&self, run: RunId) -> io::Result<Arc<Mirror>> {
        match self.known(run) {
            Some(mirror) => Ok(mirror),
            None => self.load(run, true).await,
        }
    }

    /// The mirror of a run, if there is one.
    ///
    /// # Errors
    /// When it exists and cannot be opened.
    pub async fn find(&self, run: RunId) -> io::Result<Option<Arc<Mirror>>> {
        if let Some(mirror) = self.known(run) {
            return Ok(Some(mirror));
        }
        match self.load(run, false).await {
            Ok(mirror) => Ok(Some(mirror)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the mirror of a run.
    ///
    /// # Errors
    /// When the file system refuses.
    pub async fn remove(&self, run: RunId) -> io::Result<()> {
        let folder = self.folder(run);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        blocking(move || if folder.exists() { durable::remove_folder(&folder) } else { Ok(()) }).await
    }

    /// Bytes that all mirrors take together.
    pub async fn taken(&self) -> u64 {
        let root = self.root.clone();
        blocking(move || Ok(bytes_below(&root))).await.unwrap_or_default()
    }

    /// Bytes that the mirror of a run takes.
    pub async fn size(&self, run: RunId) -> u64 {
        let folder = self.folder(run);
        blocking(move || Ok(bytes_below(&folder))).await.unwrap_or_default()
    }

    fn known(&self, run: RunId) -> Option<Arc<Mirror>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&run).and_then(Weak::upgrade)
    }

    async fn load(&self, run: RunId, make: bool) -> io::Result<Arc<Mirror>> {
        let (folder, limit) = (self.folder(run), self.limit);
        let mirror = blocking(move || {
            if make {
                durable::create_folder(&folder)?;
            }
            let log = Arc::new(Track::open(&folder.join("log"), make, limit)?);
            let console = Arc::new(Track::open(&folder.join("console"), make, limit)?);
            Ok(Arc::new(Mirror { log, console }))
        })
        .await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have opened it meanwhile, and there must be one length and one digest.
        if let Some(first) = open.get(&run).and_then(Weak::upgrade) {
            return Ok(first);
        }
        open.retain(|_, mirror| mirror.strong_count() > 0);
        open.insert(run, Arc::downgrade(&mirror));
        Ok(mirror)
    }
}

impl Mirror {
    fn track(&self, stream: Stream) -> &Arc<Track> {
        match stream {
            Stream::Log => &self.log,
            Stream::Console => &self.console,
        }
    }

    /// Bytes before these offsets belong to attempts that have ended: digests and restarts concern only what comes
    /// after.
    pub fn begin_at(&self, log: u64, console: u64) {
        self.log.begin_at(log);
        self.console.begin_at(console);
    }

    /// The present length in bytes.
    pub fn len(&self, stream: Stream) -> u64 {
        self.track(stream).len()
    }

    /// Whether the limit per run cut it.
    pub fn is_cut(&self, stream: Stream) -> bool {
        self.track(stream).is_cut()
    }

    /// Appends bytes that begin at `offset`, in pieces.
    ///
    /// # Errors
    /// When the disk fails; the pieces before the failure are kept.
    pub async fn append(&self, stream: Stream, offset: u64, pieces: Vec<Bytes>) -> io::Result<Appended> {
        let track = self.track(stream).clone();
        blocking(move || {
            faults::check("mirror.append")?;
            let (mut at, before) = (offset, track.len());
            for piece in &pieces {
                if track.append(at, piece)? == Appended::Gap {
                    return Ok(Appended::Gap);
                }
                at += piece.len() as u64;
            }
            let grown = track.len() - before;
            if track.should_write_out() {
                // In the background: only the end of the run waits for it.
                longhaul_proto::tasks::in_background(move || track.write_out());
            }
            Ok(if grown > 0 { Appended::Grew(grown) } else { Appended::Had })
        })
        .await
    }

    /// At most `max` bytes from `offset`; fewer at the end, none beyond it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn read(&self, stream: Stream, offset: u64, max: usize) -> io::Result<Bytes> {
        let track = self.track(stream).clone();
        blocking(move || track.read(offset, max)).await
    }

    /// Makes the stream durable and compares the part of the present attempt with this digest (lower-case hex); `len`
    /// is the length of the whole stream.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn seal(&self, stream: Stream, len: u64, sha256: &str) -> io::Result<Sealed> {
        let (track, sha256) = (self.track(stream).clone(), sha256.to_owned());
        blocking(move || track.seal(len, &sha256)).await
    }

    /// Discards the copy of the present attempt, so that it is fetched again.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn restart(&self, stream: Stream) -> io::Result<()> {
        let track = self.track(stream).clone();
        blocking(move || track.restart()).await
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::{ids::Ids, sha256_hex};

    use super::*;

    async fn append(mirror: &Mirror, offset: u64, data: &'static [u8]) -> Appended {
        let pieces = data.chunks(3).map(Bytes::from_static).collect();
        mirror.append(Stream::Log, offset, pieces).await.unwrap()
    }

    async fn seal(mirror: &Mirror, len: u64, text: &[u8]) -> Sealed {
        mirror.seal(Stream::Log, len, &sha256_hex(text)).await.unwrap()
    }

    #[tokio::test]
    async fn it_is_always_a_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::new(folder.path(), 1 << 20);
        let run = Ids::system().run();
        assert!(mirrors.find(run).await.unwrap().is_none());
        let mirror = mirrors.open(run).await.unwrap();
        assert_eq!(append(&mirror, 0, b"one ").await, Appended::Grew(4));
        assert_eq!(append(&mirror, 0, b"one ").await, Appended::Had, "repeated");
        assert_eq!(append(&mirror, 2, b"e two").await, Appended::Grew(3), "overlapping");
        assert_eq!(append(&mirror, 9, b"!").await, Appended::Gap, "a hole is never written");
        assert_eq!(&mirror.read(Stream::Log, 0, 100).await.unwrap()[..], b"one two");
        assert_eq!(&mirror.read(Stream::Log, 4, 2).await.unwrap()[..], b"tw");
        assert!(mirror.read(Stream::Log, 7, 10).await.unwrap().is_empty());
        assert!(mirror.read(Stream::Console, 0, 10).await.unwrap().is_empty());
        assert_eq!(seal(&mirror, 7, b"one two").await, Sealed::Same);
        assert_eq!(seal(&mirror, 7, b"one twO").await, Sealed::Differs);
        assert_eq!(seal(&mirror, 8, b"one two!").await, Sealed::Differs, "shorter than it should be");
        assert_eq!(seal(&mirror, 3, b"one").await, Sealed::Longer);
        assert_eq!(seal(&mirror, 3, b"two").await, Sealed::Differs);
        assert_eq!(seal(&mirror, 7, b"one two").await, Sealed::Same, "asking changes nothing");
        assert_eq!(append(&mirror, 7, b" three").await, Appended::Grew(6));
        assert_eq!(seal(&mirror, 13, b"one two three").await, Sealed::Same);
        assert!(Arc::ptr_eq(&mirror, &mirrors.open(run).await.unwrap()), "one open file per run");
    }

    #[tokio::test]
    async fn it_goes_on_after_a_restart_and_can_start_over() {
        let folder = tempfile::tempdir().unwrap();
        let run = Ids::system().run();
        let mirrors = Mirrors::new(folder.path(), 1 << 20);
        append(&mirrors.open(run).await.unwrap(), 0, b"before ").await;
        let mirrors = Mirrors::new(folder.path(), 1 << 20);
        let mirror = mirrors.find(run).await.unwrap().unwrap();
        assert_eq!(mirror.len(Stream::Log), 7);
        append(&mirror, 7, b"after").await;
        assert_eq!(seal(&mirror, 12, b"before after").await, Sealed::Same);
        mirror.restart(Stream::Log).await.unwrap();
        assert_eq!(append(&mirror, 0, b"other").await, Appended::Grew(5));
        assert_eq!(seal(&mirror, 5, b"other").await, Sealed::Same);
        mirrors.remove(run).await.unwrap();
        assert!(mirrors.find(run).await.unwrap().is_none());
        mirrors.remove(run).await.unwrap();
    }

    #[tokio::test]
    async fn what_an_earlier_attempt_printed_stays_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let run = Ids::system().run();
        let mirrors = Mirrors::new(folder.path(), 1 << 20);
        let mirror = mirrors.open(run).await.unwrap();
        append(&mirror, 0, b"first ").await;
        assert_eq!(seal(&mirror, 6, b"first ").await, Sealed::Same);
        mirror.begin_at(6, 0);
        append(&mirror, 6, b"second").await;
        assert_eq!(seal(&mirror, 12, b"second").await, Sealed::Same, "the digest is the attempt's own");
        assert_eq!(seal(&mirror, 12, b"first second").await, Sealed::Differs);
        mirror.restart(Stream::Log).await.unwrap();
        assert_eq!(&mirror.read(Stream::Log, 0, 100).await.unwrap()[..], b"first ");
        append(&mirror, 6, b"second").await;
        drop((mirror, mirrors));
        let mirror = Mirrors::new(folder.path(), 1 << 20).open(run).await.unwrap();
        mirror.begin_at(6, 0);
        assert_eq!(seal(&mirror, 12, b"second").await, Sealed::Same, "also after a restart");
        assert_eq!(&mirror.read(Stream::Log, 0, 100).await.unwrap()[..], b"first second");
    }

    #[tokio::test]
    async fn the_limit_cuts_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirrors::new(folder.path(), 6).open(Ids::system().run()).await.unwrap();
        assert_eq!(append(&mirror, 0, b"1234").await, Appended::Grew(4));
        assert!(!mirror.is_cut(Stream::Log));
        assert_eq!(append(&mirror, 4, b"5678").await, Appended::Grew(2));
        assert!(mirror.is_cut(Stream::Log));
        assert_eq!(append(&mirror, 8, b"9").await, Appended::Had);
        assert_eq!(mirror.len(Stream::Log), 6);
    }
}
