//! Bearer tokens.

use futures_util::FutureExt;
use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteLedger, row::parse, storage};
use crate::{
    ledger::{Answer, LedgerError, Rotation, SecretBefore, TokenRecord, TokenStore},
    model::Principal,
};

impl TokenStore for SqliteLedger {
    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool> {
        self.write(token, |db, token| {
            let add = sqlx::query(
                "INSERT OR IGNORE INTO tokens(name, principal, issuer, sha256, scope, created, expires, revoked, limits) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&token.name)
            .bind(token.principal.subject())
            .bind(token.principal.issuer())
            .bind(&token.sha256)
            .bind(token.scopes.to_string())
            .bind(token.created_ms)
            .bind(token.expires_ms)
            .bind(token.revoked_ms)
            .bind(serde_json::to_string(&token.limits).unwrap_or_default());
            async move { Ok(add.execute(db).await?.rows_affected() > 0) }.boxed()
        })
    }

    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>> {
        async move {
            sqlx::query("SELECT * FROM tokens WHERE sha256 = ?1 OR before_sha256 = ?1")
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

    fn token_rotate<'a>(&'a self, name: &'a str, rotation: Rotation) -> Answer<'a, Option<TokenRecord>> {
        self.write((name.to_owned(), rotation), |db, (name, rotation)| {
            let rotate = sqlx::query(
                "UPDATE tokens SET before_sha256 = sha256, before_until = min(coalesce(expires, ?1), ?1), sha256 = ?2, \
                 rotated = ?3, expires = ?4 WHERE name = ?5 AND revoked IS NULL AND sha256 <> ?2",
            )
            .bind(rotation.before_until_ms)
            .bind(&rotation.sha256)
            .bind(rotation.at_ms)
            .bind(rotation.expires_ms)
            .bind(name);
            let read = sqlx::query("SELECT * FROM tokens WHERE name = ? AND sha256 = ? AND revoked IS NULL")
                .bind(name)
                .bind(&rotation.sha256);
            async move {
                rotate.execute(&mut *db).await?;
                // A row that cannot be read is one that the next look-up refuses.
                Ok(read.fetch_optional(db).await?.and_then(|row| token(&row).ok()))
            }
            .boxed()
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
        scopes: parse(&text("scope")?)?,
        limits: serde_json::from_str(&text("limits")?).map_err(|error| LedgerError::Broken(error.to_string()))?,
        created_ms: row.try_get("created").map_err(storage)?,
        expires_ms: row.try_get("expires").map_err(storage)?,
        revoked_ms: row.try_get("revoked").map_err(storage)?,
        rotated_ms: row.try_get("rotated").map_err(storage)?,
        before: match row.try_get::<Option<String>, _>("before_sha256").map_err(storage)? {
            Some(sha256) => Some(SecretBefore { sha256, until_ms: row.try_get("before_until").map_err(storage)? }),
            None => None,
        },
    })
}
