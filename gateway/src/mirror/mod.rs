//! The gateway's copy of every run's output: its log and its console, as two growing files.
//!
//! The gateway's copy of every run's output: two files per run. Each is always a prefix of the agent's output, preceded
//! by the output of attempts that are proven dead.
//!
//! Only the run's task appends, and only at the present length: bytes that the mirror already has are skipped, bytes
//! beyond a gap are refused. All others read by offset from the one open file. At the end, length and digest must be
//! the agent's. The digest grows while bytes arrive, and after a restart it is recomputed from the file: what a crash
//! left is trusted only as far as its digest is the agent's.

mod kept;
mod names;
#[cfg(test)]
mod tests;
mod track;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use longhaul_proto::{durable, faults, ids::RunId};
use tokio::sync::OnceCell;

use crate::model::Stream;
use kept::{Kept, Leaving};
use names::Names;
use track::Track;

pub use track::{Appended, Recorded, RecordedDigest, Sealed};

/// All mirrors of one gateway, by run.
#[derive(Debug)]
pub struct Mirrors {
    root: PathBuf,
    limit: u64,
    kept: Arc<Kept>,
    /// Set once the files that were there at the start are counted.
    counted: OnceCell<()>,
}

/// How long the walk over all mirrors rests after each of its some 256 folders.
const REST: Duration = Duration::from_millis(4);

/// The copy of one run's output.
#[derive(Debug)]
pub struct Mirror {
    log: Arc<Track>,
    console: Arc<Track>,
    /// What the two take.
    bytes: Arc<AtomicU64>,
    names: Arc<Names>,
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
        Self { root: root.to_owned(), limit, kept: Arc::default(), counted: OnceCell::new() }
    }

    /// `<root>/<2 hex>/<run id>`.
    fn folder(&self, run: RunId) -> PathBuf {
        self.root.join(place_of(run))
    }

    /// The mirror of a run, created if missing.
    ///
    /// # Errors
    /// When its files cannot be created.
    pub async fn open(&self, run: RunId) -> io::Result<Arc<Mirror>> {
        match self.kept.find(run) {
            Some(mirror) => Ok(mirror),
            None => self.load(run, true).await,
        }
    }

    /// The mirror of a run, if there is one.
    ///
    /// # Errors
    /// When it exists and cannot be opened.
    pub async fn find(&self, run: RunId) -> io::Result<Option<Arc<Mirror>>> {
        if let Some(mirror) = self.kept.find(run) {
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
        let (folder, kept) = (self.folder(run), self.kept.clone());
        blocking(move || {
            let leaving = kept.leave(run);
            let bytes = if leaving == Leaving::Counted { bytes_below(&folder) } else { 0 };
            let removed = if folder.exists() { durable::remove_folder(&folder) } else { Ok(()) };
            kept.left(run, bytes, if removed.is_ok() { 0 } else { bytes_below(&folder) });
            removed
        })
        .await
    }

    /// Bytes that all mirrors take together. The first call counts them, without haste; no later one looks at a file.
    pub async fn taken(&self) -> u64 {
        self.counted.get_or_init(|| self.count()).await;
        self.kept.sum()
    }

    /// Counts what is there.
    async fn count(&self) {
        self.kept.begin();
        let (root, kept) = (self.root.clone(), self.kept.clone());
        let folders = move || {
            let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
            let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            folders.sort();
            Ok(folders)
        };
        for folder in blocking(folders).await.unwrap_or_default() {
            let kept = kept.clone();
            let walk = move || {
                kept.walk_into(&folder).iter().for_each(|name| kept.walk_past(&folder, name));
                Ok(())
            };
            // An error is that of a task that was ended: then the gateway stops.
            let _ = blocking(walk).await;
            tokio::time::sleep(REST).await;
        }
        self.kept.over();
    }

    /// Bytes that the mirror of a run takes.
    pub async fn size(&self, run: RunId) -> u64 {
        let folder = self.folder(run);
        blocking(move || Ok(bytes_below(&folder))).await.unwrap_or_default()
    }

    async fn load(&self, run: RunId, make: bool) -> io::Result<Arc<Mirror>> {
        let (folder, limit) = (self.folder(run), self.limit);
        let mirror = blocking(move || {
            if make {
                // Nothing of it is durable before it is sealed: until then the agent has all of it.
                durable::make_folder(&folder)?;
            }
            let bytes = Arc::<AtomicU64>::default();
            let log = Arc::new(Track::open(&folder.join("log"), make, limit, bytes.clone())?);
            let console = Arc::new(Track::open(&folder.join("console"), make, limit, bytes.clone())?);
            Ok(Arc::new(Mirror { log, console, bytes, names: Arc::new(Names::new(folder)) }))
        })
        .await?;
        Ok(self.kept.enter(run, mirror))
    }
}

/// The folder of a run's two files, `log` and `console`, below the folder of all mirrors.
pub(crate) fn place_of(run: RunId) -> PathBuf {
    Path::new(&folder_of(run)).join(run.to_string())
}

/// The folder of a run's folder: the last two characters of its id, since the first ones of a UUIDv7 are the time.
fn folder_of(run: RunId) -> String {
    let short = run.short();
    short.get(short.len() - 2..).unwrap_or("00").to_owned()
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

    /// Makes both streams durable, at the same time, and compares the part of the present attempt with these records of it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn seal(&self, log: Recorded, console: Recorded) -> io::Result<[(Stream, Sealed); 2]> {
        let (log_track, console_track, names) = (self.log.clone(), self.console.clone(), self.names.clone());
        blocking(move || {
            let mut batch = durable::Batch::default();
            let named = names.add_to(&mut batch)?;
            // Held until all is compared, so that what is compared is what was made durable.
            let (mut log_held, mut console_held) = (log_track.hold(), console_track.hold());
            log_held.add_to(&mut batch)?;
            console_held.add_to(&mut batch)?;
            batch.sync()?;
            if named {
                names.are_durable();
            }
            Ok([(Stream::Log, log_held.compare(&log)?), (Stream::Console, console_held.compare(&console)?)])
        })
        .await
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
