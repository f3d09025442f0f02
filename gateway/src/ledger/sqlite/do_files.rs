//! The do-files of runs, and the blobs that runs hold for them.
//!
//! `do_file_holds` names the principal of the run beside each digest, so that a look at who may name a blob costs the same
//! however many runs entered it. It is apart from `blob_names`, of which the bounds of a principal are made.

use futures_util::FutureExt;
use longhaul_proto::{digest::ContentDigest, faults, ids::RunId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteLedger, blobs,
    row::{from_json, parse, to_json},
    rows, storage,
    writer::Applied,
};
use crate::{
    ledger::{
        Answer, LedgerError,
        do_files::{DoFileStore, DoFiles, gateway_principal},
    },
    model::Principal,
};

impl DoFileStore for SqliteLedger {
    fn note_do_files(&self, run: RunId, entered: DoFiles) -> Answer<'_, bool> {
        self.write((run, entered), |db, (run, entered)| note(db, *run, entered).boxed())
    }

    fn do_files(&self, run: RunId) -> Answer<'_, Option<DoFiles>> {
        async move {
            let query = sqlx::query("SELECT body FROM do_files WHERE run = ?").bind(run.to_string());
            let row = query.fetch_optional(&self.readers).await.map_err(storage)?;
            row.map(|row| from_json(row.try_get(0).map_err(storage)?)).transpose()
        }
        .boxed()
    }

    fn do_files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        async move {
            let query = sqlx::query(
                "SELECT run FROM runs WHERE spool_held = 1 AND do_files_noted = 0 AND agent_id = ? \
                 ORDER BY finished, run LIMIT ?",
            );
            let run = |row: &SqliteRow| parse(row.try_get(0).map_err(storage)?);
            rows(&self.readers, query.bind(agent_id).bind(limit), run).await
        }
        .boxed()
    }
}

async fn note(db: &mut SqliteConnection, run: RunId, entered: &DoFiles) -> Applied<bool> {
    let name = run.to_string();
    let row = sqlx::query("SELECT issuer, principal, do_files_noted FROM runs WHERE run = ?").bind(&name);
    let Some(row) = row.fetch_optional(&mut *db).await? else { return Ok(false) };
    if row.try_get::<i64, _>(2)? > 0 {
        // Two fetched them at once.
        for digest in entered.kept() {
            blobs::upload_taken(db, &gateway_principal(), digest).await?;
        }
        return Ok(true);
    }
    let principal = Principal::new(row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
    let kept = entered.kept();
    hold(db, &name, &principal, &kept).await?;
    sqlx::query("INSERT OR REPLACE INTO do_files(run, body) VALUES (?, ?)")
        .bind(&name)
        .bind(to_json(entered)?)
        .execute(&mut *db)
        .await?;
    sqlx::query("UPDATE runs SET do_files_noted = 1 WHERE run = ?").bind(&name).execute(db).await?;
    Ok(true)
}

pub(super) async fn hold(
    db: &mut SqliteConnection,
    run: &str,
    who: &Principal,
    digests: &[ContentDigest],
) -> Applied<()> {
    let mut missing = Vec::new();
    for digest in digests {
        let own = !who.is_none() && blobs::named(db, who, *digest).await?.is_some();
        if !own && blobs::named(db, &gateway_principal(), *digest).await?.is_none() {
            missing.push(*digest);
        }
    }
    if !missing.is_empty() {
        return Err(LedgerError::NoSuchBlobs(missing).into());
    }
    for digest in digests {
        sqlx::query("INSERT OR IGNORE INTO do_file_holds(run, sha256, principal, issuer) VALUES (?, ?, ?, ?)")
            .bind(run)
            .bind(digest.to_string())
            .bind(who.subject())
            .bind(who.issuer())
            .execute(&mut *db)
            .await?;
        blobs::upload_taken(db, &gateway_principal(), *digest).await?;
    }
    Ok(())
}

/// What the run, whose record goes, entered and left: noted and held no more. The sweep looks whether another record names it.
pub(super) async fn release(db: &mut SqliteConnection, run: &str) -> Result<(), sqlx::Error> {
    if faults::bug("do_files_outlive_records") {
        return Ok(());
    }
    for change in [
        "UPDATE blobs SET loose = 1 WHERE sha256 IN (SELECT sha256 FROM do_file_holds WHERE run = ?)",
        "DELETE FROM do_file_holds WHERE run = ?",
        "DELETE FROM do_files WHERE run = ?",
        "DELETE FROM run_files WHERE run = ?",
    ] {
        sqlx::query(change).bind(run).execute(&mut *db).await?;
    }
    Ok(())
}

/// What a run without a principal entered is its principal's from now on.
pub(super) async fn adopt(db: &mut SqliteConnection, run: &str, who: &Principal) -> Result<(), sqlx::Error> {
    let change = sqlx::query("UPDATE do_file_holds SET principal = ?, issuer = ? WHERE run = ?");
    change.bind(who.subject()).bind(who.issuer()).bind(run).execute(db).await.map(drop)
}
