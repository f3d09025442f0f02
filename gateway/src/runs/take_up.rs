//! What a gateway that starts goes on with. The leases that the ledger has are held before any agent connects.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use longhaul_proto::{ids::RunId, state::RunState};

use super::{
    Runs,
    supervise::{LeaseCell, Start},
};
use crate::{
    ledger::{LeaseRecord, LedgerError},
    model::Placement,
};

impl Runs {
    /// Takes up every unfinished run of the ledger, and every lost one that came back and may still execute. The leases
    /// that the ledger has are held before this returns, so that no agent that connects afterwards is given more runs than
    /// it has seats.
    pub(crate) async fn take_up(&self) -> Result<usize, LedgerError> {
        let mut open = self.0.ledger.unfinished().await?;
        let n = open.len();
        let by_run = |lease: LeaseRecord| Some((lease.holder.as_run()?, lease.at));
        let mut leases: BTreeMap<RunId, Placement> =
            self.0.ledger.leases().await?.into_iter().filter_map(by_run).collect();
        let mut others: Vec<RunId> = leases.keys().copied().collect();
        others.retain(|run| open.binary_search_by_key(run, |record| record.run).is_err());
        let came_back = self.0.ledger.get_many(&others).await?;
        open.extend(came_back.into_iter().filter(|record| record.state == RunState::Lost));
        let mut rest = Vec::with_capacity(open.len());
        for record in open {
            let lease = match leases.remove(&record.run) {
                Some(at) => Some(self.0.fleet.hold(record.run, &record.principal, at).await),
                None => None,
            };
            rest.push((record, lease));
        }
        for (record, lease) in rest {
            self.0.start_task(Start::recorded(record, LeaseCell::of(lease)));
        }
        self.0.metrics.taken_up.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
