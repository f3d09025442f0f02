//! The ledger's only writer: takes all waiting jobs, executes them in one transaction, commits once, and answers all.
//!
//! One `fsync` then serves every caller that came while the previous one was under way. When the database refuses a
//! job, the batch is rolled back and each of its jobs is tried alone, so that only the bad one fails.

use std::sync::Arc;

use longhaul_proto::{
    api::{FilesRemoved, Joined},
    faults,
    ids::RunId,
    state::RunState,
};
use prost::Message;
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteRow};
use tokio::sync::{mpsc, oneshot};

use super::{
    Adoption, AgentRecord, CALL, CancelWish, Candidate, Condition, Detail, DrainRecord, Inserted, LedgerError, NewRun,
    PinRecord, Stash, TokenRecord, Transition, UNKNOWN_BODY, is_call,
    sqlite::{ONE_RECORD, mode_word, record},
};
use crate::model::Principal;

/// Most jobs of one transaction: committing that many takes milliseconds, so that every caller's wait stays short.
const BATCH: usize = 256;
/// The newest equal requests that are examined; an older one is missed only after that many requests with `again`.
const EQUALS: i64 = 16;

pub(super) enum Op {
    Insert(Box<NewRun>),
    Step(Box<Transition>),
    WantCancel(RunId, CancelWish),
    NameRun(Principal, (String, String), RunId),
    Seen(Vec<RunId>, i64),
    CallSweep(i64, u32),
    SpoolGone(RunId, Option<String>),
    OnlyFilesKept(RunId),
    FilesRemoved(RunId, FilesRemoved),
    Adopt(Box<Adoption>),
    Contest(RunId, String),
    Sweep(i64, u32, Vec<String>, i64),
    Remove(RunId, i64),
    RemovedSweep(i64, u32),
    PutAgent(Box<AgentRecord>),
    PutPin(Box<PinRecord>),
    Drain(Vec<DrainRecord>),
    Resume(Vec<String>),
    TokenAdd(TokenRecord),
    TokenRevoke(String, i64),
    MemoPut(Stash),
    MemoRemove(String, String),
    MemoSweep(i64, u32),
    Check,
    Close,
}

#[derive(Debug, PartialEq)]
pub(super) enum Done {
    Nothing,
    Changed(bool),
    Inserted(Inserted),
    Runs(Vec<RunId>),
    Removed(u32),
}

pub(super) struct Job {
    pub(super) op: Op,
    pub(super) answer: oneshot::Sender<Result<Done, LedgerError>>,
}

pub(super) struct Writer {
    connection: SqliteConnection,
    inbox: mpsc::Receiver<Job>,
}

/// The outcome of one job: the outer `Err` is the database's failure, the inner one the caller's.
type Applied = Result<Result<Done, LedgerError>, sqlx::Error>;

impl Writer {
    pub(super) fn new(connection: SqliteConnection, inbox: mpsc::Receiver<Job>) -> Self {
        Self { connection, inbox }
    }

    pub(super) async fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH);
        while self.inbox.recv_many(&mut jobs, BATCH).await > 0 {
            let closing = jobs.iter().any(|job| matches!(job.op, Op::Close));
            if closing {
                self.inbox.close();
            }
            if let Err(error) = self.batch(&mut jobs).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "a batch failed; trying its jobs one by one");
                for job in jobs.drain(..) {
                    let mut alone = vec![job];
                    if let Err(error) = self.batch(&mut alone).await {
                        let error: Arc<dyn std::error::Error + Send + Sync> = Arc::new(error);
                        for job in alone {
                            let _ = job.answer.send(Err(LedgerError::Storage(error.clone())));
                        }
                    }
                }
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the ledger did not close cleanly");
        }
    }

    /// Executes all jobs in one transaction and answers them; at an error none is executed and all remain in `jobs`.
    async fn batch(&mut self, jobs: &mut Vec<Job>) -> Result<(), sqlx::Error> {
        let came = match self.transact(jobs).await {
            Ok(came) => came,
            Err(error) => {
                // After some errors, such as a full disk, SQLite has already rolled back; then this fails, which is
                // fine. The transactions are plain statements for this reason: a wrapper that counts them would wait
                // for this one for ever.
                let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
                return Err(error);
            }
        };
        for (job, result) in jobs.drain(..).zip(came) {
            // A caller that went away gets no answer; its job is executed all the same.
            let _ = job.answer.send(result);
        }
        Ok(())
    }

    async fn transact(&mut self, jobs: &[Job]) -> Result<Vec<Result<Done, LedgerError>>, sqlx::Error> {
        let db = &mut self.connection;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *db).await?;
        let mut came = Vec::with_capacity(jobs.len());
        for job in jobs {
            came.push(apply(db, &job.op).await?);
        }
        faults::check("ledger.before_commit")?;
        sqlx::query("COMMIT").execute(&mut *db).await?;
        faults::check("ledger.after_commit")?;
        Ok(came)
    }
}

