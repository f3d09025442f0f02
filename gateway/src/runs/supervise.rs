//! Each run's task is supervised: a panic in it is logged, and the run is taken up again from the ledger.
//!
//! Two things outlive the task: its entry in the registry, so that readers stay attached and commands wait for the next
//! task; and its [`LeaseCell`], so that no other run is placed where Stata may be running. All else that the task knew
//! is in the ledger, or is asked of the agent again, as after a restart of the gateway.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use longhaul_proto::{back_off::BackOff, faults, ids::RunId, state::RunState, wire};
use tokio::sync::mpsc;

use super::{
    Inner,
    registry::{Command, RunHandle},
    run_task::{RunTask, TaskEnd},
    snapshot::recorded,
};
use crate::{fleet::Lease, metrics::count, model::Record};

/// First and longest pause before a run is taken up again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// The lease of a run, shared by its task and that task's supervisor. It is put here before the attempt that needs it
/// is recorded, and taken out with the proof that no Stata of that attempt lives; so an empty cell never hides a live
/// one.
#[derive(Clone, Default)]
pub(super) struct LeaseCell(Arc<Mutex<Option<Lease>>>);

impl LeaseCell {
    /// A cell with this lease; `None` = an empty one.
    pub(super) fn of(lease: Option<Lease>) -> Self {
        Self(Arc::new(Mutex::new(lease)))
    }

    /// Whether it has a lease.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Stores a lease; the cell was empty.
    pub(super) fn put(&self, seat: Lease) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
    }

    /// Frees the lease, if there is one.
    pub(super) fn free(&self) {
        // Dropped after the lock is released: freeing the lease gives the seat to the next run at once.
        let seat = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(seat);
    }
}

/// A run that gets its first task.
pub(crate) struct Start {
    /// Its record.
    pub(super) record: Record,
    /// The request, where it is at hand.
    pub(super) submission: Option<wire::Submission>,
    /// The lease that it has.
    pub(super) seat: LeaseCell,
    /// The agents that are known to have its do-file.
    pub(super) fit: Vec<String>,
    /// Its attempt was recorded a moment ago, and no call of it has left.
    pub(super) unsent: bool,
}

impl Start {
    /// A run that was recorded before, or elsewhere: a call of its attempt may have left.
    pub(super) fn recorded(record: Record, seat: LeaseCell) -> Self {
        Self { record, submission: None, seat, fit: Vec::new(), unsent: false }
    }
}

/// Where a run is reached from outside its task.
pub(super) struct Reached {
    pub(super) active: Arc<RunHandle>,
    pub(super) mailbox: mpsc::Receiver<Command>,
}

/// Runs a run's task to its end, or until the gateway stops, and restarts it after each panic.
pub(super) async fn supervise(inner: Arc<Inner>, reached: Reached, start: Start) {
    let Reached { active, mailbox } = reached;
    let Start { mut record, mut submission, seat: cell, fit, mut unsent } = start;
    let mailbox = Arc::new(tokio::sync::Mutex::new(mailbox));
    let (run, stop) = (active.run, inner.deps.tasks.stopping());
    let correcting = record.state == RunState::Lost;
    let mut back_off = BackOff::new(PAUSE.0, PAUSE.1, &run.to_string());
    loop {
        let inbox = mailbox.clone().lock_owned().await;
        let mut task = RunTask::new(inner.clone(), active.clone(), inbox, record, submission.take(), cell.clone());
        task.fit.extend(fit.iter().cloned());
        task.unsent = std::mem::take(&mut unsent);
        match AssertUnwindSafe(Box::pin(task.run())).catch_unwind().await {
            Ok(TaskEnd::Ended) => return cell.free(),
            Ok(TaskEnd::Superseded) => {
                inner.registry.remove(run);
                return cell.free();
            }
            Ok(TaskEnd::Stopping) if stop.is_cancelled() => return,
            Ok(TaskEnd::Stopping) => {
                count(&inner.metrics.tasks_panicked);
                tracing::error!(%run, "the task of a run left it; taking the run up again");
            }
            Err(panic) => {
                count(&inner.metrics.tasks_panicked);
                tracing::error!(%run, panic = words(&*panic), "the task of a run panicked; taking the run up again");
            }
        }
        if faults::bug("run_task_unsupervised") {
            return;
        }
        let Some(read) = stop.run_until_cancelled(read_after(&inner, run, back_off.wait())).await else { return };
        let unfinished = |r: &Record| !r.state.is_end() || (correcting && r.state == RunState::Lost);
        let Some(unfinished) = read.clone().filter(unfinished) else {
            // It panicked after its last commit.
            if let Some(record) = read {
                inner.metrics.ended(&record);
                active.publish(Arc::new(recorded(&record)));
            }
            cell.free();
            inner.registry.remove(run);
            return;
        };
        if unfinished.state == RunState::Queued {
            // No call of it has left, or the attempt is proven never started, or dead.
            cell.free();
        }
        record = unfinished;
    }
}

/// The record of a run, after a pause; a ledger that cannot be read is read again.
async fn read_after(inner: &Inner, run: RunId, pause: Duration) -> Option<Record> {
    tokio::time::sleep(pause).await;
    loop {
        match inner.ledger.get(run).await {
            Ok(record) => return record,
            Err(error) => {
                tracing::error!(%run, error = &error as &dyn std::error::Error, "cannot read a run; trying again");
                tokio::time::sleep(PAUSE.1).await;
            }
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
