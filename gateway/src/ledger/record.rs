//! The values that the ledger stores; every implementation uses the same ones.

use std::collections::BTreeMap;

use longhaul_proto::{
    api,
    ids::RunId,
    state::{Cause, RunState},
    transport::Fingerprint,
    wire,
};
use serde::{Deserialize, Serialize};

use crate::model::{Need, Principal};

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
    pub seen_ms: i64,
    /// The request to end it.
    pub cancel: Option<CancelWish>,
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
            seen_ms: 0,
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

/// What may hold of a run besides its state, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Attempts before this one died.
    EarlierAttempts,
    /// The gateway's copy of the output cannot be opened.
    CopyUnopened,
    /// The gateway's copy of the output cannot be written.
    CopyFails,
    /// Stata has ended, and the rest of its output is being fetched.
    Collecting,
    /// The gateway's copy differs from what the agent recorded.
    Incomplete,
    /// Its agent is connected and cannot look after it.
    Trouble,
    /// What was deleted on its host, when, and why.
    Released,
}

impl Condition {
    /// Its name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EarlierAttempts => "earlier_attempts",
            Self::CopyUnopened => "copy_unopened",
            Self::CopyFails => "copy_fails",
            Self::Collecting => "collecting",
            Self::Incomplete => "incomplete",
            Self::Trouble => "trouble",
            Self::Released => "released",
        }
    }
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

    /// The note, all conditions, and every other reported result, for people.
    pub fn words(&self) -> String {
        let note = Some(&self.note).filter(|note| !note.is_empty());
        note.into_iter()
            .chain(self.conditions.values())
            .chain(&self.contested)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ")
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

/// What an agent recorded of an ended attempt whose spool it keeps: when it is repeated to the agent, the agent deletes
/// the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldSpool {
    /// The agent.
    pub agent_id: String,
    /// The attempt.
    pub attempt: u32,
    /// Bytes of the log.
    pub log_len: u64,
    /// Their SHA-256, hex.
    pub log_sha256: String,
    /// Bytes of the console.
    pub console_len: u64,
    /// Their SHA-256, hex.
    pub console_sha256: String,
}

/// What is remembered of a run whose record was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removed {
    /// What agents may still keep of it.
    pub kept: Vec<HeldSpool>,
    /// The agents that were given an attempt; empty in what earlier versions noted.
    pub agents: Vec<String>,
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

/// Gives an unverified run to a principal.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The run.
    pub run: RunId,
    /// Its principal from now on.
    pub principal: Principal,
    /// The caller's idempotency key and the digest of the request. A key that already names another run keeps doing so.
    pub key: Option<(String, String)>,
    /// What lets an equal request find it.
    pub dedupe: Dedupe,
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

/// A durable request to end a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelWish {
    /// Who asked.
    pub by: String,
    /// When, Unix ms.
    pub at_ms: i64,
    /// The mode.
    pub mode: api::CancelMode,
}

/// A run to be recorded.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its record; `queued` for a request, as found for an import.
    pub record: Record,
    /// The whole request, so that a restarted gateway can dispatch it.
    pub submission: wire::Submission,
    /// The caller's idempotency key and the digest of the request.
    pub key: Option<(String, String)>,
    /// What makes two requests equal.
    pub dedupe: Dedupe,
}

/// Prefix of call names that a client made up by itself: such a name may be repeated and mean another call.
pub const CALL: &str = "claudecode/toolUseId:";

/// Whether a key is such a name, and not an idempotency key that a caller chose.
pub fn is_call(key: &str) -> bool {
    key.starts_with(CALL)
}

/// What makes two requests equal, and whether an earlier run may answer.
#[derive(Clone, Debug, Default)]
pub struct Dedupe {
    /// Digest over principal, kind of source, arguments, directory, host choice and the like.
    pub shape: String,
    /// Digest of the code; empty = no agent could read it yet, which equals any.
    pub code: String,
    /// An equal run answers that ended by its own verdict, not before this time, and whose end was not shown; `None` =
    /// no equal run does (`again`).
    pub join_since_ms: Option<i64>,
    /// The client's own name for the call ([`is_call`]), which stands for the whole request.
    pub call: Option<String>,
    /// A run of the same call that ended not before this time answers.
    pub call_since_ms: i64,
    /// Runs that do not answer: a command is ending them at their agents, or the caller wants another.
    pub not: Vec<RunId>,
    /// There is no room for another run: only an equal one may answer.
    pub only_join: bool,
}

/// An earlier run, reduced to what decides whether it may answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) run: RunId,
    pub(super) state: RunState,
    pub(super) finished_ms: i64,
    pub(super) seen_ms: i64,
    /// A client asked for its end.
    pub(super) cancelling: bool,
}

impl NewRun {
    /// The names of this request: the key first, then the call; with the digest of the request.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let call = self.dedupe.call.clone().map(|call| (call, super::UNKNOWN_BODY.to_owned()));
        self.key.clone().into_iter().chain(call).collect()
    }
}

