//! What a log shows around an error: where in the code it is, the lines before and after it, and the errors before it that
//! ended nothing.
//!
//! Two kinds of errors end nothing. Some leave `r(N);` in the log, and what ran goes on (`do …, nostop`, a person who types);
//! the last of them is the end, if the log ends in a failure. Others are those of `capture noisily`, after which Stata prints
//! the message and no code. Such a message looks like any other output, so it counts only where SMCL marks it as an error,
//! or where it is one of Stata's [known messages](super::known_errors) and the last that its command printed. What merely
//! might be an error is none.

mod found;

use std::{collections::VecDeque, ops::Range, path::Path};

use super::{
    commands::{captures_noisily, first_word, is_comment},
    echo::{Classifier, Echo, Kind, is_output},
    known_errors,
    lines::{Line, LineReader, Taker, decode::Encoding},
    locate::{FailurePlace, Locator, LogStart, Whereabouts},
    message::{self, Output, Printed},
};
use found::{Failure, Found};

/// Lines before an error that are told.
const BEFORE: usize = 8;
/// Characters of each, and of those after it.
const COLUMNS: usize = 240;
/// Lines kept; a message is at most a dozen.
const OUTPUT: usize = 40;
/// Bytes kept of a plain one.
const WIDE: usize = 2_000;

/// What the log shows around the error that ended it, or around its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The last lines before Stata's code, or before the log's end; without blank ones.
    pub before: Vec<String>,
    /// Its lines after the code.
    pub after: Vec<String>,
    /// Errors before it that ended nothing, in order.
    pub suppressed: Vec<Suppressed>,
    /// How many more there were.
    pub left_out: u32,
}

/// An error that ended nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// Its code, where it is known.
    pub rc: Option<i64>,
    /// What Stata said of it.
    pub message: String,
    /// The command, macros unexpanded.
    pub command: String,
    /// Where that is in the code.
    pub place: Option<FailurePlace>,
}

/// Follows a log of any length, in chunks and in bounded memory.
pub struct Surroundings<F> {
    reader: LineReader,
    encoding: Encoding,
    locator: Locator<F>,
    classifier: Classifier,
    /// The bytes that are the user's; what stands before and behind them is not told.
    part: Range<u64>,
    /// The command that was echoed last.
    echo: Echo,
    /// It is a loop or program: its body was echoed, too.
    block: bool,
    /// The lines of it that are captured noisily; of them one, and how many there are.
    noisy: (String, u32),
    /// Where it is.
    place: Option<FailurePlace>,
    placed: bool,
    /// The last lines, echoes among them.
    recent: VecDeque<Kept>,
    /// How many of them were printed since the last echo.
    printed: usize,
    /// Messages of the block that runs, which are noted once.
    said: usize,
    found: Found,
}

/// A line that is kept.
#[derive(Debug, Clone)]
enum Kept {
    /// Its bytes: most lines are never looked at again.
    Plain(Vec<u8>),
    Printed(Printed),
    /// An echo, or another line that is no output.
    Other(String),
}

impl Kept {
    fn printed(&self, encoding: Encoding) -> Printed {
        match self {
            Self::Plain(raw) => Printed { text: encoding.decode(raw, false).into_owned(), ..Printed::default() },
            Self::Printed(printed) => printed.clone(),
            Self::Other(text) => Printed { text: text.clone(), ..Printed::default() },
        }
    }
}

impl<F: Fn(&Path) -> Option<Vec<u8>>> Surroundings<F> {
    /// Of a log that starts like this and whose bytes in `part` are the user's; sources of do-files come from `read`.
    pub fn new(start: LogStart<'_>, part: Range<u64>, read: F) -> Self {
        Self {
            reader: LineReader::default().in_encoding(start.encoding),
            encoding: start.encoding,
            locator: Locator::new(start, read),
            classifier: Classifier::default(),
            part,
            echo: Echo::default(),
            block: false,
            noisy: (String::new(), 0),
            place: None,
            placed: false,
            recent: VecDeque::new(),
            printed: 0,
            said: 0,
            found: Found::default(),
        }
    }

