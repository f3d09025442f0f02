//! The errors of a log, in order: the one that ends it is known only when all of it was read.

use super::{Around, Suppressed};

/// Errors that are kept.
const MOST: usize = 20;
/// Lines after a code that are kept.
const AFTER: usize = 4;

/// An error with a code in the log.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: Suppressed,
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
}

#[derive(Debug, Clone)]
enum Entry {
    /// A message without a code.
    Said(Suppressed),
    Failed(Failure),
}

/// The errors so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    entries: Vec<Entry>,
    left_out: u32,
    /// The last failure that is no longer among the entries.
    beyond: Option<Failure>,
    /// The failure after which nothing was printed so far: it may be the end.
    open: Option<Failure>,
}

impl Found {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a failure may be leaving do-files.
    pub(super) fn is_leaving(&self) -> bool {
        self.open.is_some()
    }

    /// Whether this code is that of the failure that is leaving.
    pub(super) fn same(&self, rc: i64) -> bool {
        self.open.as_ref().is_some_and(|open| open.error.rc == Some(rc))
    }

    /// A line after the code.
    pub(super) fn after(&mut self, line: String) {
        if let Some(open) = self.open.as_mut().filter(|open| open.after.len() < AFTER) {
            open.after.push(line);
        }
    }

    /// Something was printed: the failure before it ended nothing.
    pub(super) fn goes_on(&mut self) {
        if let Some(open) = self.open.take() {
            self.add(Entry::Failed(open));
        }
    }

    /// A message without a code; one that was said since entry `since` is noted once.
    pub(super) fn suppressed(&mut self, error: Suppressed, since: usize) {
        let same = |entry: &Entry| matches!(entry, Entry::Said(said) if *said == error);
        if !self.entries.iter().skip(since).any(same) {
            self.add(Entry::Said(error));
        }
    }

    /// A code. Its message was perhaps noted since entry `since` as one without.
    pub(super) fn failure(&mut self, failure: Failure, since: usize) {
        self.goes_on();
        let message = &failure.error.message;
        let own = |said: &Suppressed| said.message == *message || message.lines().any(|line| line == said.message);
        while self.entries.len() > since && matches!(self.entries.last(), Some(Entry::Said(said)) if own(said)) {
            self.entries.pop();
        }
        self.open = Some(failure);
    }

    fn add(&mut self, entry: Entry) {
        if self.entries.len() < MOST {
            return self.entries.push(entry);
        }
        self.left_out = self.left_out.saturating_add(1);
        if let Entry::Failed(failure) = entry {
            self.beyond = Some(failure);
        }
    }

    /// What stands around the end: the last failure with the code `rc`, or the lines `before` the end.
    pub(super) fn finish(mut self, rc: Option<i64>, before: Vec<String>) -> Around {
        let end = match rc {
            None => {
                self.goes_on();
                None
            }
            Some(rc) => self.take_end(rc),
        };
        let (before, after) = end.map_or((before, vec![]), |end| (end.before, end.after));
        let told = |entry: Entry| match entry {
            Entry::Said(error) | Entry::Failed(Failure { error, .. }) => error,
        };
        Around { before, after, suppressed: self.entries.into_iter().map(told).collect(), left_out: self.left_out }
    }

    fn take_end(&mut self, rc: i64) -> Option<Failure> {
        let is = |failure: &Failure| failure.error.rc == Some(rc);
        if let Some(open) = self.open.take().filter(is) {
            return Some(open);
        }
        if let Some(beyond) = self.beyond.take().filter(is) {
            self.left_out = self.left_out.saturating_sub(1);
            return Some(beyond);
        }
        // What comes after it was typed, or is of another do-file.
        let at = self.entries.iter().rposition(|entry| matches!(entry, Entry::Failed(failure) if is(failure)))?;
        match self.entries.drain(at..).next()? {
            Entry::Failed(failure) => Some(failure),
            Entry::Said(_) => None,
        }
    }
}
