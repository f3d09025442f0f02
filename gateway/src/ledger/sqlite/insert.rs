//! Recording a run, unless an earlier one answers.

use longhaul_proto::{api::Joined, faults, ids::RunId, state::RunState};
use prost::Message;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    attempts, blobs, leases, notifications, quotas,
    row::{number, parse},
    statements::{CHANGE, Statements},
    writer::Applied,
};
use crate::{
    ledger::{
        AttemptRow, Inserted, LedgerError, NewRun, UNKNOWN_BODY, is_call, joining::Candidate, runs::search_text, stored,
    },
    model::Principal,
};

/// The newest equal requests that are examined; an older one is missed only after that many requests with `again`.
const EQUALS: i64 = 16;

pub(super) async fn insert(db: &mut SqliteConnection, new: &NewRun) -> Applied<Inserted> {
    if let Some((earlier, why)) = named(db, new).await? {
        return Ok(Inserted::Joined(earlier, why));
    }
    if let Some((earlier, why)) = equal(db, new).await? {
        return Ok(Inserted::Joined(earlier, why));
    }
    if new.dedupe.only_join {
        return Err(LedgerError::Full.into());
    }
    quotas::check(db, &new.dedupe.rooms, new.record.state == RunState::Queued).await?;
    if !faults::bug("holds_are_not_checked") {
        blobs::may_hold(db, &new.record.principal, &new.blobs).await?;
    }
    insert_rows(db, new).await?;
    blobs::hold(db, new.record.run, &new.record.principal, &new.blobs).await?;
    Ok(Inserted::New)
}

async fn insert_rows(db: &mut SqliteConnection, new: &NewRun) -> Applied<()> {
    let record = &new.record;
    let run = record.run.to_string();
    let steps = new.first_steps();
    let mut statements = Statements::change(record.run);
    statements
        .add(
            "INSERT INTO runs(run, tail, principal, issuer, state, cause, attempt, steps, agent_id, host, pool, created, \
             finished, delivered, shape, code, spool_held, detail, name, words, owner, owner_epoch, changed) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, 0, ?, ?, ?, ?, ?, ",
        )
        .and(CHANGE)
        .and(") ON CONFLICT(run) DO NOTHING")
        .bind(&*run)
        .bind(record.run.short())
        .bind(record.principal.subject())
        .bind(record.principal.issuer())
        .bind(record.state.as_str())
        .bind(record.cause.as_str())
        .bind(number(record.attempt()))
        .bind(i64::try_from(steps.len()).unwrap_or(i64::MAX))
        .bind(record.agent_id())
        .bind(record.host())
        .bind(record.pool())
        .bind(record.created_ms)
        .bind(record.finished_ms)
        .bind(&*new.dedupe.shape)
        .bind(&*new.dedupe.code)
        .bind(stored::write(&record.detail)?)
        .bind(&*record.detail.asked.name)
        .bind(search_text(&record.detail))
        .bind(&*record.owner.gateway)
        .bind(leases::epoch(&record.owner));
    statements
        .add("INSERT INTO submissions(run, body) SELECT ?, ?")
        .bind(&*run)
        .bind(new.submission.encode_to_vec())
        .if_written();
    for step in &steps {
        statements
            .add("INSERT INTO transitions(run, n, state, cause, attempt, at, change) SELECT ?, ?, ?, ?, ?, ?, ")
            .and(CHANGE)
            .bind(&*run)
            .bind(step.n)
            .bind(step.state.as_str())
            .bind(step.cause.as_str())
            .bind(number(step.attempt))
            .bind(step.at_ms)
            .if_written();
    }
    if let Some(attempt) = AttemptRow::recorded(record) {
        attempts::insert(&mut statements, record.run, &attempt);
    }
    leases::change(&mut statements, new.lease, record.run, &record.detail, record.created_ms);
    notifications::of_run(&mut statements, record.run, &new.receivers);
    for key in &new.names() {
        // An imported run is older than any run that has its key now.
        name_run(&mut statements, &record.principal, key, record.run, Binding::Replace);
    }
    match statements.execute(db).await? {
        rows if rows.any() => Ok(()),
        _ => Err(LedgerError::Lost(record.run).into()),
    }
}

