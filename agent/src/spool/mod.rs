//! The spool: one private folder per run, and the only truth about that run on this host.
//!
//! ```text
//! submission.pb      the whole request, as it came
//! submission.json    format version and what people want to read
//! attempt-N          made with O_EXCL: "started" or "revoked", the first to make it decides; durable after the two
//!                    above, so only its presence means that they are whole
//! code.do            the executed bytes          work/   where text and bundles run
//! lh-<short>.do      the wrapper                 tmp/    STATATMP, removed at the end
//! plan.json          what the supervisor needs   control a FIFO to nudge it
//! lock               flock held = a supervisor is alive
//! spawning           written before Stata is spawned: only its absence proves that nothing started; lies ready as
//!                    spawning.ready, so that the supervisor has only to give it its name
//! started.json       Stata's process exists      running.json  its first log byte
//! cancel.json        a request to end the run    ending.json   the cause, before the first signal
//! lh-<short>.log     Stata's batch log           console       stdout and stderr
//! sentinel           the do-file came to its end    entered.json   the do-files that it entered, with their digests
//! exit.json          the supervisor's exit record    outcome.json  the agent's verdict
//! earlier/N          all of the above, of an attempt that died and was followed by another here
//! ```
//!
//! The supervisor writes markers and facts, the agent writes requests and verdicts; each file has one writer except
//! `exit.json` and `ending.json`, which the agent writes when it has proof that no supervisor can.
//!
//! Of a run that was deleted, `<run id>.done` stays beside the folders: a gateway whose ledger was restored from an old
//! backup may ask for that run again, and must not be answered that it never started.

mod attempts;
mod free_space;
mod meter;
mod previous;
mod proofs;
mod records;
mod submission;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::{durable, ids::RunId};
use serde::{Serialize, de::DeserializeOwned};

use crate::os;

pub use attempts::{Attempt, AttemptKind, Decision};
pub use free_space::{FreeSpace, MinFree, free_space};
pub use meter::{Meter, Taken};
pub use proofs::Proofs;
pub(crate) use records::process_lives;
pub use records::{
    Artifact, CancelMode, CancelRecord, Ending, Exit, FileFacts, Location, OutcomeRecord, Plan, Running, Started,
    Timing,
};
pub use submission::{Meta, SubmissionError};

/// Format that this version writes; it reads this one and the one before.
pub const FORMAT: u32 = 1;
/// Oldest format that this version reads.
pub const OLDEST_FORMAT: u32 = 1;

/// Extension of a folder that is being removed.
const FORGOTTEN: &str = "forgotten";
/// Extension of the proof that stays of a deleted run.
const DONE: &str = "done";

/// Whether a record exists but cannot be parsed: the next read will not help, as it would after a want of memory or
/// descriptors.
pub fn is_damaged(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, PermissionDenied};
    let lost = [rustix::io::Errno::IO, rustix::io::Errno::LOOP].map(|e| Some(e.raw_os_error()));
    matches!(error.kind(), InvalidData | IsADirectory | NotADirectory | PermissionDenied)
        || lost.contains(&error.raw_os_error())
}

/// All runs' folders of one agent.
#[derive(Clone, Debug)]
pub struct SpoolRoot(PathBuf);

impl SpoolRoot {
    /// The folder `runs` below the agent's data folder; made if missing.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn open(runs: PathBuf) -> io::Result<Self> {
        durable::create_folder(&runs)?;
        Ok(Self(runs))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what a crash left half removed.
    ///
    /// # Errors
    /// When the folder cannot be listed; what cannot be removed stays for the next call.
    pub fn remove_forgotten(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == FORGOTTEN) {
                let _ = durable::remove_folder(&path);
            }
        }
        Ok(())
    }

    /// The spool of a run, whether or not it exists.
    pub fn of(&self, run: RunId) -> Spool {
        Spool { folder: self.0.join(run.to_string()), run }
    }

    /// The runs that have a folder here. Folders with other names are ignored.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn list(&self) -> io::Result<Vec<Spool>> {
        let mut all = vec![];
        for entry in fs::read_dir(&self.0)? {
            if let Some(run) = entry?.file_name().to_str().and_then(|name| name.parse::<RunId>().ok()) {
                all.push(self.of(run));
            }
        }
        all.sort_by_key(|spool| spool.run);
        Ok(all)
    }
}

/// The spool of one run.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    run: RunId,
}

