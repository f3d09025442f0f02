//! One run's record.

use std::collections::BTreeMap;

use longhaul_proto::{
    api,
    ids::RunId,
    state::{Cause, RunState},
};
use serde::{Deserialize, Serialize};

use super::{HeldSpool, Removed};
use crate::model::{Condition, Need, Principal};

/// One run. Fields that queries filter by are columns of their own; the rest is in [`Detail`].
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub run: RunId,
    /// The principal that submitted it.
    pub principal: Principal,
    /// Its state.
    pub state: RunState,
    /// Why it is in that state.
    pub cause: Cause,
    /// The fencing token; 0 before the first dispatch.
    pub attempt: u32,
    /// The agent that it was given to; empty = none yet.
    pub agent_id: String,
    /// That agent's name.
    pub host: String,
    /// The pool whose seat its lease holds or held.
    pub pool: String,
    /// When it was recorded, Unix milliseconds.
    pub created_ms: i64,
    /// When it ended; 0 = not yet.
    pub finished_ms: i64,
    /// When its owner was first shown its end; 0 = not yet.
    pub shown_ms: i64,
    /// The intent to end it.
    pub cancel: Option<CancelIntent>,
    /// Everything that no query filters by.
    pub detail: Detail,
}

impl Record {
    /// The record of a new request: queued, given to no agent.
    pub fn queued(run: RunId, principal: Principal, created_ms: i64, detail: Detail) -> Self {
        Self {
            run,
            principal,
            state: RunState::Queued,
            cause: Cause::Submitted,
            attempt: 0,
            agent_id: String::new(),
            host: String::new(),
            pool: String::new(),
            created_ms,
            finished_ms: 0,
            shown_ms: 0,
            cancel: None,
            detail,
        }
    }
}

/// The part of a record that is only read as a whole; JSON in the ledger, so it may grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The path, `text`, or `bundle: entry`.
    pub source: String,
    /// Arguments of the do-file.
    pub args: Vec<String>,
    /// What it requires of an agent.
    pub need: Need,
    /// The do-file on the agent's host, when the code comes from there.
    pub path: Option<String>,
    /// Folder that the caller requested; empty = none.
    pub wanted_dir: String,
    /// Digest that the caller requires; empty = none.
    pub wanted_sha256: String,
    /// Name and version of the client.
    pub client: String,
    /// Limit on running, ms; 0 = none.
    pub timeout_ms: u64,
    /// Limit on waiting, ms; 0 = none.
    pub queue_timeout_ms: u64,
    /// How long it waited for the lease of its present attempt, ms; 0 = it has none yet, or had it at once.
    pub waited_ms: u64,
    /// The reason for which it waited longest, in words.
    pub waited_for: String,
    /// W3C `traceparent` of the run.
    pub traceparent: String,
    /// When the present wait in the queue started, Unix ms; 0 = when the run was recorded.
    pub queued_ms: i64,
    /// What `queue_timeout_ms` counts from, Unix ms: moved only by the death of an attempt that had started; 0 = when
    /// the run was recorded.
    pub queue_limit_from_ms: i64,
    /// First log byte by the ledger's clock, Unix ms; 0 = not yet.
    pub running_ms: i64,
    /// When Stata's process was started, by its host's clock, Unix ms; 0 = not known.
    pub started_ms: i64,
    /// First log byte by its host's clock, Unix ms; 0 = not yet.
    pub host_running_ms: i64,
    /// The end by its host's clock, Unix ms; 0 = not yet.
    pub host_ended_ms: i64,
    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or the gateway's.
    pub message: String,
    /// The command that failed.
    pub command: String,
    /// Where it failed.
    pub location: Option<api::LocationView>,
    /// `stata` or `standin`.
    pub engine: String,
    /// Edition and version.
    pub engine_note: String,
    /// Where the code ran.
    pub working_dir: String,
    /// Digest of the executed bytes; before execution, of the bytes found at submission.
    pub code_sha256: String,
    /// The user's part of the log.
    pub view: Option<api::ViewRange>,
    /// Bytes of the log in the mirror when it ended.
    pub log_len: u64,
    /// Their SHA-256 as the agent reported it.
    pub log_sha256: String,
    /// Bytes of the console in the mirror when it ended.
    pub console_len: u64,
    /// Their SHA-256 as the agent reported it.
    pub console_sha256: String,
    /// Whether length and digest of the mirror match the agent's report.
    pub complete: bool,
    /// Lengths of the attempt's output as the agent recorded them; `None` before the end, and in records of versions
    /// that kept them only if the mirror matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// From running to end, ms.
    pub duration_ms: Option<u64>,
    /// What else a person should know, set once: by the agent, or at the end.
    pub note: String,
    /// What holds of the run now, one text for each kind ([`Condition`]): set and cleared without touching the others.
    /// Kinds of a newer version are kept and shown.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, String>,
    /// Processes that had to be ended after Stata.
    pub leftovers: Vec<String>,
    /// Files that the run left.
    pub artifacts: Vec<api::ArtifactView>,
    /// Set when the folder of those files was removed from its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_removed: Option<api::FilesRemoved>,
    /// Who asked for the end, as the agent noted it.
    pub ended_by: String,
    /// Whether it was imported from a spool.
    pub imported: bool,
    /// It came from a spool without this gateway's seal on its request: it has no principal until an operator adopts
    /// it.
    pub unverified: bool,
    /// The principal that the spool of such a run names.
    pub claims: Principal,
    /// Other results that agents reported for an attempt whose result is recorded here, in words.
    pub contested: Vec<String>,
    /// When another attempt may follow.
    pub retry: api::Retry,
    /// Attempts that are proven dead, in order. The mirror begins with their output.
    pub earlier: Vec<Earlier>,
    /// The offset in the mirror's log at which the output of the present attempt begins.
    pub log_base: u64,
    /// Likewise, in the mirror's console output.
    pub console_base: u64,
}

