//! Reads the lines of a log in order and remembers what the verdict needs; bounded.

mod callers;
mod failure;

use std::collections::{HashMap, VecDeque};

use super::{
    Judgement, LogEnd, Reason, is_rule,
    level::{Caller, Last, Unwinding, Values},
};
use crate::stata::{
    banner,
    commands::{closes_log, first_word, is_comment, is_exit, is_exit_stata, program_name},
    culprit::Block,
    echo::{Classifier, Echo, Kind},
    lines::Line,
    locate::{Macros, opens_do_file, times},
    message::Printed,
};
use callers::Ended;

/// Lines of output kept before a failure; a message is at most a dozen.
const OUTPUT: usize = 40;
/// Do-files in each other whose callers are remembered; Stata's own limit is 64.
const DEPTH: usize = 80;
/// Programs that are remembered.
const PROGRAMS: usize = 100;
/// Lines after the end of the outermost do-file that may be a job runner's.
const RUNNER: u32 = 20;

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
    /// The programs that were defined, by name.
    programs: HashMap<String, Block>,
    /// The program whose body is being read.
    defining: Option<String>,
    /// Some loop or program calls do-files, whose ends cannot be told from that of the do-file around.
    calls_in_blocks: bool,
    /// Some loop or program called do-files of which it is not known how many.
    unsure: bool,
    /// Nothing was echoed since the end of a do-file.
    at_end: bool,
    /// Nor between that end and the one before it.
    ends_in_a_row: bool,
    /// Macros whose values are known.
    values: Values,
    /// What was printed since the last echo, blanks left out.
    printed: u32,
    /// A blank line followed the last echo.
    blank: bool,
    /// An empty prompt came last, as before the end of a do-file that ended well.
    prompted: bool,
    /// What opened the do-files around this one, outermost first.
    callers: Vec<Caller>,
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
    /// How the outermost do-file failed that ended last. What came after it was typed, or belongs to another do-file.
    outermost: Option<Unwinding>,
    /// That do-file has ended in the line before.
    outermost_ended: bool,
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
        if kind != Kind::Blank && kind != Kind::End {
            self.prompted = empty;
        }
        let width = text.chars().count();
        match kind {
            Kind::Blank => {
                self.blank = true;
                self.left = None;
                self.keep(Printed { paragraph: line.paragraph, ..Printed::default() });
            }
            Kind::Rmsg(_) => self.clear(),
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
                self.calls_in_blocks |= self.block.calls();
                self.values.forget(body);
                self.at_end = false;
            }
            Kind::More(rest) => {
                self.echo.more(rest, width);
                self.block.more(rest, width);
            }
            Kind::Output => self.output(line),
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
        if self.typed_exit(words) {
            return;
        }
        self.learn();
        self.entered();
        self.at_end = false;
        self.defined(words);
        self.ordinary();
        self.clear();
        if is_comment(words) {
            self.block.close();
        } else {
            self.echo.begin(command, width);
            match self.programs.get(first_word(words)) {
                Some(program) => self.block = program.clone(),
                None => {
                    let Values { locals, globals, .. } = &mut self.values;
                    self.block.open(times(words, &Macros { locals, globals, directory: None }));
                }
            }
        }
    }

    /// An `exit` that was typed after the end, or that ends the do-file which opened the log: it says nothing new.
    fn typed_exit(&self, words: &str) -> bool {
        let over = matches!(self.last, Last::End | Last::Code(_) | Last::Closed) && self.left.is_none() && self.blank;
        let typed = || self.callers.is_empty() && !self.calls_in_blocks && is_exit_stata(words);
        over && if self.named { is_exit(words) } else { typed() }
    }

    /// What the command before assigned to macros.
    fn learn(&mut self) {
        if self.echo.assigns()
            && let Some(command) = self.echo.command()
        {
            let Values { locals, globals, .. } = &mut self.values;
            Macros { locals, globals, directory: None }.learn(&command);
            self.values.assigned_by_option(&command);
        }
    }

    /// The program whose body was read is known from now on.
    fn defined(&mut self, words: &str) {
        if let Some(name) = self.defining.take().filter(|_| self.programs.len() < PROGRAMS) {
            self.programs.insert(name, self.block.clone());
        }
        self.defining = program_name(words).map(str::to_owned);
    }

    fn output(&mut self, line: &Line) {
        let text = line.text.as_str();
        let words = text.trim_start();
        if self.commands == 0 {
            self.banner |= banner::is_art(text);
            self.named |= !self.banner && words.starts_with("opened on:");
        } else if self.named && words.starts_with("opened on:") {
            // Another session in the same file.
            self.outermost = None;
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
        self.outermost_ended = false;
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
            // Some do-file ended, and the one that called it did not, or may not have.
            Last::End if self.ended() != Ended::Outermost => LogEnd::Incomplete,
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
    pub(in crate::stata) fn set_last_command(&mut self, command: Option<String>) {
        if let Some(unwinding) = &mut self.unwinding {
            unwinding.command = command.clone();
        }
        self.echo.restore(command.unwrap_or_default());
    }

    pub(in crate::stata) fn finish(self) -> Judgement {
        let state = self.state();
        let last = self.last_command();
        let unknown = self.last == Last::End && self.ended() == Ended::Unknown;
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
        let failed = self.outermost.filter(|_| self.named && matches!(self.last, Last::Other | Last::Closed));
        let state = if failed.is_some() { LogEnd::Failed } else { state };
        judgement.state = state;
        match (state, self.unwinding.or(failed)) {
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
                    (false, _) if unknown => Reason::EndInBlock,
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
