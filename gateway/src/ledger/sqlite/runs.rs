//! Records of runs.

use futures_util::FutureExt;
use longhaul_proto::{ids::RunId, wire};
use prost::Message;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    SqliteLedger,
    adopt::{adopt, change_detail},
    attempts,
    changes::{self, Counter},
    insert::{Binding, insert, name_run},
    list,
    row::{attempt, columns, mode_word, parse, record, to_json},
    rows,
    statements::Statements,
    storage,
    transition::transition,
};
use crate::{
    ledger::{
        Adoption, Answer, AttemptRow, Inserted, LedgerError, ListQuery, NewRun, RunStore, Transition, TransitionRow,
        is_call,
    },
    model::{CancelIntent, Owner, Principal, Record},
};

impl RunStore for SqliteLedger {
    fn insert(&self, new: NewRun) -> Answer<'_, Inserted> {
        self.write(new, |db, new| insert(db, new).boxed())
    }

    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()> {
        self.write((principal, key, run), |db, (principal, key, run)| {
            async move {
                let binding = if is_call(&key.0) { Binding::Replace } else { Binding::Keep };
                let mut name = Statements::default();
                name_run(&mut name, principal, key, *run, binding);
                name.execute(db).await?;
                Ok(())
            }
            .boxed()
        })
    }

    fn take_over(&self, gateway: String) -> Answer<'_, Owner> {
        self.write(gateway, |db, gateway| {
            async move {
                let epoch = changes::next(db, Counter::Epoch).await?;
                let take = "UPDATE runs SET owner = ?, owner_epoch = ? \
                            WHERE state IN ('queued', 'starting', 'running', 'lost')";
                sqlx::query(take).bind(gateway).bind(epoch).execute(db).await?;
                Ok(Owner { gateway: gateway.as_str().into(), epoch: u64::try_from(epoch).unwrap_or_default() })
            }
            .boxed()
        })
    }

    fn transition(&self, step: Transition) -> Answer<'_, ()> {
        if !step.from.may_become_by(step.to, step.cause) {
            return async move { Err(LedgerError::NoSuchEdge { from: step.from, to: step.to }) }.boxed();
        }
        self.write(step, |db, step| transition(db, step).boxed())
    }

    fn request_cancel(&self, run: RunId, intent: CancelIntent) -> Answer<'_, bool> {
        self.write((run, intent), |db, (run, intent)| {
            // The first request names who asked; a later one only makes it harder.
            let update = sqlx::query(
                "UPDATE runs SET cancel_by = coalesce(cancel_by, ?), cancel_at = coalesce(cancel_at, ?), cancel_mode = ? \
                 WHERE run = ? AND state IN ('queued', 'starting', 'running', 'lost')",
            )
            .bind(&intent.by)
            .bind(intent.at_ms)
            .bind(mode_word(intent.mode))
            .bind(run.to_string());
            async move {
                let open = update.execute(&mut *db).await?.rows_affected() > 0;
                if open {
                    changes::note(db, *run).await?;
                }
                Ok(open)
            }
            .boxed()
        })
    }

    fn mark_shown(&self, runs: Vec<RunId>, at_ms: i64) -> Answer<'_, ()> {
        self.write((runs, at_ms), |db, (runs, at_ms)| {
            async move {
                for run in runs {
                    // The column still has the name of its first meaning.
                    let update = "UPDATE runs SET delivered = ? WHERE run = ? AND delivered = 0 AND finished > 0";
                    let update = sqlx::query(update).bind(at_ms).bind(run.to_string());
                    if update.execute(&mut *db).await?.rows_affected() > 0 {
                        changes::note(db, *run).await?;
                    }
                }
                Ok(())
            }
            .boxed()
        })
    }

    fn adopt(&self, adoption: Adoption) -> Answer<'_, bool> {
        self.write(adoption, |db, adoption| adopt(db, adoption).boxed())
    }

    fn contest(&self, run: RunId, words: String) -> Answer<'_, bool> {
        self.write((run, words), |db, (run, words)| change_detail(db, *run, |detail| detail.contest(words)).boxed())
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

    fn get_many<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Record>> {
        async move {
            // One parameter, however many ids there are, so that the statement is prepared only once.
            let names: Vec<String> = runs.iter().map(ToString::to_string).collect();
            let query = sqlx::query(columns!("WHERE run IN (SELECT value FROM json_each(?)) ORDER BY run"));
            rows(&self.readers, query.bind(to_json(&names)?), record).await
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
        list::by_tail(&self.readers, principal, tail, limit).boxed()
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>> {
        list::list(&self.readers, query).boxed()
    }

    fn unfinished(&self) -> Answer<'_, Vec<Record>> {
        async move {
            let query = sqlx::query(columns!("WHERE state IN ('queued', 'starting', 'running') ORDER BY run"));
            rows(&self.readers, query, record).await
        }
        .boxed()
    }

    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>> {
        async move {
            let query = sqlx::query("SELECT n, state, cause, attempt, at FROM transitions WHERE run = ? ORDER BY n");
            let step = |row: &SqliteRow| {
                Ok(TransitionRow {
                    n: row.try_get(0).map_err(storage)?,
                    state: parse(row.try_get(1).map_err(storage)?)?,
                    cause: parse(row.try_get(2).map_err(storage)?)?,
                    attempt: attempt(row, 3).map_err(storage)?,
                    at_ms: row.try_get(4).map_err(storage)?,
                })
            };
            rows(&self.readers, query.bind(run.to_string()), step).await
        }
        .boxed()
    }

    fn attempts(&self, run: RunId) -> Answer<'_, Vec<AttemptRow>> {
        attempts::of(&self.readers, run).boxed()
    }
}
