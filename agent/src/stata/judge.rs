//! Stata's verdict on a run, read from the end of its log.
//!
//! The exit status is 0 whatever happened, and codes in the middle of a log mean nothing (`capture noisily`, `do …,
//! nostop`). So the last significant line decides: `end of do-file` is success, `r(N);` is failure, anything else means
//! that Stata was stopped from outside, or exited by `exit, STATA`. A log that the do-file opened itself (`log using`)
//! has succeeded when it was closed, or left by `exit`, and no code follows. The failed command is found by walking back
//! over the unwinding (one `end of do-file` and `r(N);` per level) to its first code, and to the command echoed before;
//! of a loop or program, to the line of it that alone names what the message names.

mod level;
mod scan;

use serde::Serialize;

use super::lines::{LineReader, decode::Encoding};

pub(super) use scan::Scan;

/// How a run ended, by its log alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEnd {
    /// The do-file came to its end.
    Succeeded,
    /// Stata ended it with `r(N);`.
    Failed,
    /// The log has no end: killed, crashed, still running, never started, or `exit, STATA`.
    Incomplete,
}

/// What in a log its verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The last do-file came to its end.
    EndOfDoFile,
    /// The do-file had opened the log, and closed it or left Stata by `exit`.
    LogClosed,
    /// `r(N);` ends it.
    Code,
    /// The same with `--Break--`: a person pressed Break, or the code says `exit 1`.
    Break,
    /// The last command is `exit, STATA`, after which Stata writes no more.
    ExitStata,
    /// It stops after some command: Stata runs still, was killed, or crashed.
    NoEnd,
    /// It stops after the end of a do-file, which a loop or program may have called that goes on.
    EndInBlock,
    /// No command is in it.
    NothingRan,
}

/// The verdict and what is known about a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// How it ended.
    pub state: LogEnd,
    /// What that rests on.
    pub reason: Reason,
    /// N of `r(N);`; only with [`LogEnd::Failed`].
    pub rc: Option<i64>,
    /// Stata's error text, unwrapped; several lines if it printed several.
    pub message: Option<String>,
    /// The source of the command that failed, or of the last one echoed when the log is incomplete; macros unexpanded.
    pub command: Option<String>,
    /// `--Break--` is in the unwinding. It does not prove a break: `exit 1` prints it too.
    #[serde(skip)]
    pub break_seen: bool,
    /// Do-files that its end unwinds: `end of do-file` with the code after it, one after the other. Two are the user's
    /// own and the wrapper around it.
    #[serde(skip)]
    pub unwound: u32,
    /// The last echoed command was `exit …, STATA`, after which no end is expected.
    #[serde(skip)]
    pub exit_stata: bool,
}

/// Judges a whole log.
pub fn judge(log: &[u8]) -> Judgement {
    judge_in(log, Encoding::default())
}

/// Judges a whole log whose words are in this encoding where they are no UTF-8.
pub fn judge_in(log: &[u8], encoding: Encoding) -> Judgement {
    let mut scan = Scan::default();
    let mut reader = LineReader::default().in_encoding(encoding);
    reader.push(log, |line| scan.push(&line));
    if let Some(last) = reader.partial() {
        scan.push(&last);
    }
    scan.finish()
}

fn is_rule(words: &str) -> bool {
    let dashes = words.strip_prefix("> ").unwrap_or(words).trim_end();
    !dashes.is_empty() && dashes.bytes().all(|b| b == b'-')
}

#[cfg(test)]
mod tests;
