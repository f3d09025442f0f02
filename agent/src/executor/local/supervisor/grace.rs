//! Ending a process step by step: SIGINT lets Stata break and unwind, SIGTERM lets it exit, SIGKILL is certain.

use std::time::Duration;

use rustix::process::Signal;

use super::target::Live;
use crate::spool::{CancelMode, Ending, Timing};

/// Time between two SIGKILLs.
const AGAIN: Duration = Duration::from_secs(1);

/// An end under way. Its cause is on disk already.
pub(super) struct Grace {
    pub(super) ending: Ending,
    next: CancelMode,
    due: Option<Duration>,
}

impl Grace {
    pub(super) fn new(mode: CancelMode, ending: Ending) -> Self {
        Self { ending, next: mode, due: None }
    }

    /// Goes on from a stronger step at once; a weaker request changes nothing.
    pub(super) fn strengthen(&mut self, mode: CancelMode) {
        if mode > self.next {
            self.next = mode;
            self.due = None;
        }
    }

    /// Sends what is due at `now` (the host's monotonic clock); returns when the next step is due.
    pub(super) fn step(&mut self, now: Duration, timing: &Timing, live: &Live) -> Option<Duration> {
        if self.due.is_none_or(|due| now >= due) {
            let (signal, wait, next) = match self.next {
                CancelMode::Break => (Signal::INT, Duration::from_millis(timing.after_break), CancelMode::Terminate),
                CancelMode::Terminate => {
                    (Signal::TERM, Duration::from_millis(timing.after_terminate), CancelMode::Kill)
                }
                CancelMode::Kill => (Signal::KILL, AGAIN, CancelMode::Kill),
            };
            live.signal_group(signal);
            self.next = next;
            self.due = Some(now + wait);
        }
        self.due
    }
}
