//! Why a run waits in the queue.

use longhaul_proto::ids::RunId;

/// Why a run waits in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueReason {
    /// In words, for the run's owner.
    pub words: String,
    /// Nothing that is going on will change it: a person must act.
    pub no_end: bool,
    /// Runs of the same principal that the words name as holders of the seats.
    pub behind: Vec<RunId>,
}

impl QueueReason {
    /// A reason that passes by itself: runs end, agents that were just connected return.
    pub fn passing(words: String) -> Self {
        Self { words, ..Self::default() }
    }

    /// A reason that does not pass by itself.
    pub fn lasting(words: String) -> Self {
        Self { words, no_end: true, ..Self::default() }
    }

    /// The same reason, which names these runs.
    pub fn behind(self, behind: Vec<RunId>) -> Self {
        Self { behind, ..self }
    }
}
