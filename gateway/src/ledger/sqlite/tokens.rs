//! Bearer tokens.

use futures_util::FutureExt;
use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteLedger, row::parse, storage};
use crate::{
    ledger::{Answer, LedgerError, TokenRecord, TokenStore},
    model::Principal,
};

impl TokenStore for SqliteLedger {
    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool> {
        self.write(token, |db, token| {
            let add = sqlx::query(
                "INSERT OR IGNORE INTO tokens(name, principal, issuer, sha256, scope, created, expires, revoked) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&token.name)
            .bind(token.principal.subject())
            .bind(token.principal.issuer())
            .bind(&token.sha256)
            .bind(token.scope.as_str())
            .bind(token.created_ms)
            .bind(token.expires_ms)
            .bind(token.revoked_ms);
            async move { Ok(add.execute(db).await?.rows_affected() > 0) }.boxed()
        })
    }

    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>> {
        async move {
            sqlx::query("SELECT * FROM tokens WHERE sha256 = ?")
                .bind(sha256)
                .fetch_optional(&self.readers)
                .await
                .map_err(storage)?
                .map(|row| token(&row))
                .transpose()
        }
        .boxed()
    }

    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>> {
        async move {
            let rows =
                sqlx::query("SELECT * FROM tokens ORDER BY name").fetch_all(&self.readers).await.map_err(storage)?;
            rows.iter().map(token).collect()
        }
        .boxed()
    }

    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool> {
        self.write((name.to_owned(), at_ms), |db, (name, at_ms)| {
            let revoke = "UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL";
            let revoke = sqlx::query(revoke).bind(at_ms).bind(name);
            async move { Ok(revoke.execute(db).await?.rows_affected() > 0) }.boxed()
        })
    }

    fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>> {
        async move {
            let rows = sqlx::query(
                "SELECT issuer FROM tokens WHERE principal = ?1 UNION \
                 SELECT issuer FROM runs WHERE principal = ?1 AND ?1 <> '' ORDER BY issuer",
            )
            .bind(subject)
            .fetch_all(&self.readers)
            .await
            .map_err(storage)?;
            let principal = |row: &SqliteRow| row.try_get::<String, _>(0).map(|issuer| Principal::new(issuer, subject));
            rows.iter().map(|row| principal(row).map_err(storage)).collect()
        }
        .boxed()
    }
}

fn token(row: &SqliteRow) -> Result<TokenRecord, LedgerError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(storage);
    Ok(TokenRecord {
        name: text("name")?,
        principal: Principal::new(text("issuer")?, text("principal")?),
        sha256: text("sha256")?,
        scope: parse(&text("scope")?)?,
        created_ms: row.try_get("created").map_err(storage)?,
        expires_ms: row.try_get("expires").map_err(storage)?,
        revoked_ms: row.try_get("revoked").map_err(storage)?,
    })
}
