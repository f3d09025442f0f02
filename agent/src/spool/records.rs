//! The records in a spool. Readers ignore fields they do not know; new fields have defaults.

mod diagnosis;
mod limits;
mod outcome;

use std::{collections::BTreeMap, io, path::PathBuf};

use longhaul_proto::{encoding::Encoding, state::Cause, wire};
use serde::{Deserialize, Serialize};

pub use diagnosis::{Diagnosis, SuppressedError};
pub use limits::{LimitsRecord, RunLimits};
pub use outcome::{Artifact, Location, OutcomeRecord};

/// Whether a record exists but cannot be parsed: the next read will not help, as it would after a want of memory or
/// descriptors.
pub fn is_damaged(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, PermissionDenied};
    let lost = [rustix::io::Errno::IO, rustix::io::Errno::LOOP].map(|e| Some(e.raw_os_error()));
    matches!(error.kind(), InvalidData | IsADirectory | NotADirectory | PermissionDenied)
        || lost.contains(&error.raw_os_error())
}

/// Takes a record that the run's own code may have damaged, and without which its reader can do, for one that is missing.
///
/// # Errors
/// Any other.
pub fn missing_if_damaged<T>(error: io::Error) -> io::Result<Option<T>> {
    if is_damaged(&error) { Ok(None) } else { Err(error) }
}

/// A record as a line.
pub(super) fn line<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(record)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Limits of a run, milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// From the first log byte; `None` = no limit.
    pub timeout: Option<u64>,
    /// From the spawn to the first log byte.
    pub start: u64,
    /// From SIGINT to SIGTERM.
    pub after_break: u64,
    /// From SIGTERM to SIGKILL.
    pub after_terminate: u64,
    /// From the sentinel to the end of gathering.
    #[serde(default = "gathering")]
    pub gathering: u64,
}

/// What an agent of an earlier version left out of a plan.
fn gathering() -> u64 {
    30_000
}

/// What the supervisor needs to know. Written by the agent before the supervisor starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the spool's format.
    pub format: u32,
    /// The attempt that this plan is for.
    pub attempt: u32,
    /// Stata, or the stand-in.
    pub program: PathBuf,
    /// Its argument 0, when it is not the program's own path.
    pub arg0: Option<String>,
    /// Its arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// `stata` or `standin`.
    pub engine: String,
    /// Edition and version, or how the stand-in describes itself.
    pub engine_note: String,
    /// Where the user's code runs (the wrapper goes there; Stata itself starts in the spool).
    pub working_dir: PathBuf,
    /// Name of the do-file as people know it; empty for text.
    pub source: String,
    /// Hex digest of the executed bytes.
    pub code_sha256: String,
    /// A project's `profile.do` is run by the wrapper.
    pub profile: Option<PathBuf>,
    /// Limits.
    pub timing: Timing,
    /// Bytes of each stream that the record covers; later bytes stay on the host only.
    pub output_limit: u64,
    /// Bytes that the run's spool may take before it is ended; 0 = no limit.
    #[serde(default)]
    pub max_spool: u64,
    /// The encoding of what is no UTF-8 in its log and sources; empty = Windows-1252.
    #[serde(default)]
    pub log_encoding: String,
    /// Whether results are gathered; `None` = an agent of an earlier version wrote this.
    #[serde(default)]
    pub gathers: Option<Gathers>,
    /// The lock to hold while it runs, since its code installs packages; `None` = none.
    #[serde(default)]
    pub installs: Option<Installs>,
    /// Most cores that the wrapper lets Stata use; `None` = it says nothing of that.
    #[serde(default)]
    pub cores: Option<u32>,
    /// What it may use of its host besides its spool.
    #[serde(default)]
    pub limits: RunLimits,
}

/// What a run needs whose code installs packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installs {
    /// The lock, one for all agents of a user.
    pub lock: PathBuf,
    /// This agent's name, for those who wait.
    pub host: String,
}

/// `waiting.json`: the supervisor waits before it starts Stata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// For what, in words.
    pub reason: String,
}

/// Whether what a run leaves in r(), e() and s() is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gathers {
    /// It is.
    Yes,
    /// The request says no.
    NotAsked,
    /// The agent's configuration says no.
    NotHere,
}

impl Plan {
    /// [`Plan::log_encoding`]; of a name that this version does not know the default.
    pub fn encoding(&self) -> Encoding {
        self.log_encoding.parse().unwrap_or_default()
    }
}

/// The process that a supervisor started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Process id.
    pub pid: i32,
    /// Its process group.
    pub pgid: i32,
    /// The host's boot id.
    pub boot_id: String,
    /// Start time of the process in clock ticks since boot; with the boot id it names the process for ever.
    pub start_ticks: u64,
    /// Wall-clock time, Unix milliseconds.
    pub at_ms: i64,
    /// Monotonic time of the host, milliseconds.
    pub mono_ms: u64,
    /// The kernel's count of processes it killed for memory in the run's control group, before the start.
    #[serde(default)]
    pub oom_kills: Option<u64>,
}

