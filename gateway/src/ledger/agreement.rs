//! Checks that the rows beside a record say what the record says: its attempts and its lease.

use std::collections::BTreeMap;

use longhaul_proto::state::RunState;

use super::{AttemptRow, HolderKind, LeaseRecord, Ledger, LedgerError, ListQuery};
use crate::model::Record;

/// What the rows of attempts and leases say otherwise than the records, one line each.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn disagreements(ledger: &dyn Ledger) -> Result<Vec<String>, LedgerError> {
    let mut wrong = Vec::new();
    let leases = ledger.leases().await?;
    let mut of_runs: BTreeMap<_, _> =
        leases.into_iter().filter_map(|lease| lease.holder.as_run().map(|run| (run, lease))).collect();
    let mut before = None;
    loop {
        let page = ledger.list(ListQuery { before, limit: 500, ..ListQuery::default() }).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.run);
        for record in &page {
            let rows = ledger.attempts(record.run).await?;
            let words = attempts(record, &rows).into_iter().chain(lease(record, of_runs.remove(&record.run)));
            wrong.extend(words.map(|words| format!("run {}: {words}", record.run)));
        }
    }
    wrong.extend(of_runs.keys().map(|run| format!("run {run} has a lease and no record")));
    Ok(wrong)
}

/// How the rows of a run's attempts differ from its record.
fn attempts(record: &Record, rows: &[AttemptRow]) -> Vec<String> {
    let mut wrong = Vec::new();
    let last = rows.last();
    if last.map(|row| row.number) != record.attempt() {
        wrong.push(format!("its last attempt is {:?}, and its last row {last:?}", record.attempt()));
    }
    for entry in &record.detail.attempts {
        let row = rows.iter().find(|row| row.number == entry.number);
        if row.is_none_or(|row| row.at != entry.at) {
            wrong.push(format!("attempt {} was given to {:?}, and its row says {row:?}", entry.number, entry.at));
        }
        if entry.death.is_some() && row.is_none_or(|row| row.ended.is_none()) {
            wrong.push(format!("attempt {} is dead, and its row has no end", entry.number));
        }
    }
    for row in rows {
        let goes_on = Some(row.number) == record.attempt() && record.state.holds_seat();
        if goes_on != row.ended.is_none() {
            wrong.push(format!("it is {}, and a row says {row:?}", record.state));
        }
    }
    if let Some(end) = last.and_then(|row| row.ended.as_ref())
        && record.state.is_end()
        && end.state.is_end()
        && (end.state, end.cause, end.at_ms) != (record.state, record.cause, record.finished_ms)
    {
        wrong.push(format!("it ended {} ({}), and its last attempt {end:?}", record.state, record.cause));
    }
    wrong
}

/// How the lease of a run differs from its record. A run that executes may have none: its Stata has ended.
fn lease(record: &Record, lease: Option<LeaseRecord>) -> Option<String> {
    let lease = lease?;
    let may = record.state.holds_seat() || record.state == RunState::Lost;
    let same = lease.attempt == record.attempt() && record.detail.placement() == Some(&lease.at);
    (!may || !same || lease.holder.kind != HolderKind::Run)
        .then(|| format!("it is {} with attempt {:?}, and has {lease:?}", record.state, record.attempt()))
}
