//! The spool: one private folder per run, and the only truth about that run on this host.
//!
//! ```text
//! submission.json    format version and what people want to read
//! attempt-N          made with O_EXCL: "started" or "revoked", the first to make it decides; durable after the request,
//!                    so only its presence means that that is whole
//! control/           ours:
//!   submission.pb    the whole request, as it came
//!   plan.json        what the supervisor needs      nudge          a FIFO to wake it
//!   lock             flock held = a supervisor is alive
//!   spawning         written before Stata is spawned: only its absence proves that nothing started; lies ready as
//!                    spawning.ready, so that the supervisor has only to give it its name
//!   handle.json      what the executor calls the job of this attempt
//!   started.json     Stata's process exists         running.json   its first log byte
//!   group            its control group
//!   cancel.json      a request to end the run       ending.json    the cause, before the first signal
//!   waiting.json     why Stata is not started yet, while the supervisor waits to install packages
//!   entered.json     the do-files that it entered, with their digests
//!   do-files/        their bytes as they were then, by their digests; and the results of the run, by theirs
//!   gather.do        gathers results after the sentinel     gathered       what it wrote; its end mark shows it whole
//!   blobs/           the files of stored code, which came before the attempt; removed at the end
//!   exit.json        the supervisor's exit record   outcome.json   the agent's verdict
//! run/               the run's; Stata starts here:
//!   code.do          the executed bytes             work/          where text and bundles run
//!   lh-<short>.do    the wrapper                    tmp/           STATATMP, removed at the end
//!   lh-<short>.log   Stata's batch log              console        stdout and stderr
//!   sentinel         the do-file came to its end
//! earlier/N          all of the above, of an attempt that died and was followed by another here
//! ```
//!
//! That is format 2. Format 1 has all of it in the run's folder, and the FIFO as `control`; a run that began in it ends in it.
//! An agent that reads only format 1 finds the attempt files and `submission.json`, and refuses the run by its format.
//!
//! The supervisor writes markers and facts, the agent requests and verdicts; each file has one writer, except that the agent
//! writes `exit.json` and `ending.json` when it has proof that no supervisor can.
//!
//! Of a deleted run `<run id>.done` stays beside the folders: a gateway whose ledger was restored from an old backup may ask
//! for that run again, and must not be answered that it never started.

mod attempts;
mod digest;
mod incoming;
mod layout;
mod meter;
mod previous;
mod proofs;
mod records;
mod remove;
mod root;
mod submission;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use longhaul_proto::{durable, faults, ids::RunId};
use serde::{Serialize, de::DeserializeOwned};

pub use attempts::{Attempt, AttemptKind, Decision};
pub use digest::file_facts;
pub(crate) use digest::{Prefix, facts_from};
pub use incoming::{Incoming, Partial, Placed};
pub use layout::Layout;
pub use longhaul_proto::free_space::{FreeSpace, MinFree, free_space};
pub use meter::{Meter, Taken};
pub use proofs::Proofs;
use records::line;
pub use records::{
    Artifact, CancelMode, CancelRecord, Diagnosis, Ending, Exit, FileFacts, Gathers, Installs, LimitsRecord, Location,
    OutcomeRecord, Plan, RunLimits, Running, Started, SuppressedError, Timing, Waiting, is_damaged, missing_if_damaged,
};
pub use root::SpoolRoot;
pub use submission::{CommandRange, Kind, Meta, SubmissionError};

/// Newest format, which new runs are written in. A run of an older one that is read goes on in its own.
pub const FORMAT: u32 = 2;
/// Oldest format that this version reads, as long as this major version lives.
pub const OLDEST_FORMAT: u32 = 1;

/// Extensions of a folder that is being removed, and of the proof that stays of a deleted run.
const FORGOTTEN: &str = "forgotten";
const DONE: &str = "done";

/// The spool of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {
    paths: Arc<Paths>,
    run: RunId,
    layout: Layout,
}

#[derive(Debug)]
struct Paths {
    folder: PathBuf,
    /// Of what is ours.
    control: PathBuf,
    /// Of what is the run's.
    run_folder: PathBuf,
}

