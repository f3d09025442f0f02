//! The proof that nothing of an attempt runs or will start. It is a value: what frees an attempt takes it as an argument.

use std::fmt;

/// What a proof rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// It never began, and what was handed over before will not begin it.
    NeverBegan,
    /// The record of its end is in the spool.
    Recorded,
    /// It ended and its end was not recorded; another start of the job ends what it left and records it.
    Unrecorded,
    /// It ended, and nothing will record its end.
    Lost,
    /// The host on which it began was restarted.
    HostRestarted,
}

/// Certainty that an attempt is over or never began. While it is held, nothing of the attempt starts or writes.
pub struct Proof {
    grounds: Grounds,
    words: String,
    _guard: Box<dyn Send + Sync>,
}

impl Proof {
    /// Given by executors; `guard` is held as long as the proof, `words` say for people what was found.
    pub fn new(grounds: Grounds, words: impl Into<String>, guard: impl Send + Sync + 'static) -> Self {
        Self { grounds, words: words.into(), _guard: Box::new(guard) }
    }

    /// What it rests on.
    pub fn grounds(&self) -> Grounds {
        self.grounds
    }

    /// What was found, for people.
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("grounds", &self.grounds).field("words", &self.words).finish_non_exhaustive()
    }
}
