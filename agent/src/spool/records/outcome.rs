//! `outcome.json`: how a run ended, where it failed, and what it left.

use longhaul_proto::{
    state::{Cause, RunState},
    wire,
};
use serde::{Deserialize, Serialize};

use super::{Diagnosis, FileFacts, LimitsRecord};

/// Where in the code the error happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The do-file, as resolved on the host.
    pub file: String,
    /// 1-based line.
    pub line: u32,
    /// `file:line` of the do-files around it, outermost first.
    pub callers: Vec<String>,
}

/// A file that a run left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where.
    pub path: String,
    /// How large.
    pub bytes: u64,
}

/// `outcome.json`: the verdict, which the agent repeats unchanged from then on. Where a crash of the host took or tore it,
/// it is made again from the exit record and the outputs, which are durable before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// The end.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or Longhaul's.
    pub message: String,
    /// The command that failed.
    pub command: String,
    /// Where.
    pub location: Option<Location>,
    /// What else was found; absent for a success, and in records of earlier versions.
    #[serde(default)]
    pub diagnosis: Option<Diagnosis>,
    /// Exit status.
    pub exit_code: Option<i32>,
    /// Signal.
    pub signal: Option<i32>,
    /// The log.
    pub log: FileFacts,
    /// The console.
    pub console: FileFacts,
    /// Processes that had to be ended after Stata.
    pub leftovers: Vec<String>,
    /// Unix milliseconds; 0 = never.
    pub started_at_ms: i64,
    /// Unix milliseconds; 0 = never.
    pub running_at_ms: i64,
    /// Unix milliseconds.
    pub ended_at_ms: i64,
    /// Monotonic, milliseconds.
    pub duration_ms: u64,
    /// Bytes; 0 = not known.
    pub max_rss_bytes: u64,
    /// Milliseconds; 0 = not known.
    #[serde(default)]
    pub cpu_ms: u64,
    /// Bytes written to disks; `None` = not known.
    #[serde(default)]
    pub written_bytes: Option<u64>,
    /// Cores that it could use: those of the host, or fewer where Stata was told so; 0 = not known.
    #[serde(default)]
    pub cores: u32,
    /// Memory of the host, bytes; 0 = not known.
    #[serde(default)]
    pub memory_bytes: u64,
    /// The limits that it had; absent in records of earlier versions.
    #[serde(default)]
    pub limits: Option<LimitsRecord>,
    /// What else a person should know.
    pub note: String,
    /// The principal who requested the end.
    pub ended_by: String,
    /// Files that the run left.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// It left more than these.
    #[serde(default)]
    pub more_artifacts: bool,
    /// Runs of this agent that ran in the same folder meanwhile: the files may be theirs.
    #[serde(default)]
    pub shared_with: Vec<String>,
    /// The user's part of the log.
    #[serde(default)]
    pub view: Option<(u64, Option<u64>)>,
}

impl OutcomeRecord {
    /// As it goes over the wire.
    pub fn to_wire(&self) -> wire::Outcome {
        wire::Outcome {
            state: self.state.to_wire() as i32,
            cause: self.cause.to_wire() as i32,
            rc: self.rc,
            message: self.message.clone(),
            command: self.command.clone(),
            location: self.location.as_ref().map(Location::to_wire),
            diagnosis: self.diagnosis.as_ref().map(Diagnosis::to_wire),
            exit_code: self.exit_code,
            signal: self.signal,
            log_len: self.log.len,
            log_sha256: self.log.sha256.clone(),
            log_blake3: self.log.blake3.clone(),
            console_len: self.console.len,
            console_sha256: self.console.sha256.clone(),
            console_blake3: self.console.blake3.clone(),
            leftovers: self.leftovers.clone(),
            started_at_ms: self.started_at_ms,
            running_at_ms: self.running_at_ms,
            ended_at_ms: self.ended_at_ms,
            duration_ms: self.duration_ms,
            max_rss_bytes: self.max_rss_bytes,
            cpu_ms: self.cpu_ms,
            written_bytes: self.written_bytes,
            cores: self.cores,
            memory_bytes: self.memory_bytes,
            limits: self.limits.map(LimitsRecord::to_wire),
            note: self.note.clone(),
            ended_by: self.ended_by.clone(),
        }
    }
}
