//! The ledger's only writer: takes all waiting jobs, executes them in one transaction, commits once, and answers all.
//!
//! One `fsync` then serves every caller that came while the previous one was under way. When the database refuses a
//! job, the batch is rolled back and each of its jobs is tried alone, so that only the bad one fails. A job may thus be
//! executed more than once; it is answered once, after the commit.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_proto::{clock::Clock, faults};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::{ledger::LedgerError, metrics::LedgerNumbers};

/// Most jobs of one transaction: committing that many takes milliseconds, so that every caller's wait stays short.
const BATCH: usize = 256;

/// Why a job did not do what was asked.
pub(super) enum Failure {
    /// The database failed: the whole batch is rolled back.
    Database(sqlx::Error),
    /// The job found that it must not be done. The rest of the batch is not concerned.
    Refused(LedgerError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Refused(error)
    }
}

/// The outcome of one job.
pub(super) type Applied<T> = Result<T, Failure>;

/// What a job does: statements in the batch's transaction.
pub(super) type Work<I, T> = for<'a> fn(&'a mut SqliteConnection, &'a I) -> BoxFuture<'a, Applied<T>>;

/// A message to the writer.
pub(super) enum Message {
    /// Execute this.
    Execute(Box<dyn Job>),
    /// Take no more, finish what came before, and close the file.
    Close,
}

/// One caller's write, whatever it answers.
pub(super) trait Job: Send {
    /// Executes it in the transaction that is open; an error is the database's.
    fn execute<'a>(&'a mut self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>>;
    /// Answers the caller: the transaction is committed.
    fn committed(self: Box<Self>);
    /// Answers the caller: nothing was written.
    fn failed(self: Box<Self>, error: LedgerError);
}

/// A job with its caller.
struct Typed<I, T> {
    input: I,
    work: Work<I, T>,
    outcome: Option<Result<T, LedgerError>>,
    caller: oneshot::Sender<Result<T, LedgerError>>,
}

/// A job that does `work` with `input`, and where its answer arrives.
pub(super) fn job<I: Send + Sync + 'static, T: Send + 'static>(
    input: I,
    work: Work<I, T>,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T, LedgerError>>) {
    let (caller, answer) = oneshot::channel();
    (Box::new(Typed { input, work, outcome: None, caller }), answer)
}

impl<I: Send + Sync, T: Send> Job for Typed<I, T> {
    fn execute<'a>(&'a mut self, db: &'a mut SqliteConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async {
            self.outcome = Some(match (self.work)(db, &self.input).await {
                Ok(value) => Ok(value),
                Err(Failure::Refused(error)) => Err(error),
                Err(Failure::Database(error)) => return Err(error),
            });
            Ok(())
        }
        .boxed()
    }

    // In both, a caller that went away gets no answer; its job is executed all the same.
    fn committed(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            let _ = self.caller.send(outcome);
        }
    }

    fn failed(self: Box<Self>, error: LedgerError) {
        let _ = self.caller.send(Err(error));
    }
}

