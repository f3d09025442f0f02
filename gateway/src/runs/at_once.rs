//! A new run whose seat is free begins at once: it is recorded as queued and as given to an agent in one commit.
//!
//! The lease comes first, and stays with the run through every doubt about the commit: in a cell that outlives the task
//! that records it. A run that has to wait is recorded as queued, and its own task joins the queue.

use std::time::Duration;

use longhaul_proto::state::{Cause, RunState};

use super::{Inner, egress, spans, supervise::LeaseCell, timeouts};
use crate::{
    ledger::{LeaseChange, NewRun},
    model::{Attempt, Record},
};

/// Gives the run its seat and its first attempt, if it need not wait for them. `fit` = the agents that are known to have
/// its do-file.
pub(super) async fn begin(inner: &Inner, new: &mut NewRun, fit: &[String], seat: &LeaseCell) {
    let record = &new.record;
    let asked = &record.detail.asked;
    // A request without room may only find an earlier run; where a do-file must be looked for first, no seat waits for it.
    if new.dedupe.only_join || inner.restore_guard.holds(record) || (asked.path.is_some() && fit.is_empty()) {
        return;
    }
    let Some(lease) = inner.fleet.lease_at_once(record.run, &record.principal, asked).await else {
        return;
    };
    let unknown = asked.path.is_some() && !fit.contains(&lease.at.agent_id);
    // The agent may have shown by now that the ledger is old, or the host is being drained.
    if unknown || inner.restore_guard.holds(record) || inner.fleet.drains(&lease.at.host) {
        return;
    }
    let record = &mut new.record;
    record.detail.give(Attempt::after(None), lease.at.clone());
    timeouts::placed(&inner.options, &mut record.detail);
    egress::note(inner, &mut record.detail);
    (record.state, record.cause) = (RunState::Starting, Cause::Dispatched);
    new.lease = LeaseChange::Take;
    // Before the commit, after which the attempt must have its lease.
    seat.put(lease);
}

/// The run waits like any other, as nothing of it is recorded yet.
pub(super) fn wait_after_all(new: &mut NewRun, seat: &LeaseCell) {
    if seat.is_empty() {
        return;
    }
    let record = &mut new.record;
    record.detail.attempts.clear();
    (record.state, record.cause) = (RunState::Queued, Cause::Submitted);
    new.lease = LeaseChange::Keep;
    seat.free();
}

/// It did not wait, and its trace and the metrics say so.
pub(super) fn note_wait(inner: &Inner, record: &Record) {
    spans::send_no_wait(record);
    inner.metrics.queue_wait.record(Duration::ZERO);
}
