//! A copy of a ledger in use, whole, and what it names outside of itself. No gateway needs to run for either.

use std::{path::Path, sync::Arc};

use longhaul_proto::{durable, ids::RunId};
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{SqliteLedger, blobs::blob_of, schema, storage};
use crate::ledger::{Blob, LedgerError};

/// A run of a copied ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedRun {
    /// Its id.
    pub run: RunId,
    /// It has ended, so that its mirror does not grow any more.
    pub ended: bool,
    /// Bytes of its log and its console that the mirror has, as its record says; 0 before its end.
    pub kept: [u64; 2],
}

/// What a copied ledger is, and what it names outside of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The name of the ledger, to which agents are bound.
    pub cluster_id: String,
    /// The number of its format.
    pub format: i64,
    /// All runs, the oldest first.
    pub runs: Vec<NamedRun>,
    /// All files that are kept by their content.
    pub blobs: Vec<Blob>,
}

impl SqliteLedger {
    /// The newest format of a ledger that this program knows.
    pub fn known_format() -> i64 {
        schema::known()
    }

    /// Copies the ledger in `folder` to the new file `to`, as it is at one moment, also while a gateway writes. The caller
    /// syncs it.
    ///
    /// # Errors
    /// When it cannot be read, there is no room, or `to` has content.
    pub async fn copy(folder: &Path, to: &Path) -> Result<(), LedgerError> {
        let unavailable = |error: std::io::Error| LedgerError::Unavailable(Arc::new(error));
        let Some(name) = to.to_str() else {
            let reason = "its path is no UTF-8, which SQLite does not take: choose another".to_owned();
            return Err(LedgerError::Place { folder: to.display().to_string(), reason });
        };
        // SQLite fills an empty file and keeps its mode; one that it makes itself has what the umask leaves.
        durable::make_append(to).map_err(unavailable)?;
        let mut connection = open(&folder.join("ledger.sqlite"), false).await?;
        sqlx::query("VACUUM INTO ?").bind(name).execute(&mut connection).await.map_err(storage)?;
        connection.close().await.map_err(storage)
    }

    /// What the copied ledger `file` names. The file is not changed.
    ///
    /// # Errors
    /// When it cannot be read, or a newer program wrote it.
    pub async fn named(file: &Path) -> Result<Named, LedgerError> {
        let mut db = open(file, true).await?;
        let format: i64 = sqlx::query("PRAGMA user_version")
            .fetch_one(&mut db)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(storage)?;
        if format > Self::known_format() {
            return Err(LedgerError::TooNew { found: format, known: Self::known_format() });
        }
        let cluster_id = sqlx::query("SELECT value FROM meta WHERE name = 'cluster_id'").fetch_one(&mut db);
        let cluster_id = cluster_id.await.and_then(|row| row.try_get(0)).map_err(storage)?;
        let length = |name| {
            format!(
                "CASE WHEN finished > 0 AND json_valid(detail) THEN coalesce(json_extract(detail, '$.{name}'), 0) ELSE 0 END"
            )
        };
        // The names are the program's own.
        let query = format!(
            "SELECT run, finished > 0, {}, {} FROM runs ORDER BY run",
            length("log_len"),
            length("console_len")
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&mut db).await.map_err(storage)?;
        let bytes = |row: &sqlx::sqlite::SqliteRow, at: usize| {
            row.try_get::<i64, _>(at).map(|n| u64::try_from(n).unwrap_or_default()).map_err(storage)
        };
        let run = |row: &sqlx::sqlite::SqliteRow| {
            let text: String = row.try_get(0).map_err(storage)?;
            let run = text.parse().map_err(|_| LedgerError::Broken(format!("`{text}` is no id of a run")))?;
            Ok(NamedRun { run, ended: row.try_get(1).map_err(storage)?, kept: [bytes(row, 2)?, bytes(row, 3)?] })
        };
        let runs = rows.iter().map(run).collect::<Result<_, LedgerError>>()?;
        // Ledgers before this format have no such files.
        let blobs = if format < schema::WITH_BLOBS {
            Vec::new()
        } else {
            let query = sqlx::query("SELECT sha256, file, bytes FROM blobs ORDER BY sha256");
            query.fetch_all(&mut db).await.map_err(storage)?.iter().map(blob_of).collect::<Result<_, _>>()?
        };
        db.close().await.map_err(storage)?;
        Ok(Named { cluster_id, format, runs, blobs })
    }

    /// SQLite's check of the copied ledger `file`, without changing it: `ok`, or what is wrong.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn check_copy(file: &Path) -> Result<String, LedgerError> {
        let mut db = open(file, true).await?;
        let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut db).await.map_err(storage)?;
        row.try_get(0).map_err(storage)
    }
}

/// Opens a file that is there. `copy`: one that no process changes, in which nothing is to be left.
async fn open(file: &Path, copy: bool) -> Result<SqliteConnection, LedgerError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .read_only(copy)
        .immutable(copy)
        .foreign_keys(false)
        .busy_timeout(std::time::Duration::from_secs(10));
    SqliteConnection::connect_with(&options).await.map_err(storage)
}

#[cfg(test)]
mod tests {
    use longhaul_proto::tasks::Tasks;

    use super::*;

    #[tokio::test]
    async fn a_copy_of_a_ledger_in_use_is_whole_private_and_left_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (to, tasks) = (folder.path().join("copy"), Tasks::new());
        let ledger = SqliteLedger::open(folder.path(), "the-cluster", &tasks).await.unwrap();
        SqliteLedger::copy(folder.path(), &to).await.unwrap();
        assert!(SqliteLedger::copy(folder.path(), &to).await.is_err(), "it writes over nothing");
        let before = std::fs::read(&to).unwrap();
        let named = SqliteLedger::named(&to).await.unwrap();
        assert_eq!((named.cluster_id.as_str(), named.format), ("the-cluster", SqliteLedger::known_format()));
        assert_eq!((named.runs.len(), named.blobs.len()), (0, 0));
        assert_eq!(SqliteLedger::check_copy(&to).await.unwrap(), "ok");
        assert_eq!(std::fs::read(&to).unwrap(), before);
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!to.with_file_name("copy-wal").exists());
        drop(ledger);
    }
}
