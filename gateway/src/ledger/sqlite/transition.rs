//! Moving a run: one conditional update, and a row in its history.

use longhaul_proto::state::RunState;
use sqlx::SqliteConnection;

use super::{row::to_json, writer::Applied};
use crate::ledger::{LedgerError, MirrorCopy, Transition};

pub(super) async fn transition(db: &mut SqliteConnection, step: &Transition) -> Applied<()> {
    let run = step.run.to_string();
    let (agent, host, pool) = match &step.given_to {
        Some((agent, host, pool)) => (Some(agent), Some(host), Some(pool)),
        None => (None, None, None),
    };
    let detail = step.detail.as_ref().map(to_json).transpose()?;
    let ended = step.to.is_end();
    // A run that may return ([`RunState::Lost`]) keeps its spool; of any other ended run the spool may be deleted.
    let held = ended && step.to != RunState::Lost;
    let copy = step.detail.as_ref().map_or(MirrorCopy::Incomplete, MirrorCopy::of);
    let result = sqlx::query(
        "UPDATE runs SET state = ?, cause = ?, attempt = ?, steps = steps + 1, finished = ?, \
         spool_held = (? AND coalesce(?, agent_id) <> ''), whole = ?, \
         agent_id = coalesce(?, agent_id), host = coalesce(?, host), pool = coalesce(?, pool), \
         detail = coalesce(?, detail) WHERE run = ? AND state = ? AND attempt = ?",
    )
    .bind(step.to.as_str())
    .bind(step.cause.as_str())
    .bind(step.attempt)
    .bind(if ended { step.at_ms } else { 0 })
    .bind(held)
    .bind(agent)
    .bind(copy == MirrorCopy::Whole)
    .bind(agent)
    .bind(host)
    .bind(pool)
    .bind(detail)
    .bind(&run)
    .bind(step.from.as_str())
    .bind(step.from_attempt)
    .execute(&mut *db)
    .await?;
    if result.rows_affected() == 0 {
        return Err(LedgerError::Lost(step.run).into());
    }
    sqlx::query(
        "INSERT INTO transitions(run, n, state, cause, attempt, at) SELECT run, steps - 1, ?, ?, ?, ? FROM runs WHERE run = ?",
    )
    .bind(step.to.as_str())
    .bind(step.cause.as_str())
    .bind(step.attempt)
    .bind(step.at_ms)
    .bind(&run)
    .execute(db)
    .await?;
    Ok(())
}
