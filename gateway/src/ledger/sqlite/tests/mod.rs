//! What only the ledger on disk promises: its file comes back as it was, is private, and survives a full disk.

mod golden;
mod plans;

use longhaul_proto::tasks::Tasks;

use super::SqliteLedger;
use crate::ledger::{
    AgentStore, Inserted, Ledger, LedgerError, RunStore,
    conformance::{end, new_run, running},
};

#[tokio::test]
async fn sqlite_comes_back_as_it_was_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let ledger = SqliteLedger::open(folder.path(), "c1", &tasks).await.unwrap();
    let run = running(&ledger, new_run("ann")).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    ledger.close().await;
    assert!(matches!(ledger.check().await, Err(LedgerError::Closed)));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["ledger.sqlite"], "a closed ledger is one file, and all of it");
    let ledger = SqliteLedger::open(folder.path(), "another", &tasks).await.unwrap();
    assert_eq!(ledger.cluster_id(), "c1", "a ledger keeps its name");
    assert_eq!(ledger.unfinished().await.unwrap()[0].run, run);
    ledger.close().await;
    let raw =
        sqlx::SqlitePool::connect(&format!("sqlite:{}", folder.path().join("ledger.sqlite").display())).await.unwrap();
    sqlx::query("PRAGMA user_version = 99").execute(&raw).await.unwrap();
    raw.close().await;
    assert!(matches!(
        SqliteLedger::open(folder.path(), "c1", &tasks).await,
        Err(LedgerError::TooNew { found: 99, .. })
    ));
}

#[tokio::test]
async fn sqlite_goes_on_after_a_disk_that_was_full() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let ledger = SqliteLedger::open(folder.path(), "c1", &tasks).await.unwrap();
    let before = running(&ledger, new_run("ann")).await;
    let raw =
        sqlx::SqlitePool::connect(&format!("sqlite:{}", folder.path().join("ledger.sqlite").display())).await.unwrap();
    // What SQLite does by itself when a write finds no room: the whole transaction is rolled back.
    let full = "CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(ROLLBACK, 'disk is full'); END";
    sqlx::query(full).execute(&raw).await.unwrap();
    let refused = new_run("ann");
    for _ in 0..3 {
        assert!(matches!(ledger.insert(refused.clone()).await, Err(LedgerError::Unavailable(_))));
    }
    ledger.check().await.expect("what needs no room is written");
    sqlx::query("DROP TRIGGER full").execute(&raw).await.unwrap();
    raw.close().await;
    assert_eq!(ledger.get(refused.record.run).await.unwrap(), None, "what was refused is not there");
    assert_eq!(ledger.insert(refused).await.unwrap(), Inserted::New);
    end(&ledger, before, 1_100, true).await;
    assert_eq!(ledger.history(before).await.unwrap().len(), 4);
    ledger.close().await;
}
