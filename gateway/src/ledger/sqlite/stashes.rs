//! Stashed state of the HTTP and MCP layers; its table is named by its first name.

use futures_util::FutureExt;
use sqlx::Row;

use super::SqliteLedger;
use super::storage;
use crate::{
    ledger::{Answer, Stash, StashStore},
    model::Principal,
};

impl StashStore for SqliteLedger {
    fn stash_put(&self, stash: Stash) -> Answer<'_, ()> {
        self.write(stash, |db, stash| {
            let put = sqlx::query(
                "INSERT OR REPLACE INTO memos(kind, name, principal, issuer, created, body) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(&stash.kind)
            .bind(&stash.name)
            .bind(stash.principal.subject())
            .bind(stash.principal.issuer())
            .bind(stash.created_ms)
            .bind(&stash.body);
            async move { Ok(put.execute(db).await.map(drop)?) }.boxed()
        })
    }

    fn stash_get<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, Option<Stash>> {
        async move {
            let row = sqlx::query("SELECT principal, created, body, issuer FROM memos WHERE kind = ? AND name = ?")
                .bind(kind)
                .bind(name)
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(Stash {
                kind: kind.to_owned(),
                name: name.to_owned(),
                principal: Principal::new(
                    row.try_get::<String, _>(3).map_err(storage)?,
                    row.try_get::<String, _>(0).map_err(storage)?,
                ),
                created_ms: row.try_get(1).map_err(storage)?,
                body: row.try_get(2).map_err(storage)?,
            }))
        }
        .boxed()
    }

    fn stash_remove<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, ()> {
        self.write((kind.to_owned(), name.to_owned()), |db, (kind, name)| {
            let delete = sqlx::query("DELETE FROM memos WHERE kind = ? AND name = ?").bind(kind).bind(name);
            async move { Ok(delete.execute(db).await.map(drop)?) }.boxed()
        })
    }

    fn stash_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        self.write((before_ms, most), |db, (before_ms, most)| {
            async move {
                sqlx::query("DELETE FROM memos WHERE created < ?").bind(before_ms).execute(&mut *db).await?;
                let over = "DELETE FROM memos WHERE (kind, name) IN \
                            (SELECT kind, name FROM memos ORDER BY created DESC LIMIT -1 OFFSET ?)";
                sqlx::query(over).bind(most).execute(db).await?;
                Ok(())
            }
            .boxed()
        })
    }
}
