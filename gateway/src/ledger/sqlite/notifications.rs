//! Who is told of the ends of runs, and what is still to be told.

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_proto::ids::RunId;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{SqliteLedger, row::parse, rows, statements::Statements, storage, writer::Applied};
use crate::{
    ledger::{
        Answer, LedgerError, Notification, NotificationKey, NotificationState, NotificationStore, ReceiverAdded,
        ReceiverRecord, Signing, SigningChange, Tried, Waiting, notifications::RUN_RECEIVERS,
    },
    model::Principal,
};

/// What is due, by the index on the time.
pub(super) const DUE: &str = "SELECT * FROM notifications WHERE ended = 0 AND due <= ? ORDER BY due LIMIT ?";
/// How much waits.
pub(super) const WAITING: &str =
    "SELECT count(*), coalesce(min(made), 0), coalesce(min(due), 0) FROM notifications WHERE ended = 0";
/// What the runs of a principal told.
pub(super) const OF: &str = "SELECT * FROM notifications WHERE principal = ? AND issuer = ? \
                             ORDER BY made DESC, run DESC, n DESC, address DESC LIMIT ?";
/// What was told long ago.
pub(super) const OLD: &str =
    "SELECT run, n, address FROM notifications WHERE ended > 0 AND ended < ? ORDER BY ended LIMIT ?";

/// Adds the receivers of a new run.
pub(super) fn of_run(to: &mut Statements, run: RunId, receivers: &[String]) {
    for address in receivers {
        let insert = "INSERT OR IGNORE INTO run_receivers(run, address) SELECT ?, ?";
        to.add(insert).bind(run.to_string()).bind(&**address).if_written();
    }
}

/// Adds what is told of the end that is being recorded: to each receiver of the run and of its principal once.
pub(super) fn tell_end(to: &mut Statements, run: RunId, at_ms: i64, body: &str) {
    for from in ["receivers v ON v.principal = r.principal AND v.issuer = r.issuer", "run_receivers v ON v.run = r.run"]
    {
        to.add(
            "INSERT OR IGNORE INTO notifications(run, n, address, principal, issuer, made, due, tries, ended, state, \
             problem, body) SELECT r.run, r.steps - 1, v.address, r.principal, r.issuer, ?, ?, 0, 0, ?, '', ? \
             FROM runs r JOIN ",
        )
        .and(from)
        .and(" WHERE r.run = ?")
        .bind(at_ms)
        .bind(at_ms)
        .bind(NotificationState::Waiting.as_str())
        .bind(body)
        .bind(run.to_string())
        .and_if_written();
    }
}

fn notification(row: &SqliteRow) -> Result<Notification, LedgerError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(storage);
    let time = |name: &str| row.try_get::<i64, _>(name).map_err(storage);
    let count = |name: &str| row.try_get::<u32, _>(name).map_err(storage);
    let state = text("state")?;
    let unknown = || LedgerError::Broken(format!("a notification has the state {state}"));
    Ok(Notification {
        key: NotificationKey { run: parse(&text("run")?)?, n: count("n")?, address: text("address")? },
        principal: Principal::new(text("issuer")?, text("principal")?),
        made_ms: time("made")?,
        due_ms: time("due")?,
        tries: count("tries")?,
        state: NotificationState::of(&state).ok_or_else(unknown)?,
        ended_ms: time("ended")?,
        problem: text("problem")?,
        body: text("body")?,
    })
}

fn receiver(row: &SqliteRow) -> Result<ReceiverRecord, LedgerError> {
    let read = || -> Result<_, sqlx::Error> {
        let principal = Principal::new(row.try_get::<String, _>("issuer")?, row.try_get::<String, _>("principal")?);
        Ok(ReceiverRecord { principal, address: row.try_get("address")?, created_ms: row.try_get("created")? })
    };
    read().map_err(storage)
}

