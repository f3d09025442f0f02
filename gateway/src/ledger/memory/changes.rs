//! The numbers of changes.

use longhaul_proto::ids::RunId;

use super::{MemoryLedger, State};
use crate::ledger::{Answer, Change, ChangeStore};

impl State {
    /// The number of a new change.
    pub(super) fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// Numbers a change of a run.
    pub(super) fn note_change(&mut self, run: RunId) {
        let seq = self.next_change();
        if let Some(row) = self.runs.get_mut(&run) {
            row.changed = seq;
        }
    }
}

impl ChangeStore for MemoryLedger {
    fn changes_since(&self, seq: u64, limit: u32) -> Answer<'_, Vec<Change>> {
        self.answer(|state| {
            let all = state.runs.values().map(|row| Change { seq: row.changed, run: row.record.run });
            let mut later: Vec<_> = all.filter(|change| change.seq > seq).collect();
            later.sort_by_key(|change| change.seq);
            later.truncate(limit as usize);
            Ok(later)
        })
    }
}
