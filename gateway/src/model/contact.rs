//! What keeps an agent that has a run from being called.

use std::time::Duration;

/// What keeps an agent from being called.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// The kind.
    pub state: ContactState,
    /// For how long.
    pub lasts: Duration,
    /// In words, for the run's owner.
    pub words: String,
}

/// The kinds of [`Contact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactState {
    /// The gateway started a moment ago, and the agent has not returned yet.
    Awaited,
    /// Its heartbeats do not arrive.
    Silent,
    /// Its heartbeats arrive, and it cannot be dialled.
    Unreachable,
}

impl ContactState {
    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
        }
    }
}
