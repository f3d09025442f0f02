//! Places in do-files, and where a log begins.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Locator, frame::Frame};
use crate::stata::lines::decode::Encoding;

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
pub struct FailurePlace {
    /// The innermost place known.
    #[serde(flatten)]
    pub place: Place,
    /// Its callers, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Place>,
}

/// Where a log was when it ended, as far as it says so itself: files that could not be read are named too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The innermost do-file and its callers, outermost first, as they were written in the `do` commands; with the line
    /// where the source is known.
    pub open: Vec<(String, Option<u32>)>,
}

/// What is known at the moment of a failure.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure {
    pub(super) place: Option<FailurePlace>,
    /// The lines of the loop or program that ran, as they are compared, with their place in the source.
    pub(super) body: Vec<(String, u32)>,
    pub(super) whereabouts: Whereabouts,
    /// The last command that was echoed, likewise.
    pub(super) echo: String,
    /// The lines of its body, also where its source is not known.
    pub(super) echoed: Vec<String>,
    /// Do-files that were open.
    pub(super) depth: usize,
}

impl Failure {
    /// Tells the line of the loop or program that is this command; where several are, none of them is told.
    pub(super) fn narrow(&mut self, is: impl Fn(&String) -> bool) {
        let mut lines = self.body.iter().filter(|(body, _)| is(body)).map(|(_, line)| *line);
        let Some(line) = lines.next().filter(|_| lines.next().is_none()) else { return };
        if let Some(found) = &mut self.place {
            found.place.line = line;
        }
        if let Some((_, known)) = self.whereabouts.open.last_mut().filter(|(_, known)| known.is_some()) {
            *known = Some(line);
        }
    }
}

/// How a run was started, as far as the log does not say it.
#[derive(Debug, Clone, Copy)]
pub struct LogStart<'a> {
    /// Stata's working directory when the log begins.
    pub working_dir: &'a Path,
    /// The do-file whose commands the log begins with; none if the log itself echoes `do file`.
    pub do_file: Option<&'a Path>,
    /// Its arguments.
    pub args: &'a [String],
    /// The encoding of what is no UTF-8 in the log and in sources.
    pub encoding: Encoding,
}

impl<'a> LogStart<'a> {
    /// For a log that itself shows which do-file it runs.
    pub fn in_directory(working_dir: &'a Path) -> Self {
        Self { working_dir, do_file: None, args: &[], encoding: Encoding::default() }
    }

    /// The same, in this encoding.
    #[must_use]
    pub fn in_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }
}

impl<F: Fn(&Path) -> Option<Vec<u8>>> Locator<F> {
    /// The innermost place that is known now.
    pub(in crate::stata) fn here_place(&self) -> Option<FailurePlace> {
        let mut known = self.known();
        known.pop().map(|place| FailurePlace { place, callers: known })
    }

    fn known(&self) -> Vec<Place> {
        let place = |f: &Frame| Some(Place { file: f.file.clone(), path: f.path.clone()?, line: f.line? });
        self.frames.iter().filter(certain).filter_map(place).collect()
    }

    /// What is known now.
    pub(super) fn here(&self) -> Failure {
        let named = self.frames.iter().filter(|_| !self.astray).map(|f| (f.file.clone(), f.line));
        let whereabouts = Whereabouts { open: named.filter(|(file, _)| !file.is_empty()).collect() };
        let body = self.frames.last().filter(certain).map(|f| f.block.lines.clone()).unwrap_or_default();
        let place = self.here_place();
        let depth = self.frames.iter().filter(|f| !f.include).count();
        Failure { place, body, whereabouts, echo: self.last.clone(), echoed: self.block.clone(), depth }
    }
}

/// Whether it is known which file this is.
fn certain(frame: &&Frame) -> bool {
    frame.source.is_some() && frame.others.is_empty()
}
