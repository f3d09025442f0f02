//! What the ledger holds: plain values, the same for every implementation.

use std::collections::BTreeMap;

use longhaul_proto::{
    api,
    ids::RunId,
    state::{Cause, RunState},
    transport::Fingerprint,
    wire,
};
use serde::{Deserialize, Serialize};

use crate::fleet::placement::Need;

/// One run. Fields that queries ask for stand alone; the rest is in [`Detail`].
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name.
    pub run: RunId,
    /// Who asked.
    pub principal: String,
    /// Where it stands.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// The fencing token; 0 before the first dispatch.
    pub attempt: u32,
    /// The agent it was given to; empty = none yet.
    pub agent_id: String,
    /// That agent's name.
    pub host: String,
    /// The pool whose seat it holds or held.
    pub pool: String,
    /// When it was recorded, Unix milliseconds.
    pub created_ms: i64,
    /// When it ended; 0 = not yet.
    pub finished_ms: i64,
    /// When its owner was first shown its end; 0 = not yet.
    pub seen_ms: i64,
    /// The wish to end it.
    pub cancel: Option<CancelWish>,
    /// Everything that no query asks for.
    pub detail: Detail,
}

impl Record {
    /// The row of a request as it begins: queued, given to nobody.
    pub fn queued(run: RunId, principal: String, created_ms: i64, detail: Detail) -> Self {
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

/// The part of a record that is only read whole; JSON in the ledger, so it may grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The path, `text`, or `bundle: entry`.
    pub source: String,
    /// Arguments of the do-file.
    pub args: Vec<String>,
    /// What it asks of an agent.
    pub need: Need,
    /// The do-file on the agent's host, when the code comes from there.
    pub path: Option<String>,
    /// Folder that the caller asked for; empty = none.
    pub wanted_dir: String,
    /// Digest that the caller insists on; empty = none.
    pub wanted_sha256: String,
    /// Name and version of the client.
    pub client: String,
    /// Limit on running, ms; 0 = none.
    pub timeout_ms: u64,
    /// Limit on waiting, ms; 0 = none.
    pub queue_timeout_ms: u64,
    /// How long it waited for the seat of its present attempt, ms; 0 = it has none yet, or had it at once.
    pub waited_ms: u64,
    /// What it waited for last, in words.
    pub waited_for: String,
    /// W3C `traceparent` of the run.
    pub traceparent: String,
    /// When the present wait in the queue began, Unix ms; 0 = when the run was recorded.
    pub queued_ms: i64,
    /// What `queue_timeout_ms` counts from, Unix ms: moved only by the death of an attempt that had begun; 0 = when the
    /// run was recorded.
    pub queue_limit_from_ms: i64,
    /// First log byte by the ledger's clock, Unix ms; 0 = not yet.
    pub running_ms: i64,
    /// Stata's process existed, by its host's clock, Unix ms; 0 = not known.
    pub started_ms: i64,
    /// First log byte by its host's clock, Unix ms; 0 = not yet.
    pub host_running_ms: i64,
    /// The end by its host's clock, Unix ms; 0 = not yet.
    pub host_ended_ms: i64,
    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or ours.
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
    /// Digest of the executed bytes; before that, of the bytes seen at submission.
    pub code_sha256: String,
    /// The user's part of the log.
    pub view: Option<api::ViewRange>,
    /// Bytes of the log in the mirror when it ended.
    pub log_len: u64,
    /// Their SHA-256 as the agent told it.
    pub log_sha256: String,
    /// Bytes of the console in the mirror when it ended.
    pub console_len: u64,
    /// Their SHA-256 as the agent told it.
    pub console_sha256: String,
    /// Whether length and digest of the mirror match what the agent told.
    pub complete: bool,
    /// Lengths of the attempt's output as the agent recorded them; `None` before the end, and for records of versions
    /// that kept them only where the mirror matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// From running to end, ms.
    pub duration_ms: Option<u64>,
    /// What else a person should know, said once and for all: by the agent, or at the end.
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
    /// Whether it came from a spool and not from a request.
    pub imported: bool,
    /// It came from a spool, and this gateway's seal is not on its request: it is nobody's until an operator adopts it.
    pub unverified: bool,
    /// Whom the spool of such a run names.
    pub claims: String,
    /// Other results that agents told of an attempt whose result stands here, in words.
    pub contested: Vec<String>,
    /// When another attempt may be made.
    pub retry: api::Retry,
    /// Attempts that are proven dead, in order. Their output is the beginning of the mirror.
    pub earlier: Vec<Earlier>,
    /// Where the output of the present attempt begins in the mirror.
    pub log_base: u64,
    /// Likewise.
    pub console_base: u64,
}

/// What may hold of a run beside its state, told to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Attempts before this one died.
    EarlierAttempts,
    /// The gateway's copy of the output cannot be opened.
    CopyUnopened,
    /// The gateway's copy of the output cannot be written.
    CopyFails,
    /// Stata has ended, and the rest of its output is on its way.
    Collecting,
    /// The gateway's copy is not what the agent recorded.
    Incomplete,
    /// Its agent is there and cannot look after it.
    Trouble,
    /// What went from its host, when, and why.
    Released,
}