macro_rules! names {
    ($folder:ident: $($(#[$m:meta])* $fn:ident = $name:literal),+ $(,)?) => {
        $($(#[$m])* pub fn $fn(&self) -> PathBuf { self.paths.$folder.join($name) })+
    };
}

impl Spool {
    /// Opens the spool whose folder is `folder`; its name is the run id.
    pub fn at(folder: &Path) -> Option<Self> {
        let run = folder.file_name()?.to_str()?.parse().ok()?;
        Some(Self::new(folder.to_owned(), run))
    }

    fn new(folder: PathBuf, run: RunId) -> Self {
        let layout = Layout::of(&folder);
        let (control, run_folder) = match layout {
            Layout::Flat => (folder.clone(), folder.clone()),
            Layout::Split => (folder.join(layout::CONTROL), folder.join(layout::RUN)),
        };
        Self { paths: Arc::new(Paths { folder, control, run_folder }), run, layout }
    }

    /// How its files are arranged.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Where the records are: ours.
    pub fn control_folder(&self) -> &Path {
        &self.paths.control
    }

    /// Where Stata starts: the run's.
    pub fn run_folder(&self) -> &Path {
        &self.paths.run_folder
    }

    /// The folders in which files appear and grow while the run goes on.
    pub fn changing_folders(&self) -> Vec<&Path> {
        match self.layout {
            Layout::Flat => vec![self.paths.folder.as_path()],
            Layout::Split => vec![self.paths.control.as_path(), self.paths.run_folder.as_path()],
        }
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.paths.folder
    }

    /// Whether the folder exists.
    pub fn exists(&self) -> bool {
        self.paths.folder.is_dir()
    }

    names! {
        folder:
        /// Format version and what people want to read.
        submission_json = "submission.json",
    }

    names! {
        control:
        /// The whole request.
        submission_pb = "submission.pb",
        /// What the supervisor needs.
        plan = "plan.json",
        /// Held by the supervisor.
        lock = "lock",
        /// Written before the spawn.
        spawning = "spawning",
        /// Renamed to `spawning` at the spawn.
        ready = "spawning.ready",
        /// What the executor calls the job of this attempt.
        handle = "handle.json",
        /// Stata's process exists.
        started = "started.json",
        /// Stata wrote its first log byte.
        running = "running.json",
        /// The path of the control group that it runs in.
        group = "group",
        /// The supervisor waits before it starts Stata.
        waiting = "waiting.json",
        /// A request to end the run.
        cancel = "cancel.json",
        /// Why it is being ended.
        ending = "ending.json",
        /// The exit record.
        exit = "exit.json",
        /// The verdict.
        outcome = "outcome.json",
        /// The files of its code, by their digests, from the acceptance of the attempt to its end.
        blobs = "blobs",
        /// The do-files that the run entered, with their digests.
        entered = "entered.json",
        /// Their bytes, by digest.
        do_files = "do-files",
        /// Our do-file that gathers results.
        gather = "gather.do",
        /// What that wrote.
        gathered = "gathered",
        /// The supervisor's own log, for people.
        supervisor_log = "supervisor.log",
        /// Space held for the exit record on a full file system.
        reserve = "reserve",
    }

    names! {
        run_folder:
        /// The executed bytes.
        code = "code.do",
        /// Where text and bundles run.
        work = "work",
        /// Stata's temporary files.
        tmp = "tmp",
        /// Runs the project's, at Stata's start.
        profile = "profile.do",
        /// Written by the wrapper's last line.
        sentinel = "sentinel",
        /// stdout and stderr.
        console = "console",
        /// A plain name for a working directory whose own name Stata cannot take.
        plain_dir = "wd",
    }

    /// The FIFO that wakes the supervisor.
    pub fn nudge(&self) -> PathBuf {
        match self.layout {
            Layout::Flat => self.paths.folder.join("control"),
            Layout::Split => self.paths.control.join("nudge"),
        }
    }

    /// The plain name from which Stata makes the log's: `lh-<short>`.
    pub fn stem(&self) -> String {
        format!("lh-{}", self.run.short())
    }

    /// The wrapper do-file.
    pub fn wrapper(&self) -> PathBuf {
        self.paths.run_folder.join(self.stem() + ".do")
    }

    /// Stata's batch log.
    pub fn log(&self) -> PathBuf {
        self.paths.run_folder.join(self.stem() + ".log")
    }

    /// Makes the folder, durably.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn create(&self) -> io::Result<()> {
        durable::create_folder(&self.paths.folder)
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
        self.clear_way(path)?;
        durable::replace(path, &line(record)?)
    }

    /// Renames what has a record's name and is no file: the run's own code may have made it.
    fn clear_way(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() { self.rename_unreadable(path) } else { Ok(()) }
    }

    /// Writes a record, whole for all readers of this boot. After a crash of the host it may be missing or damaged: for
    /// facts about processes of this boot, which are gone then, and for what is made again from durable records.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn write_unsynced_whole<T: Serialize>(&self, path: &Path, record: &T) -> io::Result<()> {
        self.clear_way(path)?;
        durable::replace_unsynced(path, &line(record)?)
    }

    /// Writes a record that need survive this process only; a crash of the host may leave half of it.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn write_unsynced<T: Serialize>(&self, path: &Path, record: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(record)?;
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(durable::FILE_MODE)
            .open(path)?
            .write_all(&bytes)
    }

    /// Records a request to end the run, durably. A stronger mode replaces a weaker one.
    ///
    /// # Errors
    /// When it could not be recorded.
    pub fn request_end(&self, request: &CancelRecord) -> io::Result<()> {
        let known = self.read::<CancelRecord>(&self.cancel()).ok().flatten();
        if known.is_none_or(|known| request.mode > known.mode) {
            self.write(&self.cancel(), request)?;
        }
        Ok(())
    }

    /// Writes the exit record, durably, after the outputs that it speaks of: content and names.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        self.clear_way(&self.exit())?;
        let mut outputs = durable::Batch::default();
        if !faults::bug("output_content_not_synced") {
            outputs.content(&self.log())?;
            outputs.content(&self.console())?;
        }
        if self.layout == Layout::Split && !faults::bug("outputs_not_synced") {
            match outputs.names(&self.paths.run_folder) {
                // Removed by the run's own code.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                added => added?,
            }
        }
        durable::replace_after(&self.exit(), &line(exit)?, outputs)
    }

    /// Renames what cannot be read or replaced to `NAME.unreadable`, for people to look at.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn rename_unreadable(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".unreadable");
        let folder = path.parent().unwrap_or(&self.paths.control);
        let by = folder.join(name);
        // Only the latest is kept.
        if by.is_dir() {
            durable::remove_folder(&by)?;
        }
        durable::rename(path, &by)?;
        durable::sync_folder(folder)
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
        self.paths.folder.with_extension(DONE).exists()
    }
}
