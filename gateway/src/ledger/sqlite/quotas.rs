//! What principals use: by indexes over their unfinished and their newest runs, and by running figures of what is kept
//! (`kept_usage` and `blob_usage`, which triggers keep).

use futures_util::FutureExt;
use longhaul_proto::faults;
use sqlx::{Row, SqliteConnection};

use super::{SqliteLedger, storage, writer::Applied};
use crate::{
    ledger::{
        Answer, LedgerError,
        quotas::{QuotaStore, Room, Usage},
    },
    model::Principal,
};

/// Queued and running runs of a principal, and the bytes that are kept of it.
const COUNTS: &str = "SELECT \
    (SELECT count(*) FROM runs WHERE principal = ?1 AND issuer = ?2 AND state = 'queued'), \
    (SELECT count(*) FROM runs WHERE principal = ?1 AND issuer = ?2 AND state IN ('starting', 'running')), \
    coalesce((SELECT bytes FROM kept_usage WHERE principal = ?1 AND issuer = ?2), 0) \
    + coalesce((SELECT bytes FROM blob_usage WHERE principal = ?1 AND issuer = ?2), 0)";
/// When its newest runs were recorded.
const NEWEST: &str = "SELECT created FROM runs WHERE principal = ? AND issuer = ? ORDER BY run DESC LIMIT ?";

impl QuotaStore for SqliteLedger {
    fn usage(&self, of: Vec<Principal>, since_ms: i64, most: u32) -> Answer<'_, Usage> {
        async move {
            let mut reader = self.readers.acquire().await.map_err(storage)?;
            usage(&mut reader, &of, since_ms, most).await.map_err(storage)
        }
        .boxed()
    }
}

async fn usage(db: &mut SqliteConnection, of: &[Principal], since_ms: i64, most: u32) -> Result<Usage, sqlx::Error> {
    let mut all = Usage::default();
    for principal in of {
        let row = sqlx::query(COUNTS).bind(principal.subject()).bind(principal.issuer()).fetch_one(&mut *db).await?;
        let number = |at: usize| row.try_get::<i64, _>(at).map(|n| u64::try_from(n).unwrap_or_default());
        let (queued, running, kept) = (number(0)?, number(1)?, number(2)?);
        let newest = sqlx::query(NEWEST).bind(principal.subject()).bind(principal.issuer()).bind(most);
        let newest = if most > 0 { newest.fetch_all(&mut *db).await? } else { Vec::new() };
        let recorded: Result<Vec<i64>, _> = newest.iter().map(|row| row.try_get::<i64, _>(0)).collect();
        let recorded_ms = recorded?.into_iter().filter(|at| *at > since_ms).collect();
        all.add(Usage { queued, running, kept, recorded_ms });
    }
    Ok(all)
}

/// Refuses a new run that a quota has no room for. In the transaction that records it, so that no two runs take the same room.
pub(super) async fn check(db: &mut SqliteConnection, rooms: &[Room], waits: bool) -> Applied<()> {
    if faults::bug("quotas_of_runs_ignored") {
        return Ok(());
    }
    for room in rooms {
        let (since_ms, most) = room.looks();
        let used = usage(db, &room.members, since_ms, most).await?;
        room.check(&used, waits).map_err(|over| LedgerError::OverQuota(Box::new(over)))?;
    }
    Ok(())
}
