//! Rows of attempts, which steps of a run write.

use longhaul_proto::ids::RunId;
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{
    row::{attempt, parse},
    rows,
    statements::Statements,
    storage,
};
use crate::{
    ledger::{AttemptChange, AttemptEnd, AttemptRow, LedgerError, Transition},
    model::Placement,
};

/// Adds what a step does to the attempts of its run.
pub(super) fn step(to: &mut Statements, step: &Transition) {
    match step.attempt_change() {
        None => {}
        Some(AttemptChange::Given(number, at)) => {
            insert(to, step.run, &AttemptRow { number, at, given_ms: step.at_ms, ended: None });
        }
        Some(AttemptChange::Ended(number)) => {
            to.add("UPDATE attempts SET ended = ?, state = ?, cause = ? WHERE run = ? AND number = ?")
                .bind(step.at_ms)
                .bind(step.to.as_str())
                .bind(step.cause.as_str())
                .bind(step.run.to_string())
                .bind(number.number())
                .and_if_written();
        }
    }
}

/// Adds the row of an attempt.
pub(super) fn insert(to: &mut Statements, run: RunId, row: &AttemptRow) {
    let end = row.ended.as_ref();
    to.add(
        "INSERT OR REPLACE INTO attempts(run, number, agent_id, host, pool, given, ended, state, cause) \
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?",
    )
    .bind(run.to_string())
    .bind(row.number.number())
    .bind(&*row.at.agent_id)
    .bind(&*row.at.host)
    .bind(&*row.at.pool)
    .bind(row.given_ms)
    .bind(end.map_or(0, |end| end.at_ms))
    .bind(end.map_or("", |end| end.state.as_str()))
    .bind(end.map_or("", |end| end.cause.as_str()))
    .if_written();
}

/// The attempts of a run, in order.
pub(super) async fn of(readers: &SqlitePool, run: RunId) -> Result<Vec<AttemptRow>, LedgerError> {
    let query = "SELECT number, agent_id, host, pool, given, ended, state, cause FROM attempts WHERE run = ? \
                 ORDER BY number";
    rows(readers, sqlx::query(query).bind(run.to_string()), row).await
}

fn row(row: &SqliteRow) -> Result<AttemptRow, LedgerError> {
    let text = |at: usize| row.try_get::<&str, _>(at).map_err(storage);
    let number = attempt(row, 0).map_err(storage)?;
    let ended = match text(6)? {
        "" => None,
        state => {
            Some(AttemptEnd { state: parse(state)?, cause: parse(text(7)?)?, at_ms: row.try_get(5).map_err(storage)? })
        }
    };
    Ok(AttemptRow {
        number: number.ok_or_else(|| LedgerError::Broken("an attempt has the number 0".to_owned()))?,
        at: Placement { agent_id: text(1)?.to_owned(), host: text(2)?.to_owned(), pool: text(3)?.to_owned() },
        given_ms: row.try_get(4).map_err(storage)?,
        ended,
    })
}
