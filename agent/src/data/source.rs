//! The bytes of a data file: read where they are asked for, counted, and only as long as a caller waits.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    rc::Rc,
    time::Duration,
};

use longhaul_proto::clock::Clock;

use super::refused::Refused;

/// Bytes that are read ahead.
const AHEAD: usize = 64 * 1024;

/// How long a file is read, and whether a caller still waits.
pub(crate) struct Watch {
    clock: Clock,
    end: Duration,
    limit: Duration,
    gone: Box<dyn Fn() -> bool + Send>,
}

impl Watch {
    /// From now on at most `limit`, and not after `gone`.
    pub(crate) fn new(clock: Clock, limit: Duration, gone: impl Fn() -> bool + Send + 'static) -> Self {
        Self { end: clock.monotonic() + limit, clock, limit, gone: Box::new(gone) }
    }

    /// # Errors
    /// When the time is up or no caller waits.
    pub(super) fn check(&self) -> Result<(), Refused> {
        if (self.gone)() {
            return Err(Refused::Gone);
        }
        if self.clock.monotonic() >= self.end {
            return Err(Refused::TimeUp(self.limit.as_secs()));
        }
        Ok(())
    }
}

/// An open data file.
pub(super) struct Source {
    file: File,
    len: u64,
    /// Where the next byte is read; shared, so that it can be known while a reader holds the source.
    at: Rc<Cell<u64>>,
    ahead: Vec<u8>,
    ahead_at: u64,
    /// Bytes that are read in place of the file's.
    patch: Option<(u64, [u8; 3])>,
    read: Rc<Cell<u64>>,
    watch: Rc<Watch>,
}

impl Source {
    pub(super) fn new(file: File, watch: Watch) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let (at, read, watch) = (Rc::default(), Rc::default(), Rc::new(watch));
        Ok(Self { file, len, at, ahead: Vec::new(), ahead_at: 0, patch: None, read, watch })
    }

    /// The length of the file, bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The place of the next byte, while another reads.
    pub(super) fn place(&self) -> Rc<Cell<u64>> {
        self.at.clone()
    }

    /// Bytes read from the disk so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.get()
    }

    pub(super) fn watch(&self) -> Rc<Watch> {
        self.watch.clone()
    }

    /// From now on three bytes there are these.
    pub(super) fn patch(&mut self, at: u64, bytes: [u8; 3]) {
        self.patch = Some((at, bytes));
        self.ahead.clear();
    }

    /// The bytes from `at` on, without reading ahead.
    pub(super) fn exactly(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.watch.check().map_err(Refused::into_io)?;
        self.file.read_exact_at(into, at)?;
        self.read.set(self.read.get() + into.len() as u64);
        Ok(())
    }

    /// The next `N` bytes.
    pub(super) fn next<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn go_to(&mut self, at: u64) {
        self.at.set(at);
    }

    /// # Errors
    /// When so many bytes do not follow: no length in a file is believed before.
    pub(super) fn expect_room(&self, bytes: u64) -> io::Result<()> {
        match self.at.get().checked_add(bytes) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let at = self.at.get();
        let inside = |place: u64, have: usize| place.checked_sub(self.ahead_at).filter(|from| *from < have as u64);
        if inside(at, self.ahead.len()).is_none() {
            self.watch.check().map_err(Refused::into_io)?;
            self.ahead.resize(AHEAD, 0);
            let got = self.file.read_at(&mut self.ahead, at)?;
            self.ahead.truncate(got);
            self.ahead_at = at;
            self.read.set(self.read.get() + got as u64);
            if let Some((place, bytes)) = self.patch {
                for (place, byte) in (place..).zip(bytes) {
                    let known = place.checked_sub(at).and_then(|from| usize::try_from(from).ok());
                    if let Some(old) = known.and_then(|from| self.ahead.get_mut(from)) {
                        *old = byte;
                    }
                }
            }
        }
        let from = usize::try_from(at.saturating_sub(self.ahead_at)).unwrap_or(usize::MAX);
        let have = self.ahead.get(from..).unwrap_or_default();
        let n = have.len().min(into.len());
        into[..n].copy_from_slice(&have[..n]);
        self.at.set(at + n as u64);
        Ok(n)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.get().checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        self.at.set(at);
        Ok(at)
    }
}
