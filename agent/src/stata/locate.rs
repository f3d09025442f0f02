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
mod looped;
mod source;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::echo::{Classifier, Kind, is_output};
use super::lines::{Line, LineReader, Taker};
use call::{Call, Macros, Verb};
use looped::{Loop, loops};
use source::Source;

/// A do-file and the line of a command in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as it was written in the `do` command.
    pub file: String,
    /// Where that is.
    pub path: PathBuf,
    /// First line of the command, from 1.
    pub line: u32,
}

/// Where a run failed, or where it was when its log stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The innermost place known.
    #[serde(flatten)]
    pub place: Place,
    /// Its callers, outermost first.
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
    /// For a log that itself shows which do-file it runs.
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

/// Stata's own limit is 64 nested do-files; more means that echoes were misread.
const DEPTH: usize = 80;

/// Most do-files that one loop may call.
const CALLED: usize = 1000;

#[derive(Debug, Default)]
struct Frame {
    file: String,
    path: Option<PathBuf>,
    source: Option<Source>,
    line: Option<u32>,
    include: bool,
    /// Nothing of it was echoed yet, so it may not have been opened at all.
    fresh: bool,
    locals: HashMap<String, String>,
    /// The loop or program read last.
    block: Block,
    /// Other files that could equally be the one that was opened.
    others: Vec<Frame>,
}

impl Frame {
    /// Moves to the echo; whether it was found there.
    fn goes_on(&mut self, key: &str) -> bool {
        let line = self.source.as_mut().and_then(|s| s.find(key));
        if line.is_some() {
            self.line = line;
        }
        line.is_some()
    }

    fn begins_with(&self, key: &str) -> bool {
        self.source.as_ref().is_some_and(|s| s.is_first(key))
    }
}

/// A loop or program, as its body was read before it ran.
#[derive(Debug, Default)]
struct Block {
    loops: Vec<Loop>,
    /// `do` commands in it.
    calls: Vec<Call>,
    /// Some rounds skip some calls.
    conditional: bool,
    /// Rounds and calls that are done.
    done: usize,
}

