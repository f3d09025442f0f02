//! The exit record: what happened, with length and digest of the output.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use longhaul_proto::{clock::Clock, durable, hex};
use sha2::{Digest, Sha256};

use crate::spool::{Exit, FileFacts, Plan, Running, Spool, Started, free_space};

/// Time between two tries to write the record on a full file system.
const AGAIN: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
/// Tries before the supervisor gives up and the agent has to write it.
const TRIES: u32 = 600;

/// Below this many free bytes a file system counts as full.
const FULL: u64 = 1 << 20;

/// Bytes per read.
const STEP: u64 = 256 * 1024;

/// The digest of a file's first bytes, which grows with the file.
#[derive(Default)]
pub(super) struct Prefix {
    len: u64,
    state: Sha256,
}

impl Prefix {
    /// Reads the bytes of `file` up to `end`, or to its own end.
    pub(super) fn read_on(&mut self, file: &File, end: u64) -> io::Result<()> {
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
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

/// The record of an attempt whose supervisor wrote none, as far as its spool shows: Stata's exit status is not known.
///
/// # Errors
/// When the outputs cannot be read.
pub fn unseen(
    spool: &Spool,
    attempt: u32,
    (started, running): (Option<Started>, Option<Running>),
    limit: u64,
    now_ms: i64,
) -> io::Result<Exit> {
    Ok(Exit {
        attempt,
        spawned: true,
        status_lost: true,
        started_at_ms: started.map_or(0, |s| s.at_ms),
        running_at_ms: running.map_or(0, |r| r.at_ms),
        ended_at_ms: now_ms,
        log: file_facts(&spool.log(), limit)?,
        console: file_facts(&spool.console(), limit)?,
        by: "agent".to_owned(),
        ..Exit::default()
    })
}

/// Removes the temporary files and writes `exit.json`, retrying until it succeeds or cannot. `log` is what is known of
/// its digest.
pub(super) fn record(spool: &Spool, plan: &Plan, clock: &Clock, mut exit: Exit, log: Prefix) -> io::Result<()> {
    exit.ended_at_ms = clock.unix_ms();
    // Checked before the temporary files are removed: they may be what filled it.
    exit.disk_full = free_space(spool.path()).is_ok_and(|space| space.free < FULL);
    if let Err(error) = durable::remove_folder(&spool.tmp()) {
        eprintln!("supervise: temporary files stay: {error}");
    }
    let note = exit.log.note.take();
    exit.log = FileFacts { note, ..facts_from(&spool.log(), plan.output_limit, log)? };
    exit.console = file_facts(&spool.console(), plan.output_limit)?;
    spool.release_reserve();
    let mut tries = 0;
    while let Err(error) = spool.write(&spool.exit(), &exit) {
        tries += 1;
        // A folder that is gone was removed on purpose; no process waits for its record.
        if tries >= TRIES || error.kind() == io::ErrorKind::NotFound {
            return Err(error);
        }
        let _ = rustix::event::poll(&mut [], Some(&AGAIN));
    }
    Ok(())
}

/// Length and digest of a file, of at most `limit` bytes of it. A missing file counts as empty.
///
/// # Errors
/// Any other failure of the file system.
pub fn file_facts(path: &Path, limit: u64) -> io::Result<FileFacts> {
    facts_from(path, limit, Prefix::default())
}

fn facts_from(path: &Path, limit: u64, mut known: Prefix) -> io::Result<FileFacts> {
    let mut beyond = None;
    match File::open(path) {
        Ok(file) => {
            let whole = file.metadata()?.len();
            if whole > limit {
                beyond = Some(whole);
            }
            // What is hashed must survive a crash, or the record would cover bytes that are not there.
            durable::sync_file(&file, path)?;
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
