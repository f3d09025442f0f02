//! Reads the lines of a log in order and remembers what the verdict needs; bounded.

use std::collections::VecDeque;

use super::{Judgement, LogEnd, Reason, closes_log, is_comment, is_exit, is_exit_stata, is_rule};
use crate::stata::{
    banner,
    culprit::Block,
    echo::{Classifier, Echo, Kind},
    lines::Line,
    locate::opens_do_file,
    message::{self, Printed},
};

/// Lines of output kept before a failure; a message is at most a dozen.
const OUTPUT: usize = 40;
/// Do-files in each other whose callers are remembered; Stata's own limit is 64.
const DEPTH: usize = 80;
/// Lines after the end of the outermost do-file that may be a job runner's.
const RUNNER: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    #[default]
    Other,
    End,
    Code(i64),
    Closed,
}

#[derive(Debug, Clone)]
struct Unwinding {
    rc: i64,
    broken: bool,
    levels: u32,
    command: Option<String>,
    message: Option<String>,
}

/// What the judge remembers of the lines so far.
#[derive(Debug, Default)]
pub(in crate::stata) struct Scan {
    classifier: Classifier,
    last: Last,
    banner: bool,
    commands: u64,
    /// The log was opened by `log using`: its `closed on:` is an end.
    pub(in crate::stata) named: bool,
    smcl_closed: bool,
    closing: bool,
    broken: bool,
    /// `end of do-file`, and only a break or blanks since.
    level_ended: bool,
    /// `r(N);` was the line before.
    at_code: bool,
    echo: Echo,
    /// The loop or program that was read last.
    block: Block,
    /// Some loop or program calls do-files, whose ends cannot be told from that of the do-file around.
    calls_in_blocks: bool,
    /// What was printed since the last echo, blanks left out.
    printed: u32,
    /// A blank line followed the last echo.
    blank: bool,
    /// The commands that opened the do-files around this one, outermost first.
    callers: Vec<String>,
    /// Lines since the outermost do-file ended; `None` = it has not.
    after_end: Option<u32>,
    output: VecDeque<Printed>,
    /// The last line that left `output` and was not indented, while all since are.
    above: Option<Printed>,
    /// Output since the last echo was left out.
    pub(in crate::stata) skipped: bool,
    /// The bytes before were not read.
    pub(in crate::stata) from_within: bool,
    unwinding: Option<Unwinding>,
    /// How the do-file failed that had opened the log. What came after it was typed, or belongs to another do-file.
    opener: Option<Unwinding>,
    /// That do-file has ended.
    opener_ended: bool,
    /// A failure after which the rest of the block that it left was echoed, so far without output.
    left: Option<Unwinding>,
}

impl Scan {
    pub(in crate::stata) fn push(&mut self, line: &Line) {
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
        let (empty, brace) = match kind {
            Kind::Command(command) => (command.trim().is_empty(), command.trim_start().starts_with('}')),
            _ => (false, false),
        };
        if self.at_code && !empty && !brace && matches!(kind, Kind::Command(_) | Kind::Body(_)) {
            self.leave_block();
        }
        if !empty && !brace {
            self.at_code = matches!(kind, Kind::Code(_));
        }
        let width = text.chars().count();
        match kind {
            Kind::Blank => {
                self.blank = true;
                self.left = None;
                self.keep(Printed { paragraph: line.paragraph, ..Printed::default() });
            }
            Kind::Rmsg => self.clear(),
            Kind::End => self.end(),
            Kind::Break => {
                self.broken = true;
                self.last = Last::Other;
            }
            Kind::Code(rc) => self.code(rc),
            Kind::Command(command) => self.command(command, width),
            Kind::Body(body) => {
                self.ordinary();
                self.clear();
                self.echo.pass(width);
                self.block.line(body, width);
                self.calls_in_blocks |= opens_do_file(body);
            }
            Kind::More(rest) => {
                self.echo.more(rest, width);
                self.block.more(rest, width);
            }
            Kind::Output => self.output(line),
        }
    }

    fn code(&mut self, rc: i64) {
        if let Some(left) = self.left.take().filter(|left| left.rc == rc && self.printed == 0) {
            self.unwinding = Some(left);
        }
        if self.unwinding.as_ref().is_none_or(|u| u.rc != rc) {
            let whole = if self.skipped { message::Output::End } else { message::Output::Whole };
            let lines: Vec<Printed> = self.above.iter().chain(&self.output).cloned().collect();
            // A Break has no message; what was printed before it is what it interrupted.
            let message = if self.broken && rc == 1 { None } else { message::message(&lines, whole) };
            let line = message.as_deref().and_then(|message| self.block.named_by(message));
            let command = line.or_else(|| self.last_command());
            self.unwinding = Some(Unwinding { rc, broken: false, levels: 0, command, message });
        }
        if let Some(unwinding) = &mut self.unwinding {
            unwinding.broken |= std::mem::take(&mut self.broken);
            unwinding.levels += u32::from(std::mem::take(&mut self.level_ended));
        }
        if self.named && self.opener_ended && self.opener.is_none() {
            self.opener = self.unwinding.clone();
        }
        self.last = Last::Code(rc);
    }

    fn end(&mut self) {
        (self.last, self.level_ended) = (Last::End, true);
        // What comes now belongs to the caller.
        match self.callers.pop() {
            Some(caller) => self.echo.restore(caller),
            None if self.from_within => return,
            None => self.opener_ended = !self.calls_in_blocks,
        }
        if self.callers.is_empty() && !self.calls_in_blocks {
            self.after_end = Some(0);
        }
    }

