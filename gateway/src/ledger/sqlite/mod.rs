//! The ledger in SQLite: WAL, `synchronous=FULL`, one writer with group commit, and a pool of readers.
//!
//! Each store is a file, with its reads and the statements of its writes; all writes are jobs of the one [`writer`].

mod adopt;
mod agents;
mod attempts;
mod blobs;
mod changes;
mod copy;
mod do_files;
mod insert;
mod invitations;
mod leases;
mod list;
mod local_disk;
mod notifications;
mod quotas;
mod row;
mod run_files;
mod runs;
mod schema;
mod stashes;
mod statements;
#[cfg(test)]
mod tests;
mod tokens;
mod transition;
mod upkeep;
mod writer;

use std::{path::Path, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_proto::tasks::Tasks;
use sqlx::{
    Connection, Row, Sqlite, SqliteConnection, SqlitePool,
    query::Query,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};
use tokio::sync::{Mutex, mpsc};

pub use copy::{Named, NamedRun};

use super::{Answer, Ledger, LedgerError};
use crate::metrics::LedgerNumbers;
use writer::{Message, Work, Writer};

/// Readers beside the writer; SQLite reads in parallel under WAL, and more readers than cores bring nothing.
const READERS: u32 = 4;
/// Jobs that may wait for the writer; beyond that, callers wait for room.
const WAITING_JOBS: usize = 4096;

/// Wraps an error of the database.
pub(super) fn storage(error: sqlx::Error) -> LedgerError {
    LedgerError::Unavailable(Arc::new(error))
}

/// Reads rows, each as `read` has it.
async fn rows<T>(
    readers: &SqlitePool,
    query: Query<'_, Sqlite, SqliteArguments>,
    read: impl Fn(&SqliteRow) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    query.fetch_all(readers).await.map_err(storage)?.iter().map(read).collect()
}

/// The ledger of one gateway, in one file.
pub struct SqliteLedger {
    cluster_id: String,
    readers: SqlitePool,
    jobs: mpsc::Sender<Message>,
    writer: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl SqliteLedger {
    /// Opens or creates `ledger.sqlite` in `folder`. `cluster_id` names a ledger that is created now.
    ///
    /// # Errors
    /// When the folder is on a network file system, the file is newer than this program, or cannot be written.
    pub async fn open(folder: &Path, cluster_id: &str, tasks: &Tasks) -> Result<Self, LedgerError> {
        Self::open_measured(folder, cluster_id, tasks, None).await
    }

    /// As [`SqliteLedger::open`]; what its transactions take goes into `numbers`.
    ///
    /// # Errors
    /// As there.
    pub async fn open_measured(
        folder: &Path,
        cluster_id: &str,
        tasks: &Tasks,
        numbers: Option<LedgerNumbers>,
    ) -> Result<Self, LedgerError> {
        local_disk::refuse_network(folder)?;
        let path = folder.join("ledger.sqlite");
        // SQLite gives its side files the mode of the main file, so that mode must be right from the start.
        longhaul_proto::durable::open_append(&path).map_err(|e| LedgerError::Unavailable(Arc::new(e)))?;
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
            // A file does not go away as a server may, and asking costs a change of threads each time.
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(storage)?;
        let (jobs, inbox) = mpsc::channel(WAITING_JOBS);
        let writer = tasks.spawn(Writer::new(connection, inbox, numbers).run());
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

    /// Does `work` with `input` in one of the writer's transactions, and answers when that is committed.
    fn write<I: Send + Sync + 'static, T: Send + 'static>(&self, input: I, work: Work<I, T>) -> Answer<'static, T> {
        let jobs = self.jobs.clone();
        let (job, answer) = writer::job(input, work);
        async move {
            jobs.send(Message::Execute(job)).await.map_err(|_| LedgerError::Closed)?;
            answer.await.map_err(|_| LedgerError::Closed)?
        }
        .boxed()
    }
}

impl Ledger for SqliteLedger {
    fn check(&self) -> Answer<'_, ()> {
        self.write((), |db, ()| {
            async {
                let write =
                    "INSERT INTO meta(name, value) VALUES ('checked', '') ON CONFLICT(name) DO UPDATE SET value = ''";
                sqlx::query(write).execute(db).await?;
                Ok(())
            }
            .boxed()
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            // Readers first: only the last connection to close moves the side file's content into the main file, and an
            // operator who copies the folder of a stopped gateway may copy the main file alone.
            self.readers.close().await;
            // An error means that the writer has closed already.
            let _ = self.jobs.send(Message::Close).await;
            if let Some(writer) = self.writer.lock().await.take() {
                let _ = writer.await;
            }
        }
        .boxed()
    }
}