impl Detail {
    /// Sets a condition, replacing its earlier text.
    pub fn set(&mut self, condition: Condition, words: impl Into<String>) {
        self.conditions.insert(condition.as_str().to_owned(), words.into());
    }

    /// Clears a condition.
    pub fn clear(&mut self, condition: Condition) {
        self.conditions.remove(condition.as_str());
    }
}

/// Lengths of an ended attempt's output, as its agent recorded them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Bytes of the log.
    pub log_len: u64,
    /// Bytes of the console.
    pub console_len: u64,
}

impl Earlier {
    /// What the agent recorded of this attempt.
    pub fn kept(&self) -> HeldSpool {
        HeldSpool {
            agent_id: self.agent_id.clone(),
            attempt: self.attempt,
            log_len: self.log_len,
            log_sha256: self.log_sha256.clone(),
            console_len: self.console_len,
            console_sha256: self.console_sha256.clone(),
        }
    }
}

impl Record {
    /// Whether all output of the dead attempts is here.
    pub fn earlier_whole(&self) -> bool {
        self.detail.earlier.iter().all(|dead| dead.complete)
    }

    /// What an agent recorded of the last attempt; `None` if that is not known.
    pub fn kept(&self) -> Option<HeldSpool> {
        let detail = &self.detail;
        // The run waited for another attempt, which never started: the last one is the dead one.
        // A lost attempt may have printed anything: nothing is known of it.
        let never_started = self.state != RunState::Lost && detail.told.is_none() && detail.log_sha256.is_empty();
        if let Some(dead) = detail.earlier.last().filter(|dead| dead.attempt == self.attempt || never_started) {
            return Some(dead.kept());
        }
        let of_mirror = Told {
            log_len: detail.log_len.saturating_sub(detail.log_base),
            console_len: detail.console_len.saturating_sub(detail.console_base),
        };
        let told = detail.told.or_else(|| detail.complete.then_some(of_mirror))?;
        Some(HeldSpool {
            agent_id: self.agent_id.clone(),
            attempt: self.attempt,
            log_len: told.log_len,
            log_sha256: detail.log_sha256.clone(),
            console_len: told.console_len,
            console_sha256: detail.console_sha256.clone(),
        })
    }

    /// What is to be remembered when this record is removed; `None` = the run was never given to an agent.
    pub fn removed(&self) -> Option<Removed> {
        let last = self.kept().filter(|last| self.detail.earlier.iter().all(|e| e.attempt != last.attempt));
        let kept = self.detail.earlier.iter().map(Earlier::kept).chain(last).collect();
        let dead = self.detail.earlier.iter().map(|dead| dead.agent_id.clone());
        let agents = dead.chain([self.agent_id.clone()]).collect();
        (self.attempt > 0).then_some(Removed { kept, agents })
    }
}

/// Most other results that are noted of one run; more would say nothing new.
const MAX_CONTESTED: usize = 8;

impl Detail {
    /// Notes another result; `false` when it is noted already, or too many are.
    pub fn contest(&mut self, words: &str) -> bool {
        let new = !self.contested.iter().any(|known| known == words) && self.contested.len() < MAX_CONTESTED;
        if new {
            self.contested.push(words.to_owned());
        }
        new
    }
}

/// An attempt that is proven dead and was followed by another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Earlier {
    /// Its number.
    pub attempt: u32,
    /// The agent that had it.
    pub agent_id: String,
    /// That agent's name.
    pub host: String,
    /// How it died, in words.
    pub how: String,
    /// Lengths and digests as its agent reported them: repeated to the agent, they let it delete the spool.
    pub log_len: u64,
    /// Likewise.
    pub log_sha256: String,
    /// Likewise.
    pub console_len: u64,
    /// Likewise.
    pub console_sha256: String,
    /// Whether the mirror has exactly that output.
    pub complete: bool,
    /// The user's part of its output, in offsets of the mirror.
    pub view: Option<api::ViewRange>,
}

/// A durable intent to end a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelIntent {
    /// Who asked.
    pub by: String,
    /// When, Unix ms.
    pub at_ms: i64,
    /// The mode.
    pub mode: api::CancelMode,
}
