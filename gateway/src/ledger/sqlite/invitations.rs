//! Invitations of agents.

use futures_util::FutureExt;
use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteLedger, agents::put_pin, storage};
use crate::{
    ledger::{Answer, InvitationRecord, InvitationStore, KEEP_INVITATIONS_MS, LedgerError, PinRecord},
    model::Principal,
};

impl InvitationStore for SqliteLedger {
    fn invite(&self, invitation: InvitationRecord) -> Answer<'_, ()> {
        self.write(invitation, |db, new| {
            let old = sqlx::query("DELETE FROM invitations WHERE ends < ?").bind(new.made_ms - KEEP_INVITATIONS_MS);
            let put = sqlx::query(
                "INSERT OR IGNORE INTO invitations(digest, name, issuer, principal, by, made, ends, used, used_key, withdrawn) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&new.digest)
            .bind(&new.name)
            .bind(new.principal.issuer())
            .bind(new.principal.subject())
            .bind(&new.by)
            .bind(new.made_ms)
            .bind(new.ends_ms)
            .bind(new.used.map(|(at, _)| at))
            .bind(new.used.map(|(_, key)| key.to_string()))
            .bind(new.withdrawn_ms);
            async move {
                old.execute(&mut *db).await?;
                Ok(put.execute(db).await.map(drop)?)
            }
            .boxed()
        })
    }

    fn invitations(&self) -> Answer<'_, Vec<InvitationRecord>> {
        async move {
            let rows = sqlx::query("SELECT * FROM invitations ORDER BY made, digest")
                .fetch_all(&self.readers)
                .await
                .map_err(storage)?;
            rows.iter().map(invitation).collect()
        }
        .boxed()
    }

    fn invitation(&self, digest: String) -> Answer<'_, Option<InvitationRecord>> {
        async move {
            let found = sqlx::query("SELECT * FROM invitations WHERE digest = ?").bind(digest);
            let found = found.fetch_optional(&self.readers).await.map_err(storage)?;
            found.map(|row| invitation(&row)).transpose()
        }
        .boxed()
    }

    fn withdraw_invitation(&self, digest: String, at_ms: i64) -> Answer<'_, bool> {
        self.write((digest, at_ms), |db, (digest, at_ms)| {
            let withdraw =
                "UPDATE invitations SET withdrawn = coalesce(withdrawn, ?) WHERE digest = ? AND used IS NULL";
            let withdraw = sqlx::query(withdraw).bind(at_ms).bind(digest);
            async move { Ok(withdraw.execute(db).await?.rows_affected() > 0) }.boxed()
        })
    }

    fn use_invitation(&self, digest: String, pin: PinRecord) -> Answer<'_, bool> {
        self.write((digest, pin), |db, (digest, pin)| {
            let used = sqlx::query(
                "UPDATE invitations SET used = coalesce(used, ?1), used_key = ?2 WHERE digest = ?3 AND \
                 (used_key = ?2 OR (used_key IS NULL AND withdrawn IS NULL AND ends > ?1))",
            )
            .bind(pin.at_ms)
            .bind(pin.key.to_string())
            .bind(digest);
            let put = put_pin(pin);
            async move {
                if used.execute(&mut *db).await?.rows_affected() == 0 {
                    return Ok(false);
                }
                put.execute(db).await?;
                Ok(true)
            }
            .boxed()
        })
    }
}

fn invitation(row: &SqliteRow) -> Result<InvitationRecord, LedgerError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(storage);
    let used_at: Option<i64> = row.try_get("used").map_err(storage)?;
    let used = match used_at {
        None => None,
        Some(at) => {
            let key = text("used_key")?;
            Some((at, key.parse().map_err(|_| LedgerError::Broken(format!("`{key}` is no key")))?))
        }
    };
    Ok(InvitationRecord {
        digest: text("digest")?,
        name: text("name")?,
        principal: Principal::new(text("issuer")?, text("principal")?),
        by: text("by")?,
        made_ms: row.try_get("made").map_err(storage)?,
        ends_ms: row.try_get("ends").map_err(storage)?,
        used,
        withdrawn_ms: row.try_get("withdrawn").map_err(storage)?,
    })
}
