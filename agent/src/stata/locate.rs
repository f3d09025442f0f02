//! In which do-file and at which line a run failed.
//!
//! The log has no line numbers. But every command is echoed as its raw source, in order, and every nested `do` prints
//! `end of do-file`: so the stack of open do-files is rebuilt from the echo, and each echo is found again in its
//! source. Blanks are left out of the comparison, and with them all wraps, continuations and indents. Loops and
//! programs are echoed whole before they run: a failure inside one has the line of the loop or the call.
//!
//! A reported place is always a file that was read and a line of it that the echo matches. Where a file was named by a
//! macro that could not be followed, was called from inside a program, or is one of several that fit, the place is the
//! next known one outside.

mod call;
mod enter;
mod frame;
mod looped;
mod noted;
mod place;
mod source;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::echo::{self, Classifier, Kind, is_output};
use super::known_errors;
use super::lines::{Line, LineReader, Taker, decode::Encoding};
use call::{Call, Verb};
pub(super) use call::{Macros, opens_do_file, words};
use enter::is_absolute;
use frame::Frame;
use looped::loops;
pub(super) use looped::{decides, times};
pub use noted::{NotedData, NotedFile};
use place::Failure;
pub use place::{FailurePlace, LogStart, Place, Whereabouts};

/// Locates in one go; see [`Locator`].
pub fn locate(log: &[u8], start: LogStart<'_>, read: impl Fn(&Path) -> Option<Vec<u8>>) -> Option<FailurePlace> {
    let mut locator = Locator::new(start, read);
    locator.push(log);
    locator.finish()
}

/// Stata's own limit is 64 nested do-files; more means that echoes were misread.
const DEPTH: usize = 80;

/// Lines of a loop or program that are kept, and the longest of them, bytes.
const BODY: (usize, usize) = (500, 1024);
/// Programs whose calls are kept.
const PROGRAMS: usize = 200;

/// Follows a log of any length, in chunks; keeps the sources of the do-files that are open.
pub struct Locator<F> {
    read: F,
    reader: LineReader,
    encoding: Encoding,
    classifier: Classifier,
    frames: Vec<Frame>,
    /// Not known after a `cd` that could not be followed.
    directory: Option<PathBuf>,
    globals: HashMap<String, String>,
    echo: Option<(bool, String)>,
    calling: Option<Frame>,
    /// An empty line followed the last echo.
    blank: bool,
    entering: bool,
    failed: Option<Failure>,
    at_code: bool,
    /// The outermost do-file has ended in the line before, and where one failed that did.
    outermost_ended: bool,
    outermost: Option<Failure>,
    /// The last command that was echoed, as it is compared.
    last: String,
    /// The lines of its body, likewise, if it is a loop or program.
    block: Vec<String>,
    /// A do-file ended since the failure.
    left: bool,
    /// How many did.
    ends: usize,
    /// Whether the log begins with the `do` of its outermost do-file; not known before the first command.
    rooted: Option<bool>,
    /// Do-files that programs call, by the program's name.
    programs: HashMap<String, Vec<Call>>,
    /// The program whose body is being read.
    defining: Option<String>,
    /// The echoed line before this one was wrapped, if another follows.
    wrapped: bool,
    /// Columns of the widest echo so far.
    widest: usize,
    /// The outermost do-file has ended, and nothing was echoed since.
    over: bool,
    /// Some end of a do-file could not be told from that of another, so that names alone prove nothing.
    astray: bool,
    /// Do-files that were, or may have been, entered without being identified.
    unknown: u32,
    /// The data files that commands name, where they are wanted.
    noted: Option<NotedData>,
}

impl<F: Fn(&Path) -> Option<Vec<u8>>> Locator<F> {
    /// A locator that gets sources from `read`.
    pub fn new(start: LogStart<'_>, read: F) -> Self {
        let mut locator = Self {
            read,
            reader: LineReader::default().in_encoding(start.encoding),
            encoding: start.encoding,
            classifier: Classifier::default(),
            frames: vec![],
            directory: Some(start.working_dir.to_owned()),
            globals: HashMap::new(),
            echo: None,
            calling: None,
            blank: false,
            entering: false,
            failed: None,
            at_code: false,
            outermost_ended: false,
            outermost: None,
            last: String::new(),
            block: vec![],
            left: false,
            ends: 0,
            rooted: start.do_file.map(|_| true),
            programs: HashMap::new(),
            defining: None,
            wrapped: false,
            widest: 0,
            over: false,
            astray: false,
            unknown: 0,
            noted: None,
        };
        if let Some(path) = start.do_file {
            let name = path.to_string_lossy().into_owned();
            let call = Call { verb: Verb::Do, file: name, args: start.args.to_vec(), echoes: true };
            let mut frame = locator.frame(&call);
            frame.path = Some(path.to_owned());
            frame.fresh = false;
            locator.frames.push(frame);
        }
        locator
    }

