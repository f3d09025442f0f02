//! The fencing token of a run.

use std::num::NonZeroU32;

/// The number of a `Run` call that left the gateway for a run, from 1. An agent refuses a lower number than one it has
/// seen, so of two attempts only the newer one can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The attempt after `last`; `None` = there was none. New numbers are made here and nowhere else, by the run's task,
    /// and each is in the ledger before it leaves the gateway.
    pub fn after(last: Option<Self>) -> Self {
        Self(last.map_or(NonZeroU32::MIN, |last| last.0.saturating_add(1)))
    }

    /// An attempt whose number was made before: the ledger has it, or an agent reports it. 0 is none.
    pub fn known(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// Its number, for the ledger and for agents.
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_is_newer_than_the_one_before() {
        let first = Attempt::after(None);
        assert_eq!(first.number(), 1);
        let second = Attempt::after(Some(first));
        assert!(second > first);
        assert_eq!(Attempt::known(second.number()), Some(second), "as after a restart");
        assert_eq!(Attempt::known(0), None);
    }
}