impl Condition {
    /// Its word in the ledger.
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
    /// Says that something holds now, in the place of what was said of it before.
    pub fn set(&mut self, condition: Condition, words: impl Into<String>) {
        self.conditions.insert(condition.as_str().to_owned(), words.into());
    }

    /// It does not hold any more.
    pub fn clear(&mut self, condition: Condition) {
        self.conditions.remove(condition.as_str());
    }

    /// The note, all conditions, and every other result that was told, for people.
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

/// What an agent recorded of an ended attempt whose spool it keeps: repeated to it, this frees the spool.
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
    /// What an agent recorded of the last attempt; `None` where that is not known.
    pub fn kept(&self) -> Option<HeldSpool> {
        let detail = &self.detail;
        // Another was waited for and never began: the last is the dead one.
        if let Some(dead) = detail.earlier.last().filter(|dead| dead.attempt == self.attempt) {
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

    /// What is to be remembered when this record is removed; `None` = nothing ever left for an agent.
    pub fn removed(&self) -> Option<Removed> {
        let last = self.kept().filter(|last| self.detail.earlier.iter().all(|e| e.attempt != last.attempt));
        let kept = self.detail.earlier.iter().map(Earlier::kept).chain(last).collect();
        (self.attempt > 0).then_some(Removed { kept })
    }
}

/// Most other results that are noted of one run; more say nothing new.
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

/// An unverified run becomes a principal's.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The run.
    pub run: RunId,
    /// Whose it is from now on.
    pub principal: String,
    /// The caller's key and the digest of the request. A key that names another run by now goes on doing so.
    pub key: Option<(String, String)>,
    /// What makes an equal request find it.
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
    /// Lengths and digests as its agent told them: what lets go of its spool.
    pub log_len: u64,
    /// Likewise.
    pub log_sha256: String,
    /// Likewise.
    pub console_len: u64,
    /// Likewise.
    pub console_sha256: String,
    /// Whether the mirror has exactly that.
    pub complete: bool,
    /// The user's part of its output, in offsets of the mirror.
    pub view: Option<api::ViewRange>,
}

/// A durable wish to end a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelWish {
    /// Who asked.
    pub by: String,
    /// When, Unix ms.
    pub at_ms: i64,
    /// How hard.
    pub mode: api::CancelMode,
}

/// A run to be recorded.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its row; `queued` for a request, as found for an import.
    pub record: Record,
    /// The whole request, so that a restarted gateway can dispatch it.
    pub submission: wire::Submission,
    /// The caller's key and the digest of the request.
    pub key: Option<(String, String)>,
    /// What makes two requests equal.
    pub dedupe: Dedupe,
}

/// How the name of a call begins that its client made up by itself: such names may come again and mean another call.
pub const CALL: &str = "claudecode/toolUseId:";

/// Whether a key is such a name, and not one that somebody gave on purpose.
pub fn is_call(key: &str) -> bool {
    key.starts_with(CALL)
}