impl NotificationStore for SqliteLedger {
    fn tell(&self, run: RunId, receivers: Vec<String>) -> Answer<'_, bool> {
        self.write((run, receivers), |db, (run, receivers)| tell(db, *run, receivers).boxed())
    }

    fn receiver_add(&self, receiver: ReceiverRecord, most: u32) -> Answer<'_, ReceiverAdded> {
        self.write((receiver, most), |db, (receiver, most)| receiver_add(db, receiver, *most).boxed())
    }

    fn receiver_remove(&self, principal: Principal, address: String) -> Answer<'_, bool> {
        self.write((principal, address), |db, (principal, address)| {
            let delete = sqlx::query("DELETE FROM receivers WHERE principal = ? AND issuer = ? AND address = ?")
                .bind(principal.subject())
                .bind(principal.issuer())
                .bind(address);
            async move { Ok(delete.execute(db).await?.rows_affected() > 0) }.boxed()
        })
    }

    fn receivers<'a>(&'a self, principal: &'a Principal) -> Answer<'a, Vec<ReceiverRecord>> {
        let query = sqlx::query("SELECT * FROM receivers WHERE principal = ? AND issuer = ? ORDER BY address");
        async move {
            let query = query.bind(principal.subject()).bind(principal.issuer());
            rows(&self.readers, query, receiver).await
        }
        .boxed()
    }

    fn notifications_due(&self, now_ms: i64, limit: u32) -> Answer<'_, Vec<Notification>> {
        async move { rows(&self.readers, sqlx::query(DUE).bind(now_ms).bind(limit), notification).await }.boxed()
    }

    fn notifications_waiting(&self) -> Answer<'_, Waiting> {
        async move {
            let row = sqlx::query(WAITING).fetch_one(&self.readers).await.map_err(storage)?;
            let count: i64 = row.try_get(0).map_err(storage)?;
            let (oldest_ms, next_ms) = (row.try_get(1).map_err(storage)?, row.try_get(2).map_err(storage)?);
            Ok(Waiting { count: u64::try_from(count).unwrap_or_default(), oldest_ms, next_ms })
        }
        .boxed()
    }

    fn notification_tried(&self, of: NotificationKey, tried: Tried) -> Answer<'_, bool> {
        self.write((of, tried), |db, (of, tried)| {
            let waits = tried.state == NotificationState::Waiting;
            let update = sqlx::query(
                "UPDATE notifications SET state = ?, ended = ?, due = ?, tries = ?, problem = ? \
                 WHERE run = ? AND n = ? AND address = ? AND ended = 0",
            )
            .bind(tried.state.as_str())
            .bind(if waits { 0 } else { tried.at_ms })
            .bind(tried.due_ms)
            .bind(tried.tries)
            .bind(&tried.problem)
            .bind(of.run.to_string())
            .bind(of.n)
            .bind(&of.address);
            async move { Ok(update.execute(db).await?.rows_affected() > 0) }.boxed()
        })
    }

    fn notifications_of<'a>(&'a self, principal: &'a Principal, limit: u32) -> Answer<'a, Vec<Notification>> {
        async move {
            let query = sqlx::query(OF).bind(principal.subject()).bind(principal.issuer()).bind(limit);
            rows(&self.readers, query, notification).await
        }
        .boxed()
    }

    fn notification_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        self.write((before_ms, limit), |db, (before_ms, limit)| {
            let delete = format!("DELETE FROM notifications WHERE (run, n, address) IN ({OLD})");
            async move {
                let delete = sqlx::query(sqlx::AssertSqlSafe(delete)).bind(before_ms).bind(limit);
                Ok(u32::try_from(delete.execute(db).await?.rows_affected()).unwrap_or(u32::MAX))
            }
            .boxed()
        })
    }

    fn signing(&self, principal: Principal, change: SigningChange) -> Answer<'_, Signing> {
        self.write((principal, change), |db, (principal, change)| signing(db, principal, change).boxed())
    }
}

