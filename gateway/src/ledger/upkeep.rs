//! What is removed by age or for room, and what agents still keep of ended runs.

use longhaul_proto::{api::FilesRemoved, ids::RunId};

use super::Answer;
use crate::model::{Detail, Removed};

/// The records of ended runs, for the upkeep that removes them and the copies that agents keep.
pub trait UpkeepStore: Send + Sync + 'static {
    /// How many runs have ended.
    fn ended_count(&self) -> Answer<'_, u64>;
    /// The newest time that is recorded of a run or an agent, Unix ms; 0 = none.
    fn newest_ms(&self) -> Answer<'_, i64>;
    /// At most `limit` runs that ended (but were not lost) before `before_ms`, oldest end first.
    fn ended(&self, before_ms: i64, limit: u32) -> Answer<'_, Vec<Ended>>;

    /// Removes at most `limit` runs that ended before `before_ms`; returns them as they were. A run stays while an agent
    /// in `here` keeps its spool or files: that agent is asked to delete them first. What other agents may still report
    /// is remembered as of `at_ms`.
    fn sweep(&self, before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Answer<'_, Vec<Ended>>;
    /// Removes an ended run; `false` when there is none. Remembered as by [`UpkeepStore::sweep`].
    fn remove(&self, run: RunId, at_ms: i64) -> Answer<'_, bool>;
    /// What is remembered of a run whose record was removed.
    fn removed(&self, run: RunId) -> Answer<'_, Option<Removed>>;
    /// The runs whose records were removed at `at_ms` or later, in the order of their ids: where a removal ends in
    /// [`super::LedgerError::Unknown`].
    fn removed_since(&self, at_ms: i64) -> Answer<'_, Vec<RunId>>;
    /// Forgets runs that were removed before `before_ms`, and all but the newest `most`.
    fn removed_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()>;
    /// Removes the names of calls ([`super::is_call`]) whose runs ended before `before_ms`, at most `limit`; returns
    /// how many.
    fn call_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32>;

    /// Notes that the agent of the last attempt has no spool of the run any more; `words` are added to the record's
    /// [`crate::model::Condition::Released`].
    fn spool_gone(&self, run: RunId, words: Option<String>) -> Answer<'_, ()>;
    /// Notes in the record of an ended run what was deleted of an earlier attempt: `words` are added to its
    /// [`crate::model::Condition::Released`].
    fn earlier_spool_gone(&self, run: RunId, words: String) -> Answer<'_, ()>;
    /// Notes that the agent deleted the spool except for the run's files.
    fn only_files_kept(&self, run: RunId) -> Answer<'_, ()>;
    /// Notes in the record of an ended run that its files were deleted.
    fn files_removed(&self, run: RunId, what: FilesRemoved) -> Answer<'_, ()>;
    /// Runs that ended (but were not lost) before `before_ms` and whose spool this agent still keeps: those of which
    /// the mirror has that much.
    fn spools_held<'a>(
        &'a self,
        agent_id: &'a str,
        before_ms: i64,
        copy: MirrorCopy,
        limit: u32,
    ) -> Answer<'a, Vec<RunId>>;
    /// Runs that ended before `before_ms` and of which this agent keeps only the files.
    fn files_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, limit: u32) -> Answer<'a, Vec<RunId>>;
}

/// How much of a run's output the mirror has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorCopy {
    /// Exactly what the agent recorded.
    Whole,
    /// Less, or something else: the spool is the only copy.
    Incomplete,
}

impl MirrorCopy {
    /// The copy of a run whose record says so ([`crate::model::End::complete`]).
    pub(super) fn of(detail: &Detail) -> Self {
        if detail.end.complete { Self::Whole } else { Self::Incomplete }
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
