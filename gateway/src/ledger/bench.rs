//! Benchmark: how many runs per second the ledger takes. Each is recorded and goes through three more durable steps.

use std::{path::Path, sync::Arc, time::Duration};

use longhaul_proto::{
    clock::Clock,
    ids::Ids,
    state::{Cause, RunState},
    tasks::Tasks,
    wire,
};

use super::{Dedupe, LeaseChange, Ledger, LedgerError, NewRun, RunStore, Transition, sqlite::SqliteLedger};
use crate::model::{Asked, Attempt, Placement, Principal, Record};

/// The result of [`runs_per_second`].
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Runs that went through all four steps.
    pub runs: u32,
    /// The time that they took.
    pub took: Duration,
}

impl Rate {
    /// Runs per second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.runs) / self.took.as_secs_f64()
    }
}

/// Takes `runs` runs through queued, starting, running and succeeded, `callers` at a time, in a new ledger in `folder`.
///
/// # Errors
/// When the ledger fails.
pub async fn runs_per_second(folder: &Path, runs: u32, callers: u32) -> Result<Rate, LedgerError> {
    let (tasks, clock) = (Tasks::new(), Clock::system());
    let ledger = Arc::new(SqliteLedger::open(folder, "bench", &tasks).await?);
    let start = clock.monotonic();
    let workers: Vec<_> = (0..callers)
        .map(|caller| {
            let (ledger, clock) = (ledger.clone(), clock.clone());
            let share = runs / callers + u32::from(caller < runs % callers);
            tasks.spawn(async move {
                for _ in 0..share {
                    one(&ledger, &clock).await?;
                }
                Ok::<(), LedgerError>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await.map_err(|_| LedgerError::Closed)??;
    }
    let took = clock.monotonic().saturating_sub(start);
    ledger.close().await;
    Ok(Rate { runs, took })
}

async fn one(ledger: &SqliteLedger, clock: &Clock) -> Result<(), LedgerError> {
    let run = Ids::system().run();
    let at_ms = clock.unix_ms();
    let record = Record::queued(
        run,
        Principal::local("bench"),
        at_ms,
        Asked { source: "/home/ann/project/analysis.do".to_owned(), ..Asked::default() },
    );
    let submission = wire::Submission { run_id: run.to_string(), ..wire::Submission::default() };
    let dedupe = Dedupe { shape: run.to_string(), join_since_ms: Some(at_ms), ..Dedupe::default() };
    let (lease, blobs) = (LeaseChange::Keep, Vec::new());
    ledger
        .insert(NewRun { record: record.clone(), submission, key: None, dedupe, lease, blobs, receivers: Vec::new() })
        .await?;
    let mut detail = record.detail.clone();
    let edges = [
        (RunState::Queued, RunState::Starting, Cause::Dispatched, LeaseChange::Take),
        (RunState::Starting, RunState::Running, Cause::FirstOutput, LeaseChange::Keep),
        (RunState::Running, RunState::Succeeded, Cause::Completed, LeaseChange::Free),
    ];
    for (from, to, cause, lease) in edges {
        let from_attempt = detail.attempt();
        if to == RunState::Starting {
            let at = Placement { agent_id: "a".to_owned(), host: "stata1".to_owned(), pool: "lab".to_owned() };
            detail.give(Attempt::after(None), at);
        }
        let step = Transition {
            run,
            from,
            from_attempt,
            to,
            cause,
            at_ms,
            detail: detail.clone(),
            lease,
            owner: record.owner.clone(),
            told: None,
        };
        ledger.transition(step).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    /// Checks that the benchmark works; its speed is measured by the benchmark itself.
    #[tokio::test]
    async fn every_run_goes_through_all_its_steps() {
        let folder = tempfile::tempdir().unwrap();
        let rate = super::runs_per_second(folder.path(), 70, 64).await.unwrap();
        assert_eq!(rate.runs, 70);
        assert!(rate.per_second() > 0.0);
    }
}
