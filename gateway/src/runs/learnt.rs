//! How long a run will probably take: as long as an equal one took last time.
//!
//! It is looked up once, when the run has been running for a moment: a short one never asks. The ledger is read along an index
//! for so many of the principal's latest successes and no more.

use std::time::Duration;

use longhaul_proto::{faults, state::RunState};

use super::run_task::RunTask;
use crate::{
    ledger::{ListQuery, Read, RunFilter},
    model::{Expected, Record},
};

/// The latest successes of the principal among which an equal run is looked for.
const LATEST: u32 = 100;
/// How long the ledger may take: what is learnt is a convenience.
const PATIENCE: Duration = Duration::from_secs(1);

impl RunTask {
    /// Looks up once how long the run will probably take.
    pub(super) async fn learn(&mut self) {
        let known = !self.record.detail.code_sha256().is_empty();
        if self.record.state != RunState::Running || self.looked_back || !known || faults::bug("nothing_is_learnt") {
            return;
        }
        self.looked_back = true;
        let query = ListQuery {
            principal: Some(self.record.principal.clone()),
            which: RunFilter::in_state(RunState::Succeeded),
            before: Some(self.record.run),
            limit: LATEST,
            read: Read::Showing,
        };
        let earlier = tokio::time::timeout(PATIENCE, self.inner.ledger.list(query)).await;
        if let Ok(Ok(earlier)) = earlier
            && let Some(expected) = expected(&self.record, &earlier)
        {
            self.live.expected = Some(expected);
            self.publish();
        }
    }
}

/// By the latest equal run on the same host, else by the latest equal run. `earlier` = newest first.
fn expected(record: &Record, earlier: &[Record]) -> Option<Expected> {
    let equal = |other: &&Record| {
        other.detail.code_sha256() == record.detail.code_sha256() && other.detail.asked.args == record.detail.asked.args
    };
    let of = |other: &Record| {
        let duration = Duration::from_millis(other.detail.present()?.execution.duration_ms?);
        Some(Expected { duration, run: other.run, same_host: other.host() == record.host() })
    };
    let all: Vec<Expected> = earlier.iter().filter(equal).filter_map(of).collect();
    all.iter().find(|one| one.same_host).or(all.first()).copied()
}
