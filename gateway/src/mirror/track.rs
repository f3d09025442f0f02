//! One file of a mirror: one stream of one run.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use longhaul_proto::{
    digest::{GrowingBlake3, GrowingDigest},
    durable,
    faults::{self, Op},
};
use rustix::{buffer::spare_capacity, io::Errno};

/// Read at once while a digest is recomputed, bytes.
const HASH_CHUNK: usize = 1 << 20;

/// Bytes after which the kernel is asked to write them out while more are coming; otherwise the end of a large output
/// would wait for all of it.
const WRITE_OUT: u64 = 32 << 20;

/// How a copy compares with the agent's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Length and digest match.
    Same,
    /// It has all recorded bytes and more: the host lost its last bytes in a crash, and only the gateway has them.
    Longer,
    /// Its bytes differ.
    Differs,
}

/// What the agent recorded of one stream.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Length of the whole stream, that of earlier attempts included, bytes.
    pub len: u64,
    /// Of the present attempt's part.
    pub digest: RecordedDigest,
}

/// The digest that an agent recorded, lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedDigest {
    /// This BLAKE3, of the bytes of which it recorded the SHA-256 too.
    Blake3(String),
    /// This SHA-256: an agent of an earlier version.
    Sha256(String),
    /// None: the length alone decides.
    None,
}

impl RecordedDigest {
    /// Of what an agent sent, where empty texts are absent digests.
    pub fn of(blake3: &str, sha256: &str) -> Self {
        match (blake3, sha256) {
            _ if faults::bug("outputs_compared_by_length") => Self::None,
            ("", "") => Self::None,
            ("", sha256) => Self::Sha256(sha256.to_owned()),
            (blake3, _) => Self::Blake3(blake3.to_owned()),
        }
    }
}

/// The result of appending some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// This many were new.
    Grew(u64),
    /// All were in the file already (or lie beyond the limit).
    Had,
    /// They begin beyond the end: ask again from the end.
    Gap,
}

#[derive(Debug)]
pub(super) struct Track {
    file: File,
    /// Its path.
    path: PathBuf,
    limit: u64,
    /// The length that readers may use: grows after the bytes are written.
    len: AtomicU64,
    /// What it takes together with the run's other stream.
    bytes: Arc<AtomicU64>,
    cut: AtomicBool,
    /// Up to where the kernel was asked to write out.
    written_out: AtomicU64,
    /// Writing out is under way.
    writing_out: AtomicBool,
    /// Writing out failed, so the kernel may have dropped bytes. Locked while it is under way.
    damaged: Mutex<bool>,
    /// The digest of the bytes from `begin` to `hashed`. Also the lock of the writing thread.
    digest: Mutex<Prefix>,
}

#[derive(Debug, Default)]
struct Prefix {
    /// Where the present attempt begins.
    begin: u64,
    hashed: u64,
    state: GrowingBlake3,
}

impl Prefix {
    fn at(begin: u64) -> Self {
        Self { begin, hashed: begin, state: GrowingBlake3::default() }
    }
}

