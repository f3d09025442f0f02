//! One reader's position in one file.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use longhaul_proto::CHUNK;
use rustix::buffer::spare_capacity;

/// Bytes read in one go: a few messages' worth.
const READ: usize = 8 * CHUNK;

/// Consecutive bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset of the first byte.
    pub offset: u64,
    /// At most [`CHUNK`] bytes.
    pub data: Bytes,
}

/// A reader of a growing file. Holds one open file and no bytes.
#[derive(Clone, Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<Arc<File>>,
    offset: u64,
    limit: u64,
}

impl Tail {
    /// Reads `path` from `offset`, never beyond `limit`.
    pub fn new(path: PathBuf, offset: u64, limit: u64) -> Self {
        Self { path, file: None, offset, limit }
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Never reads beyond `limit` from now on.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The next pieces, in order; empty when there is nothing new. A missing file has none (yet); a file that was cut
    /// has none until it is longer again, and the exit record says so.
    ///
    /// # Errors
    /// Any other failure of the file system.
    pub async fn next(&mut self) -> io::Result<Vec<Piece>> {
        let room = usize::try_from(self.limit.saturating_sub(self.offset)).unwrap_or(READ).min(READ);
        if room == 0 {
            return Ok(vec![]);
        }
        let Some(file) = self.open()? else { return Ok(vec![]) };
        let offset = self.offset;
        // What a look at a silent run finds: answered at once, without a thread or a buffer.
        if file.metadata()?.len() <= offset {
            return Ok(vec![]);
        }
        let read = longhaul_proto::tasks::blocking(move || {
            let mut buffer = Vec::with_capacity(room);
            rustix::io::retry_on_intr(|| rustix::io::pread(&*file, spare_capacity(&mut buffer), offset))?;
            Ok::<_, io::Error>(Bytes::from(buffer))
        });
        let mut bytes = read.await??;
        let mut pieces = vec![];
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(CHUNK));
            let offset = self.offset;
            self.offset += data.len() as u64;
            pieces.push(Piece { offset, data });
        }
        Ok(pieces)
    }

    fn open(&mut self) -> io::Result<Option<Arc<File>>> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                file => Some(Arc::new(file?)),
            };
        }
        Ok(self.file.clone())
    }

    /// Opens the file again at the next read: the one that is open may have been deleted and put back.
    pub fn reopen(&mut self) {
        self.file = None;
    }
}

/// Length of a file up to the readers' limit; 0 for a missing one.
pub fn length(path: &Path, limit: u64) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len()).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn bytes_come_once_in_order_and_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::new(path.clone(), 0, 200_000);
        assert!(tail.next().await.unwrap().is_empty(), "no file yet");
        let content: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        let mut file = File::create(&path).unwrap();
        let mut got = vec![];
        for part in content.chunks(70_001) {
            file.write_all(part).unwrap();
            loop {
                let pieces = tail.next().await.unwrap();
                if pieces.is_empty() {
                    break;
                }
                for piece in pieces {
                    assert_eq!(piece.offset, got.len() as u64);
                    assert!(piece.data.len() <= CHUNK);
                    got.extend_from_slice(&piece.data);
                }
            }
        }
        assert_eq!(got, content[..200_000]);
        file.set_len(10).unwrap();
        assert!(tail.next().await.unwrap().is_empty(), "made shorter");
    }
}
