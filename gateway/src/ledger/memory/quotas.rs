//! What principals use.

use longhaul_proto::{faults, state::RunState};

use super::{MemoryLedger, State};
use crate::{
    ledger::{
        Answer, LedgerError,
        quotas::{QuotaStore, Room, Usage},
    },
    model::Principal,
};

impl QuotaStore for MemoryLedger {
    fn usage(&self, of: Vec<Principal>, since_ms: i64, most: u32) -> Answer<'_, Usage> {
        self.answer(move |state| Ok(state.usage(&of, since_ms, most)))
    }
}

impl State {
    fn usage(&self, of: &[Principal], since_ms: i64, most: u32) -> Usage {
        let mut all = Usage::default();
        for principal in of {
            let own = || self.runs.values().map(|row| &row.record).filter(|record| record.principal == *principal);
            let output = own().filter(|record| record.finished_ms > 0).map(|record| record.detail.end.output);
            let newest = own().map(|record| record.created_ms).rev().take(most as usize);
            all.add(Usage {
                queued: own().filter(|record| record.state == RunState::Queued).count() as u64,
                running: own().filter(|record| record.state.holds_seat()).count() as u64,
                kept: output.map(|output| output.log + output.console).sum::<u64>() + self.used(principal).bytes,
                recorded_ms: newest.filter(|at| *at > since_ms).collect(),
            });
        }
        all
    }

    /// Refuses a new run that a quota has no room for.
    ///
    /// # Errors
    /// [`LedgerError::OverQuota`].
    pub(super) fn room(&self, rooms: &[Room], waits: bool) -> Result<(), LedgerError> {
        for room in rooms.iter().filter(|_| !faults::bug("quotas_of_runs_ignored")) {
            let (since_ms, most) = room.looks();
            let used = self.usage(&room.members, since_ms, most);
            room.check(&used, waits).map_err(|over| LedgerError::OverQuota(Box::new(over)))?;
        }
        Ok(())
    }
}
