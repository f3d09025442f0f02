//! The run's code can delete or empty its own log. An open file keeps a deleted one's bytes, and a shorter one is said.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
};

use longhaul_proto::durable::FILE_MODE;

use crate::spool::Spool;

/// The log, held open from its first byte on.
#[derive(Default)]
pub(super) struct LogKeeper {
    file: Option<File>,
    longest: u64,
    shortened: bool,
}

impl LogKeeper {
    /// Looks at the log; cheap enough for every wake-up.
    pub(super) fn look(&mut self, spool: &Spool) {
        if self.file.is_none() {
            self.file = File::open(spool.log()).ok();
        }
        if let Some(len) = self.file.as_ref().and_then(|f| f.metadata().ok()).map(|m| m.len()) {
            self.shortened |= len < self.longest;
            self.longest = self.longest.max(len);
        }
    }

    /// After the end: puts a deleted log back, and says what happened to it.
    pub(super) fn settle(mut self, spool: &Spool) -> Option<String> {
        self.look(spool);
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
