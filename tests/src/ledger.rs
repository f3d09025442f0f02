//! The gateway's ledger examined as a file, while the gateway runs or without it.

use std::{fs, path::Path};

use longhaul_proto::ids::RunId;
use sqlx::{Row, SqlitePool};

/// The file of a gateway's data folder.
pub fn file(data: &Path) -> std::path::PathBuf {
    data.join("gateway/ledger.sqlite")
}

async fn open(file: &Path) -> SqlitePool {
    SqlitePool::connect(&format!("sqlite:{}", file.display())).await.expect("the ledger opens")
}

/// Every step of a run, as `state cause attempt`.
pub async fn history(data: &Path, run: RunId) -> Vec<String> {
    let pool = open(&file(data)).await;
    let rows = sqlx::query("SELECT state || ' ' || cause || ' ' || attempt FROM transitions WHERE run = ? ORDER BY n")
        .bind(run.to_string())
        .fetch_all(&pool)
        .await
        .expect("its history");
    pool.close().await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// SQLite's check of the whole file; `ok` when nothing is wrong.
pub async fn integrity(data: &Path) -> String {
    let pool = open(&file(data)).await;
    let row = sqlx::query("PRAGMA integrity_check").fetch_one(&pool).await.expect("a verdict");
    pool.close().await;
    row.get(0)
}

/// Adds a token of scope `use` for a principal, given as issuer and subject, to the ledger of a running gateway.
pub async fn add_token(data: &Path, name: &str, (issuer, subject): (&str, &str), secret: &str) {
    let pool = open(&file(data)).await;
    sqlx::query("INSERT INTO tokens(name, principal, issuer, sha256, scope, created) VALUES (?, ?, ?, ?, 'use', 1)")
        .bind(name)
        .bind(subject)
        .bind(issuer)
        .bind(longhaul_proto::sha256_hex(secret.as_bytes()))
        .execute(&pool)
        .await
        .expect("a token");
    pool.close().await;
}

/// Copies a ledger in use, whole, as an operator's backup does.
pub async fn backup(data: &Path, to: &Path) {
    let pool = open(&file(data)).await;
    sqlx::query("VACUUM INTO ?").bind(to.to_str().expect("a plain path")).execute(&pool).await.expect("a backup");
    pool.close().await;
}

/// Puts a backup in place of the ledger of a stopped gateway.
pub fn restore(data: &Path, from: &Path) {
    lose(data);
    fs::copy(from, file(data)).expect("the backup is put back");
}

/// Removes the ledger with its side files.
pub fn lose(data: &Path) {
    for side in ["", "-wal", "-shm"] {
        let path = format!("{}{side}", file(data).display());
        let _ = fs::remove_file(path);
    }
}