/// What makes two requests equal, and whether an earlier run may answer.
#[derive(Clone, Debug, Default)]
pub struct Dedupe {
    /// Digest over principal, kind of source, arguments, directory, host choice and the like.
    pub shape: String,
    /// Digest of the code; empty = nobody could look at it yet, which equals any.
    pub code: String,
    /// An equal run that ended by its own verdict, not before this moment, and was not seen answers; `None` = no equal run
    /// does (`again`).
    pub join_since_ms: Option<i64>,
    /// The client's own name for the call ([`is_call`]), which says the whole request.
    pub call: Option<String>,
    /// A run of the same call that ended not before this moment answers.
    pub call_since_ms: i64,
    /// Runs that do not answer: their agents said that somebody is ending them, or the caller wants another.
    pub not: Vec<RunId>,
    /// There is no room for another run: an equal one may answer, and else nobody.
    pub only_join: bool,
}

/// An earlier run, as far as it matters whether it may answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) run: RunId,
    pub(super) state: RunState,
    pub(super) finished_ms: i64,
    pub(super) seen_ms: i64,
    /// Somebody asked for its end.
    pub(super) cancelling: bool,
}

impl NewRun {
    /// What names this request: the key first, then the call; with the digest of the request.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let call = self.dedupe.call.clone().map(|call| (call, super::UNKNOWN_BODY.to_owned()));
        self.key.clone().into_iter().chain(call).collect()
    }
}

impl Dedupe {
    /// What is never an answer: what somebody ends or ended, what a limit ended, and what was ruled out.
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
    /// Whether that agent still keeps its spool: then it would come back with the agent.
    pub spool_held: bool,
}

/// Answer to an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is a new run.
    New,
    /// An earlier run may answer, and why. Nothing was recorded; the caller that takes the answer says so with
    /// [`super::Ledger::name_run`].
    Joined(RunId, api::Joined),
}

/// One step of a run.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The run.
    pub run: RunId,
    /// The state it must be in.
    pub from: RunState,
    /// The attempt it must have.
    pub from_attempt: u32,
    /// The state it gets.
    pub to: RunState,
    /// Why.
    pub cause: Cause,
    /// The attempt it gets.
    pub attempt: u32,
    /// The ledger's clock, Unix ms.
    pub at_ms: i64,
    /// The agent, its name and its pool, when this step gives the run to one.
    pub given_to: Option<(String, String, String)>,
    /// The rest, when it changed.
    pub detail: Option<Detail>,
}

/// One row of a run's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    /// From 0.
    pub n: u32,
    /// The state it got.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// Under which attempt.
    pub attempt: u32,
    /// When, Unix ms.
    pub at_ms: i64,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Of one principal; `None` = of all.
    pub principal: Option<String>,
    /// In one state.
    pub state: Option<RunState>,
    /// Older than this run.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: u32,
}

/// An agent as last heard.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// What it told of itself.
    pub info: wire::AgentInfo,
    /// When, Unix ms.
    pub seen_ms: i64,
}

/// What a key is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// It is an agent's.
    Accepted,
    /// It waits for an operator.
    Waiting,
    /// It is refused until an operator approves it.
    Revoked,
}

impl PinState {
    /// As it is recorded and told.
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

/// A key, and the agent that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRecord {
    /// The key's fingerprint.
    pub key: Fingerprint,
    /// The agent's id.
    pub agent_id: String,
    /// The agent's name.
    pub name: String,
    /// What it is allowed.
    pub state: PinState,
    /// Since when, Unix ms.
    pub at_ms: i64,
    /// By whom.
    pub by: String,
}

/// A host that is drained: nothing new starts there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainRecord {
    /// The agent's name, since that is what people mean by a host.
    pub host: String,
    /// Who asked.
    pub by: String,
    /// Why; empty = not said.
    pub reason: String,
    /// When, Unix ms.
    pub at_ms: i64,
}

/// A bearer token; the secret itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// What people call it.
    pub name: String,
    /// Whom it stands for.
    pub principal: String,
    /// Hex SHA-256 of the secret.
    pub sha256: String,
    /// `use` or `operate`.
    pub scope: crate::auth::principal::Scope,
    /// When it was made, Unix ms.
    pub created_ms: i64,
    /// When it ends; `None` = never.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

/// Something the face must know again after a restart: a call that can be resumed, a session of the older MCP era.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stash {
    /// What it is; with `name` its key.
    pub kind: String,
    /// Its name among its kind.
    pub name: String,
    /// Whose it is.
    pub principal: String,
    /// When it was made, Unix ms.
    pub created_ms: i64,
    /// JSON, understood by whoever put it.
    pub body: String,
}
