//! Which do-files are open: each `end of do-file` ends one, and only commands that were echoed say which.
//!
//! Of a loop or program that calls do-files only its text is echoed. How many it calls is known where its values are
//! written out and nothing in it is conditional; else it cannot be told whether what is echoed next is in another
//! do-file of it, or behind it.

use super::{Caller, DEPTH, Last, Scan, opens_do_file};

/// Which do-file the last end is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Outermost,
    Inner,
    Unknown,
}

impl Scan {
    pub(super) fn end(&mut self) {
        self.level_ended = true;
        self.ends_in_a_row = std::mem::replace(&mut self.at_end, true);
        match &self.unwinding {
            // A do-file that ends well shows an empty prompt before; this one is being left.
            Some(unwinding) if !self.prompted => self.last = Last::Code(unwinding.rc),
            _ => (self.last, self.unwinding) = (Last::End, None),
        }
        self.prompted = false;
        self.clear();
        // A do-file without any command echoes nothing, but ends.
        if self.block.calls() && self.block.to_call().is_some_and(|more| more > 0) {
            return self.block.has_called();
        }
        // What comes now belongs to the caller.
        self.values.leave();
        match self.callers.pop() {
            Some(Caller::Command(command)) => {
                self.echo.restore(command);
                self.block.close();
            }
            Some(Caller::Block(echo, block)) => {
                self.echo.take_from(echo);
                self.block = block;
            }
            None if self.from_within => return,
            None => {}
        }
        if self.callers.is_empty() && !self.calls_in_blocks {
            self.after_end = Some(0);
            (self.outermost, self.outermost_ended) = (None, true);
        }
    }

    /// A `do` that ran is followed by an empty line and the first echo of its file.
    pub(super) fn entered(&mut self) {
        if self.callers.len() >= DEPTH || !matches!(self.last, Last::Other | Last::End) {
            return;
        }
        match self.block.to_call() {
            // Nothing else is echoed while a loop or program runs.
            Some(1..) if self.block.calls() => {
                self.block.has_called();
                return self.enter(self.calling_block());
            }
            Some(_) if self.block.calls() => return,
            _ => {}
        }
        self.unsure |= self.block.calls();
        if !self.blank || self.printed > 0 {
            return;
        }
        let caller = if self.last == Last::Other { self.last_command() } else { None };
        if let Some(command) = caller.filter(|command| opens_do_file(command)) {
            self.enter(Caller::Command(command));
        } else if self.block.calls() {
            self.enter(self.calling_block());
        }
    }

    fn enter(&mut self, caller: Caller) {
        self.values.enter();
        self.callers.push(caller);
    }

    fn calling_block(&self) -> Caller {
        Caller::Block(self.echo.clone(), self.block.clone())
    }

    /// Whether the end that came last is known to be that of the outermost do-file, or known not to be.
    pub(super) fn ended(&self) -> Ended {
        match self.block.to_call() {
            Some(1..) if self.block.calls() => Ended::Inner,
            _ if self.unsure && !self.ends_in_a_row => Ended::Unknown,
            _ if self.callers.is_empty() || self.unsure => Ended::Outermost,
            _ => Ended::Inner,
        }
    }
}
