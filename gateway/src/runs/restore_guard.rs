//! Detects a ledger restored from a backup: agents may have executed runs that it still has as queued.
//!
//! Such a run may have been executed on an agent that has not reconnected yet. So every run that was queued in the
//! ledger at the start is held back until an agent reports to have it (it goes on from there) or a person decides. That
//! the ledger is old is said by the operator who restored it (`--restored`), told by the marker that `longhaul restore`
//! puts beside it, or shown by an agent that holds a run newer than all of the ledger's, or an attempt that the ledger
//! never made. The marker has the newest run of the backup, so that it holds back no run of later, over any number of starts.

use std::sync::atomic::{AtomicBool, Ordering};

use longhaul_proto::{ids::RunId, state::RunState};

use crate::{
    ledger::{LedgerError, ListQuery, RunStore},
    model::Record,
};

/// What is known of the ledger's age.
#[derive(Debug)]
pub(crate) struct RestoreGuard {
    /// The newest run in the ledger at the start, or in the backup that was restored; ids are in the order of time.
    newest: Option<RunId>,
    old: AtomicBool,
}

impl RestoreGuard {
    /// Reads a ledger before anything changes in it; `restored` = a person says that it is a restored backup.
    pub(crate) async fn of(ledger: &dyn RunStore, restored: bool) -> Result<Self, LedgerError> {
        let newest = ledger.list(ListQuery { limit: 1, ..ListQuery::default() }).await?.first().map(|r| r.run);
        Ok(Self { newest, old: AtomicBool::new(restored) })
    }

    /// Of a backup with this newest run that was restored before this start or an earlier one.
    pub(crate) fn of_backup(newest: Option<RunId>) -> Self {
        Self { newest, old: AtomicBool::new(true) }
    }

    /// An agent has a run that the ledger does not know. If it is older than the newest run, its record was removed
    /// from the ledger by age, as usual.
    pub(crate) fn unknown(&self, run: RunId) {
        // An empty ledger is a new one: no run waits in it.
        if self.newest.is_some_and(|newest| run > newest) {
            self.found_old(run);
        }
    }

    /// An agent has an attempt that the ledger did not make.
    pub(crate) fn found_old(&self, run: RunId) {
        if !self.old.swap(true, Ordering::AcqRel) {
            tracing::error!(
                %run,
                "an agent has done what this ledger does not know: it is an older copy. What waited in it is held back; \
                 see `Backups` in docs/operations.md"
            );
        }
    }

    /// Whether this run must not be given to an agent.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        record.state == RunState::Queued
            && self.newest.is_some_and(|newest| record.run <= newest)
            && self.old.load(Ordering::Acquire)
    }
}
