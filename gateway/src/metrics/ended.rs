//! Runs that ended, by state and cause.

use std::sync::atomic::{AtomicU64, Ordering};

use longhaul_proto::state::{Cause, RunState};

/// The causes that ends are known to have: these series are there from the start, so that the first end of its kind is
/// seen as an increase.
const USUAL: &[(RunState, &[Cause])] = &[
    (RunState::Succeeded, &[Cause::Completed, Cause::CompletedUnconfirmed]),
    (RunState::Failed, &[Cause::StataError]),
    (
        RunState::Errored,
        &[
            Cause::SpawnFailed,
            Cause::StartTimeout,
            Cause::Licence,
            Cause::Killed,
            Cause::Crashed,
            Cause::OutOfMemory,
            Cause::HostRebooted,
            Cause::Incomplete,
            Cause::SourceUnreadable,
            Cause::SpoolFull,
            Cause::OverLimit,
            Cause::NotStarted,
        ],
    ),
    (RunState::TimedOut, &[Cause::RunTimeout, Cause::QueueTimeout]),
    (RunState::Cancelled, &[Cause::CancelRequested]),
    (RunState::Rejected, &[Cause::Malformed, Cause::Forbidden, Cause::OverLimit]),
    (RunState::Lost, &[Cause::AgentGone, Cause::DeclaredDead]),
];

/// A count for each pair.
#[derive(Debug)]
pub(super) struct Ended(Vec<AtomicU64>);

impl Default for Ended {
    fn default() -> Self {
        Self(RunState::ALL.iter().flat_map(|_| Cause::ALL).map(|_| AtomicU64::new(0)).collect())
    }
}

fn place(state: RunState, cause: Cause) -> Option<usize> {
    let state = RunState::ALL.iter().position(|s| *s == state)?;
    Some(state * Cause::ALL.len() + Cause::ALL.iter().position(|c| *c == cause)?)
}

impl Ended {
    pub(super) fn count(&self, state: RunState, cause: Cause) {
        if let Some(count) = place(state, cause).and_then(|at| self.0.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each usual pair, and each other that has occurred, with the word for the result.
    pub(super) fn each(&self, mut told: impl FnMut(RunState, Cause, &'static str, u64)) {
        for state in RunState::ALL {
            let Some(meaning) = state.meaning() else { continue };
            let usual = USUAL.iter().find(|(usual, _)| usual == state).map_or(&[][..], |(_, causes)| causes);
            for cause in Cause::ALL {
                let count = place(*state, *cause).and_then(|at| self.0.get(at));
                let count = count.map_or(0, |count| count.load(Ordering::Relaxed));
                if count > 0 || usual.contains(cause) {
                    told(*state, *cause, meaning.result, count);
                }
            }
        }
    }
}
