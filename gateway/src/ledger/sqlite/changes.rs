//! The numbers of changes. All changes are written by one writer, so that they are numbered in the order of commits.

use futures_util::FutureExt;
use longhaul_proto::ids::RunId;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{SqliteLedger, row::parse, rows, storage};
use crate::ledger::{Answer, Change, ChangeStore, LedgerError};

impl ChangeStore for SqliteLedger {
    fn changes_since(&self, seq: u64, limit: u32) -> Answer<'_, Vec<Change>> {
        let query = sqlx::query("SELECT changed, run FROM runs WHERE changed > ? ORDER BY changed LIMIT ?")
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .bind(limit);
        async move { rows(&self.readers, query, change).await }.boxed()
    }
}

fn change(row: &SqliteRow) -> Result<Change, LedgerError> {
    let seq = row.try_get::<i64, _>(0).map_err(storage)?;
    Ok(Change { seq: u64::try_from(seq).unwrap_or_default(), run: parse(row.try_get(1).map_err(storage)?)? })
}

/// The counters of the ledger.
#[derive(Clone, Copy)]
pub(super) enum Counter {
    /// Changes of runs.
    Changes,
    /// Epochs of owners.
    Epoch,
}

/// The next number of a counter.
pub(super) async fn next(db: &mut SqliteConnection, counter: Counter) -> Result<i64, sqlx::Error> {
    let name = match counter {
        Counter::Changes => "changes",
        Counter::Epoch => "epoch",
    };
    let next = sqlx::query("UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value").bind(name);
    next.fetch_one(db).await?.try_get(0)
}

/// Numbers a change of a run.
pub(super) async fn note(db: &mut SqliteConnection, run: RunId) -> Result<(), sqlx::Error> {
    let seq = next(db, Counter::Changes).await?;
    let note = sqlx::query("UPDATE runs SET changed = ? WHERE run = ?").bind(seq).bind(run.to_string());
    note.execute(db).await.map(drop)
}
