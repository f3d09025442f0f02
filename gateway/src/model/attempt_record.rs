//! What is recorded of one attempt.

use longhaul_proto::{
    api::{ArtifactView, ProcessView, ViewRange},
    egress::Egress,
};
use serde::{Deserialize, Serialize};

use super::{Attempt, HeldSpool, Placement};

/// What is recorded of one attempt. An entry is appended when the attempt is given to an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// Its number.
    pub number: Attempt,
    /// Where it is executed.
    pub at: Placement,
    /// The offsets in the mirror at which its output begins.
    pub base: OutputLengths,
    /// The user's part of its log, in offsets of the mirror.
    pub user_part: Option<ViewRange>,
    /// Lengths of its output as its agent recorded them; `None` before its end, and in records of versions that kept
    /// them only if the mirror matched.
    pub recorded: Option<OutputLengths>,
    /// SHA-256 of its log as its agent recorded it, hex; empty = not known.
    pub log_sha256: String,
    /// Likewise, of its console.
    pub console_sha256: String,
    /// What its agent reports of the execution.
    pub execution: Execution,
    /// Set when it is proven dead and another may follow.
    pub death: Option<Death>,
}

/// Lengths of a run's two outputs, or offsets in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLengths {
    /// Bytes of the log.
    pub log: u64,
    /// Bytes of the console.
    pub console: u64,
}

/// What an agent reports of the execution of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Execution {
    /// When Stata's process was started, by its host's clock, Unix ms; 0 = not known.
    pub started_ms: i64,
    /// First log byte by the ledger's clock, Unix ms; 0 = not yet.
    pub running_ms: i64,
    /// First log byte by its host's clock, Unix ms; 0 = not yet.
    pub host_running_ms: i64,
    /// The end by its host's clock, Unix ms; 0 = not yet.
    pub host_ended_ms: i64,
    /// From running to end, ms.
    pub duration_ms: Option<u64>,
    /// `stata` or `standin`.
    pub engine: String,
    /// Edition and version.
    pub engine_note: String,
    /// Where the code runs; before that is known, where it was asked to.
    pub working_dir: String,
    /// Digest of the executed bytes; before execution, of the bytes found before.
    pub code_sha256: String,
    /// Processes that had to be ended after Stata.
    pub leftovers: Vec<String>,
    /// Files that it left.
    pub artifacts: Vec<ArtifactView>,
    /// Who asked for the end, as the agent noted it.
    pub ended_by: String,
    /// How Stata's process ended, and what it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessView>,
    /// A project's `profile.do` was executed before the code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub profile_ran: bool,
    /// Its Stata was told to use at most so many cores; `None` = it was told nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// What of it may leave to AI clients: the narrowest rule that its agent had while it ran; `None` = everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

/// How an attempt died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// In words.
    pub how: String,
    /// Whether the mirror has exactly the output that its agent recorded.
    pub complete: bool,
}

impl AttemptRecord {
    /// An attempt that was given to an agent a moment ago.
    pub fn given(number: Attempt, at: Placement) -> Self {
        Self {
            number,
            at,
            base: OutputLengths::default(),
            user_part: None,
            recorded: None,
            log_sha256: String::new(),
            console_sha256: String::new(),
            execution: Execution::default(),
            death: None,
        }
    }

    /// Whether all of its output is in the mirror though it died.
    pub fn died_complete(&self) -> bool {
        self.death.as_ref().is_some_and(|death| death.complete)
    }

    /// What its agent keeps of it, if its output has these lengths.
    pub fn held_spool(&self, lengths: OutputLengths) -> HeldSpool {
        HeldSpool {
            agent_id: self.at.agent_id.clone(),
            attempt: self.number.number(),
            log_len: lengths.log,
            log_sha256: self.log_sha256.clone(),
            console_len: lengths.console,
            console_sha256: self.console_sha256.clone(),
        }
    }

    /// What its agent keeps of it, by the lengths that it recorded.
    pub fn kept(&self) -> HeldSpool {
        self.held_spool(self.recorded.unwrap_or_default())
    }
}