/// Follows a log of any length, in chunks; keeps the sources of the do-files that are open.
pub struct Locator<F> {
    read: F,
    reader: LineReader,
    classifier: Classifier,
    frames: Vec<Frame>,
    /// Not known after a `cd` that could not be followed.
    directory: Option<PathBuf>,
    globals: HashMap<String, String>,
    echo: Option<(bool, String)>,
    calling: Option<Frame>,
    entering: bool,
    failed: Option<Location>,
    at_code: bool,
    /// A do-file ended since the failure.
    left: bool,
    /// The echoed line before this one was as wide as Stata's lines get.
    full: bool,
    /// Do-files that were, or may have been, entered without being identified.
    unknown: u32,
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
            directory: Some(start.working_dir.to_owned()),
            globals: HashMap::new(),
            echo: None,
            calling: None,
            entering: false,
            failed: None,
            at_code: false,
            left: false,
            full: false,
            unknown: 0,
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
    pub fn finish(mut self) -> Option<Location> {
        if let Some(last) = self.reader.partial() {
            self.line(&last);
        }
        self.flush();
        if self.at_code { self.failed } else { self.here() }
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
        pending.and_then(|key| source?.look(&key)).or(outermost.line)
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
        let prompt = self.frames.is_empty() && matches!(kind, Kind::Command(c) if c.trim().is_empty());
        if matches!(kind, Kind::Command(_) | Kind::Body(_) | Kind::Output | Kind::More(_)) && !prompt {
            self.at_code = false;
        }
        match kind {
            Kind::Command(command) => {
                self.confirm();
                // Between two codes the rest of the block that is being left is echoed, but does not run.
                if self.left && !prompt {
                    self.failed = None;
                }
                self.echo = Some((false, format!("{command}\n")));
            }
            Kind::Body(body) => self.echo = Some((true, format!("{body}\n"))),
            Kind::End => {
                self.confirm();
                if let [.., caller, top] = self.frames.as_slice()
                    && top.fresh
                    && (top.source.as_ref().is_some_and(|s| !s.is_empty()) && caller.source.is_some())
                {
                    // A file that is not empty does not end before any of it was echoed: it was not opened.
                    self.frames.pop();
                }
                while self.frames.pop().is_some_and(|f| f.include) {}
                self.at_code = false;
                self.left = true;
            }
            Kind::Code(_) => {
                self.calling = None;
                if self.failed.is_none() {
                    self.failed = self.here();
                    self.left = false;
                }
                self.at_code = true;
            }
            Kind::Output => {
                self.failed = None;
                // A path as wide as the line continues below it; then the folder named by the echoed `cd` is more
                // reliable.
                if std::mem::take(&mut self.entering) && is_absolute(text) && !is_full(text) {
                    self.directory = Some(PathBuf::from(text.trim_end()));
                }
            }
            Kind::Blank | Kind::Rmsg | Kind::Break | Kind::More(_) => {}
        }
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
            let mut silent = None;
            if let Some(frame) = self.frames.last_mut() {
                if let Some(source) = &mut frame.source {
                    source.find(&key);
                }
                let line = call::plain(&text);
                let macros = Macros { locals: &mut frame.locals, globals: &mut self.globals, directory: None };
                let room = frame.block.loops.len() < 8;
                frame.block.loops.extend(loops(&line, &macros).filter(|_| room));
                frame.block.conditional |= looped::is_condition(&line);
                match call::parse(&line) {
                    // The folder is unknown from here on: it is not known in which round of the loop a later line is.
                    Some(call) if call.verb == Verb::Cd => self.directory = None,
                    Some(call) if call.echoes && frame.block.calls.len() < 64 => frame.block.calls.push(call),
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
        self.place(&key);
        self.entering = false;
        self.interpret(&text);
    }

    /// Finds the echo in the innermost open source; closes includes that are over and files that were not opened.
    fn place(&mut self, key: &str) {
        if let [.., parent, top] = self.frames.as_mut_slice()
            && top.fresh
            && !top.begins_with(key)
        {
            // The first echo after a `do` is the first line of its file, or the file was not opened (its `do` was in a
            // block that did not run), or it is another file than assumed.
            if parent.source.as_ref().is_some_and(|s| s.is_at(key)) && parent.goes_on(key) {
                parent.block = Block::default();
                self.frames.pop();
                return;
            }
            let sure = top.source.as_ref().is_some_and(|s| s.is_first_but_for_a_few(key));
            if !sure {
                (top.source, top.path) = (None, None);
            }
        }
        if let [.., parent, top] = self.frames.as_mut_slice()
            && top.source.is_none()
            && parent.source.as_ref().is_some_and(|s| s.is_next(key))
        {
            // The unmatched echo was only a misread line: the caller continues.
            self.frames.pop();
        }
        while let Some(top) = self.frames.last_mut() {
            top.fresh = false;
            if top.source.is_none() {
                return;
            }
            top.others.retain_mut(|other| other.goes_on(key));
            if top.goes_on(key) {
                top.block = Block::default();
                return;
            }
            if !top.others.is_empty() {
                let mut right = top.others.remove(0);
                right.others = std::mem::take(&mut top.others);
                *top = right;
                return;
            }
            if !top.include {
                break;
            }
            self.frames.pop();
        }
        if self.frames.is_empty() || self.frames.len() >= DEPTH {
            return;
        }
        let called = self.called(key);
        let unknown = || (!source::is_trivial(key)).then(Frame::default);
        if let Some(frame) = called.or_else(unknown) {
            self.unknown += u32::from(frame.source.is_none());
            self.frames.push(frame);
        }
    }

    /// The file that the block read last has opened, if this is its first echo.
    fn called(&mut self, key: &str) -> Option<Frame> {
        let block = &self.frames.last()?.block;
        let (done, conditional) = (block.done, block.conditional);
        // In the order in which they are called.
        let calls: Vec<Call> = looped::rounds(&block.loops, &block.calls).skip(done).take(CALLED).collect();
        let mut fitting = vec![];
        for (n, call) in calls.iter().enumerate() {
            let mut frame = self.frame(call);
            if frame.begins_with(key) && frame.goes_on(key) {
                frame.fresh = false;
                fitting.push((n, frame));
                if !conditional {
                    break;
                }
            }
        }
        let mut fitting = fitting.into_iter();
        let (n, mut first) = fitting.next()?;
        first.others = fitting.map(|(_, other)| other).filter(|other| other.path != first.path).collect();
        if let Some(caller) = self.frames.last_mut().filter(|_| first.others.is_empty()) {
            caller.block.done = done + n + 1;
        }
        Some(first)
    }

    /// A call whose echo and end are not in the log.
    fn silent(&mut self, call: &Call) {
        self.unknown += u32::from(self.frame(call).source.is_none());
    }

    fn interpret(&mut self, text: &str) {
        let text = &call::plain(text);
        let mut nothing = HashMap::new();
        let locals = self.frames.last_mut().map_or(&mut nothing, |f| &mut f.locals);
        let mut macros = Macros { locals, globals: &mut self.globals, directory: self.directory.as_deref() };
        macros.learn(text);
        let heads: Vec<Loop> = loops(text, &macros).collect();
        let call = call::parse(text);
        let folder = call.as_ref().filter(|c| c.verb == Verb::Cd).map(|c| macros.expand(&c.file));
        if let Some(top) = self.frames.last_mut() {
            top.block.loops.extend(heads);
        }
        let Some(call) = call else { return };
        if let Some(folder) = folder {
            self.entering = call.echoes;
            self.directory = match (self.directory.take(), folder) {
                (Some(from), Some(to)) => Some(from.join(to)),
                (None, Some(to)) if is_absolute(&to) => Some(PathBuf::from(to)),
                _ => None,
            };
        } else if call.echoes {
            let frame = self.frame(&call);
            self.unknown += u32::from(frame.include && frame.source.is_none());
            // An include prints no end of its own: without its source its end could not be found.
            self.calling = Some(frame).filter(|f| !f.include || f.source.is_some());
        } else {
            self.silent(&call);
        }
    }

    fn frame(&mut self, call: &Call) -> Frame {
        let mut nothing = HashMap::new();
        let locals = self.frames.last_mut().map_or(&mut nothing, |f| &mut f.locals);
        let directory = self.directory.as_deref();
        let macros = Macros { locals, globals: &mut self.globals, directory };
        let include = call.verb == Verb::Include;
        let path = macros.expand(&call.file).map(call::with_ending).and_then(|file| match directory {
            // Without `.`, as people write paths.
            Some(directory) => Some(directory.join(file).components().collect()),
            None => is_absolute(&file).then(|| PathBuf::from(file)),
        });
        let mut own = HashMap::new();
        for (i, argument) in call.args.iter().enumerate() {
            own.extend(macros.expand(argument).map(|value| ((i + 1).to_string(), value)));
        }
        if include {
            own = macros.locals.clone();
        }
        let source = path.as_deref().and_then(&self.read).map(|bytes| Source::new(&bytes));
        Frame { file: call.file.clone(), path, source, include, fresh: true, locals: own, ..Frame::default() }
    }

    /// The innermost place that is known, and those around it.
    fn here(&self) -> Option<Location> {
        let mut known: Vec<Place> = self
            .frames
            .iter()
            .filter(|f| f.source.is_some() && f.others.is_empty())
            .filter_map(|f| Some(Place { file: f.file.clone(), path: f.path.clone()?, line: f.line? }))
            .collect();
        let place = known.pop()?;
        Some(Location { place, callers: known })
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