async fn tell(db: &mut SqliteConnection, run: RunId, receivers: &[String]) -> Applied<bool> {
    let run = run.to_string();
    let open = sqlx::query("SELECT 1 FROM runs WHERE run = ? AND state IN ('queued', 'starting', 'running', 'lost')");
    if open.bind(&run).fetch_optional(&mut *db).await?.is_none() {
        return Ok(false);
    }
    for address in receivers {
        let insert = "INSERT OR IGNORE INTO run_receivers(run, address) SELECT ?1, ?2 \
                      WHERE (SELECT count(*) FROM run_receivers WHERE run = ?1) < ?3";
        sqlx::query(insert).bind(&run).bind(address).bind(RUN_RECEIVERS).execute(&mut *db).await?;
    }
    Ok(true)
}

async fn receiver_add(db: &mut SqliteConnection, receiver: &ReceiverRecord, most: u32) -> Applied<ReceiverAdded> {
    let principal = &receiver.principal;
    let count =
        sqlx::query("SELECT count(*), coalesce(sum(address = ?), 0) FROM receivers WHERE principal = ? AND issuer = ?")
            .bind(&receiver.address)
            .bind(principal.subject())
            .bind(principal.issuer())
            .fetch_one(&mut *db)
            .await?;
    let (count, same): (i64, i64) = (count.try_get(0)?, count.try_get(1)?);
    if same > 0 {
        return Ok(ReceiverAdded::Known);
    }
    if count >= i64::from(most) {
        return Ok(ReceiverAdded::Full);
    }
    sqlx::query("INSERT INTO receivers(principal, issuer, address, created) VALUES (?, ?, ?, ?)")
        .bind(principal.subject())
        .bind(principal.issuer())
        .bind(&receiver.address)
        .bind(receiver.created_ms)
        .execute(db)
        .await?;
    Ok(ReceiverAdded::New)
}

async fn signing(db: &mut SqliteConnection, principal: &Principal, change: &SigningChange) -> Applied<Signing> {
    let (SigningChange::Keep { salt, at_ms }
    | SigningChange::Show { salt, at_ms }
    | SigningChange::Rotate { salt, at_ms, .. }) = change;
    sqlx::query("INSERT OR IGNORE INTO signing(principal, issuer, salt, made, shown, before, before_until) VALUES (?, ?, ?, ?, 0, '', 0)")
        .bind(principal.subject())
        .bind(principal.issuer())
        .bind(salt)
        .bind(at_ms)
        .execute(&mut *db)
        .await?;
    if let SigningChange::Rotate { before_until_ms, .. } = change {
        sqlx::query(
            "UPDATE signing SET before = salt, before_until = ?1, salt = ?2, made = ?3 \
             WHERE principal = ?4 AND issuer = ?5 AND salt <> ?2",
        )
        .bind(before_until_ms)
        .bind(salt)
        .bind(at_ms)
        .bind(principal.subject())
        .bind(principal.issuer())
        .execute(&mut *db)
        .await?;
        show(db, principal, *at_ms, true).await?;
    }
    let row =
        sqlx::query("SELECT salt, made, shown, before, before_until FROM signing WHERE principal = ? AND issuer = ?")
            .bind(principal.subject())
            .bind(principal.issuer())
            .fetch_one(&mut *db)
            .await?;
    let found = Signing {
        salt: row.try_get(0)?,
        made_ms: row.try_get(1)?,
        shown_ms: row.try_get(2)?,
        before: row.try_get(3)?,
        before_until_ms: row.try_get(4)?,
    };
    if matches!(change, SigningChange::Show { .. }) {
        show(db, principal, *at_ms, false).await?;
    }
    Ok(found)
}

/// Notes that the secret was shown: again, or for the first time.
fn show<'a>(
    db: &'a mut SqliteConnection,
    principal: &'a Principal,
    at_ms: i64,
    again: bool,
) -> BoxFuture<'a, Result<(), sqlx::Error>> {
    let update = "UPDATE signing SET shown = ?1 WHERE principal = ?2 AND issuer = ?3 AND (shown = 0 OR ?4)";
    let update = sqlx::query(update).bind(at_ms).bind(principal.subject()).bind(principal.issuer()).bind(again);
    async move { update.execute(db).await.map(drop) }.boxed()
}
