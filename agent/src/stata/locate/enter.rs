//! Which do-file an echo belongs to: the one that is open, one that it includes, or one that was just called.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{
    DEPTH, Locator,
    call::{self, Call, Macros, Verb},
    frame::{Body, Frame},
    looped::{self, Loop, loops},
    source::{self, Source},
};
use crate::stata::commands;

/// Most do-files that one loop may call.
const CALLED: usize = 1000;

impl<F: Fn(&Path) -> Option<Vec<u8>>> Locator<F> {
    /// Finds the echo in the innermost open source; closes includes that are over and files that were not opened.
    pub(super) fn place(&mut self, key: &str) {
        if let [.., parent, top] = self.frames.as_mut_slice()
            && top.fresh
            && !top.begins_with(key)
        {
            // The first echo after a `do` is the first line of its file, or the file was not opened (its `do` was in a
            // block that did not run), or it is another file than assumed.
            if parent.source.as_ref().is_some_and(|s| s.is_at(key)) && parent.goes_on(key) {
                parent.block = Body::default();
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
            let next = top.source.as_ref().is_some_and(|s| s.is_at(key));
            if !next && !top.block.calls.is_empty() && self.enter_called(key) {
                return;
            }
            let Some(top) = self.frames.last_mut() else { return };
            if top.goes_on(key) {
                top.block = Body::default();
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
        if !self.enter_called(key) && !source::is_trivial(key) {
            self.unknown += 1;
            self.frames.push(Frame::default());
        }
    }

    /// Opens the file that the block read last calls, if this is its first echo.
    fn enter_called(&mut self, key: &str) -> bool {
        let called = if self.frames.len() < DEPTH { self.called(key) } else { None };
        let entered = called.is_some();
        if let Some(frame) = called {
            self.unknown += u32::from(frame.source.is_none());
            self.frames.push(frame);
        }
        entered
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
    pub(super) fn silent(&mut self, call: &Call) {
        self.unknown += u32::from(self.frame(call).source.is_none());
    }

    pub(super) fn interpret(&mut self, text: &str) {
        let text = &call::plain(text);
        self.defining = commands::program_name(text).map(str::to_owned);
        if let (Some(calls), Some(top)) = (self.programs.get(commands::first_word(text)), self.frames.last_mut()) {
            top.block.calls.clone_from(calls);
        }
        let mut nothing = HashMap::new();
        let locals = self.frames.last_mut().map_or(&mut nothing, |f| &mut f.locals);
        let mut macros = Macros { locals, globals: &mut self.globals, directory: self.directory.as_deref() };
        macros.learn(text);
        if let Some(noted) = &mut self.noted {
            noted.command(text, &macros, &[], self.directory.as_deref());
        }
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

    pub(super) fn frame(&mut self, call: &Call) -> Frame {
        let mut nothing = HashMap::new();
        let locals = self.frames.last_mut().map_or(&mut nothing, |f| &mut f.locals);
        let directory = self.directory.as_deref();
        let macros = Macros { locals, globals: &mut self.globals, directory };
        let encoding = self.encoding;
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
        let source = path.as_deref().and_then(&self.read).map(|bytes| Source::new(&bytes, encoding));
        Frame { file: call.file.clone(), path, source, include, fresh: true, locals: own, ..Frame::default() }
    }
}

pub(super) fn is_absolute(text: &str) -> bool {
    let b = text.as_bytes();
    b.first() == Some(&b'/')
        || (b.len() > 2 && b[0].is_ascii_alphabetic() && b[1] == b':' && matches!(b[2], b'\\' | b'/'))
}
