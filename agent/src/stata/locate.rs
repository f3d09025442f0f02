//! In which do-file and at which line a run failed.
//!
//! The log names no lines. But every command is echoed as its raw source, in order, and every nested `do` says
//! `end of do-file`: so the readers' stack is rebuilt from the echo, and each echo is found again in its source. Blanks
//! are left out of the comparison, and with them all wraps, continuations and indents. Loops and programs are echoed
//! whole before they run: a failure inside one has the line of the loop or the call.
//!
//! What cannot be known stays unknown: a file named by a macro we could not follow, or one called from inside a
//! program, is a place without a line below the caller that has one.

mod call;
mod source;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::echo::{Classifier, Kind, is_output};
use super::lines::{Line, LineReader, Taker};
use call::{Call, Macros, Verb};
use source::Source;

/// A do-file and the line of a command in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as it was written in the `do` command; empty when it was called out of sight.
    pub file: String,
    /// Where that is, if it could be resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// First line of the command, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// Where a run failed, or where it was when its log stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The innermost place known.
    #[serde(flatten)]
    pub place: Place,
    /// Who called it, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Place>,
}

/// How a run was started, as far as the log does not say it.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Stata's working directory when the log begins.
    pub working_dir: &'a Path,
    /// The do-file whose commands the log begins with; none if the log itself echoes `do file`.
    pub do_file: Option<&'a Path>,
    /// Its arguments.
    pub args: &'a [String],
}

impl<'a> Start<'a> {
    /// A log that says itself which do-file it runs.
    pub fn in_directory(working_dir: &'a Path) -> Self {
        Self { working_dir, do_file: None, args: &[] }
    }
}

/// Locates in one go; see [`Locator`].
pub fn locate(log: &[u8], start: Start<'_>, read: impl Fn(&Path) -> Option<Vec<u8>>) -> Option<Location> {
    let mut locator = Locator::new(start, read);
    locator.push(log);
    locator.finish()
}

/// Stata's own limit is 64 nested do-files; more are echoes we misread.
const DEPTH: usize = 80;

#[derive(Debug)]
struct Frame {
    file: String,
    path: Option<PathBuf>,
    source: Option<Source>,
    line: Option<u32>,
    include: bool,
    locals: HashMap<String, String>,
    /// `do` commands in the body of the loop or program read last.
    inner: Vec<Call>,
}

/// Follows a log of any length, in chunks; keeps the sources of the do-files that are open.
pub struct Locator<F> {
    read: F,
    reader: LineReader,
    classifier: Classifier,
    frames: Vec<Frame>,
    directory: PathBuf,
    globals: HashMap<String, String>,
    echo: Option<(bool, String)>,
    calling: Option<Frame>,
    entering: bool,
    failed: Option<Location>,
    at_code: bool,
    /// The echoed line before this one was as wide as Stata's lines get.
    full: bool,
}

/// Wrapped at linesize 80; as in [`super::echo::joined`].
fn is_full(text: &str) -> bool {
    text.chars().count() == 79
}

impl<F: Fn(&Path) -> Option<Vec<u8>>> Locator<F> {
    /// A locator that gets sources from `read`.
    pub fn new(start: Start<'_>, read: F) -> Self {
        let mut locator = Self {
            read,
            reader: LineReader::default(),
            classifier: Classifier::default(),
            frames: vec![],
            directory: start.working_dir.to_owned(),
            globals: HashMap::new(),
            echo: None,
            calling: None,
            entering: false,
            failed: None,
            at_code: false,
            full: false,
        };
        if let Some(path) = start.do_file {
            let name = path.to_string_lossy().into_owned();
            let call = Call { verb: Verb::Do, file: name, args: start.args.to_vec(), echoes: true };
            let mut frame = locator.frame(&call);
            frame.path = Some(path.to_owned());
            locator.frames.push(frame);
        }
        locator
    }

