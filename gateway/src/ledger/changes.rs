//! Which runs have changed: a cursor for readers beside the gateway that moves them.

use longhaul_proto::ids::RunId;

use super::Answer;

/// Changes of runs, in order.
pub trait ChangeStore: Send + Sync + 'static {
    /// Runs whose records have changed after the change `seq` (0 = from the beginning), at most `limit`, each with its
    /// latest change, in the order of these. Read again from the last `seq` of the answer, it misses no change; it may
    /// repeat one. Of several changes of one run only the latest is named, and a run that was removed is not.
    fn changes_since(&self, seq: u64, limit: u32) -> Answer<'_, Vec<Change>>;
}

/// A change of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number; a later change has a larger one.
    pub seq: u64,
    /// The run.
    pub run: RunId,
}
