//! The outputs of a run.

/// Which output of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Stata's batch log.
    Log,
    /// Standard output and error.
    Console,
}
