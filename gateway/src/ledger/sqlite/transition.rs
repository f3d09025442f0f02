//! Moving a run: one conditional update, a row in its history, and the rows of its attempt and its lease.

use longhaul_proto::state::RunState;
use sqlx::SqliteConnection;

use super::{
    attempts, leases, notifications,
    row::number,
    statements::{CHANGE, Statements},
    writer::Applied,
};
use crate::ledger::{LedgerError, MirrorCopy, Transition, runs::search_text, stored};

pub(super) async fn transition(db: &mut SqliteConnection, step: &Transition) -> Applied<()> {
    let run = step.run.to_string();
    let ended = step.to.is_end();
    // A run that may return ([`RunState::Lost`]) keeps its spool; of any other ended run the spool may be deleted.
    let held = ended && step.to != RunState::Lost && step.detail.placement().is_some_and(|at| !at.agent_id.is_empty());
    let copy = MirrorCopy::of(&step.detail);
    let attempt = number(step.attempt());
    let at = step.detail.placement();
    // What a run is searched in was written when it was recorded; only the message of an end is added, and may change once.
    let message = ended || step.from.is_end();
    let mut statements = Statements::change(step.run);
    statements
        .add(
            "UPDATE runs SET state = ?, cause = ?, attempt = ?, steps = steps + 1, finished = ?, \
             spool_held = ?, whole = ?, agent_id = ?, host = ?, pool = ?, detail = ?, changed = ",
        )
        .and(CHANGE)
        .and(if message { ", words = ?" } else { "" })
        .and(" WHERE run = ? AND state = ? AND attempt = ? AND owner_epoch = ?")
        .bind(step.to.as_str())
        .bind(step.cause.as_str())
        .bind(attempt)
        .bind(if ended { step.at_ms } else { 0 })
        .bind(held)
        .bind(copy == MirrorCopy::Whole)
        .bind(at.map_or("", |at| &at.agent_id))
        .bind(at.map_or("", |at| &at.host))
        .bind(at.map_or("", |at| &at.pool))
        .bind(stored::write(&step.detail)?);
    if message {
        statements.bind(search_text(&step.detail));
    }
    statements.bind(&*run).bind(step.from.as_str()).bind(number(step.from_attempt)).bind(leases::epoch(&step.owner));
    statements
        .add(
            "INSERT INTO transitions(run, n, state, cause, attempt, at, change) \
             SELECT run, steps - 1, ?, ?, ?, ?, changed FROM runs WHERE run = ?",
        )
        .bind(step.to.as_str())
        .bind(step.cause.as_str())
        .bind(attempt)
        .bind(step.at_ms)
        .bind(&*run)
        .and_if_written();
    attempts::step(&mut statements, step);
    leases::change(&mut statements, step.lease, step.run, &step.detail, step.at_ms);
    if let Some(body) = &step.told {
        notifications::tell_end(&mut statements, step.run, step.at_ms, body);
    }
    match statements.execute(db).await? {
        rows if rows.any() => Ok(()),
        _ => Err(LedgerError::Lost(step.run).into()),
    }
}
