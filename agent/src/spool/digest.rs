//! Length and digests of an output file, of at most so many bytes of it.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use longhaul_proto::digest::OutputDigests;

use super::FileFacts;

/// Bytes per read.
const STEP: u64 = 256 * 1024;

/// The digests of a file's first bytes, which grow with the file.
#[derive(Default)]
pub(crate) struct Prefix {
    len: u64,
    state: OutputDigests,
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

/// Length and digests of a file, of at most `limit` bytes of it. A missing file counts as empty. What is hashed is durable
/// when [`super::Spool::write_exit`] has returned.
///
/// # Errors
/// Any other failure of the file system.
pub fn file_facts(path: &Path, limit: u64) -> io::Result<FileFacts> {
    facts_from(path, limit, Prefix::default())
}

/// The same, where the digests of the first bytes are known.
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
    let (sha256, blake3) = known.state.finish();
    Ok(FileFacts { len: known.len, sha256: sha256.to_string(), blake3, beyond, note: None })
}

#[cfg(test)]
mod tests {
    use longhaul_proto::{digest::GrowingBlake3, sha256_hex};

    use super::*;

    #[test]
    fn both_digests_are_of_the_bytes_that_the_record_covers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let bytes: Vec<u8> = (0..600_000_u32).map(|i| (i % 251) as u8).collect();
        let of = |bytes: &[u8], beyond: Option<u64>| {
            let mut blake3 = GrowingBlake3::default();
            blake3.update(bytes);
            let (len, sha256) = (bytes.len() as u64, sha256_hex(bytes));
            FileFacts { len, sha256, blake3: blake3.text(), beyond, note: None }
        };
        assert_eq!(file_facts(&path, u64::MAX).unwrap(), of(b"", None), "a missing one is empty");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(file_facts(&path, u64::MAX).unwrap(), of(&bytes, None));
        assert_eq!(file_facts(&path, 300_001).unwrap(), of(&bytes[..300_001], Some(600_000)));
        // Read while it grew; where it is shorter now, what was read does not count.
        let grown = |len: u64| {
            let mut known = Prefix::default();
            known.read_on(&File::open(&path).unwrap(), len).unwrap();
            known
        };
        assert_eq!(facts_from(&path, u64::MAX, grown(500_000)).unwrap(), of(&bytes, None));
        let before = grown(500_000);
        std::fs::write(&path, b"shorter").unwrap();
        assert_eq!(facts_from(&path, u64::MAX, before).unwrap(), of(b"shorter", None));
    }

    #[test]
    fn records_of_earlier_versions_have_one_digest() {
        let facts: FileFacts = serde_json::from_str(r#"{"len":1,"sha256":"ab"}"#).unwrap();
        assert_eq!((facts.sha256.as_str(), facts.blake3.as_str()), ("ab", ""));
    }
}
