//! The ledger in SQLite: WAL, `synchronous=FULL`, one writer with group commit, and a pool of readers.

use std::{path::Path, str::FromStr, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_proto::{
    api::{CancelMode, FilesRemoved},
    ids::RunId,
    tasks::Tasks,
    wire,
};
use prost::Message;
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    Adoption, AgentRecord, Answer, CancelWish, DrainRecord, Ended, Inserted, Ledger, LedgerError, ListQuery, NewRun,
    PinRecord, PinState, Record, Removed, Stash, TokenRecord, Transition, TransitionRow, disk, schema,
    writer::{Done, Job, Op, Writer},
};
use crate::model::Principal;

/// Readers beside the writer; SQLite reads in parallel under WAL, and more readers than cores bring nothing.
const READERS: u32 = 4;
/// Jobs that may wait for the writer; beyond that, callers wait for room.
const WAITING_JOBS: usize = 4096;

/// Wraps an error of the database.
pub(super) fn storage(error: sqlx::Error) -> LedgerError {
    LedgerError::Storage(Arc::new(error))
}

/// The ledger of one gateway, in one file.
pub struct SqliteLedger {
    cluster_id: String,
    readers: SqlitePool,
    jobs: mpsc::Sender<Job>,
    writer: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl SqliteLedger {
    /// Opens or creates `ledger.sqlite` in `folder`. `cluster_id` names a ledger that is created now.
    ///
    /// # Errors
    /// When the folder is on a network file system, the file is newer than this program, or cannot be written.
    pub async fn open(folder: &Path, cluster_id: &str, tasks: &Tasks) -> Result<Self, LedgerError> {
        disk::refuse_network(folder)?;
        let path = folder.join("ledger.sqlite");
        // SQLite gives its side files the mode of the main file, so that mode must be right from the start.
        longhaul_proto::durable::open_append(&path).map_err(|e| LedgerError::Storage(Arc::new(e)))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false)
            .busy_timeout(std::time::Duration::from_secs(10))
            .statement_cache_capacity(64);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(storage)?;
        schema::migrate(&mut connection).await?;
        sqlx::query("INSERT OR IGNORE INTO meta(name, value) VALUES ('cluster_id', ?)")
            .bind(cluster_id)
            .execute(&mut connection)
            .await
            .map_err(storage)?;
        let cluster_id = sqlx::query("SELECT value FROM meta WHERE name = 'cluster_id'")
            .fetch_one(&mut connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(storage)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(storage)?;
        let (jobs, inbox) = mpsc::channel(WAITING_JOBS);
        let writer = tasks.spawn(Writer::new(connection, inbox).run());
        Ok(Self { cluster_id, readers, jobs, writer: Mutex::new(Some(writer)) })
    }

    /// SQLite's check of the file in `folder`, for which no gateway needs to run: `ok`, or what is wrong.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn integrity(folder: &Path) -> Result<String, LedgerError> {
        let options = SqliteConnectOptions::new().filename(folder.join("ledger.sqlite"));
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(storage)?;
        let row = sqlx::query("PRAGMA integrity_check").fetch_one(&mut connection).await.map_err(storage)?;
        row.try_get(0).map_err(storage)
    }

    fn write(&self, op: Op) -> impl Future<Output = Result<Done, LedgerError>> + Send + 'static {
        let jobs = self.jobs.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            jobs.send(Job { op, answer }).await.map_err(|_| LedgerError::Closed)?;
            answered.await.map_err(|_| LedgerError::Closed)?
        }
    }
}

/// The columns of a [`Record`], in the order of [`record`].
macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT run, principal, state, cause, attempt, agent_id, host, pool, created, finished, delivered, ",
            "cancel_by, cancel_at, cancel_mode, detail, issuer FROM runs ",
            $rest
        )
    };
}

fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|e: T::Err| LedgerError::Broken(e.to_string()))
}

/// The name of a mode in the ledger.
pub(super) fn mode_word(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Break => "break",
        CancelMode::Terminate => "terminate",
        CancelMode::Kill => "kill",
    }
}

fn mode_of(word: &str) -> CancelMode {
    match word {
        "kill" => CancelMode::Kill,
        "terminate" => CancelMode::Terminate,
        _ => CancelMode::Break,
    }
}

/// The query for one [`record`].
pub(super) const ONE_RECORD: &str = columns!("WHERE run = ?");