pub(super) struct Writer {
    connection: SqliteConnection,
    inbox: mpsc::Receiver<Message>,
    /// A transaction is open. The next one is opened early, and holds nothing until its first statement.
    in_transaction: bool,
    clock: Clock,
    numbers: Option<LedgerNumbers>,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        inbox: mpsc::Receiver<Message>,
        numbers: Option<LedgerNumbers>,
    ) -> Self {
        Self { connection, inbox, in_transaction: false, clock: Clock::system(), numbers }
    }

    pub(super) async fn run(mut self) {
        let mut messages = Vec::with_capacity(BATCH);
        while self.inbox.recv_many(&mut messages, BATCH).await > 0 {
            let mut jobs = Vec::with_capacity(messages.len());
            for message in messages.drain(..) {
                match message {
                    Message::Execute(job) => jobs.push(job),
                    Message::Close => self.inbox.close(),
                }
            }
            if let Err(error) = self.batch(&mut jobs).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "a batch failed; trying its jobs one by one");
                self.one_by_one(jobs).await;
            }
            // Opening costs two changes of threads: better now than when a caller waits. An error comes again with the
            // next batch.
            let _ = self.begin().await;
        }
        let _ = self.roll_back().await;
        if let Err(error) = self.connection.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the ledger did not close cleanly");
        }
    }

    /// Tries each job in a transaction of its own.
    async fn one_by_one(&mut self, jobs: Vec<Box<dyn Job>>) {
        for job in jobs {
            let mut alone = vec![job];
            if let Err(error) = self.batch(&mut alone).await {
                let error: Arc<dyn std::error::Error + Send + Sync> = Arc::new(error);
                for job in alone {
                    job.failed(LedgerError::Unavailable(error.clone()));
                }
            }
        }
    }

    /// Executes all jobs in one transaction and answers them; at an error none is executed and all remain in `jobs`.
    async fn batch(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> Result<(), sqlx::Error> {
        let began = self.clock.monotonic();
        if let Err(error) = self.transact(jobs).await {
            // After some errors, such as a full disk, SQLite has already rolled back; then this fails, which is fine.
            // The transactions are plain statements for this reason: a wrapper that counts them would wait for this
            // one for ever.
            let _ = self.roll_back().await;
            return Err(error);
        }
        if let Some(numbers) = &self.numbers {
            numbers.commit.record(self.clock.monotonic().saturating_sub(began));
            numbers.batch.value(jobs.len() as f64, &[]);
        }
        jobs.drain(..).for_each(Job::committed);
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if !self.in_transaction {
            sqlx::query("BEGIN").execute(&mut self.connection).await?;
            self.in_transaction = true;
        }
        Ok(())
    }

    async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        self.in_transaction = false;
        sqlx::query("ROLLBACK").execute(&mut self.connection).await.map(drop)
    }

    async fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), sqlx::Error> {
        self.begin().await?;
        let db = &mut self.connection;
        for job in jobs {
            job.execute(db).await?;
        }
        faults::check("ledger.before_commit")?;
        sqlx::query("COMMIT").execute(&mut *db).await?;
        self.in_transaction = false;
        faults::check("ledger.after_commit")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

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
        let mut writer = Writer::new(connection, inbox, None);
        let large = || {
            let (job, answer) = job("x".repeat(1 << 20), |db, body| {
                async move {
                    let insert =
                        "INSERT INTO memos(kind, name, principal, created, body) VALUES ('large', 'one', '', 1, ?)";
                    sqlx::query(insert).bind(body).execute(db).await?;
                    Ok(())
                }
                .boxed()
            });
            (vec![job], answer)
        };
        limit(&mut writer.connection, pages).await;
        for _ in 0..2 {
            let (mut jobs, _answer) = large();
            let error = writer.batch(&mut jobs).await.unwrap_err();
            assert!(error.to_string().contains("full"), "{error}");
        }
        limit(&mut writer.connection, pages + 10_000).await;
        let (mut jobs, answer) = large();
        writer.batch(&mut jobs).await.unwrap();
        answer.await.unwrap().unwrap();
    }

    /// What a job refuses fails alone, and what the database refuses fails alone, with the rest of its batch committed.
    #[tokio::test]
    async fn only_the_job_that_fails_is_told_so() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        super::super::schema::migrate(&mut connection).await.unwrap();
        let (sender, inbox) = mpsc::channel(8);
        let answers: Vec<_> = ["INSERT INTO meta(name, value) VALUES ('a', '1')", "no statement", "", "SELECT 1"]
            .map(|statement| {
                let (job, answer) = job(statement, |db, statement| {
                    async move {
                        if statement.is_empty() {
                            return Err(LedgerError::Full.into());
                        }
                        sqlx::query(*statement).execute(db).await?;
                        Ok(statement.len())
                    }
                    .boxed()
                });
                sender.try_send(Message::Execute(job)).map_err(drop).unwrap();
                answer
            })
            .into();
        sender.try_send(Message::Close).map_err(drop).unwrap();
        Writer::new(connection, inbox, None).run().await;
        let mut told = Vec::new();
        for answer in answers {
            told.push(match answer.await.unwrap() {
                Ok(len) => len.to_string(),
                Err(error) => error.to_string(),
            });
        }
        assert_eq!(told, ["47", "the ledger cannot be read or written", "no room for another run", "8"]);
    }
}
