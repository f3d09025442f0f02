//! Do-files that are entered and left.

use crate::stata::{culprit::Block, echo::Echo};

/// What the last line that counts was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Last {
    #[default]
    Other,
    End,
    Code(i64),
    Closed,
}

/// A failure that is leaving do-files.
#[derive(Debug, Clone)]
pub(super) struct Unwinding {
    pub(super) rc: i64,
    pub(super) broken: bool,
    pub(super) levels: u32,
    pub(super) command: Option<String>,
    pub(super) message: Option<String>,
}

/// What opened a do-file, to go on with when it has ended.
#[derive(Debug)]
pub(super) enum Caller {
    /// A `do` that was echoed.
    Command(String),
    /// A loop or program that has some, or perhaps the do-file around it only went on.
    Block(Echo, Block),
}