pub(super) fn record(row: &SqliteRow) -> Result<Record, LedgerError> {
    let text = |at: usize| row.try_get::<&str, _>(at).map_err(storage);
    let number = |at: usize| row.try_get::<i64, _>(at).map_err(storage);
    let cancel = match row.try_get::<Option<String>, _>(11).map_err(storage)? {
        None => None,
        Some(by) => Some(CancelWish { by, at_ms: number(12)?, mode: mode_of(text(13)?) }),
    };
    Ok(Record {
        run: parse(text(0)?)?,
        principal: Principal::new(text(15)?, text(1)?),
        state: parse(text(2)?)?,
        cause: parse(text(3)?)?,
        attempt: u32::try_from(number(4)?).unwrap_or_default(),
        agent_id: text(5)?.to_owned(),
        host: text(6)?.to_owned(),
        pool: text(7)?.to_owned(),
        created_ms: number(8)?,
        finished_ms: number(9)?,
        seen_ms: number(10)?,
        cancel,
        detail: serde_json::from_str(text(14)?).map_err(|e| LedgerError::Broken(e.to_string()))?,
    })
}

fn token(row: &SqliteRow) -> Result<TokenRecord, LedgerError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(storage);
    Ok(TokenRecord {
        name: text("name")?,
        principal: Principal::new(text("issuer")?, text("principal")?),
        sha256: text("sha256")?,
        scope: parse(&text("scope")?)?,
        created_ms: row.try_get("created").map_err(storage)?,
        expires_ms: row.try_get("expires").map_err(storage)?,
        revoked_ms: row.try_get("revoked").map_err(storage)?,
    })
}

