//! Records of runs: each is durable before any message about it leaves, and every change of a state is one conditional
//! update.

use longhaul_proto::{
    ids::RunId,
    state::{Cause, RunState},
    wire,
};

use super::{Adoption, Answer, Inserted, LeaseChange, NewRun};
use crate::model::{Attempt, CancelIntent, Detail, Owner, Placement, Principal, Record};

/// The records of runs, for those who submit, move and read them.
pub trait RunStore: Send + Sync + 'static {
    /// Records a new run as `queued` (or as found, when imported), unless the run of its key, of the same call or of an
    /// equal request answers instead.
    fn insert(&self, new: NewRun) -> Answer<'_, Inserted>;
    /// Binds the key and the digest of a request to the earlier run that answered it, so that a repeated call gets the
    /// same run. An idempotency key that a caller chose keeps the run that it names.
    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()>;
    /// A gateway that starts takes over all runs that are unfinished or lost: from now on they are moved only under the
    /// owner that this returns.
    fn take_over(&self, gateway: String) -> Answer<'_, Owner>;
    /// Moves a run: one conditional update, and in the same transaction a row in its history, the row of its attempt,
    /// and its lease.
    fn transition(&self, step: Transition) -> Answer<'_, ()>;
    /// Keeps the intent to end a run that is unfinished or lost: a lost run may still be executing on an agent that is
    /// away. The first request names who asked; a later one may be harder.
    fn request_cancel(&self, run: RunId, intent: CancelIntent) -> Answer<'_, bool>;
    /// Notes that the owners of these runs were shown their ends; only the first time counts. Unfinished runs are
    /// skipped.
    fn mark_shown(&self, runs: Vec<RunId>, at_ms: i64) -> Answer<'_, ()>;
    /// Gives an unverified run to its principal; `false` when there is no such run, or it has a principal already.
    fn adopt(&self, adoption: Adoption) -> Answer<'_, bool>;
    /// Notes another result that was reported for a run ([`Detail::contest`]); `false` when nothing was noted.
    fn contest(&self, run: RunId, words: String) -> Answer<'_, bool>;

    /// One run.
    fn get(&self, run: RunId) -> Answer<'_, Option<Record>>;
    /// Those of these runs that exist, in the order of their ids, each as [`RunStore::get`] would return it.
    fn get_many<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Record>>;
    /// The whole request of a run.
    fn submission(&self, run: RunId) -> Answer<'_, Option<wire::Submission>>;
    /// The run of a key, with the digest of the request that made it.
    fn by_key<'a>(&'a self, principal: &'a Principal, key: &'a str) -> Answer<'a, Option<(RunId, String)>>;
    /// Runs that a part of their id names (hex characters without hyphens), newest first, at most `limit`; of one
    /// principal or of all. The part is the end of the id, of 8 or more characters; where no id ends so, the beginning of
    /// the id or of its last eight characters.
    fn by_tail<'a>(&'a self, principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Answer<'a, Vec<RunId>>;
    /// Runs, newest first.
    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>>;
    /// All unfinished runs, oldest first.
    fn unfinished(&self) -> Answer<'_, Vec<Record>>;
    /// The steps of a run, in order.
    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>>;
    /// The attempts of a run, in order: also those that never started.
    fn attempts(&self, run: RunId) -> Answer<'_, Vec<AttemptRow>>;
}

/// One step of a run, conditional on its state, its attempt and its owner.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The run.
    pub run: RunId,
    /// The state it must be in.
    pub from: RunState,
    /// The attempt it must have.
    pub from_attempt: Option<Attempt>,
    /// The new state.
    pub to: RunState,
    /// Why.
    pub cause: Cause,
    /// The ledger's clock, Unix ms.
    pub at_ms: i64,
    /// The rest of the record as it is from now on. Its last attempt becomes the fencing token; when this step gives
    /// the run to an agent, that is a new one.
    pub detail: Detail,
    /// What becomes of its lease.
    pub lease: LeaseChange,
    /// The owner that the run must have.
    pub owner: Owner,
    /// What the receivers of the run and of its principal are told of this end, JSON; it is in the outbox
    /// ([`super::NotificationStore`]) in the same transaction. `None` = it is not told.
    pub told: Option<String>,
}

