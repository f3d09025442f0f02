//! Records of runs: each is durable before any message about it leaves, and every change of a state is one conditional
//! update.

use longhaul_proto::{
    ids::RunId,
    state::{Cause, RunState},
    wire,
};

use super::{Adoption, Answer, Inserted, NewRun};
use crate::model::{Attempt, CancelIntent, Detail, Principal, Record};

/// The records of runs, for those who submit, move and read them.
pub trait RunStore: Send + Sync + 'static {
    /// Records a new run as `queued` (or as found, when imported), unless the run of its key, of the same call or of an
    /// equal request answers instead.
    fn insert(&self, new: NewRun) -> Answer<'_, Inserted>;
    /// Binds the key and the digest of a request to the earlier run that answered it, so that a repeated call gets the
    /// same run. An idempotency key that a caller chose keeps the run that it names.
    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()>;
    /// Moves a run: one conditional update, and one row in its history.
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
    /// Runs whose id ends with `tail` (8 or more hex characters), at most `limit`; of one principal or of all.
    fn by_tail<'a>(&'a self, principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Answer<'a, Vec<RunId>>;
    /// Runs, newest first.
    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>>;
    /// All unfinished runs, oldest first.
    fn unfinished(&self) -> Answer<'_, Vec<Record>>;
    /// The steps of a run, in order.
    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>>;
}

/// One step of a run, conditional on its state and attempt.
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
}

impl Transition {
    /// The attempt that the run has after it.
    pub fn attempt(&self) -> Option<Attempt> {
        self.detail.attempt()
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