impl Ledger for SqliteLedger {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn insert(&self, new: NewRun) -> Answer<'_, Inserted> {
        let done = self.write(Op::Insert(Box::new(new)));
        async { if let Done::Inserted(inserted) = done.await? { Ok(inserted) } else { Err(LedgerError::Closed) } }
            .boxed()
    }

    fn transition(&self, step: Transition) -> Answer<'_, ()> {
        if !step.from.may_become_by(step.to, step.cause) {
            return async move { Err(LedgerError::NoSuchEdge { from: step.from, to: step.to }) }.boxed();
        }
        let done = self.write(Op::Step(Box::new(step)));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn want_cancel(&self, run: RunId, wish: CancelWish) -> Answer<'_, bool> {
        let done = self.write(Op::WantCancel(run, wish));
        async { Ok(done.await? == Done::Changed(true)) }.boxed()
    }

    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()> {
        let done = self.write(Op::NameRun(principal, key, run));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn seen(&self, runs: Vec<RunId>, at_ms: i64) -> Answer<'_, ()> {
        let done = self.write(Op::Seen(runs, at_ms));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn only_files_kept(&self, run: RunId) -> Answer<'_, ()> {
        let done = self.write(Op::OnlyFilesKept(run));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn files_removed(&self, run: RunId, what: FilesRemoved) -> Answer<'_, ()> {
        let done = self.write(Op::FilesRemoved(run, what));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn spool_gone(&self, run: RunId, words: Option<String>) -> Answer<'_, ()> {
        let done = self.write(Op::SpoolGone(run, words));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn adopt(&self, adoption: Adoption) -> Answer<'_, bool> {
        let done = self.write(Op::Adopt(Box::new(adoption)));
        async { Ok(done.await? == Done::Changed(true)) }.boxed()
    }

    fn contest(&self, run: RunId, words: String) -> Answer<'_, bool> {
        let done = self.write(Op::Contest(run, words));
        async { Ok(done.await? == Done::Changed(true)) }.boxed()
    }

    fn get_many<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Record>> {
        async move {
            // One parameter, however many ids there are, so that the statement is prepared only once.
            let names: Vec<String> = runs.iter().map(ToString::to_string).collect();
            let names = serde_json::to_string(&names).map_err(|e| LedgerError::Broken(e.to_string()))?;
            sqlx::query(columns!("WHERE run IN (SELECT value FROM json_each(?)) ORDER BY run"))
                .bind(names)
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?
                .iter()
                .map(record)
                .collect()
        }
        .boxed()
    }

    fn get(&self, run: RunId) -> Answer<'_, Option<Record>> {
        async move {
            sqlx::query(columns!("WHERE run = ?"))
                .bind(run.to_string())
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?
                .map(|row| record(&row))
                .transpose()
        }
        .boxed()
    }

    fn submission(&self, run: RunId) -> Answer<'_, Option<wire::Submission>> {
        async move {
            let row = sqlx::query("SELECT body FROM submissions WHERE run = ?")
                .bind(run.to_string())
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?;
            let Some(row) = row else { return Ok(None) };
            let body: &[u8] = row.try_get(0).map_err(storage)?;
            wire::Submission::decode(body).map(Some).map_err(|e| LedgerError::Broken(e.to_string()))
        }
        .boxed()
    }

    fn by_key<'a>(&'a self, principal: &'a Principal, key: &'a str) -> Answer<'a, Option<(RunId, String)>> {
        async move {
            let row = sqlx::query("SELECT run, body FROM keys WHERE principal = ? AND issuer = ? AND key = ?")
                .bind(principal.subject())
                .bind(principal.issuer())
                .bind(key)
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some((parse(row.try_get(0).map_err(storage)?)?, row.try_get(1).map_err(storage)?)))
        }
        .boxed()
    }

    fn by_tail<'a>(&'a self, principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        async move {
            // The index has the last eight characters; longer forms are compared among the few runs that share them.
            let short = tail.get(tail.len().saturating_sub(longhaul_proto::ids::SHORT_LEN)..).unwrap_or_default();
            let rows =
                sqlx::query("SELECT run, principal, issuer FROM runs WHERE tail = ? ORDER BY run DESC LIMIT 1000")
                    .bind(short)
                    .fetch_all(&self.readers)
                    .await
                    .map_err(storage)?;
            let mut found = Vec::new();
            for row in rows {
                let run: &str = row.try_get(0).map_err(storage)?;
                let (subject, issuer): (&str, &str) =
                    (row.try_get(1).map_err(storage)?, row.try_get(2).map_err(storage)?);
                if principal.is_none_or(|p| p.subject() == subject && p.issuer() == issuer)
                    && run.replace('-', "").ends_with(tail)
                {
                    found.push(parse(run)?);
                }
            }
            found.truncate(limit as usize);
            Ok(found)
        }
        .boxed()
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>> {
        async move {
            let before = query.before.map_or_else(|| "~".to_owned(), |run| run.to_string());
            let limit = i64::from(query.limit);
            let rows = match (&query.principal, query.state) {
                (None, None) => sqlx::query(columns!("WHERE run < ? ORDER BY run DESC LIMIT ?")).bind(before),
                (Some(p), None) => {
                    sqlx::query(columns!("WHERE principal = ? AND issuer = ? AND run < ? ORDER BY run DESC LIMIT ?"))
                        .bind(p.subject())
                        .bind(p.issuer())
                        .bind(before)
                }
                (None, Some(s)) => sqlx::query(columns!("WHERE state = ? AND run < ? ORDER BY run DESC LIMIT ?"))
                    .bind(s.as_str())
                    .bind(before),
                (Some(p), Some(s)) => sqlx::query(columns!(
                    "WHERE principal = ? AND issuer = ? AND state = ? AND run < ? ORDER BY run DESC LIMIT ?"
                ))
                .bind(p.subject())
                .bind(p.issuer())
                .bind(s.as_str())
                .bind(before),
            };
            rows.bind(limit).fetch_all(&self.readers).await.map_err(storage)?.iter().map(record).collect()
        }
        .boxed()
    }

    fn active(&self) -> Answer<'_, Vec<Record>> {
        async move {
            sqlx::query(columns!("WHERE state IN ('queued', 'starting', 'running') ORDER BY run"))
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?
                .iter()
                .map(record)
                .collect()
        }
        .boxed()
    }

    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>> {
        async move {
            let rows = sqlx::query("SELECT n, state, cause, attempt, at FROM transitions WHERE run = ? ORDER BY n")
                .bind(run.to_string())
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    Ok(TransitionRow {
                        n: row.try_get(0).map_err(storage)?,
                        state: parse(row.try_get(1).map_err(storage)?)?,
                        cause: parse(row.try_get(2).map_err(storage)?)?,
                        attempt: row.try_get(3).map_err(storage)?,
                        at_ms: row.try_get(4).map_err(storage)?,
                    })
                })
                .collect()
        }
        .boxed()
    }

    fn sweep(&self, before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Answer<'_, Vec<RunId>> {
        let done = self.write(Op::Sweep(before_ms, limit, here, at_ms));
        async { if let Done::Runs(runs) = done.await? { Ok(runs) } else { Err(LedgerError::Closed) } }.boxed()
    }

    fn ended_count(&self) -> Answer<'_, u64> {
        async move {
            let row = sqlx::query("SELECT count(*) FROM runs WHERE finished > 0").fetch_one(&self.readers).await;
            let count: i64 = row.and_then(|row| row.try_get(0)).map_err(storage)?;
            Ok(u64::try_from(count).unwrap_or_default())
        }
        .boxed()
    }

    fn newest_ms(&self) -> Answer<'_, i64> {
        async move {
            // Run ids are in the order of time, so no scan of all rows is needed.
            let row = sqlx::query(
                "SELECT max(coalesce((SELECT created FROM runs ORDER BY run DESC LIMIT 1), 0), \
                 coalesce((SELECT max(finished) FROM runs WHERE finished > 0), 0), \
                 coalesce((SELECT max(seen) FROM agents), 0))",
            )
            .fetch_one(&self.readers)
            .await;
            row.and_then(|row| row.try_get(0)).map_err(storage)
        }
        .boxed()
    }

    fn ended(&self, before_ms: i64, limit: u32) -> Answer<'_, Vec<Ended>> {
        async move {
            let rows = sqlx::query(
                "SELECT run, agent_id, spool_held FROM runs WHERE finished > 0 AND finished < ? AND state <> 'lost' \
                 ORDER BY finished, run LIMIT ?",
            )
            .bind(before_ms)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    Ok(Ended {
                        run: parse(row.try_get(0).map_err(storage)?)?,
                        agent_id: row.try_get(1).map_err(storage)?,
                        spool_held: row.try_get::<i64, _>(2).map_err(storage)? > 0,
                    })
                })
                .collect()
        }
        .boxed()
    }

    fn remove(&self, run: RunId, at_ms: i64) -> Answer<'_, bool> {
        let done = self.write(Op::Remove(run, at_ms));
        async { Ok(done.await? == Done::Changed(true)) }.boxed()
    }

    fn removed(&self, run: RunId) -> Answer<'_, Option<Removed>> {
        async move {
            let row = sqlx::query("SELECT body FROM removed WHERE run = ?")
                .bind(run.to_string())
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?;
            let Some(row) = row else { return Ok(None) };
            let body: &str = row.try_get(0).map_err(storage)?;
            serde_json::from_str(body).map(Some).map_err(|e| LedgerError::Broken(e.to_string()))
        }
        .boxed()
    }

    fn removed_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        let done = self.write(Op::RemovedSweep(before_ms, most));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn spools_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, whole: bool, limit: u32) -> Answer<'a, Vec<RunId>> {
        async move {
            let rows = sqlx::query(
                "SELECT run FROM runs WHERE spool_held = 1 AND agent_id = ? AND finished < ? AND whole = ? \
                 ORDER BY finished LIMIT ?",
            )
            .bind(agent_id)
            .bind(before_ms)
            .bind(whole)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(storage)?;
            rows.iter().map(|row| parse(row.try_get(0).map_err(storage)?)).collect()
        }
        .boxed()
    }

    fn files_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, limit: u32) -> Answer<'a, Vec<RunId>> {
        async move {
            let rows = sqlx::query(
                "SELECT run FROM runs WHERE spool_held = 2 AND agent_id = ? AND finished < ? ORDER BY finished LIMIT ?",
            )
            .bind(agent_id)
            .bind(before_ms)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(storage)?;
            rows.iter().map(|row| parse(row.try_get(0).map_err(storage)?)).collect()
        }
        .boxed()
    }

    fn put_agent(&self, agent: AgentRecord) -> Answer<'_, ()> {
        let done = self.write(Op::PutAgent(Box::new(agent)));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn agents(&self) -> Answer<'_, Vec<AgentRecord>> {
        async move {
            let rows = sqlx::query("SELECT info, seen FROM agents ORDER BY agent_id")
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    let info: &[u8] = row.try_get(0).map_err(storage)?;
                    let info = wire::AgentInfo::decode(info).map_err(|e| LedgerError::Broken(e.to_string()))?;
                    Ok(AgentRecord { info, seen_ms: row.try_get(1).map_err(storage)? })
                })
                .collect()
        }
        .boxed()
    }

    fn put_pin(&self, pin: PinRecord) -> Answer<'_, ()> {
        let done = self.write(Op::PutPin(Box::new(pin)));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn pins(&self) -> Answer<'_, Vec<PinRecord>> {
        async move {
            let rows = sqlx::query("SELECT key, agent_id, name, state, at, by FROM pins ORDER BY key")
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    let (key, state): (&str, &str) =
                        (row.try_get(0).map_err(storage)?, row.try_get(3).map_err(storage)?);
                    Ok(PinRecord {
                        key: key.parse().map_err(|_| LedgerError::Broken(format!("`{key}` is no key")))?,
                        agent_id: row.try_get(1).map_err(storage)?,
                        name: row.try_get(2).map_err(storage)?,
                        state: PinState::of(state)
                            .ok_or_else(|| LedgerError::Broken(format!("`{state}` is no state of a key")))?,
                        at_ms: row.try_get(4).map_err(storage)?,
                        by: row.try_get(5).map_err(storage)?,
                    })
                })
                .collect()
        }
        .boxed()
    }

    fn drain(&self, hosts: Vec<DrainRecord>) -> Answer<'_, ()> {
        let done = self.write(Op::Drain(hosts));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn resume(&self, hosts: Vec<String>) -> Answer<'_, ()> {
        let done = self.write(Op::Resume(hosts));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn drains(&self) -> Answer<'_, Vec<DrainRecord>> {
        async move {
            let rows = sqlx::query("SELECT host, by, reason, at FROM drains ORDER BY host")
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter()
                .map(|row| {
                    Ok(DrainRecord {
                        host: row.try_get(0).map_err(storage)?,
                        by: row.try_get(1).map_err(storage)?,
                        reason: row.try_get(2).map_err(storage)?,
                        at_ms: row.try_get(3).map_err(storage)?,
                    })
                })
                .collect()
        }
        .boxed()
    }

    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool> {
        let done = self.write(Op::TokenAdd(token));
        async { Ok(done.await? == Done::Changed(true)) }.boxed()
    }

    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>> {
        async move {
            sqlx::query("SELECT * FROM tokens WHERE sha256 = ?")
                .bind(sha256)
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?
                .map(|row| token(&row))
                .transpose()
        }
        .boxed()
    }

    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>> {
        async move {
            let rows =
                sqlx::query("SELECT * FROM tokens ORDER BY name").fetch_all(&self.readers).await.map_err(storage)?;
            rows.iter().map(token).collect()
        }
        .boxed()
    }

    fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>> {
        async move {
            let rows = sqlx::query(
                "SELECT issuer FROM tokens WHERE principal = ?1 UNION \
                 SELECT issuer FROM runs WHERE principal = ?1 AND ?1 <> '' ORDER BY issuer",
            )
            .bind(subject)
            .fetch_all(&self.readers)
            .await
            .map_err(storage)?;
            let principal = |row: &SqliteRow| row.try_get::<String, _>(0).map(|issuer| Principal::new(issuer, subject));
            rows.iter().map(|row| principal(row).map_err(storage)).collect()
        }
        .boxed()
    }

    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool> {
        let done = self.write(Op::TokenRevoke(name.to_owned(), at_ms));
        async { Ok(done.await? == Done::Changed(true)) }.boxed()
    }

    fn memo_put(&self, memo: Stash) -> Answer<'_, ()> {
        let done = self.write(Op::MemoPut(memo));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn memo_get<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, Option<Stash>> {
        async move {
            let row = sqlx::query("SELECT principal, created, body, issuer FROM memos WHERE kind = ? AND name = ?")
                .bind(kind)
                .bind(name)
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(Stash {
                kind: kind.to_owned(),
                name: name.to_owned(),
                principal: Principal::new(
                    row.try_get::<String, _>(3).map_err(storage)?,
                    row.try_get::<String, _>(0).map_err(storage)?,
                ),
                created_ms: row.try_get(1).map_err(storage)?,
                body: row.try_get(2).map_err(storage)?,
            }))
        }
        .boxed()
    }

    fn memo_remove<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, ()> {
        let done = self.write(Op::MemoRemove(kind.to_owned(), name.to_owned()));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn call_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        let done = self.write(Op::CallSweep(before_ms, limit));
        async { if let Done::Removed(n) = done.await? { Ok(n) } else { Err(LedgerError::Closed) } }.boxed()
    }

    fn memo_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        let done = self.write(Op::MemoSweep(before_ms, most));
        async { done.await.map(|_| ()) }.boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        let done = self.write(Op::Check);
        async { done.await.map(|_| ()) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            // Readers first: only the last connection to close moves the side file's content into the main file, and an
            // operator who copies the folder of a stopped gateway may copy the main file alone.
            self.readers.close().await;
            let (answer, answered) = oneshot::channel();
            if self.jobs.send(Job { op: Op::Close, answer }).await.is_ok() {
                // Answered or dropped: either way the writer has finished with it.
                let _ = answered.await;
            }
            if let Some(writer) = self.writer.lock().await.take() {
                let _ = writer.await;
            }
        }
        .boxed()
    }
}