async fn apply(db: &mut SqliteConnection, op: &Op) -> Applied {
    match op {
        Op::Insert(new) => insert(db, new).await,
        Op::Step(step) => transition(db, step).await,
        Op::WantCancel(run, wish) => {
            // The first request names who asked; a later one only makes it harder.
            let result = sqlx::query(
                "UPDATE runs SET cancel_by = coalesce(cancel_by, ?), cancel_at = coalesce(cancel_at, ?), cancel_mode = ? \
                 WHERE run = ? AND state IN ('queued', 'starting', 'running', 'lost')",
            )
            .bind(&wish.by)
            .bind(wish.at_ms)
            .bind(mode_word(wish.mode))
            .bind(run.to_string())
            .execute(db)
            .await?;
            Ok(Ok(Done::Changed(result.rows_affected() > 0)))
        }
        Op::NameRun(principal, key, run) => {
            name_run(db, principal, key, &run.to_string(), is_call(&key.0)).await?;
            Ok(Ok(Done::Nothing))
        }
        Op::Seen(runs, at_ms) => {
            for run in runs {
                // The column still has the name of its first meaning.
                sqlx::query("UPDATE runs SET delivered = ? WHERE run = ? AND delivered = 0 AND finished > 0")
                    .bind(at_ms)
                    .bind(run.to_string())
                    .execute(&mut *db)
                    .await?;
            }
            Ok(Ok(Done::Nothing))
        }
        Op::CallSweep(before_ms, limit) => {
            let result = sqlx::query(
                "DELETE FROM keys WHERE (principal, issuer, key) IN (SELECT k.principal, k.issuer, k.key FROM keys k JOIN runs r ON r.run = k.run \
                 WHERE k.key >= ? AND k.key < ? AND r.finished > 0 AND r.finished < ? LIMIT ?)",
            )
            .bind(CALL)
            .bind(format!("{CALL}\u{7f}"))
            .bind(before_ms)
            .bind(limit)
            .execute(db)
            .await?;
            Ok(Ok(Done::Removed(u32::try_from(result.rows_affected()).unwrap_or(u32::MAX))))
        }
        Op::SpoolGone(run, words) => spool_gone(db, *run, words.as_deref()).await,
        Op::OnlyFilesKept(run) => {
            sqlx::query("UPDATE runs SET spool_held = 2 WHERE run = ? AND spool_held > 0")
                .bind(run.to_string())
                .execute(db)
                .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::FilesRemoved(run, what) => {
            let what = match serde_json::to_string(what) {
                Ok(what) => what,
                Err(error) => return Ok(Err(LedgerError::Broken(error.to_string()))),
            };
            sqlx::query(
                "UPDATE runs SET detail = json_set(detail, '$.files_removed', json(?)) WHERE run = ? AND finished > 0",
            )
            .bind(what)
            .bind(run.to_string())
            .execute(db)
            .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::Sweep(before_ms, limit, here, at_ms) => sweep(db, *before_ms, *limit, here, *at_ms).await,
        Op::RemovedSweep(before_ms, most) => {
            sqlx::query("DELETE FROM removed WHERE at < ?").bind(before_ms).execute(&mut *db).await?;
            sqlx::query(
                "DELETE FROM removed WHERE run IN (SELECT run FROM removed ORDER BY at DESC LIMIT -1 OFFSET ?)",
            )
            .bind(most)
            .execute(db)
            .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::Adopt(adoption) => adopt(db, adoption).await,
        Op::Contest(run, words) => {
            let run = run.to_string();
            let row = sqlx::query("SELECT detail FROM runs WHERE run = ?").bind(&run).fetch_optional(&mut *db).await?;
            let changed = match row {
                None => Ok(None),
                Some(row) => changed(row.try_get(0)?, |detail| detail.contest(words)),
            };
            keep_detail(db, &run, changed).await
        }
        Op::Remove(run, at_ms) => {
            let run = run.to_string();
            let ended =
                sqlx::query("SELECT 1 FROM runs WHERE run = ? AND finished > 0").bind(&run).fetch_optional(&mut *db);
            let ended = ended.await?.is_some();
            if ended {
                remove(db, &run, *at_ms).await?;
            }
            Ok(Ok(Done::Changed(ended)))
        }
        Op::PutAgent(agent) => {
            sqlx::query("INSERT INTO agents(agent_id, seen, info) VALUES (?, ?, ?) ON CONFLICT(agent_id) DO UPDATE SET seen = excluded.seen, info = excluded.info")
                .bind(&agent.info.agent_id)
                .bind(agent.seen_ms)
                .bind(agent.info.encode_to_vec())
                .execute(db)
                .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::PutPin(pin) => {
            sqlx::query("INSERT OR REPLACE INTO pins(key, agent_id, name, state, at, by) VALUES (?, ?, ?, ?, ?, ?)")
                .bind(pin.key.to_string())
                .bind(&pin.agent_id)
                .bind(&pin.name)
                .bind(pin.state.as_str())
                .bind(pin.at_ms)
                .bind(&pin.by)
                .execute(db)
                .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::Drain(hosts) => {
            for drain in hosts {
                sqlx::query("INSERT OR REPLACE INTO drains(host, by, reason, at) VALUES (?, ?, ?, ?)")
                    .bind(&drain.host)
                    .bind(&drain.by)
                    .bind(&drain.reason)
                    .bind(drain.at_ms)
                    .execute(&mut *db)
                    .await?;
            }
            Ok(Ok(Done::Nothing))
        }
        Op::Resume(hosts) => {
            for host in hosts {
                sqlx::query("DELETE FROM drains WHERE host = ?").bind(host).execute(&mut *db).await?;
            }
            Ok(Ok(Done::Nothing))
        }
        Op::TokenAdd(token) => {
            let result = sqlx::query(
                "INSERT OR IGNORE INTO tokens(name, principal, issuer, sha256, scope, created, expires, revoked) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&token.name)
            .bind(token.principal.subject())
            .bind(token.principal.issuer())
            .bind(&token.sha256)
            .bind(token.scope.as_str())
            .bind(token.created_ms)
            .bind(token.expires_ms)
            .bind(token.revoked_ms)
            .execute(db)
            .await?;
            Ok(Ok(Done::Changed(result.rows_affected() > 0)))
        }
        Op::TokenRevoke(name, at_ms) => {
            let result = sqlx::query("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL")
                .bind(at_ms)
                .bind(name)
                .execute(db)
                .await?;
            Ok(Ok(Done::Changed(result.rows_affected() > 0)))
        }
        Op::MemoPut(memo) => {
            sqlx::query(
                "INSERT OR REPLACE INTO memos(kind, name, principal, issuer, created, body) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(&memo.kind)
            .bind(&memo.name)
            .bind(memo.principal.subject())
            .bind(memo.principal.issuer())
            .bind(memo.created_ms)
            .bind(&memo.body)
            .execute(db)
            .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::MemoRemove(kind, name) => {
            sqlx::query("DELETE FROM memos WHERE kind = ? AND name = ?").bind(kind).bind(name).execute(db).await?;
            Ok(Ok(Done::Nothing))
        }
        Op::MemoSweep(before_ms, most) => {
            sqlx::query("DELETE FROM memos WHERE created < ?").bind(before_ms).execute(&mut *db).await?;
            sqlx::query(
                "DELETE FROM memos WHERE (kind, name) IN \
                 (SELECT kind, name FROM memos ORDER BY created DESC LIMIT -1 OFFSET ?)",
            )
            .bind(most)
            .execute(db)
            .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::Check => {
            sqlx::query(
                "INSERT INTO meta(name, value) VALUES ('checked', '') ON CONFLICT(name) DO UPDATE SET value = ''",
            )
            .execute(db)
            .await?;
            Ok(Ok(Done::Nothing))
        }
        Op::Close => Ok(Ok(Done::Nothing)),
    }
}

async fn insert(db: &mut SqliteConnection, new: &NewRun) -> Applied {
    let record = &new.record;
    let run = record.run.to_string();
    let names = new.names();
    for (key, body) in names.iter().filter(|_| !record.detail.imported) {
        let row = sqlx::query("SELECT run, body FROM keys WHERE principal = ? AND issuer = ? AND key = ?")
            .bind(record.principal.subject())
            .bind(record.principal.issuer())
            .bind(key)
            .fetch_optional(&mut *db)
            .await?;
        if let Some(row) = row {
            let earlier = match run_of(row.try_get(0)?) {
                Ok(earlier) => earlier,
                Err(error) => return Ok(Err(error)),
            };
            let same = [body.as_str(), UNKNOWN_BODY].contains(&row.try_get::<&str, _>(1)?);
            match is_call(key) {
                false if same => return Ok(Ok(Done::Inserted(Inserted::Joined(earlier, Joined::Key)))),
                false => return Ok(Err(LedgerError::KeyTaken(earlier))),
                true if same_call(db, new, earlier).await? => {
                    return Ok(Ok(Done::Inserted(Inserted::Joined(earlier, Joined::Call))));
                }
                true => {}
            }
        }
    }
    if let Some((earlier, why)) = equal(db, new).await? {
        return Ok(Ok(Done::Inserted(Inserted::Joined(earlier, why))));
    }
    if new.dedupe.only_join {
        return Ok(Err(LedgerError::Full));
    }
    let detail = match serde_json::to_string(&record.detail) {
        Ok(detail) => detail,
        Err(error) => return Ok(Err(LedgerError::Broken(error.to_string()))),
    };
    let done = sqlx::query(
        "INSERT INTO runs(run, tail, principal, issuer, state, cause, attempt, steps, agent_id, host, pool, created, \
         finished, delivered, shape, code, spool_held, detail) \
         VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, 0, ?, ?, 0, ?) \
         ON CONFLICT(run) DO NOTHING",
    )
    .bind(&run)
    .bind(record.run.short())
    .bind(record.principal.subject())
    .bind(record.principal.issuer())
    .bind(record.state.as_str())
    .bind(record.cause.as_str())
    .bind(record.attempt)
    .bind(&record.agent_id)
    .bind(&record.host)
    .bind(&record.pool)
    .bind(record.created_ms)
    .bind(record.finished_ms)
    .bind(&new.dedupe.shape)
    .bind(&new.dedupe.code)
    .bind(detail)
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(Err(LedgerError::LostRace(record.run)));
    }
    sqlx::query("INSERT INTO submissions(run, body) VALUES (?, ?)")
        .bind(&run)
        .bind(new.submission.encode_to_vec())
        .execute(&mut *db)
        .await?;
    sqlx::query("INSERT INTO transitions(run, n, state, cause, attempt, at) VALUES (?, 0, ?, ?, ?, ?)")
        .bind(&run)
        .bind(record.state.as_str())
        .bind(record.cause.as_str())
        .bind(record.attempt)
        .bind(record.created_ms)
        .execute(&mut *db)
        .await?;
    for key in &names {
        // An imported run is older than any run that has its key now.
        name_run(db, &record.principal, key, &run, true).await?;
    }
    Ok(Ok(Done::Inserted(Inserted::New)))
}

/// The columns of a [`Candidate`], in the order of [`candidate`].
const CANDIDATE: &str = "SELECT run, state, finished, delivered, cancel_by IS NOT NULL, code FROM runs ";

fn candidate(row: &SqliteRow) -> Result<Option<Candidate>, sqlx::Error> {
    let (Ok(run), Ok(state)) = (row.try_get::<&str, _>(0)?.parse(), row.try_get::<&str, _>(1)?.parse()) else {
        // The state is one of a newer version: its meaning is unknown, so this run answers nothing.
        return Ok(None);
    };
    let (finished_ms, seen_ms, cancelling) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    Ok(Some(Candidate { run, state, finished_ms, seen_ms, cancelling }))
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

/// Binds an idempotency key to the run that answered it, even an existing one, so that retries resolve to it.
async fn name_run(
    db: &mut SqliteConnection,
    principal: &Principal,
    (key, body): &(String, String),
    run: &str,
    replace: bool,
) -> Result<(), sqlx::Error> {
    let query = if replace {
        "INSERT OR REPLACE INTO keys(principal, issuer, key, run, body) VALUES (?, ?, ?, ?, ?)"
    } else {
        "INSERT OR IGNORE INTO keys(principal, issuer, key, run, body) VALUES (?, ?, ?, ?, ?)"
    };
    sqlx::query(query)
        .bind(principal.subject())
        .bind(principal.issuer())
        .bind(key)
        .bind(run)
        .bind(body)
        .execute(db)
        .await?;
    Ok(())
}

async fn transition(db: &mut SqliteConnection, step: &Transition) -> Applied {
    let run = step.run.to_string();
    let (agent, host, pool) = match &step.given_to {
        Some((agent, host, pool)) => (Some(agent), Some(host), Some(pool)),
        None => (None, None, None),
    };
    let detail = match step.detail.as_ref().map(serde_json::to_string).transpose() {
        Ok(detail) => detail,
        Err(error) => return Ok(Err(LedgerError::Broken(error.to_string()))),
    };
    let ended = step.to.is_end();
    // A run that may return ([`RunState::Lost`]) keeps its spool; of any other ended run the spool may be deleted.
    let held = ended && step.to != RunState::Lost;
    let whole = step.detail.as_ref().is_some_and(|d| d.complete);
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
    .bind(whole)
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
        return Ok(Err(LedgerError::LostRace(step.run)));
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
    Ok(Ok(Done::Nothing))
}

async fn spool_gone(db: &mut SqliteConnection, run: RunId, words: Option<&str>) -> Applied {
    let run = run.to_string();
    sqlx::query("UPDATE runs SET spool_held = 0 WHERE run = ?").bind(&run).execute(&mut *db).await?;
    let Some(words) = words else { return Ok(Ok(Done::Nothing)) };
    let row = sqlx::query("SELECT detail FROM runs WHERE run = ?").bind(&run).fetch_optional(&mut *db).await?;
    let Some(row) = row else { return Ok(Ok(Done::Nothing)) };
    let detail = serde_json::from_str(row.try_get(0)?).and_then(|mut detail: Detail| {
        detail.set(Condition::Released, words);
        serde_json::to_string(&detail)
    });
    let detail = match detail {
        Ok(detail) => detail,
        Err(error) => return Ok(Err(LedgerError::Broken(error.to_string()))),
    };
    sqlx::query("UPDATE runs SET detail = ? WHERE run = ?").bind(detail).bind(&run).execute(db).await?;
    Ok(Ok(Done::Nothing))
}

/// A detail after a change; `None` = the change did nothing.
fn changed(detail: &str, change: impl FnOnce(&mut Detail) -> bool) -> Result<Option<String>, LedgerError> {
    let broken = |e: serde_json::Error| LedgerError::Broken(e.to_string());
    let mut detail: Detail = serde_json::from_str(detail).map_err(broken)?;
    if !change(&mut detail) {
        return Ok(None);
    }
    serde_json::to_string(&detail).map(Some).map_err(broken)
}

async fn keep_detail(db: &mut SqliteConnection, run: &str, detail: Result<Option<String>, LedgerError>) -> Applied {
    let detail = match detail {
        Ok(Some(detail)) => detail,
        Ok(None) => return Ok(Ok(Done::Changed(false))),
        Err(error) => return Ok(Err(error)),
    };
    sqlx::query("UPDATE runs SET detail = ? WHERE run = ?").bind(detail).bind(run).execute(db).await?;
    Ok(Ok(Done::Changed(true)))
}

/// Gives an unverified run to its principal.
async fn adopt(db: &mut SqliteConnection, adoption: &Adoption) -> Applied {
    let Adoption { run, principal, key, dedupe } = adoption;
    let run = run.to_string();
    let row = sqlx::query("SELECT detail FROM runs WHERE run = ? AND principal = ''");
    let Some(row) = row.bind(&run).fetch_optional(&mut *db).await? else { return Ok(Ok(Done::Changed(false))) };
    let detail = changed(row.try_get(0)?, |detail| {
        detail.unverified = false;
        detail.claims = Principal::default();
        true
    });
    if detail.is_err() {
        return keep_detail(db, &run, detail).await;
    }
    sqlx::query("UPDATE runs SET principal = ?, issuer = ?, shape = ?, code = ? WHERE run = ?")
        .bind(principal.subject())
        .bind(principal.issuer())
        .bind(&dedupe.shape)
        .bind(&dedupe.code)
        .bind(&run)
        .execute(&mut *db)
        .await?;
    if let Some((key, body)) = key {
        sqlx::query("INSERT OR IGNORE INTO keys(principal, issuer, key, run, body) VALUES (?, ?, ?, ?, ?)")
            .bind(principal.subject())
            .bind(principal.issuer())
            .bind(key)
            .bind(&run)
            .bind(body)
            .execute(&mut *db)
            .await?;
    }
    keep_detail(db, &run, detail).await
}

async fn sweep(db: &mut SqliteConnection, before_ms: i64, limit: u32, here: &[String], at_ms: i64) -> Applied {
    let here = match serde_json::to_string(here) {
        Ok(here) => here,
        Err(error) => return Ok(Err(LedgerError::Broken(error.to_string()))),
    };
    let rows = sqlx::query(
        "SELECT run FROM runs WHERE finished > 0 AND finished < ? \
         AND NOT (spool_held > 0 AND agent_id IN (SELECT value FROM json_each(?))) ORDER BY finished, run LIMIT ?",
    )
    .bind(before_ms)
    .bind(here)
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    let mut gone = Vec::with_capacity(rows.len());
    for row in rows {
        let run: String = row.try_get(0)?;
        remove(db, &run, at_ms).await?;
        match run_of(&run) {
            Ok(run) => gone.push(run),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(Done::Runs(gone)))
}

async fn remove(db: &mut SqliteConnection, run: &str, at_ms: i64) -> Result<(), sqlx::Error> {
    let row = sqlx::query(ONE_RECORD).bind(run).fetch_optional(&mut *db).await?;
    // A record that cannot be understood is removed too; then nothing is remembered of it.
    if let Some(removed) = row.and_then(|row| record(&row).ok()).and_then(|record| record.removed()) {
        sqlx::query("INSERT OR REPLACE INTO removed(run, at, body) VALUES (?, ?, ?)")
            .bind(run)
            .bind(at_ms)
            .bind(serde_json::to_string(&removed).unwrap_or_default())
            .execute(&mut *db)
            .await?;
    }
    for delete in [
        "DELETE FROM runs WHERE run = ?",
        "DELETE FROM submissions WHERE run = ?",
        "DELETE FROM transitions WHERE run = ?",
        "DELETE FROM keys WHERE run = ?",
    ] {
        sqlx::query(delete).bind(run).execute(&mut *db).await?;
    }
    Ok(())
}

fn run_of(text: &str) -> Result<RunId, LedgerError> {
    text.parse().map_err(|_| LedgerError::Broken(format!("run id {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full disk makes SQLite roll back by itself; the next write must not find itself in a transaction.
    #[tokio::test]
    async fn a_full_database_can_be_written_again_when_there_is_room() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        super::super::schema::migrate(&mut connection).await.unwrap();
        let pages: i64 = sqlx::query("PRAGMA page_count").fetch_one(&mut connection).await.unwrap().get(0);
        let limit = async |db: &mut SqliteConnection, pages: i64| {
            sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"))).execute(db).await.unwrap();
        };
        let (_sender, inbox) = mpsc::channel(1);
        let mut writer = Writer::new(connection, inbox);
        let job = || {
            let (answer, answered) = oneshot::channel();
            let memo = Stash {
                kind: "large".into(),
                name: "one".into(),
                principal: Principal::local("ada"),
                created_ms: 1,
                body: "x".repeat(1 << 20),
            };
            (vec![Job { op: Op::MemoPut(memo), answer }], answered)
        };
        limit(&mut writer.connection, pages).await;
        for _ in 0..2 {
            let (mut jobs, _answered) = job();
            let error = writer.batch(&mut jobs).await.unwrap_err();
            assert!(error.to_string().contains("full"), "{error}");
        }
        limit(&mut writer.connection, pages + 10_000).await;
        let (mut jobs, answered) = job();
        writer.batch(&mut jobs).await.unwrap();
        assert_eq!(answered.await.unwrap().unwrap(), Done::Nothing);
    }
}