/// What a step does to the attempts of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptChange {
    /// Another attempt is given to an agent.
    Given(Attempt, Placement),
    /// The attempt has ended; that of a lost run may do so once more.
    Ended(Attempt),
}

impl Transition {
    /// The attempt that the run has after it.
    pub fn attempt(&self) -> Option<Attempt> {
        self.detail.attempt()
    }

    /// What it does to the run's attempts.
    pub fn attempt_change(&self) -> Option<AttemptChange> {
        let last = self.detail.attempts.last()?;
        if Some(last.number) != self.from_attempt {
            return Some(AttemptChange::Given(last.number, last.at.clone()));
        }
        let went_on = self.from.holds_seat() || self.from == RunState::Lost;
        (went_on && !self.to.holds_seat()).then_some(AttemptChange::Ended(last.number))
    }
}

/// An attempt: a `Run` call under this number was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Its number.
    pub number: Attempt,
    /// Where it was given to; empty in ledgers of versions that kept nothing of an attempt that never started.
    pub at: Placement,
    /// When, Unix ms.
    pub given_ms: i64,
    /// How it ended; `None` = not yet.
    pub ended: Option<AttemptEnd>,
}

/// How an attempt ended: by the step of its run. Back in the queue means that it never started, or is proven dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// The state that the run got.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// When, Unix ms.
    pub at_ms: i64,
}

impl AttemptRow {
    /// The row of a run's last attempt when the run is recorded; `None` = it has none.
    pub(super) fn recorded(record: &Record) -> Option<Self> {
        let last = record.detail.attempts.last()?;
        let (state, cause, at_ms) = (record.state, record.cause, record.finished_ms);
        Some(Self {
            number: last.number,
            at: last.at.clone(),
            given_ms: record.created_ms,
            ended: (!state.holds_seat()).then_some(AttemptEnd { state, cause, at_ms }),
        })
    }
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
    pub attempt: Option<Attempt>,
    /// When, Unix ms.
    pub at_ms: i64,
}

/// What runs must be like; nothing given = all are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    /// In one of these states; empty = in any.
    pub states: Vec<RunState>,
    /// Called exactly so.
    pub name: Option<String>,
    /// On the host of this name.
    pub host: Option<String>,
    /// That took a seat of this pool.
    pub pool: Option<String>,
    /// Recorded then or later, Unix ms.
    pub since_ms: Option<i64>,
    /// Recorded before, Unix ms.
    pub until_ms: Option<i64>,
    /// With this text, in any case, in what [`search_text`] has of them.
    pub text: Option<String>,
}

impl RunFilter {
    /// In this state.
    pub fn in_state(state: impl Into<Option<RunState>>) -> Self {
        Self { states: state.into().into_iter().collect(), ..Self::default() }
    }

    /// Whether it lets a run through.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn fits(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let text = || search_text(&record.detail);
        (self.states.is_empty() || self.states.contains(&record.state))
            && is(&self.name, &record.detail.asked.name)
            && is(&self.host, record.host())
            && is(&self.pool, record.pool())
            && self.until_ms.is_none_or(|until| record.created_ms < until)
            && self.since_ms.is_none_or(|since| record.created_ms >= since)
            && self.text.as_ref().is_none_or(|wanted| text().contains(&wanted.to_lowercase()))
    }
}

/// Most of a run that can be searched, characters.
const SEARCHED: usize = 8192;

/// What a text is searched in: name, note, do-file, arguments and message of a run, in small letters.
pub(super) fn search_text(detail: &Detail) -> String {
    let (asked, end) = (&detail.asked, &detail.end);
    let head = [&asked.name, &asked.note, &asked.file_name, &asked.source, &end.message].map(String::as_str);
    let parts = head.into_iter().chain(asked.args.iter().map(String::as_str));
    let all = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    all.chars().take(SEARCHED).flat_map(char::to_lowercase).collect()
}

/// Which runs to list: a filter.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only this principal's; `None` = all.
    pub principal: Option<Principal>,
    /// Only those that it lets through.
    pub which: RunFilter,
    /// Only those older than this run.
    pub before: Option<RunId>,
    /// At most this many.
    pub limit: u32,
    /// What the answer is for.
    pub read: Read,
}

/// What an answer is for. All reads but those that say so here decide something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// To decide something: it has all that was committed before the question.
    #[default]
    Deciding,
    /// To be shown: it may be somewhat older.
    Showing,
}
