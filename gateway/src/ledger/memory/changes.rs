//! The numbers of changes.

use std::ops::Bound;

use longhaul_proto::ids::RunId;

use super::{MemoryLedger, State};
use crate::ledger::{Answer, Change, ChangeStore, StepCursor, StepRow};

impl State {
    /// The number of a new change.
    pub(super) fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// Gives the steps of a run from `n` on the place of its latest change.
    pub(super) fn place_steps(&mut self, run: RunId, n: usize) {
        let Some(row) = self.runs.get(&run) else { return };
        for step in row.history.iter().skip(n) {
            self.steps.insert(StepCursor { change: row.changed, n: step.n }, run);
        }
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

    fn steps_since(&self, after: StepCursor, limit: u32) -> Answer<'_, Vec<StepRow>> {
        self.answer(|state| {
            let later = state.steps.range((Bound::Excluded(after), Bound::Unbounded));
            let step = |(at, run): (&StepCursor, &RunId)| {
                let row = state.runs.get(run)?;
                let step = row.history.get(at.n as usize)?.clone();
                let attempt = row.attempts.iter().find(|attempt| Some(attempt.number) == step.attempt);
                let host = attempt.map(|attempt| attempt.at.host.clone()).unwrap_or_default();
                let (principal, name) = (row.record.principal.clone(), row.record.detail.asked.name.clone());
                Some(StepRow { change: at.change, run: *run, step, host, principal, name })
            };
            Ok(later.filter_map(step).take(limit as usize).collect())
        })
    }

    fn latest_step(&self) -> Answer<'_, StepCursor> {
        self.answer(|state| {
            let left = |(_, run): &(&StepCursor, &RunId)| state.runs.contains_key(run);
            Ok(state.steps.iter().rev().find(left).map(|(at, _)| *at).unwrap_or_default())
        })
    }
}
