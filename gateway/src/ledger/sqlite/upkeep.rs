//! What is removed by age or for room, and what agents still keep.

use futures_util::FutureExt;
use longhaul_proto::{api::FilesRemoved, ids::RunId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteLedger,
    adopt::change_detail,
    blobs, changes, do_files,
    row::{ONE_RECORD, from_json, parse, record, to_json},
    rows, storage,
    writer::Applied,
};
use crate::{
    ledger::{Answer, CALL, Ended, LedgerError, MirrorCopy, UpkeepStore},
    model::{Condition, Detail, Removed},
};

impl UpkeepStore for SqliteLedger {
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
            let query = sqlx::query(
                "SELECT run, agent_id, spool_held FROM runs WHERE finished > 0 AND finished < ? AND state <> 'lost' \
                 ORDER BY finished, run LIMIT ?",
            );
            rows(&self.readers, query.bind(before_ms).bind(limit), ended).await
        }
        .boxed()
    }

    fn sweep(&self, before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Answer<'_, Vec<Ended>> {
        self.write((before_ms, limit, here, at_ms), |db, (before_ms, limit, here, at_ms)| {
            sweep(db, *before_ms, *limit, here, *at_ms).boxed()
        })
    }

    fn remove(&self, run: RunId, at_ms: i64) -> Answer<'_, bool> {
        self.write((run, at_ms), |db, (run, at_ms)| {
            async move {
                let run = run.to_string();
                let ended = sqlx::query("SELECT 1 FROM runs WHERE run = ? AND finished > 0").bind(&run);
                if ended.fetch_optional(&mut *db).await?.is_none() {
                    return Ok(false);
                }
                remove(db, &run, *at_ms).await?;
                Ok(true)
            }
            .boxed()
        })
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
            from_json(body).map(Some)
        }
        .boxed()
    }

    fn removed_since(&self, at_ms: i64) -> Answer<'_, Vec<RunId>> {
        async move {
            let rows = sqlx::query("SELECT run FROM removed WHERE at >= ? ORDER BY run")
                .bind(at_ms)
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter().map(|row| parse(row.try_get(0).map_err(storage)?)).collect()
        }
        .boxed()
    }

    fn removed_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        self.write((before_ms, most), |db, (before_ms, most)| {
            async move {
                sqlx::query("DELETE FROM removed WHERE at < ?").bind(before_ms).execute(&mut *db).await?;
                let over = "DELETE FROM removed WHERE run IN \
                            (SELECT run FROM removed ORDER BY at DESC LIMIT -1 OFFSET ?)";
                sqlx::query(over).bind(most).execute(db).await?;
                Ok(())
            }
            .boxed()
        })
    }

    fn call_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        self.write((before_ms, limit), |db, (before_ms, limit)| {
            let delete = sqlx::query(
                "DELETE FROM keys WHERE (principal, issuer, key) IN \
                 (SELECT k.principal, k.issuer, k.key FROM keys k JOIN runs r ON r.run = k.run \
                 WHERE k.key >= ? AND k.key < ? AND r.finished > 0 AND r.finished < ? LIMIT ?)",
            )
            .bind(CALL)
            .bind(format!("{CALL}\u{7f}"))
            .bind(before_ms)
            .bind(limit);
            async move { Ok(u32::try_from(delete.execute(db).await?.rows_affected()).unwrap_or(u32::MAX)) }.boxed()
        })
    }

    fn spool_gone(&self, run: RunId, words: Option<String>) -> Answer<'_, ()> {
        self.write((run, words), |db, (run, words)| {
            async move {
                let update = sqlx::query("UPDATE runs SET spool_held = 0 WHERE run = ?").bind(run.to_string());
                update.execute(&mut *db).await?;
                if let Some(words) = words {
                    change_detail(db, *run, |detail| released(detail, words)).await?;
                }
                Ok(())
            }
            .boxed()
        })
    }

    fn earlier_spool_gone(&self, run: RunId, words: String) -> Answer<'_, ()> {
        self.write((run, words), |db, (run, words)| {
            let note = move |detail: &mut Detail| released(detail, words);
            async move { change_detail(db, *run, note).await.map(drop) }.boxed()
        })
    }

    fn only_files_kept(&self, run: RunId) -> Answer<'_, ()> {
        self.write(run, |db, run| {
            let update = sqlx::query("UPDATE runs SET spool_held = 2 WHERE run = ? AND spool_held > 0");
            async move { Ok(update.bind(run.to_string()).execute(db).await.map(drop)?) }.boxed()
        })
    }

    fn files_removed(&self, run: RunId, what: FilesRemoved) -> Answer<'_, ()> {
        self.write((run, what), |db, (run, what)| {
            async move {
                sqlx::query(
                    "UPDATE runs SET detail = json_set(detail, '$.files_removed', json(?)) \
                     WHERE run = ? AND finished > 0",
                )
                .bind(to_json(what)?)
                .bind(run.to_string())
                .execute(&mut *db)
                .await?;
                Ok(changes::note(db, *run).await?)
            }
            .boxed()
        })
    }

    fn spools_held<'a>(
        &'a self,
        agent_id: &'a str,
        before_ms: i64,
        copy: MirrorCopy,
        limit: u32,
    ) -> Answer<'a, Vec<RunId>> {
        async move {
            let query = sqlx::query(
                "SELECT run FROM runs WHERE spool_held = 1 AND agent_id = ? AND finished < ? AND whole = ? \
                 ORDER BY finished LIMIT ?",
            );
            let query = query.bind(agent_id).bind(before_ms).bind(copy == MirrorCopy::Whole).bind(limit);
            rows(&self.readers, query, name).await
        }
        .boxed()
    }

    fn files_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, limit: u32) -> Answer<'a, Vec<RunId>> {
        async move {
            let query = sqlx::query(
                "SELECT run FROM runs WHERE spool_held = 2 AND agent_id = ? AND finished < ? ORDER BY finished LIMIT ?",
            );
            rows(&self.readers, query.bind(agent_id).bind(before_ms).bind(limit), name).await
        }
        .boxed()
    }
}