    /// Reads the next bytes of the log.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut reader = std::mem::take(&mut self.reader);
        reader.push_to(bytes, self);
        self.reader = reader;
    }

    /// Where it failed, or where it was if the log has no end; none for a log that ended in success.
    pub fn finish(self) -> Option<FailurePlace> {
        self.finish_at(None).0
    }

    /// The same, for a log of which it is known which command failed: of a loop or program the line of that command is
    /// told. With it what the log says without sources.
    pub fn finish_at(mut self, command: Option<&str>) -> (Option<FailurePlace>, Whereabouts) {
        if let Some(last) = self.reader.partial() {
            self.line(&last);
        }
        self.flush();
        let key = command.map(source::joined_key).filter(|key| !key.is_empty());
        let is = |of: &String| key.as_ref() == Some(&source::joined_key(of));
        // What was typed after the outermost do-file failed is not its own.
        let before = self.outermost.take().filter(|f| is(&f.echo) || f.echoed.iter().any(&is));
        let failed = if self.at_code { self.failed.take() } else { before };
        let mut at = failed.unwrap_or_else(|| if self.at_code { Failure::default() } else { self.here() });
        if self.at_code && self.rooted == Some(true) && self.ends > at.depth {
            // More do-files were left than were known to be open: it failed in one that is not known.
            return (None, Whereabouts::default());
        }
        at.narrow(is);
        (at.place, at.whereabouts)
    }

    /// The line that the outermost do-file is at, as far as echoes show. The last echo counts before the line after it
    /// shows that it is complete: a command that takes long prints nothing meanwhile.
    pub fn outermost_line(&self) -> Option<u32> {
        let outermost = self.frames.first()?;
        let pending = match &self.echo {
            Some((false, text)) if self.frames.len() == 1 && self.calling.is_none() => Some(source::key(text)),
            _ => None,
        };
        let pending = pending.filter(|key| !key.is_empty());
        let source = outermost.source.as_ref();
        pending.and_then(|key| source?.peek(&key)).or(outermost.line)
    }

    /// How many do-files were, or may have been, entered without being identified: named by a macro that cannot be
    /// followed, called without an echo, or not readable here.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Whether [`Locator::output`] suffices for a line that [`is_output`].
    pub(super) fn is_idle(&self) -> bool {
        self.classifier.is_idle() && self.echo.is_none() && !self.entering
    }

    /// Takes such a line: a failure before it was not the last one.
    pub(super) fn output(&mut self) {
        if self.over {
            return;
        }
        self.at_code = false;
        self.failed = None;
    }

    pub(super) fn line(&mut self, line: &Line) {
        let text = line.text.as_str();
        let kind = self.classifier.next(text);
        let width = text.chars().count();
        if matches!(kind, Kind::Command(_) | Kind::Body(_) | Kind::More(_)) {
            self.widest = self.widest.max(width);
        }
        if let (Kind::More(rest), Some((_, echo))) = (kind, &mut self.echo) {
            if echo.len() < 64 * 1024 {
                if self.wrapped {
                    // In the middle of anything, a file's name included.
                    echo.truncate(echo.trim_end_matches('\n').len());
                }
                echo.push_str(rest);
                echo.push('\n');
            }
            self.wrapped = self.is_wrapped(text, width);
            return;
        }
        self.wrapped = self.is_wrapped(text, width);
        self.flush();
        if self.over && kind == Kind::Output {
            // A job runner's: Stata has nothing more to say.
            return;
        }
        let prompt = self.frames.is_empty() && matches!(kind, Kind::Command(c) if c.trim().is_empty());
        if matches!(kind, Kind::Command(_) | Kind::Body(_) | Kind::Output | Kind::More(_)) && !prompt {
            self.at_code = false;
        }
        match kind {
            Kind::Command(command) => {
                self.over &= prompt;
                if self.rooted.is_none() && !command.trim().is_empty() {
                    self.rooted = Some(opens_do_file(command));
                }
                self.outermost_ended = false;
                let blank = std::mem::take(&mut self.blank);
                if !blank && self.calling.as_ref().is_some_and(|called| !called.include) {
                    // The first echo of a file stands behind an empty line: this `do` was in a block that did not run.
                    self.calling = None;
                }
                self.confirm();
                // Between two codes the rest of the block that is being left is echoed, but does not run.
                if self.left && !prompt && blank {
                    self.failed = None;
                }
                self.echo = Some((false, format!("{command}\n")));
            }
            Kind::Body(body) => {
                self.blank = false;
                self.echo = Some((true, format!("{body}\n")));
            }
            Kind::End => self.file_ended(),
            Kind::Code(_) => {
                self.calling = None;
                self.blank = false;
                if self.failed.is_none() {
                    self.failed = Some(self.here());
                    (self.left, self.ends) = (false, 0);
                }
                if std::mem::take(&mut self.outermost_ended) {
                    self.outermost = self.failed.clone();
                }
                self.at_code = true;
            }
            Kind::Output => {
                self.failed = None;
                if matches!(known_errors::code(text), Some(601 | 603)) {
                    // Of `capture noisily do`: nothing was entered.
                    self.calling = None;
                }
                // A path as wide as the line continues below it; then the folder named by the echoed `cd` is more
                // reliable.
                let full = width == 79 || (width == self.widest && width >= 39);
                if std::mem::take(&mut self.entering) && is_absolute(text) && !full {
                    self.directory = Some(PathBuf::from(text.trim_end()));
                }
            }
            Kind::Blank => self.blank = true,
            Kind::Rmsg(_) | Kind::Break | Kind::More(_) => {}
        }
    }

    fn is_wrapped(&self, text: &str, width: usize) -> bool {
        let semicolon = self.frames.last().is_some_and(|frame| frame.semicolon);
        echo::is_wrapped(text, width, self.widest, semicolon)
    }

    /// `end of do-file` of the innermost one, and of what it included.
    fn file_ended(&mut self) {
        self.confirm();
        if let [.., caller, top] = self.frames.as_slice()
            && top.fresh
            && (top.source.as_ref().is_some_and(|s| !s.is_empty()) && caller.source.is_some())
        {
            // A file that is not empty does not end before any of it was echoed: it was not opened.
            self.frames.pop();
        }
        self.astray |= self.frames.last().is_some_and(|top| top.source.is_none() && top.calls_in_blocks);
        self.over = self.frames.len() == 1 && !self.astray;
        if self.frames.len() <= 1 {
            (self.outermost_ended, self.outermost) = (true, None);
        }
        while self.frames.pop().is_some_and(|f| f.include) {}
        self.left = true;
        self.ends += 1;
    }

    /// A `do` that was followed by an echo or an end, not by an error, did open its file.
    fn confirm(&mut self) {
        if let Some(frame) = self.calling.take().filter(|_| self.frames.len() < DEPTH) {
            self.unknown += u32::from(frame.source.is_none());
            self.frames.push(frame);
        }
    }

    fn flush(&mut self) {
        let Some((body, text)) = self.echo.take() else { return };
        let key = source::key(&text);
        if key.is_empty() {
            return;
        }
        if body {
            if self.block.len() < BODY.0 && key.len() <= BODY.1 {
                self.block.push(key.clone());
            }
            let mut silent = None;
            if let Some(frame) = self.frames.last_mut() {
                let line = frame.source.as_mut().and_then(|source| source.find(&key));
                let room = frame.block.lines.len() < BODY.0 && key.len() <= BODY.1;
                frame.block.lines.extend(line.map(|line| (key, line)).filter(|_| room));
                let line = call::plain(&text);
                let macros = Macros { locals: &mut frame.locals, globals: &mut self.globals, directory: None };
                let room = frame.block.loops.len() < 8;
                frame.block.loops.extend(loops(&line, &macros).filter(|_| room));
                frame.block.conditional |= looped::is_condition(&line);
                if let Some(noted) = &mut self.noted {
                    noted.command(&line, &macros, &frame.block.loops, self.directory.as_deref());
                }
                match call::parse(&line) {
                    // The folder is unknown from here on: it is not known in which round of the loop a later line is.
                    Some(call) if call.verb == Verb::Cd => self.directory = None,
                    Some(call) if call.echoes && frame.block.calls.len() < 64 => {
                        frame.calls_in_blocks = true;
                        if let Some(name) = self.defining.as_ref().filter(|_| self.programs.len() < PROGRAMS) {
                            self.programs.entry(name.clone()).or_default().push(call.clone());
                        }
                        frame.block.calls.push(call);
                    }
                    // A file called without an echo may be entered at any time from here on.
                    Some(call) if !call.echoes => silent = Some(call),
                    _ => {}
                }
            }
            if let Some(call) = silent {
                self.silent(&call);
            }
            return;
        }
        if let Some(semicolon) = echo::delimiter(&text)
            && let Some(frame) = self.frames.last_mut()
        {
            frame.semicolon = semicolon;
        }
        self.last.clone_from(&key);
        self.block.clear();
        self.place(&key);
        self.entering = false;
        self.interpret(&text);
    }
}

impl<F: Fn(&Path) -> Option<Vec<u8>>> Taker for Locator<F> {
    fn line(&mut self, line: Line) {
        Self::line(self, &line);
    }

    fn plain(&mut self, raw: &[u8], _: u64, _: u64) -> bool {
        let done = self.is_idle() && is_output(raw);
        if done {
            self.output();
        }
        done
    }
}

#[cfg(test)]
mod tests;
