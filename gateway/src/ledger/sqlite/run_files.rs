//! The files of runs. Their blobs are held as those of do-files are, in `do_file_holds`.

use futures_util::FutureExt;
use longhaul_proto::ids::RunId;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteLedger, blobs, do_files,
    row::{from_json, parse, to_json},
    rows, storage,
    writer::Applied,
};
use crate::{
    ledger::{
        Answer,
        do_files::gateway_principal,
        run_files::{RunFileStore, RunFiles},
    },
    model::Principal,
};

impl RunFileStore for SqliteLedger {
    fn note_files(&self, run: RunId, left: RunFiles) -> Answer<'_, bool> {
        self.write((run, left), |db, (run, left)| note(db, *run, left).boxed())
    }

    fn files(&self, run: RunId) -> Answer<'_, Option<RunFiles>> {
        async move {
            let query = sqlx::query("SELECT body FROM run_files WHERE run = ?").bind(run.to_string());
            let row = query.fetch_optional(&self.readers).await.map_err(storage)?;
            row.map(|row| from_json(row.try_get(0).map_err(storage)?)).transpose()
        }
        .boxed()
    }

    fn files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        async move {
            let query = sqlx::query(
                "SELECT run FROM runs WHERE spool_held = 1 AND files_noted = 0 AND agent_id = ? \
                 ORDER BY finished, run LIMIT ?",
            );
            let run = |row: &SqliteRow| parse(row.try_get(0).map_err(storage)?);
            rows(&self.readers, query.bind(agent_id).bind(limit), run).await
        }
        .boxed()
    }
}

async fn note(db: &mut SqliteConnection, run: RunId, left: &RunFiles) -> Applied<bool> {
    let name = run.to_string();
    let row = sqlx::query("SELECT issuer, principal, files_noted FROM runs WHERE run = ?").bind(&name);
    let Some(row) = row.fetch_optional(&mut *db).await? else { return Ok(false) };
    let held = left.held();
    if row.try_get::<i64, _>(2)? > 0 {
        // Two fetched them at once.
        for digest in held {
            blobs::upload_taken(db, &gateway_principal(), digest).await?;
        }
        return Ok(true);
    }
    let principal = Principal::new(row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
    do_files::hold(db, &name, &principal, &held).await?;
    sqlx::query("INSERT OR REPLACE INTO run_files(run, body) VALUES (?, ?)")
        .bind(&name)
        .bind(to_json(left)?)
        .execute(&mut *db)
        .await?;
    sqlx::query("UPDATE runs SET files_noted = 1 WHERE run = ?").bind(&name).execute(db).await?;
    Ok(true)
}