/// The columns of a [`Candidate`], in the order of [`candidate`].
const CANDIDATE: &str = "SELECT run, state, finished, delivered, cancel_by IS NOT NULL, code FROM runs ";

fn candidate(row: &SqliteRow) -> Result<Option<Candidate>, sqlx::Error> {
    let (Ok(run), Ok(state)) = (row.try_get::<&str, _>(0)?.parse(), row.try_get::<&str, _>(1)?.parse()) else {
        // The state is one of a newer version: its meaning is unknown, so this run answers nothing.
        return Ok(None);
    };
    let (finished_ms, shown_ms, cancelling) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    Ok(Some(Candidate { run, state, finished_ms, shown_ms, cancelling }))
}

/// The earlier run of the request's key or of the same call.
async fn named(db: &mut SqliteConnection, new: &NewRun) -> Applied<Option<(RunId, Joined)>> {
    let principal = &new.record.principal;
    for (key, body) in new.names().iter().filter(|_| !new.record.detail.origin.is_import()) {
        let row = sqlx::query("SELECT run, body FROM keys WHERE principal = ? AND issuer = ? AND key = ?")
            .bind(principal.subject())
            .bind(principal.issuer())
            .bind(key)
            .fetch_optional(&mut *db)
            .await?;
        let Some(row) = row else { continue };
        let earlier = parse(row.try_get(0)?)?;
        if is_call(key) {
            if same_call(db, new, earlier).await? {
                return Ok(Some((earlier, Joined::Call)));
            }
        } else if [body.as_str(), UNKNOWN_BODY].contains(&row.try_get::<&str, _>(1)?) {
            return Ok(Some((earlier, Joined::Key)));
        } else {
            return Err(LedgerError::KeyTaken(earlier).into());
        }
    }
    Ok(None)
}

/// Whether the run of the same call may answer.
async fn same_call(db: &mut SqliteConnection, new: &NewRun, run: RunId) -> Result<bool, sqlx::Error> {
    let query = sqlx::query(sqlx::AssertSqlSafe(format!("{CANDIDATE} WHERE run = ?"))).bind(run.to_string());
    let Some(row) = query.fetch_optional(db).await? else { return Ok(false) };
    Ok(candidate(&row)?.is_some_and(|run| new.dedupe.same_call(&run)))
}

/// An equal run that may answer, newest first.
async fn equal(db: &mut SqliteConnection, new: &NewRun) -> Result<Option<(RunId, Joined)>, sqlx::Error> {
    if new.dedupe.join_since_ms.is_none() {
        return Ok(None);
    }
    let query = format!("{CANDIDATE} WHERE shape = ? ORDER BY run DESC LIMIT ?");
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(&new.dedupe.shape).bind(EQUALS);
    for row in query.fetch_all(db).await? {
        let code: &str = row.try_get(5)?;
        let same = code == new.dedupe.code || code.is_empty() || new.dedupe.code.is_empty();
        if let Some(run) = candidate(&row)?.filter(|_| same)
            && let Some(why) = new.dedupe.equal(&run)
        {
            return Ok(Some((run.run, why)));
        }
    }
    Ok(None)
}

/// Which run has a key that names another run already.
#[derive(Clone, Copy)]
pub(super) enum Binding {
    /// The new one.
    Replace,
    /// The one that has it.
    Keep,
}

/// Binds an idempotency key to the run that answered it, even an existing one, so that retries resolve to it.
pub(super) fn name_run(
    to: &mut Statements,
    principal: &Principal,
    (key, body): &(String, String),
    run: RunId,
    binding: Binding,
) {
    let insert = match binding {
        Binding::Replace => "INSERT OR REPLACE INTO keys(principal, issuer, key, run, body) SELECT ?, ?, ?, ?, ?",
        Binding::Keep => "INSERT OR IGNORE INTO keys(principal, issuer, key, run, body) SELECT ?, ?, ?, ?, ?",
    };
    to.add(insert)
        .bind(principal.subject())
        .bind(principal.issuer())
        .bind(&**key)
        .bind(run.to_string())
        .bind(&**body)
        .if_written();
}