    /// Takes the next bytes of the log.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut reader = std::mem::take(&mut self.reader);
        reader.push_to(bytes, self);
        self.reader = reader;
    }

    /// Where it failed, or where it was if the log has no end; none for a log that ended well.
    pub fn finish(mut self) -> Option<Location> {
        if let Some(last) = self.reader.partial() {
            self.line(&last);
        }
        self.flush();
        if self.at_code { self.failed } else { self.here() }
    }

    /// The line that the outermost do-file is at, as far as complete echoes tell.
    pub fn outermost_line(&self) -> Option<u32> {
        self.frames.first()?.line
    }

    /// Whether [`Locator::output`] will do for a line that [`is_output`].
    pub(super) fn is_idle(&self) -> bool {
        self.classifier.is_idle() && self.echo.is_none() && !self.entering
    }

    /// Takes such a line: a failure before it was not the last.
    pub(super) fn output(&mut self) {
        self.at_code = false;
        self.failed = None;
    }

    pub(super) fn line(&mut self, line: &Line) {
        let text = line.text.as_str();
        let kind = self.classifier.next(text);
        if let (Kind::More(rest), Some((_, echo))) = (kind, &mut self.echo) {
            if echo.len() < 64 * 1024 {
                if self.full {
                    // Wrapped in the middle of anything, a file's name included.
                    echo.truncate(echo.trim_end_matches('\n').len());
                }
                echo.push_str(rest);
                echo.push('\n');
            }
            self.full = is_full(text);
            return;
        }
        self.full = is_full(text);
        self.flush();
        if matches!(kind, Kind::Command(_) | Kind::Body(_) | Kind::Output | Kind::More(_)) {
            self.at_code = false;
        }
        match kind {
            Kind::Command(command) => {
                self.confirm();
                if !command.trim().starts_with('}') {
                    self.failed = None;
                }
                self.echo = Some((false, format!("{command}\n")));
            }
            Kind::Body(body) => self.echo = Some((true, format!("{body}\n"))),
            Kind::End => {
                self.confirm();
                while self.frames.pop().is_some_and(|f| f.include) {}
                self.at_code = false;
            }
            Kind::Code(_) => {
                self.calling = None;
                if self.failed.is_none() {
                    self.failed = self.here();
                }
                self.at_code = true;
            }
            Kind::Output => {
                self.failed = None;
                // A path as wide as the line goes on below it; what the echoed `cd` named is then the better word.
                if std::mem::take(&mut self.entering) && is_absolute(text) && !is_full(text) {
                    self.directory = PathBuf::from(text.trim_end());
                }
            }
            Kind::Blank | Kind::Rmsg | Kind::Break | Kind::More(_) => {}
        }
    }

    /// A `do` that was followed by an echo or an end, not by an error, did open its file.
    fn confirm(&mut self) {
        if let Some(frame) = self.calling.take().filter(|_| self.frames.len() < DEPTH) {
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
            if let Some(frame) = self.frames.last_mut() {
                if let Some(source) = &mut frame.source {
                    source.find(&key);
                }
                frame.inner.extend(call::parse(&text).filter(|_| frame.inner.len() < 64));
            }
            return;
        }
        self.place(&key);
        self.entering = false;
        self.interpret(&text);
    }

    /// Finds the echo in the innermost open source, closing includes that are over.
    fn place(&mut self, key: &str) {
        if let [.., parent, top] = self.frames.as_mut_slice()
            && top.source.is_none()
            && parent.source.as_mut().is_some_and(|s| s.is_next(key))
        {
            // The foreign echo was only a line we could not match: the caller goes on.
            self.frames.pop();
        }
        while let Some(top) = self.frames.last_mut() {
            let Some(source) = &mut top.source else { return };
            if let Some(line) = source.find(key) {
                top.line = Some(line);
                top.inner.clear();
                return;
            }
            if !top.include {
                break;
            }
            self.frames.pop();
        }
        let Some(top) = self.frames.last() else { return };
        let calls = top.inner.clone();
        let mut called = calls.iter().map(|c| self.frame(c)).find_map(|mut frame| {
            let line = frame.source.as_mut().filter(|s| s.is_next(key)).and_then(|s| s.find(key))?;
            frame.line = Some(line);
            Some(frame)
        });
        if called.is_none() && !source::is_trivial(key) {
            called = Some(Frame {
                file: String::new(),
                path: None,
                source: None,
                line: None,
                include: false,
                locals: HashMap::new(),
                inner: vec![],
            });
        }
        if let Some(frame) = called.filter(|_| self.frames.len() < DEPTH) {
            self.frames.push(frame);
        }
    }

    fn interpret(&mut self, text: &str) {
        let mut nothing = HashMap::new();
        let locals = self.frames.last_mut().map_or(&mut nothing, |f| &mut f.locals);
        let mut macros = Macros { locals, globals: &mut self.globals };
        macros.learn(text);
        let Some(call) = call::parse(text) else { return };
        if call.verb == Verb::Cd {
            self.entering = call.echoes;
            if let Some(to) = macros.expand(&call.file) {
                self.directory = self.directory.join(to);
            }
        } else if call.echoes {
            let frame = self.frame(&call);
            // An include has no end of its own: without its source nobody could tell where it is over.
            self.calling = Some(frame).filter(|f| !f.include || f.source.is_some());
        }
    }

    fn frame(&mut self, call: &Call) -> Frame {
        let mut nothing = HashMap::new();
        let locals = self.frames.last_mut().map_or(&mut nothing, |f| &mut f.locals);
        let macros = Macros { locals, globals: &mut self.globals };
        let include = call.verb == Verb::Include;
        let path = macros.expand(&call.file).map(|f| self.directory.join(f));
        let mut own = HashMap::new();
        for (i, argument) in call.args.iter().enumerate() {
            own.extend(macros.expand(argument).map(|value| ((i + 1).to_string(), value)));
        }
        if include {
            own = macros.locals.clone();
        }
        let source = path.as_deref().and_then(&self.read).map(|bytes| Source::new(&bytes));
        Frame { file: call.file.clone(), path, source, line: None, include, locals: own, inner: vec![] }
    }

    fn here(&self) -> Option<Location> {
        let place = |f: &Frame| Place { file: f.file.clone(), path: f.path.clone(), line: f.line };
        let (last, callers) = self.frames.split_last()?;
        Some(Location { place: place(last), callers: callers.iter().map(place).collect() })
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

fn is_absolute(text: &str) -> bool {
    let b = text.as_bytes();
    b.first() == Some(&b'/')
        || (b.len() > 2 && b[0].is_ascii_alphabetic() && b[1] == b':' && matches!(b[2], b'\\' | b'/'))
}

#[cfg(test)]
mod tests;