    /// The rest of a block that an error leaves is echoed, but does not run. Until something is printed, or a line stays
    /// empty, the echo may be that.
    fn leave_block(&mut self) {
        if self.left.is_none() {
            self.left = self.unwinding.take();
        }
    }

    fn command(&mut self, command: &str, width: usize) {
        let words = command.trim();
        if words.is_empty() {
            return self.clear();
        }
        self.commands += 1;
        self.echo.pass(width);
        if words.starts_with('}') {
            // An `if` block that a failure leaves echoes its closing brace on the way out.
            self.last = Last::Other;
            return;
        }
        let over = matches!(self.last, Last::End | Last::Code(_) | Last::Closed);
        if self.named && over && self.left.is_none() && is_exit(words) && self.blank {
            // Typed after the end, or the end of the do-file that opened the log: it says nothing new.
            return;
        }
        self.entered();
        self.ordinary();
        self.clear();
        self.block.close();
        if !is_comment(words) {
            self.echo.begin(command, width);
            self.block.open(command);
        }
    }

    /// A `do` that ran is followed by an empty line and the first echo of its file.
    fn entered(&mut self) {
        let called = self.blank && self.printed == 0 && self.last == Last::Other && self.callers.len() < DEPTH;
        if let Some(caller) = self.last_command().filter(|command| called && opens_do_file(command)) {
            self.callers.push(caller);
        }
    }

    fn output(&mut self, line: &Line) {
        let text = line.text.as_str();
        let words = text.trim_start();
        if self.commands == 0 {
            self.banner |= banner::is_art(text);
            self.named |= !self.banner && words.starts_with("opened on:");
        }
        self.printed = self.printed.saturating_add(1);
        self.left = None;
        if self.named && words.starts_with("closed on:") {
            self.ordinary();
            self.closing = true;
            self.last = Last::Closed;
            return;
        }
        if self.closing && is_rule(words) {
            return;
        }
        if let Some(lines) = self.after_end.as_mut().filter(|lines| **lines < RUNNER) {
            // Stata has no more to say; a job runner may.
            *lines += 1;
            return;
        }
        self.closing = false;
        self.ordinary();
        self.keep(Printed { text: text.to_owned(), error: line.error, paragraph: line.paragraph });
    }

    fn ordinary(&mut self) {
        self.last = Last::Other;
        (self.broken, self.level_ended) = (false, false);
        self.unwinding = None;
        self.opener_ended = false;
        self.after_end = None;
    }

    fn keep(&mut self, printed: Printed) {
        self.output.push_back(printed);
        if self.output.len() > OUTPUT
            && let Some(gone) = self.output.pop_front()
        {
            self.skipped = true;
            if !gone.continues() {
                self.above = Some(gone).filter(|gone| !gone.is_blank());
            }
            if self.output.front().is_some_and(|next| !next.continues()) {
                self.above = None;
            }
        }
    }

    fn clear(&mut self) {
        self.output.clear();
        (self.above, self.printed, self.blank) = (None, 0, false);
        self.skipped = false;
    }

    pub(in crate::stata) fn state(&self) -> LogEnd {
        match self.last {
            Last::End | Last::Closed => LogEnd::Succeeded,
            Last::Code(_) => LogEnd::Failed,
            Last::Other if self.smcl_closed || self.left_by_itself() => LogEnd::Succeeded,
            Last::Other => LogEnd::Incomplete,
        }
    }

    /// The last command closed the log that the do-file had opened, and nothing came after it.
    fn left_by_itself(&self) -> bool {
        let closes = |command: &String| is_exit(command) || closes_log(command);
        self.named && self.printed == 0 && self.last_command().as_ref().is_some_and(closes)
    }

    /// The command that a failure is attributed to: the last one echoed before it.
    pub(in crate::stata) fn last_command(&self) -> Option<String> {
        self.echo.command()
    }

    /// Takes over the last command of a scan over earlier bytes.
    pub(in crate::stata) fn adopt(&mut self, command: Option<String>) {
        if let Some(unwinding) = &mut self.unwinding {
            unwinding.command = command.clone();
        }
        self.echo.restore(command.unwrap_or_default());
    }

    pub(in crate::stata) fn finish(self) -> Judgement {
        let state = self.state();
        let last = self.last_command();
        let mut judgement = Judgement {
            state,
            reason: Reason::EndOfDoFile,
            rc: None,
            message: None,
            command: None,
            break_seen: false,
            unwound: 0,
            exit_stata: false,
        };
        let opener = self.opener.filter(|_| self.last == Last::Other);
        let state = if opener.is_some() { LogEnd::Failed } else { state };
        judgement.state = state;
        match (state, self.unwinding.or(opener)) {
            (LogEnd::Failed, Some(unwinding)) => {
                judgement.reason = if unwinding.broken { Reason::Break } else { Reason::Code };
                judgement.rc = Some(unwinding.rc);
                judgement.message = unwinding.message;
                judgement.command = unwinding.command;
                judgement.break_seen = unwinding.broken;
                judgement.unwound = unwinding.levels;
            }
            (LogEnd::Incomplete, _) => {
                judgement.exit_stata = last.as_deref().is_some_and(is_exit_stata);
                judgement.break_seen = self.broken;
                judgement.reason = match (judgement.exit_stata, self.commands) {
                    (true, _) => Reason::ExitStata,
                    (false, 0) if !self.from_within => Reason::NothingRan,
                    (false, _) => Reason::NoEnd,
                };
                judgement.command = last;
            }
            (LogEnd::Succeeded, _) if self.last != Last::End => judgement.reason = Reason::LogClosed,
            _ => {}
        }
        judgement
    }
}