impl Dedupe {
    /// Excludes runs that never answer: ended on request, ended by a limit, or ruled out.
    fn may_answer(&self, run: &Candidate) -> bool {
        let ended_for_it = matches!(run.state, RunState::Cancelled | RunState::TimedOut);
        !run.cancelling && !ended_for_it && !self.not.contains(&run.run)
    }

    /// Whether the run of the same call answers.
    pub(super) fn same_call(&self, run: &Candidate) -> bool {
        self.may_answer(run) && (!run.state.is_end() || run.finished_ms >= self.call_since_ms)
    }

    /// Why an equal run answers, if it does.
    pub(super) fn equal(&self, run: &Candidate) -> Option<api::Joined> {
        let since_ms = self.join_since_ms.filter(|_| self.may_answer(run))?;
        if !run.state.is_end() {
            return Some(api::Joined::Unfinished);
        }
        let verdict = matches!(run.state, RunState::Succeeded | RunState::Failed);
        (verdict && run.finished_ms >= since_ms && run.seen_ms == 0).then_some(api::Joined::Undelivered)
    }
}

/// An ended run that could be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// The agent that had it.
    pub agent_id: String,
    /// Whether that agent still keeps its spool: then the run would be imported again when the agent returns.
    pub spool_held: bool,
}

/// The answer to an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is a new run.
    New,
    /// An earlier run may answer, and why. Nothing was recorded; a caller that takes the answer calls
    /// [`super::Ledger::name_run`].
    Joined(RunId, api::Joined),
}

/// One step of a run, conditional on its state and attempt.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The run.
    pub run: RunId,
    /// The state it must be in.
    pub from: RunState,
    /// The attempt it must have.
    pub from_attempt: u32,
    /// The new state.
    pub to: RunState,
    /// Why.
    pub cause: Cause,
    /// The new attempt.
    pub attempt: u32,
    /// The ledger's clock, Unix ms.
    pub at_ms: i64,
    /// The agent, its name and its pool, when this step gives the run to an agent.
    pub given_to: Option<(String, String, String)>,
    /// The rest of the record, if it changed.
    pub detail: Option<Detail>,
}

/// One row of a run's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    /// From 0.
    pub n: u32,
    /// The state that it got.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// The attempt.
    pub attempt: u32,
    /// When, Unix ms.
    pub at_ms: i64,
}

/// Which runs to list: a filter.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only this principal's; `None` = all.
    pub principal: Option<Principal>,
    /// Only those in this state.
    pub state: Option<RunState>,
    /// Only those older than this run.
    pub before: Option<RunId>,
    /// At most this many.
    pub limit: u32,
}

/// An agent as last heard.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// Its description of itself.
    pub info: wire::AgentInfo,
    /// When, Unix ms.
    pub seen_ms: i64,
}

/// What is decided about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// It belongs to an agent.
    Accepted,
    /// It waits for an operator.
    Waiting,
    /// It is refused until an operator approves it.
    Revoked,
}

impl PinState {
    /// Its name in the ledger and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Waiting => "waiting",
            Self::Revoked => "revoked",
        }
    }

    /// The state of this name.
    pub fn of(text: &str) -> Option<Self> {
        [Self::Accepted, Self::Waiting, Self::Revoked].into_iter().find(|state| state.as_str() == text)
    }
}

/// A key, and the agent that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRecord {
    /// The key's fingerprint.
    pub key: Fingerprint,
    /// The agent's id.
    pub agent_id: String,
    /// The agent's name.
    pub name: String,
    /// What was decided.
    pub state: PinState,
    /// Since when, Unix ms.
    pub at_ms: i64,
    /// Who decided it.
    pub by: String,
}

/// A drained host: no new run starts there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainRecord {
    /// The agent's name, since that is what people mean by a host.
    pub host: String,
    /// Who asked.
    pub by: String,
    /// Why; empty = no reason given.
    pub reason: String,
    /// When, Unix ms.
    pub at_ms: i64,
}

/// A bearer token; the secret itself is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// What people call it.
    pub name: String,
    /// The principal that it stands for.
    pub principal: Principal,
    /// Hex SHA-256 of the secret.
    pub sha256: String,
    /// `use` or `operate`.
    pub scope: crate::model::Scope,
    /// When it was made, Unix ms.
    pub created_ms: i64,
    /// When it expires; `None` = never.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

/// What the HTTP and MCP layers must know again after a restart: a resumable call, or a session of the older MCP era.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stash {
    /// Its kind; together with `name` its key.
    pub kind: String,
    /// Its name within its kind.
    pub name: String,
    /// The principal that it belongs to.
    pub principal: Principal,
    /// When it was made, Unix ms.
    pub created_ms: i64,
    /// JSON, in the format of the module that stored it.
    pub body: String,
}