/// The first log byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Wall-clock time, Unix milliseconds.
    pub at_ms: i64,
    /// Monotonic time of the host, milliseconds: the run's own limit counts from here.
    pub mono_ms: u64,
}

/// How a run is ended; later values are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// SIGINT, then SIGTERM, then SIGKILL.
    Break,
    /// SIGTERM, then SIGKILL.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl CancelMode {
    /// From the wire; an unknown value is a break.
    pub fn from_wire(mode: i32) -> Self {
        match wire::CancelMode::try_from(mode) {
            Ok(wire::CancelMode::Terminate) => Self::Terminate,
            Ok(wire::CancelMode::Kill) => Self::Kill,
            _ => Self::Break,
        }
    }
}

/// A request to end a run: written by the agent, carried out by the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRecord {
    /// How gently.
    pub mode: CancelMode,
    /// The principal who asked.
    pub by: String,
    /// Wall-clock time, Unix milliseconds.
    pub at_ms: i64,
}

/// Why a run is being ended: on disk before the first signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Cancel requested, a timeout, spool full, out of memory or over a limit.
    pub cause: Cause,
    /// The principal who asked; empty = a limit.
    pub by: String,
    /// Wall-clock time, Unix milliseconds.
    pub at_ms: i64,
    /// Which limit was reached, where the cause alone does not say it.
    #[serde(default)]
    pub words: String,
}

/// Length and digests of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Bytes that the record covers.
    pub len: u64,
    /// Hex SHA-256 of those bytes.
    pub sha256: String,
    /// Hex BLAKE3 of the same bytes; empty in records of earlier versions.
    #[serde(default)]
    pub blake3: String,
    /// Bytes in the file, when they are more than the record covers.
    #[serde(default)]
    pub beyond: Option<u64>,
    /// What happened to the file, if anything (deleted, truncated).
    #[serde(default)]
    pub note: Option<String>,
}

/// The raw facts of an end. No verdict.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Exit {
    /// The attempt.
    pub attempt: u32,
    /// Whether a process was started at all.
    pub spawned: bool,
    /// Why it could not be.
    pub spawn_error: Option<String>,
    /// The kind of that error, when it lies before the spawn (a source that cannot be read).
    #[serde(default)]
    pub spawn_cause: Option<Cause>,
    /// Exit status, when it exited by itself and this supervisor was its parent.
    pub code: Option<i32>,
    /// Signal that ended it, likewise.
    pub signal: Option<i32>,
    /// The supervisor that started it died, so the status is not known.
    pub status_lost: bool,
    /// Why it was being ended, also when `ending.json` could not be written.
    #[serde(default)]
    pub ending: Option<Ending>,
    /// Why a previous record of the end could not be read, in words.
    #[serde(default)]
    pub unreadable: Option<String>,
    /// The host was restarted meanwhile.
    pub rebooted: bool,
    /// The kernel killed for memory in the run's control group.
    pub out_of_memory: bool,
    /// How often the kernel refused the run another process, for its limit.
    #[serde(default)]
    pub refused_processes: u64,
    /// The file system had no room at the end.
    pub disk_full: bool,
    /// When the process existed, Unix milliseconds; 0 = never.
    pub started_at_ms: i64,
    /// First log byte, likewise.
    pub running_at_ms: i64,
    /// End, Unix milliseconds.
    pub ended_at_ms: i64,
    /// From the first log byte to the end, monotonic, milliseconds.
    pub duration_ms: u64,
    /// Largest resident size sampled, bytes; 0 = not known.
    pub max_rss_bytes: u64,
    /// Processor time of Stata and of the children that it waited for, ms; 0 = not known, or less than the kernel counts.
    #[serde(default)]
    pub cpu_ms: u64,
    /// What they wrote to disks, bytes; `None` = not known.
    #[serde(default)]
    pub written_bytes: Option<u64>,
    /// Stata's batch log.
    pub log: FileFacts,
    /// stdout and stderr.
    pub console: FileFacts,
    /// Processes that had to be ended after Stata.
    pub leftovers: Vec<String>,
    /// Why the gathering of results was ended, in words.
    #[serde(default)]
    pub gathering: Option<String>,
    /// Why its packages were installed without the lock that keeps others away, in words.
    #[serde(default)]
    pub unlocked: Option<String>,
    /// The limits that it had; `None` = a version before them wrote this, or the agent.
    #[serde(default)]
    pub limits: Option<LimitsRecord>,
    /// Who wrote this record: `supervisor`, `second supervisor` or `agent`.
    pub by: String,
}
