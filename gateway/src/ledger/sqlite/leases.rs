//! Rows of leases: written by steps of runs, and by what is no step.

use futures_util::FutureExt;
use longhaul_proto::ids::RunId;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteLedger,
    row::{attempt, number},
    rows,
    statements::Statements,
    storage,
};
use crate::{
    ledger::{Answer, HolderKind, LeaseChange, LeaseHolder, LeaseRecord, LeaseStore, LedgerError},
    model::{Attempt, Detail, Owner, Placement},
};

impl LeaseStore for SqliteLedger {
    fn take_lease(&self, lease: LeaseRecord, owner: Owner) -> Answer<'_, ()> {
        self.write((lease, owner), |db, (lease, owner)| {
            async move {
                if let Some(run) = lease.holder.as_run()
                    && !owns(db, run, owner).await?
                {
                    return Err(LedgerError::Lost(run).into());
                }
                let mut take = Statements::default();
                insert(&mut take, lease);
                take.execute(db).await?;
                Ok(())
            }
            .boxed()
        })
    }

    fn free_lease(&self, run: RunId, attempt: Option<Attempt>, owner: Owner) -> Answer<'_, bool> {
        self.write((run, attempt, owner), |db, (run, attempt, owner)| {
            async move {
                if !owns(db, *run, owner).await? {
                    return Ok(false);
                }
                let mut give_back = Statements::default();
                free(&mut give_back, *run, Some(*attempt));
                Ok(give_back.execute(db).await?.any())
            }
            .boxed()
        })
    }

    fn leases(&self) -> Answer<'_, Vec<LeaseRecord>> {
        let query = "SELECT kind, holder, attempt, agent_id, host, pool, since FROM leases";
        async move {
            let mut leases = rows(&self.readers, sqlx::query(query), row).await?;
            leases.sort_by(|a, b| a.holder.cmp(&b.holder));
            Ok(leases)
        }
        .boxed()
    }
}

async fn owns(db: &mut SqliteConnection, run: RunId, owner: &Owner) -> Result<bool, sqlx::Error> {
    let owned = sqlx::query("SELECT 1 FROM runs WHERE run = ? AND owner_epoch = ?").bind(run.to_string());
    Ok(owned.bind(epoch(owner)).fetch_optional(db).await?.is_some())
}

/// An owner's epoch, for a column.
pub(super) fn epoch(owner: &Owner) -> i64 {
    i64::try_from(owner.epoch).unwrap_or(i64::MAX)
}

/// Adds what a step, or the record of a new run, does to the lease of its run. `detail` has the attempt.
pub(super) fn change(to: &mut Statements, change: LeaseChange, run: RunId, detail: &Detail, at_ms: i64) {
    match (change, detail.attempts.last()) {
        (LeaseChange::Take, Some(last)) => {
            let (holder, attempt) = (LeaseHolder::run(run), Some(last.number));
            insert(to, &LeaseRecord { holder, attempt, at: last.at.clone(), since_ms: at_ms });
        }
        // What was never given to an agent occupies no seat.
        (LeaseChange::Take, None) | (LeaseChange::Keep, _) => {}
        (LeaseChange::Free, _) => free(to, run, None),
    }
}

fn insert(to: &mut Statements, lease: &LeaseRecord) {
    to.add(
        "INSERT OR REPLACE INTO leases(kind, holder, attempt, agent_id, host, pool, since) SELECT ?, ?, ?, ?, ?, ?, ?",
    )
    .bind(lease.holder.kind.as_str())
    .bind(&*lease.holder.id)
    .bind(number(lease.attempt))
    .bind(&*lease.at.agent_id)
    .bind(&*lease.at.host)
    .bind(&*lease.at.pool)
    .bind(lease.since_ms)
    .if_written();
}

/// Adds the removal of a run's lease, that of one attempt or whatever it has.
pub(super) fn free(to: &mut Statements, run: RunId, of: Option<Option<Attempt>>) {
    to.add("DELETE FROM leases WHERE kind = 'run' AND holder = ? AND attempt = coalesce(?, attempt)")
        .bind(run.to_string())
        .bind(of.map(number))
        .and_if_written();
}

fn row(row: &SqliteRow) -> Result<LeaseRecord, LedgerError> {
    let text = |at: usize| row.try_get::<&str, _>(at).map_err(storage);
    let kind = text(0)?;
    let kind = HolderKind::of(kind).ok_or_else(|| LedgerError::Broken(format!("`{kind}` holds no seat")))?;
    Ok(LeaseRecord {
        holder: LeaseHolder { kind, id: text(1)?.to_owned() },
        attempt: attempt(row, 2).map_err(storage)?,
        at: Placement { agent_id: text(3)?.to_owned(), host: text(4)?.to_owned(), pool: text(5)?.to_owned() },
        since_ms: row.try_get(6).map_err(storage)?,
    })
}