    /// Reads the next bytes of the log.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut reader = std::mem::take(&mut self.reader);
        reader.push_to(bytes, self);
        self.reader = reader;
    }

    /// Where the command is that failed, or that ran when the log stopped, and what stands around it. `rc` is the code that
    /// the log ends with; none if it has no end.
    pub fn finish(mut self, command: Option<&str>, rc: Option<i64>) -> (Option<FailurePlace>, Whereabouts, Around) {
        if let Some(last) = self.reader.partial() {
            Taker::line(&mut self, last);
        }
        self.command_ended();
        let before = self.context();
        let (place, whereabouts) = self.locator.finish_at(command);
        (place, whereabouts, self.found.finish(rc, before))
    }

    fn read_line(&mut self, line: &Line) {
        let kind = self.classifier.next(&line.text);
        if !self.part.contains(&line.start) {
            self.locator.line(line);
            return;
        }
        let (text, width) = (line.text.as_str(), line.text.chars().count());
        match kind {
            Kind::Command(command) if !command.trim().is_empty() && !command.trim_start().starts_with('}') => {
                self.command_ended();
                self.locator.line(line);
                self.begin(command.trim(), command, width);
                self.keep_line(line);
            }
            Kind::Command(command) => {
                self.locator.line(line);
                if command.trim().is_empty() {
                    // As before the end of a do-file: what was printed before is still that of the command.
                    self.keep(Kept::Printed(Printed::default()));
                } else {
                    self.keep_line(line);
                }
            }
            Kind::Body(body) => {
                self.locator.line(line);
                self.echo.pass(width);
                self.block = true;
                self.note_capture(body.trim());
                self.keep_line(line);
            }
            Kind::More(rest) => {
                self.locator.line(line);
                self.echo.more(rest, width);
                self.keep_line(line);
            }
            Kind::Output => {
                self.locator.line(line);
                let printed = Printed { text: text.to_owned(), error: line.error, paragraph: line.paragraph };
                self.keep(Kept::Printed(printed));
                self.printed_one();
            }
            Kind::Blank => {
                self.locator.line(line);
                self.keep(Kept::Printed(Printed { paragraph: line.paragraph, ..Printed::default() }));
            }
            Kind::Code(rc) => {
                self.locator.line(line);
                self.code(rc, text);
            }
            Kind::End => {
                self.command_ended();
                self.locator.line(line);
                self.unwinds(line);
            }
            Kind::Break | Kind::Rmsg(_) => {
                self.locator.line(line);
                self.unwinds(line);
            }
        }
    }

    /// A line that says that do-files are left, behind a code; elsewhere it is one like any other.
    fn unwinds(&mut self, line: &Line) {
        if self.found.is_leaving() {
            self.found.after(cut(&line.text));
        } else {
            self.keep_line(line);
        }
    }

    fn begin(&mut self, words: &str, command: &str, width: usize) {
        self.printed = 0;
        self.said = self.found.len();
        (self.block, self.place, self.placed) = (false, None, false);
        self.noisy = (String::new(), 0);
        if is_comment(words) {
            self.echo.pass(width);
        } else {
            self.echo.begin(command, width);
            self.note_capture(words);
        }
    }

    fn note_capture(&mut self, words: &str) {
        let shows = matches!(first_word(words), "di" | "dis" | "disp" | "displ" | "displa" | "display");
        if captures_noisily(words) && !shows {
            self.noisy.1 += 1;
            words.trim_end_matches("///").trim_end().clone_into(&mut self.noisy.0);
        }
    }

    /// A line of output was kept.
    fn printed_one(&mut self) {
        self.found.goes_on();
        self.printed = (self.printed + 1).min(OUTPUT);
        if self.noisy.1 == 0 {
            return;
        }
        if !self.placed {
            self.placed = true;
            self.place = self.locator.here_place();
        }
        // A block's lines run again and again: each message counts when it comes.
        let last = self.recent.back().filter(|_| self.block).map(|kept| kept.printed(self.encoding));
        if let Some(last) = last {
            self.suppressed(last.text.trim(), last.error);
        }
    }

    /// The command is over without an error that ended anything.
    fn command_ended(&mut self) {
        if self.noisy.1 > 0 && !self.block && self.printed > 0 {
            let (lines, whole) = self.output();
            let marked = lines.iter().any(|line| line.error);
            if let Some(said) = message::message(&lines, whole) {
                self.suppressed(&said, marked);
            }
        }
        self.noisy = (String::new(), 0);
        self.printed = 0;
    }

    fn suppressed(&mut self, message: &str, marked: bool) {
        let rc = known_errors::code(message);
        if rc.is_none() && !marked {
            return;
        }
        // Of several lines none is told.
        let one = self.noisy.1 == 1;
        let command = if one && self.block { self.noisy.0.clone() } else { self.echo.command().unwrap_or_default() };
        let error = Suppressed { rc, message: message.to_owned(), command, place: self.place.clone() };
        self.found.suppressed(error, self.said);
    }

    fn code(&mut self, rc: i64, text: &str) {
        if self.found.same(rc) {
            return self.found.after(cut(text));
        }
        let (lines, whole) = self.output();
        let message = message::message(&lines, whole);
        let command = self.echo.command().unwrap_or_default();
        let error = Suppressed {
            rc: Some(rc),
            message: message.unwrap_or_default(),
            command,
            place: self.locator.here_place(),
        };
        self.found.failure(Failure { error, before: self.context(), after: vec![] }, self.said);
        self.printed = 0;
        self.noisy = (String::new(), 0);
    }

    /// What was printed since the last echo, as far as it is kept.
    fn output(&self) -> (Vec<Printed>, Output) {
        let echo = self.recent.iter().rposition(|kept| matches!(kept, Kept::Other(_)));
        let lines = self.recent.range(echo.map_or(0, |at| at + 1)..).map(|kept| kept.printed(self.encoding)).collect();
        (lines, if echo.is_none() || self.block { Output::End } else { Output::Whole })
    }

    fn context(&self) -> Vec<String> {
        let shown = |kept: &Kept| cut(&kept.printed(self.encoding).text);
        let told = |line: &String| !matches!(line.trim(), "" | ".");
        let mut lines: Vec<String> = self.recent.iter().rev().map(shown).filter(told).take(BEFORE).collect();
        lines.reverse();
        lines
    }

    fn keep_line(&mut self, line: &Line) {
        self.keep(Kept::Other(line.text.clone()));
    }

    fn keep(&mut self, kept: Kept) {
        if self.recent.len() >= OUTPUT {
            self.recent.pop_front();
        }
        self.recent.push_back(kept);
    }

    /// The same for a plain line, in memory that is there already.
    fn keep_plain(&mut self, raw: &[u8]) {
        let gone = if self.recent.len() >= OUTPUT { self.recent.pop_front() } else { None };
        let mut bytes = match gone {
            Some(Kept::Plain(bytes)) => bytes,
            _ => Vec::new(),
        };
        bytes.clear();
        bytes.extend_from_slice(&raw[..raw.len().min(WIDE)]);
        self.recent.push_back(Kept::Plain(bytes));
    }
}

impl<F: Fn(&Path) -> Option<Vec<u8>>> Taker for Surroundings<F> {
    fn line(&mut self, line: Line) {
        self.read_line(&line);
    }

    fn plain(&mut self, raw: &[u8], start: u64, _: u64) -> bool {
        let done = self.locator.is_idle() && self.classifier.is_idle() && is_output(raw);
        if done {
            self.locator.output();
            if self.part.contains(&start) {
                self.keep_plain(raw);
                self.printed_one();
            }
        }
        done
    }
}

/// A line as it is told.
fn cut(text: &str) -> String {
    let text = text.trim_end();
    match text.char_indices().nth(COLUMNS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