impl Track {
    pub(super) fn open(path: &Path, make: bool, limit: u64, bytes: Arc<AtomicU64>) -> io::Result<Self> {
        let file =
            if make { durable::make_append(path)? } else { OpenOptions::new().read(true).append(true).open(path)? };
        let len = AtomicU64::new(file.metadata()?.len());
        bytes.fetch_add(len.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(Self {
            file,
            path: path.to_owned(),
            limit,
            written_out: AtomicU64::new(len.load(Ordering::Relaxed)),
            len,
            bytes,
            cut: AtomicBool::new(false),
            writing_out: AtomicBool::new(false),
            damaged: Mutex::default(),
            digest: Mutex::default(),
        })
    }

    /// From now on digests ignore the bytes before this offset.
    pub(super) fn begin_at(&self, begin: u64) {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        if digest.begin != begin {
            *digest = Prefix::at(begin);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    pub(super) fn append(&self, offset: u64, data: &[u8]) -> io::Result<Appended> {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let len = self.len();
        let end = offset.saturating_add(data.len() as u64);
        if self.is_cut() || end <= len {
            return Ok(Appended::Had);
        }
        if offset > len {
            return Ok(Appended::Gap);
        }
        let mut new = data.get(usize::try_from(len - offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let room = usize::try_from(self.limit.saturating_sub(len)).unwrap_or(usize::MAX);
        if new.len() > room {
            self.cut.store(true, Ordering::Relaxed);
            new = &new[..room];
        }
        if let Err(error) = (&self.file).write_all(new) {
            // Some of it may be in the file; the published length counts, and the next try begins there.
            let _ = self.file.set_len(len);
            return Err(error);
        }
        faults::did(|| Op::Append(self.path.clone(), new.to_vec()));
        if digest.hashed == len {
            digest.state.update(new);
            digest.hashed += new.len() as u64;
        }
        self.len.store(len + new.len() as u64, Ordering::Release);
        self.bytes.fetch_add(new.len() as u64, Ordering::Relaxed);
        Ok(Appended::Grew(new.len() as u64))
    }

    /// Whether the caller must call [`Track::write_out`] now.
    pub(super) fn should_write_out(&self) -> bool {
        self.len().saturating_sub(self.written_out.load(Ordering::Relaxed)) >= WRITE_OUT
            && !self.writing_out.swap(true, Ordering::AcqRel)
    }

    /// Writes the bytes out without holding up appends and reads.
    pub(super) fn write_out(&self) {
        self.written_out.store(self.len(), Ordering::Relaxed);
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        // The kernel reports an error only once, and [`Track::seal`] must know of it.
        *damaged |= self.file.sync_data().is_err();
        drop(damaged);
        self.writing_out.store(false, Ordering::Release);
    }

    pub(super) fn read(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let there = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = there.min(max);
        let mut buffer = Vec::with_capacity(wanted);
        while buffer.len() < wanted {
            // Into memory that was not zeroed first: every byte of a large output would be written once more.
            let at = offset + buffer.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buffer), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        buffer.truncate(wanted);
        Ok(buffer.into())
    }

    /// Hands the bytes from `at` to `end` to `each`; `false` = the file is shorter.
    fn read_on(&self, at: &mut u64, end: u64, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
        let left = usize::try_from(end.saturating_sub(*at)).unwrap_or(HASH_CHUNK);
        let mut buffer = vec![0; HASH_CHUNK.min(left)];
        while *at < end {
            let got = read_full(&self.file, &mut buffer, *at)?;
            if got == 0 {
                return Ok(false);
            }
            let got = got.min(usize::try_from(end - *at).unwrap_or(got));
            each(&buffer[..got]);
            *at += got as u64;
        }
        Ok(true)
    }

    /// Holds off appends and what is written out in the background.
    pub(super) fn hold(&self) -> Held<'_> {
        Held {
            track: self,
            digest: self.digest.lock().unwrap_or_else(PoisonError::into_inner),
            damaged: self.damaged.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn restart(&self) -> io::Result<()> {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = digest.begin.min(self.len());
        self.bytes.fetch_sub(self.len() - begin, Ordering::Relaxed);
        self.len.store(begin, Ordering::Release);
        self.cut.store(false, Ordering::Relaxed);
        self.written_out.store(begin, Ordering::Relaxed);
        *digest = Prefix::at(digest.begin);
        self.file.set_len(begin)?;
        faults::did(|| Op::Truncate(self.path.clone(), begin));
        Ok(())
    }
}

/// A track that grows no further meanwhile.
pub(super) struct Held<'a> {
    track: &'a Track,
    digest: MutexGuard<'a, Prefix>,
    damaged: MutexGuard<'a, bool>,
}

impl Held<'_> {
    /// Adds the file to what is made durable; of an empty one only the name counts.
    pub(super) fn add_to(&self, batch: &mut durable::Batch) -> io::Result<()> {
        if self.track.len() == 0 { Ok(()) } else { batch.file(&self.track.file, &self.track.path) }
    }

    /// How the file compares with the agent's record, once it is durable.
    pub(super) fn compare(&mut self, recorded: &Recorded) -> io::Result<Sealed> {
        let Self { track, digest, damaged } = self;
        let len = recorded.len;
        if std::mem::take(&mut **damaged) {
            return Ok(Sealed::Differs);
        }
        let there = track.len();
        if there < len || len < digest.begin {
            return Ok(Sealed::Differs);
        }
        let same = match &recorded.digest {
            RecordedDigest::Blake3(recorded) => {
                if digest.hashed > len {
                    **digest = Prefix::at(digest.begin);
                }
                let Prefix { hashed, state, .. } = &mut **digest;
                if !track.read_on(hashed, len, |bytes| state.update(bytes))? {
                    return Ok(Sealed::Differs);
                }
                state.text() == *recorded
            }
            RecordedDigest::Sha256(recorded) => {
                let (mut at, mut state) = (digest.begin, GrowingDigest::default());
                if !track.read_on(&mut at, len, |bytes| state.update(bytes))? {
                    return Ok(Sealed::Differs);
                }
                state.finish().to_string() == *recorded
            }
            RecordedDigest::None => true,
        };
        Ok(match same {
            true if there == len => Sealed::Same,
            true => Sealed::Longer,
            false => Sealed::Differs,
        })
    }
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
