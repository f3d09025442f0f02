//! A new run, or the earlier one that answers: by its key, as the same call, or as an equal request.

use longhaul_proto::{
    api,
    digest::ContentDigest,
    ids::RunId,
    state::{Cause, RunState},
    wire,
};

use super::{LeaseChange, Room, TransitionRow};
use crate::model::{Principal, Record};

/// Stands for the digest of a request that is no longer known: then the key alone decides that it is the same call.
pub(crate) const UNKNOWN_BODY: &str = "";

/// A run to be recorded.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its record: of a request `queued`, or `starting` when it has its seat at once; of an import as it was found.
    pub record: Record,
    /// The whole request, so that a restarted gateway can dispatch it.
    pub submission: wire::Submission,
    /// The caller's idempotency key and the digest of the request.
    pub key: Option<(String, String)>,
    /// What makes two requests equal.
    pub dedupe: Dedupe,
    /// Whether it occupies a seat, as an imported run that executes does, and one that has its seat at once.
    pub lease: LeaseChange,
    /// The blobs that it holds, each once; its principal must be one that may name them.
    pub blobs: Vec<ContentDigest>,
    /// Who is told of its end, besides the receivers of its principal.
    pub receivers: Vec<String>,
}

/// The answer to an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is a new run.
    New,
    /// An earlier run may answer, and why. Nothing was recorded; a caller that takes the answer calls
    /// [`super::RunStore::name_run`].
    Joined(RunId, api::Joined),
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
    /// The quotas that must have room for another run.
    pub rooms: Vec<Room>,
}

/// An earlier run, reduced to what decides whether it may answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) run: RunId,
    pub(super) state: RunState,
    pub(super) finished_ms: i64,
    pub(super) shown_ms: i64,
    /// A client asked for its end.
    pub(super) cancelling: bool,
}

impl NewRun {
    /// The first rows of its history. A request is queued first, though it may have its seat in the same moment; an import
    /// begins as it was found.
    pub(super) fn first_steps(&self) -> Vec<TransitionRow> {
        let record = &self.record;
        let at_ms = record.created_ms;
        let (state, cause, attempt) = (record.state, record.cause, record.attempt());
        let as_it_is = TransitionRow { n: 0, state, cause, attempt, at_ms };
        if record.detail.origin.is_import() || state == RunState::Queued {
            return vec![as_it_is];
        }
        let queued = TransitionRow { n: 0, state: RunState::Queued, cause: Cause::Submitted, attempt: None, at_ms };
        vec![queued, TransitionRow { n: 1, ..as_it_is }]
    }

    /// The names of this request: the key first, then the call; with the digest of the request.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let call = self.dedupe.call.clone().map(|call| (call, UNKNOWN_BODY.to_owned()));
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
        (verdict && run.finished_ms >= since_ms && run.shown_ms == 0).then_some(api::Joined::Undelivered)
    }
}
