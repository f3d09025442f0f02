//! What the state machine shows in `/metrics`: what there is now, over the runs that have not ended, and the words for
//! what was refused.

use std::time::Duration;

use longhaul_proto::state::RunState;

use super::{Inner, SubmitError};

/// The states of runs that have not ended.
const UNFINISHED: [RunState; 3] = [RunState::Queued, RunState::Starting, RunState::Running];

impl Inner {
    /// How many runs there are in each state that is no end.
    pub(crate) fn unfinished_by_state(&self) -> [(RunState, u64); 3] {
        let mut counts = UNFINISHED.map(|state| (state, 0));
        for run in self.registry.all() {
            let now = run.snapshot.borrow().state;
            if let Some((_, count)) = counts.iter_mut().find(|(state, _)| *state == now) {
                *count += 1;
            }
        }
        counts
    }

    /// For how long the run that waits longest has waited for a seat; zero = none waits.
    pub(crate) fn oldest_wait(&self) -> Duration {
        let now_ms = self.deps.clock.unix_ms();
        let queued = self.registry.all().into_iter().filter_map(|run| {
            let snapshot = run.snapshot.borrow();
            snapshot.since().filter(|_| snapshot.state == RunState::Queued)
        });
        queued.map(|since| since.ago(now_ms)).max().unwrap_or_default()
    }
}

impl SubmitError {
    /// The word for this kind of refusal in `longhaul_refusals_total`.
    pub(crate) fn kind_word(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Refused(_) => "refused_by_agent",
            Self::NotThere(_) => "not_there",
            Self::Unconfirmed(_) => "unconfirmed",
            Self::Changed(_) | Self::Unasked(_) => "changed",
            Self::MissingBlobs(_) => "missing_files",
            Self::TooLarge(_) => "too_large",
            Self::Busy { .. } => "busy",
            Self::OverQuota(_) => "over_quota",
            Self::Forbidden(_) => "forbidden",
            Self::KeyTaken { .. } => "key_taken",
            Self::Blob(_)
            | Self::Unaudited(_)
            | Self::Ledger(_)
            | Self::Unsettled(_)
            | Self::Panicked
            | Self::Stopping => "ours",
        }
    }
}