macro_rules! names {
    ($($(#[$m:meta])* $fn:ident = $name:literal),+ $(,)?) => {
        $($(#[$m])* pub fn $fn(&self) -> PathBuf { self.folder.join($name) })+
    };
}

impl Spool {
    /// Opens the spool whose folder is `folder`; its name is the run id.
    pub fn at(folder: &Path) -> Option<Self> {
        let run = folder.file_name()?.to_str()?.parse().ok()?;
        Some(Self { folder: folder.to_owned(), run })
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Whether the folder exists.
    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    names! {
        /// The whole request.
        submission_pb = "submission.pb",
        /// Format version and what people want to read.
        submission_json = "submission.json",
        /// What the supervisor needs.
        plan = "plan.json",
        /// The executed bytes.
        code = "code.do",
        /// Where text and bundles run.
        work = "work",
        /// Stata's temporary files.
        tmp = "tmp",
        /// Held by the supervisor.
        lock = "lock",
        /// Written before the spawn.
        spawning = "spawning",
        /// Renamed to `spawning` at the spawn.
        ready = "spawning.ready",
        /// Stata's process exists.
        started = "started.json",
        /// Stata wrote its first log byte.
        running = "running.json",
        /// A request to end the run.
        cancel = "cancel.json",
        /// Why it is being ended.
        ending = "ending.json",
        /// The exit record.
        exit = "exit.json",
        /// The verdict.
        outcome = "outcome.json",
        /// The do-files that the run entered, with their digests.
        entered = "entered.json",
        /// Written by the wrapper's last line.
        sentinel = "sentinel",
        /// stdout and stderr.
        console = "console",
        /// The FIFO that wakes the supervisor.
        control = "control",
        /// The supervisor's own log, for people.
        supervisor_log = "supervisor.log",
        /// Space held for the exit record on a full file system.
        reserve = "reserve",
        /// A plain name for a working directory whose own name Stata cannot take.
        plain_dir = "wd",
    }

    /// The plain name from which Stata makes the log's: `lh-<short>`.
    pub fn stem(&self) -> String {
        format!("lh-{}", self.run.short())
    }

    /// The wrapper do-file.
    pub fn wrapper(&self) -> PathBuf {
        self.folder.join(self.stem() + ".do")
    }

    /// Stata's batch log.
    pub fn log(&self) -> PathBuf {
        self.folder.join(self.stem() + ".log")
    }

    /// Makes the folder, durably.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn create(&self) -> io::Result<()> {
        durable::create_folder(&self.folder)
    }

    /// Marks, durably, that Stata is about to be spawned.
    ///
    /// # Errors
    /// Any failure of the file system; the mark may then be there or not.
    pub fn mark_spawning(&self) -> io::Result<()> {
        let boot = os::boot_id();
        // Made durable with the request; it is of an earlier boot when the host went down in between.
        if fs::read(self.ready()).is_ok_and(|ready| ready == boot.as_bytes()) {
            durable::rename(&self.ready(), &self.spawning())?;
            return durable::sync_folder(&self.folder);
        }
        durable::replace(&self.spawning(), boot.as_bytes())
    }

    /// Reads a record; `None` when it is not there.
    ///
    /// # Errors
    /// Any other failure, also of its content.
    pub fn read<T: DeserializeOwned>(&self, path: &Path) -> io::Result<Option<T>> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a record that the run's own code, or the disk, may have damaged: one that exists and cannot be read counts
    /// as missing, and its name goes to `damaged`.
    ///
    /// # Errors
    /// Any other failure.
    pub fn read_or_name<T: DeserializeOwned>(&self, path: &Path, damaged: &mut Vec<String>) -> io::Result<Option<T>> {
        match self.read(path) {
            Err(error) if is_damaged(&error) => {
                tracing::warn!(run = %self.run, %error, "a record of the run cannot be read");
                damaged.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
                Ok(None)
            }
            read => read,
        }
    }

    /// Writes a record, durably and whole. If something other than a file has its name, that is renamed first.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn write<T: Serialize>(&self, path: &Path, record: &T) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(record)?;
        bytes.push(b'\n');
        match durable::replace(path, &bytes) {
            Err(_) if path.is_dir() => {
                self.rename_unreadable(path)?;
                durable::replace(path, &bytes)
            }
            done => done,
        }
    }

    /// Renames what cannot be read or replaced to `NAME.unreadable`, for people to look at.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn rename_unreadable(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".unreadable");
        let by = self.folder.join(name);
        // Only the latest is kept.
        if by.is_dir() {
            durable::remove_folder(&by)?;
        }
        durable::rename(path, &by)?;
        durable::sync_folder(&self.folder)
    }

    /// Reserves a little space for the records of the end, in case the file system fills up meanwhile.
    pub fn keep_reserve(&self) {
        // Best effort: without it a full disk delays the exit record until there is room again.
        let _ = fs::write(self.reserve(), vec![0_u8; 64 * 1024]);
    }

    /// Frees that space.
    pub fn release_reserve(&self) {
        let _ = fs::remove_file(self.reserve());
    }

    /// Whether the run was executed here and then deleted.
    pub fn was_freed(&self) -> bool {
        self.folder.with_extension(DONE).exists()
    }

    /// Removes what is of no use after the end: temporary files, the reserve, and temporary names of processes that
    /// were killed while they wrote. The caller must know that no process writes here any more.
    ///
    /// # Errors
    /// When temporary files cannot be removed or the folder cannot be listed.
    pub fn clear(&self) -> io::Result<()> {
        self.release_reserve();
        self.clear_unfinished()?;
        durable::remove_folder(&self.tmp())
    }

    /// Removes temporary names of processes that were killed while they wrote.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn clear_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if durable::is_unfinished(&path) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Whether the folder in which a text or bundle ran has anything in it.
    pub fn has_work(&self) -> bool {
        fs::read_dir(self.work()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Deletes everything except the proof that the run was here, the folder of its files, and the record that names
    /// them. The proof is written first: from then on this counts as a deleted run whose files are still there. May be
    /// repeated after a crash.
    ///
    /// # Errors
    /// Any failure of the file system; a repeated call deletes the rest.
    pub fn keep_work(&self) -> io::Result<()> {
        durable::create_exclusive(&self.folder.with_extension(DONE), b"done\n")?;
        let stay = [self.work(), self.outcome(), self.plain_dir()];
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if stay.contains(&path) {
                continue;
            }
            if fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
                durable::remove_folder(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        durable::sync_folder(&self.folder)
    }

    /// Deletes everything except the proof that the run was here: the folder is renamed first, so that a crash leaves
    /// no half of it.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn remove(&self) -> io::Result<()> {
        durable::create_exclusive(&self.folder.with_extension(DONE), b"done\n")?;
        let aside = self.folder.with_extension(FORGOTTEN);
        durable::rename(&self.folder, &aside)?;
        durable::remove_folder(&aside)
    }
}
