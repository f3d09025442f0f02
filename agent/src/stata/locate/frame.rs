//! One open do-file: its source, the line it is at, and the loop or program read last.

use std::{collections::HashMap, path::PathBuf};

use super::{call::Call, looped::Loop, source::Source};

#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) file: String,
    pub(super) path: Option<PathBuf>,
    pub(super) source: Option<Source>,
    pub(super) line: Option<u32>,
    pub(super) include: bool,
    /// Nothing of it was echoed yet, so it may not have been opened at all.
    pub(super) fresh: bool,
    pub(super) locals: HashMap<String, String>,
    /// The loop or program read last.
    pub(super) block: Body,
    /// Loops or programs in it call do-files.
    pub(super) calls_in_blocks: bool,
    /// `;` ends its commands.
    pub(super) semicolon: bool,
    /// Other files that could equally be the one that was opened.
    pub(super) others: Vec<Frame>,
}

impl Frame {
    /// Moves to the echo; whether it was found there.
    pub(super) fn goes_on(&mut self, key: &str) -> bool {
        let line = self.source.as_mut().and_then(|s| s.find(key));
        if line.is_some() {
            self.line = line;
        }
        line.is_some()
    }

    pub(super) fn begins_with(&self, key: &str) -> bool {
        self.source.as_ref().is_some_and(|s| s.is_first(key))
    }
}

/// A loop or program, as its body was read before it ran.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) loops: Vec<Loop>,
    /// `do` commands in it.
    pub(super) calls: Vec<Call>,
    /// Some rounds skip some calls.
    pub(super) conditional: bool,
    /// Its lines as they are compared, with their place in the source.
    pub(super) lines: Vec<(String, u32)>,
    /// Rounds and calls that are done.
    pub(super) done: usize,
}
