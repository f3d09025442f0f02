//! What may hold of a run besides its state.

/// What may hold of a run besides its state, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Attempts before this one died.
    EarlierAttempts,
    /// The gateway's copy of the output cannot be opened.
    CopyUnopened,
    /// The gateway's copy of the output cannot be written.
    CopyFails,
    /// Stata has ended, and the rest of its output is being fetched.
    Collecting,
    /// The gateway's copy differs from what the agent recorded.
    Incomplete,
    /// Its agent is connected and cannot look after it.
    Trouble,
    /// What was deleted on its host, when, and why.
    Released,
}

impl Condition {
    const ALL: [Self; 7] = [
        Self::EarlierAttempts,
        Self::CopyUnopened,
        Self::CopyFails,
        Self::Collecting,
        Self::Incomplete,
        Self::Trouble,
        Self::Released,
    ];

    /// Its name in the ledger.
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

    /// The condition of this name; `None` = a newer version wrote it.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == name)
    }
}

/// A condition that holds, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Which; `None` = one that only a newer version knows.
    pub condition: Option<Condition>,
    /// In words, for people.
    pub words: String,
}
