//! Stata's verdict on a run, read from the end of its log.
//!
//! The exit status is 0 whatever happened, and codes in the middle of a log mean nothing (`capture noisily`, `do …,
//! nostop`). So the last significant line decides: `end of do-file` is success, `r(N);` is failure, anything else means
//! that Stata was stopped from outside, or exited by `exit, STATA`. A log that the do-file opened itself (`log using`)
//! has succeeded when it was closed and no code follows. The failed command is found by walking back over the unwinding
//! (one `end of do-file` and `r(N);` per level) to its first code, and to the command echoed before.

use std::collections::VecDeque;

use serde::Serialize;

use super::banner;
use super::echo::{self, Classifier, Kind};
use super::lines::{Line, for_each_line};
use super::locate::FailurePlace;
use super::message;

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

/// The verdict and what is known about a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// How it ended.
    pub state: LogEnd,
    /// N of `r(N);`; only with [`LogEnd::Failed`].
    pub rc: Option<i64>,
    /// Stata's error text, unwrapped; several lines if it printed several.
    pub message: Option<String>,
    /// The source of the command that failed, or of the last one echoed when the log is incomplete; macros unexpanded.
    pub command: Option<String>,
    /// Where it failed, if the caller knows the sources (see [`super::locate`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<FailurePlace>,
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
    let mut scan = Scan::default();
    for_each_line(log, |line| scan.push(&line));
    scan.finish()
}

/// Lines of output kept before a failure; a message is at most a dozen.
const OUTPUT: usize = 40;
/// Bytes kept of one echoed command with its continuations.
const COMMAND: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    #[default]
    Other,
    End,
    Code(i64),
    Closed,
}

#[derive(Debug)]
struct Unwinding {
    rc: i64,
    broken: bool,
    levels: u32,
    command: Option<String>,
    message: Option<String>,
}

/// What the judge remembers of the lines so far; bounded.
#[derive(Debug, Default)]
pub(super) struct Scan {
    classifier: Classifier,
    last: Last,
    banner: bool,
    commands: u64,
    /// The log was opened by `log using`: its `closed on:` is an end.
    pub(super) named: bool,
    smcl_closed: bool,
    closing: bool,
    broken: bool,
    /// `end of do-file`, and only a break or blanks since.
    level_ended: bool,
    parts: Vec<(String, usize)>,
    bytes: usize,
    capturing: bool,
    widest: usize,
    output: VecDeque<String>,
    /// Output since the last echo was left out.
    pub(super) skipped: bool,
    unwinding: Option<Unwinding>,
}

impl Scan {
    pub(super) fn push(&mut self, line: &Line) {
        if line.smcl_close {
            self.smcl_closed = true;
            return;
        }
        let text = line.text.as_str();
        let kind = self.classifier.next(text);
        if kind != Kind::Blank {
            self.smcl_closed = false;
        }
        if !matches!(kind, Kind::Output | Kind::Blank) {
            self.closing = false;
        }
        let width = text.chars().count();
        match kind {
            Kind::Blank => self.keep(String::new()),
            Kind::Rmsg => self.clear(),
            Kind::End => (self.last, self.level_ended) = (Last::End, true),
            Kind::Break => {
                self.broken = true;
                self.last = Last::Other;
            }
            Kind::Code(rc) => self.code(rc),
            Kind::Command(command) => self.command(command, width),
            Kind::Body(_) => {
                self.ordinary();
                self.clear();
                self.capturing = false;
                self.widest = self.widest.max(width);
            }
            Kind::More(rest) => {
                self.widest = self.widest.max(width);
                if self.capturing && self.bytes < COMMAND {
                    self.bytes += rest.len() + 1;
                    self.parts.push((rest.to_owned(), width));
                }
            }
            Kind::Output => self.output(text),
        }
    }

    fn code(&mut self, rc: i64) {
        if self.unwinding.as_ref().is_none_or(|u| u.rc != rc) {
            let lines: Vec<&str> = self.output.iter().map(String::as_str).collect();
            let message =
                message::message(&lines, if self.skipped { message::Output::End } else { message::Output::Whole });
            self.unwinding = Some(Unwinding { rc, broken: false, levels: 0, command: self.last_command(), message });
        }
        if let Some(unwinding) = &mut self.unwinding {
            unwinding.broken |= std::mem::take(&mut self.broken);
            unwinding.levels += u32::from(std::mem::take(&mut self.level_ended));
        }
        self.last = Last::Code(rc);
    }

