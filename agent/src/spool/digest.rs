//! Length and digest of an output file, of at most so many bytes of it.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use longhaul_proto::hex;
use sha2::{Digest, Sha256};

use super::FileFacts;

/// Bytes per read.
const STEP: u64 = 256 * 1024;

/// The digest of a file's first bytes, which grows with the file.
#[derive(Default)]
pub(crate) struct Prefix {
    len: u64,
    state: Sha256,
}

impl Prefix {
    /// Reads the bytes of `file` up to `end`, or to its own end.
    pub(crate) fn read_on(&mut self, file: &File, end: u64) -> io::Result<()> {
        let mut buffer = vec![0_u8; usize::try_from(end.saturating_sub(self.len).min(STEP)).unwrap_or(0)];
        while self.len < end {
            let room = usize::try_from(end - self.len).unwrap_or(buffer.len()).min(buffer.len());
            match file.read_at(&mut buffer[..room], self.len) {
                Ok(0) => break,
                Ok(n) => {
                    self.state.update(&buffer[..n]);
                    self.len += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Bytes read.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// Length and digest of a file, of at most `limit` bytes of it. A missing file counts as empty. What is hashed is durable
/// when [`super::Spool::write_exit`] has returned.
///
/// # Errors
/// Any other failure of the file system.
pub fn file_facts(path: &Path, limit: u64) -> io::Result<FileFacts> {
    facts_from(path, limit, Prefix::default())
}

/// The same, where the digest of the first bytes is known.
pub(crate) fn facts_from(path: &Path, limit: u64, mut known: Prefix) -> io::Result<FileFacts> {
    let mut beyond = None;
    match File::open(path) {
        Ok(file) => {
            let whole = file.metadata()?.len();
            if whole > limit {
                beyond = Some(whole);
            }
            if known.len > whole.min(limit) {
                known = Prefix::default();
            }
            known.read_on(&file, whole.min(limit))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => known = Prefix::default(),
        Err(error) => return Err(error),
    }
    Ok(FileFacts { len: known.len, sha256: hex(&known.state.finalize()), beyond, note: None })
}
