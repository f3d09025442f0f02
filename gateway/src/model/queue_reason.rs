//! Why a run waits in the queue.

/// Why a run waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueReason {
    /// In words, for the run's owner.
    pub words: String,
    /// Nothing that is going on will change it: a person must act.
    pub no_end: bool,
}

impl QueueReason {
    /// A reason that passes by itself: runs end, agents that were just connected return.
    pub fn passing(words: String) -> Self {
        Self { words, no_end: false }
    }

    /// A reason that does not pass by itself.
    pub fn lasting(words: String) -> Self {
        Self { words, no_end: true }
    }
}
