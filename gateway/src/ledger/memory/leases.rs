//! Leases.

use longhaul_proto::ids::RunId;

use super::{MemoryLedger, State};
use crate::{
    ledger::{Answer, LeaseChange, LeaseHolder, LeaseRecord, LeaseStore, LedgerError},
    model::{Attempt, Owner, Placement},
};

impl State {
    /// Does what a step, or the record of a new run, does to its lease.
    pub(super) fn change_lease(
        &mut self,
        change: LeaseChange,
        run: RunId,
        last: Option<(Attempt, Placement)>,
        since_ms: i64,
    ) {
        let holder = LeaseHolder::run(run);
        match (change, last) {
            (LeaseChange::Take, Some((number, at))) => {
                let lease = LeaseRecord { holder: holder.clone(), attempt: Some(number), at, since_ms };
                self.leases.insert(holder, lease);
            }
            (LeaseChange::Take, None) | (LeaseChange::Keep, _) => {}
            (LeaseChange::Free, _) => drop(self.leases.remove(&holder)),
        }
    }

    fn owns(&self, run: RunId, owner: &Owner) -> bool {
        self.runs.get(&run).is_some_and(|row| row.record.owner.epoch == owner.epoch)
    }
}

impl LeaseStore for MemoryLedger {
    fn take_lease(&self, lease: LeaseRecord, owner: Owner) -> Answer<'_, ()> {
        self.answer(|state| match lease.holder.as_run() {
            Some(run) if !state.owns(run, &owner) => Err(LedgerError::Lost(run)),
            _ => {
                state.leases.insert(lease.holder.clone(), lease);
                Ok(())
            }
        })
    }

    fn free_lease(&self, run: RunId, attempt: Option<Attempt>, owner: Owner) -> Answer<'_, bool> {
        self.answer(|state| {
            let holder = LeaseHolder::run(run);
            let its = state.leases.get(&holder).is_some_and(|lease| lease.attempt == attempt);
            Ok(its && state.owns(run, &owner) && state.leases.remove(&holder).is_some())
        })
    }

    fn leases(&self) -> Answer<'_, Vec<LeaseRecord>> {
        self.answer(|state| Ok(state.leases.values().cloned().collect()))
    }
}
