//! Do-files that are entered and left.

use std::collections::HashMap;

use crate::stata::{culprit::Block, echo::Echo};

/// What the last line that counts was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Last {
    #[default]
    Other,
    End,
    Code(i64),
    Closed,
}

/// A failure that is leaving do-files.
#[derive(Debug, Clone)]
pub(super) struct Unwinding {
    pub(super) rc: i64,
    pub(super) broken: bool,
    pub(super) levels: u32,
    pub(super) command: Option<String>,
    pub(super) message: Option<String>,
}

/// What opened a do-file, to go on with when it has ended.
#[derive(Debug)]
pub(super) enum Caller {
    /// A `do` that was echoed.
    Command(String),
    /// A loop or program that has some, or perhaps the do-file around it only went on.
    Block(Echo, Block),
}

/// Macros whose values a do-file gives literally: they say how often a loop runs.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) locals: HashMap<String, String>,
    pub(super) globals: HashMap<String, String>,
    /// The locals of the do-files around this one.
    around: Vec<HashMap<String, String>>,
}

impl Values {
    /// A do-file is entered: it has locals of its own.
    pub(super) fn enter(&mut self) {
        self.around.push(std::mem::take(&mut self.locals));
    }

    /// It has ended.
    pub(super) fn leave(&mut self) {
        self.locals = self.around.pop().unwrap_or_default();
    }

    /// What a loop or program assigns is not known.
    pub(super) fn forget(&mut self, body: &str) {
        let mut words = body.split_whitespace().skip_while(|word| word.starts_with('}'));
        let Some(word) = words.next().filter(|word| word.len() >= 2) else { return };
        if "global".starts_with(word) || "local".starts_with(word) {
            let name = words.next().unwrap_or_default().trim_end_matches(['=', ':']);
            self.locals.remove(name);
            self.globals.remove(name);
        }
        self.assigned_by_option(body);
    }

    /// `levelsof x, local(names)`
    pub(super) fn assigned_by_option(&mut self, command: &str) {
        if let Some((name, _)) = command.split_once("local(").and_then(|(_, rest)| rest.split_once(')')) {
            self.locals.remove(name.trim());
        }
    }
}
