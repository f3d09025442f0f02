//! The numbers of changes. All changes are written by one writer, so that they are numbered in the order of commits.

use futures_util::FutureExt;
use longhaul_proto::ids::RunId;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteLedger,
    row::{attempt, parse},
    rows, storage,
};
use crate::{
    ledger::{Answer, Change, ChangeStore, LedgerError, StepCursor, StepRow, TransitionRow},
    model::Principal,
};

/// The steps after a place, in their order. The first condition is that of the index.
pub(super) const STEPS: &str = "SELECT t.change, t.n, t.run, t.state, t.cause, t.attempt, t.at, r.principal, r.issuer, \
    r.name, coalesce(a.host, '') FROM transitions t JOIN runs r ON r.run = t.run \
    LEFT JOIN attempts a ON a.run = t.run AND a.number = t.attempt \
    WHERE t.change > 0 AND (t.change, t.n) > (?, ?) ORDER BY t.change, t.n LIMIT ?";

impl ChangeStore for SqliteLedger {
    fn changes_since(&self, seq: u64, limit: u32) -> Answer<'_, Vec<Change>> {
        let query = sqlx::query("SELECT changed, run FROM runs WHERE changed > ? ORDER BY changed LIMIT ?")
            .bind(i64::try_from(seq).unwrap_or(i64::MAX))
            .bind(limit);
        async move { rows(&self.readers, query, change).await }.boxed()
    }

    fn steps_since(&self, after: StepCursor, limit: u32) -> Answer<'_, Vec<StepRow>> {
        let query = sqlx::query(STEPS).bind(i64::try_from(after.change).unwrap_or(i64::MAX)).bind(after.n).bind(limit);
        async move { rows(&self.readers, query, step).await }.boxed()
    }

    fn latest_step(&self) -> Answer<'_, StepCursor> {
        let latest = "SELECT change, n FROM transitions WHERE change > 0 ORDER BY change DESC, n DESC LIMIT 1";
        async move {
            let row = sqlx::query(latest).fetch_optional(&self.readers).await.map_err(storage)?;
            let Some(row) = row else { return Ok(StepCursor::default()) };
            let change = row.try_get::<i64, _>(0).map_err(storage)?;
            Ok(StepCursor { change: u64::try_from(change).unwrap_or_default(), n: row.try_get(1).map_err(storage)? })
        }
        .boxed()
    }
}

fn step(row: &SqliteRow) -> Result<StepRow, LedgerError> {
    let text = |at: usize| row.try_get::<&str, _>(at).map_err(storage);
    let change = row.try_get::<i64, _>(0).map_err(storage)?;
    Ok(StepRow {
        change: u64::try_from(change).unwrap_or_default(),
        run: parse(text(2)?)?,
        step: TransitionRow {
            n: row.try_get(1).map_err(storage)?,
            state: parse(text(3)?)?,
            cause: parse(text(4)?)?,
            attempt: attempt(row, 5).map_err(storage)?,
            at_ms: row.try_get(6).map_err(storage)?,
        },
        principal: Principal::new(text(8)?, text(7)?),
        name: text(9)?.to_owned(),
        host: text(10)?.to_owned(),
    })
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
