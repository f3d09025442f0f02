//! Keeps the log although the run's code can delete or empty it: an open file keeps a deleted log's bytes, and
//! truncation is detected and reported in the exit record.
//!
//! The digest is computed while the log grows, so that the end of a run with a large log is no later than that of a
//! small one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
};

use longhaul_proto::durable::FILE_MODE;

use crate::spool::{Prefix, Spool};

/// Most bytes that one step adds to the digest: some 20 ms, the longest delay it causes.
const STEP: u64 = 32 << 20;

/// The log, held open from its first byte on.
#[derive(Default)]
pub(super) struct LogKeeper {
    file: Option<File>,
    longest: u64,
    shortened: bool,
    /// The digest of its first bytes.
    digest: Prefix,
}

impl LogKeeper {
    /// Reads on in the log, of which the first `limit` bytes count; cheap enough for every wake-up.
    pub(super) fn read_on(&mut self, spool: &Spool, limit: u64) {
        if self.file.is_none() {
            self.file = File::open(spool.log()).ok();
        }
        if let Some(len) = self.file.as_ref().and_then(|f| f.metadata().ok()).map(|m| m.len()) {
            self.shortened |= len < self.longest;
            self.longest = self.longest.max(len);
            let end = len.min(limit).min(self.digest.len().saturating_add(STEP));
            if let Some(file) = self.file.as_ref().filter(|_| end > self.digest.len())
                && let Err(error) = self.digest.read_on(file, end)
            {
                // The record reads it once more, and gets the error if it remains.
                eprintln!("supervise: the log cannot be read: {error}");
            }
        }
    }

    /// After the end: puts a deleted log back, and returns what happened to it, or else what is known of its digest.
    pub(super) fn settle(mut self, spool: &Spool, limit: u64) -> Result<Prefix, String> {
        self.read_on(spool, limit);
        let digest = std::mem::take(&mut self.digest);
        self.what_happened(spool).map_or(Ok(digest), Err)
    }

    fn what_happened(self, spool: &Spool) -> Option<String> {
        let mut file = self.file?;
        let ours = file.metadata().ok()?;
        let there = fs::metadata(spool.log());
        match there {
            Ok(there) if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) => {
                Some("the log was replaced by another file while the run went on".to_owned())
            }
            Ok(_) => self.shortened.then(|| "the log was made shorter while the run went on".to_owned()),
            Err(_) => Some(match put_back(spool, &mut file) {
                Ok(()) => "the log was deleted while the run went on; it was put back from the open file".to_owned(),
                Err(error) => format!("the log was deleted while the run went on and could not be put back: {error}"),
            }),
        }
    }
}

fn put_back(spool: &Spool, file: &mut File) -> io::Result<()> {
    file.rewind()?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(spool.log())?;
    io::copy(file, &mut copy)?;
    copy.sync_all()
}