    fn command(&mut self, command: &str, width: usize) {
        let words = command.trim();
        if words.is_empty() {
            return self.clear();
        }
        self.commands += 1;
        self.widest = self.widest.max(width);
        self.capturing = false;
        if words.starts_with('}') {
            // An `if` block that a failure leaves echoes its closing brace on the way out.
            self.last = Last::Other;
            return;
        }
        self.ordinary();
        self.clear();
        if !is_comment(words) {
            self.capturing = true;
            self.bytes = command.len();
            self.parts.clear();
            self.parts.push((command.to_owned(), width));
        }
    }

    fn output(&mut self, text: &str) {
        let words = text.trim_start();
        if self.commands == 0 {
            self.banner |= banner::is_art(text);
            self.named |= !self.banner && words.starts_with("opened on:");
        }
        if self.named && words.starts_with("closed on:") {
            self.ordinary();
            self.closing = true;
            self.last = Last::Closed;
        } else if !(self.closing && is_rule(words)) {
            self.closing = false;
            self.ordinary();
            self.keep(text.to_owned());
        }
    }

    fn ordinary(&mut self) {
        self.last = Last::Other;
        (self.broken, self.level_ended) = (false, false);
        self.unwinding = None;
    }

    fn keep(&mut self, text: String) {
        self.output.push_back(text);
        if self.output.len() > OUTPUT {
            self.output.pop_front();
            self.skipped = true;
        }
    }

    fn clear(&mut self) {
        self.output.clear();
        self.skipped = false;
    }

    pub(super) fn state(&self) -> LogEnd {
        match self.last {
            Last::End | Last::Closed => LogEnd::Succeeded,
            Last::Code(_) => LogEnd::Failed,
            Last::Other if self.smcl_closed => LogEnd::Succeeded,
            Last::Other => LogEnd::Incomplete,
        }
    }

    /// The command that a failure is attributed to: the last one echoed before it.
    pub(super) fn last_command(&self) -> Option<String> {
        (!self.parts.is_empty()).then(|| echo::joined(&self.parts, self.widest)).filter(|c| !c.is_empty())
    }

    /// Takes over the last command of a scan over earlier bytes.
    pub(super) fn adopt(&mut self, command: Option<String>) {
        if let Some(unwinding) = &mut self.unwinding {
            unwinding.command = command.clone();
        }
        self.parts = command.into_iter().map(|c| (c, 0)).collect();
    }

    pub(super) fn finish(self) -> Judgement {
        let state = self.state();
        let last = self.last_command();
        let mut judgement = Judgement {
            state,
            rc: None,
            message: None,
            command: None,
            location: None,
            break_seen: false,
            unwound: 0,
            exit_stata: false,
        };
        match (state, self.unwinding) {
            (LogEnd::Failed, Some(unwinding)) => {
                judgement.rc = Some(unwinding.rc);
                judgement.message = unwinding.message;
                judgement.command = unwinding.command;
                judgement.break_seen = unwinding.broken;
                judgement.unwound = unwinding.levels;
            }
            (LogEnd::Incomplete, _) => {
                judgement.exit_stata = last.as_deref().is_some_and(is_exit_stata);
                judgement.break_seen = self.broken;
                judgement.command = last;
            }
            _ => {}
        }
        judgement
    }
}

/// Whether a command is only a comment, which cannot fail.
pub(super) fn is_comment(words: &str) -> bool {
    words.starts_with('*') || words.starts_with("//") || (words.starts_with("/*") && !words.contains("*/"))
}

/// Stata wants the option in capitals: `exit, STATA`, `exit 3, STATA clear`.
fn is_exit_stata(command: &str) -> bool {
    let Some((head, options)) = command.rsplit_once(',') else { return false };
    let exits = head.split(|c: char| !c.is_alphanumeric()).any(|w| w.len() >= 3 && "exit".starts_with(w));
    exits && options.split_whitespace().any(|w| w == "STATA")
}

fn is_rule(words: &str) -> bool {
    let dashes = words.strip_prefix("> ").unwrap_or(words).trim_end();
    !dashes.is_empty() && dashes.bytes().all(|b| b == b'-')
}

#[cfg(test)]
mod tests;