/// A row of run, agent and what that agent keeps.
fn ended(row: &SqliteRow) -> Result<Ended, LedgerError> {
    Ok(Ended {
        run: parse(row.try_get(0).map_err(storage)?)?,
        agent_id: row.try_get(1).map_err(storage)?,
        spool_held: row.try_get::<i64, _>(2).map_err(storage)? > 0,
    })
}

/// Notes what was deleted on a host.
fn released(detail: &mut Detail, words: &str) -> bool {
    detail.conditions.add(Condition::Released, words);
    true
}

/// The run in the first column of a row.
fn name(row: &SqliteRow) -> Result<RunId, LedgerError> {
    parse(row.try_get(0).map_err(storage)?)
}

async fn sweep(
    db: &mut SqliteConnection,
    before_ms: i64,
    limit: u32,
    here: &[String],
    at_ms: i64,
) -> Applied<Vec<Ended>> {
    let rows = sqlx::query(
        "SELECT run, agent_id, spool_held FROM runs WHERE finished > 0 AND finished < ? \
         AND NOT (spool_held > 0 AND agent_id IN (SELECT value FROM json_each(?))) ORDER BY finished, run LIMIT ?",
    )
    .bind(before_ms)
    .bind(to_json(&here)?)
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    let mut gone = Vec::with_capacity(rows.len());
    for row in rows {
        let run: String = row.try_get(0)?;
        remove(db, &run, at_ms).await?;
        gone.push(ended(&row)?);
    }
    Ok(gone)
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
    blobs::release(db, run).await?;
    do_files::release(db, run).await?;
    for delete in [
        "DELETE FROM runs WHERE run = ?",
        "DELETE FROM submissions WHERE run = ?",
        "DELETE FROM transitions WHERE run = ?",
        "DELETE FROM keys WHERE run = ?",
        "DELETE FROM attempts WHERE run = ?",
        "DELETE FROM run_receivers WHERE run = ?",
        "DELETE FROM leases WHERE kind = 'run' AND holder = ?",
    ] {
        sqlx::query(delete).bind(run).execute(&mut *db).await?;
    }
    Ok(())
}
