//! Which runs have changed, and by which steps: cursors for readers beside the gateway that moves them.

use std::{fmt, str::FromStr};

use longhaul_proto::ids::RunId;

use super::{Answer, TransitionRow};
use crate::model::Principal;

/// Changes of runs, in order.
pub trait ChangeStore: Send + Sync + 'static {
    /// Runs whose records have changed after the change `seq` (0 = from the beginning), at most `limit`, each with its
    /// latest change, in the order of these. Read again from the last `seq` of the answer, it misses no change; it may
    /// repeat one. Of several changes of one run only the latest is named, and a run that was removed is not.
    fn changes_since(&self, seq: u64, limit: u32) -> Answer<'_, Vec<Change>>;
    /// The steps of runs after a place among them, at most `limit`, in the order in which they were made. Read again from the
    /// place of the last one, it misses none and repeats none; those of a run that was removed are gone. Steps that an earlier
    /// version made have no place.
    fn steps_since(&self, after: StepCursor, limit: u32) -> Answer<'_, Vec<StepRow>>;
    /// The place of the latest step; the default where there is none.
    fn latest_step(&self) -> Answer<'_, StepCursor>;
}

/// The place of a step among those of all runs. Its text is `CHANGE-N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepCursor {
    /// The change that made it. A run that is started as it is recorded gets two steps by one change.
    pub change: u64,
    /// Which step of its run it is, from 0.
    pub n: u32,
}

impl fmt::Display for StepCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.change, self.n)
    }
}

impl FromStr for StepCursor {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        // A number may begin with `+`; a place does not.
        if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return Err(());
        }
        let (change, n) = text.split_once('-').ok_or(())?;
        let (change, n): (u64, u32) = (change.parse().map_err(drop)?, n.parse().map_err(drop)?);
        // What the ledger cannot count to is no place in it.
        i64::try_from(change).map(|_| Self { change, n }).map_err(drop)
    }
}

/// A step of a run, and whose run it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// The change that made it.
    pub change: u64,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: TransitionRow,
    /// The agent that the step's attempt was given to; empty = none, or not known.
    pub host: String,
    /// Whose the run is now.
    pub principal: Principal,
    /// What it is called; empty = nothing.
    pub name: String,
}

impl StepRow {
    /// Its place.
    pub fn cursor(&self) -> StepCursor {
        StepCursor { change: self.change, n: self.step.n }
    }
}

/// A change of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number; a later change has a larger one.
    pub seq: u64,
    /// The run.
    pub run: RunId,
}
