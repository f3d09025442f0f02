//! Bearer tokens and the principals that they stand for.

use super::Answer;
use crate::model::{Principal, Scopes, TokenLimits};

/// The tokens that this gateway made, for those who check and administer them.
pub trait TokenStore: Send + Sync + 'static {
    /// Adds a token; its name must be new.
    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool>;
    /// The token with this SHA-256 (hex), revoked or expired ones too; also by the secret before its present one.
    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>>;
    /// All tokens.
    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>>;
    /// Revokes a token by name; `false` when there is none that is not yet revoked.
    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool>;
    /// Replaces the secret of a token that is not revoked, and answers with the token as it is then; `None` = there is none.
    /// Repeated with the same new secret it changes nothing more.
    fn token_rotate<'a>(&'a self, name: &'a str, rotation: Rotation) -> Answer<'a, Option<TokenRecord>>;
    /// The principals with this subject, of any issuer, that a token stands for or that own a run.
    fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>>;
}

/// A bearer token; the secret itself is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// What people call it.
    pub name: String,
    /// The principal that it stands for.
    pub principal: Principal,
    /// Hex SHA-256 of the secret.
    pub sha256: String,
    /// What it permits.
    pub scopes: Scopes,
    /// Where it permits that.
    pub limits: TokenLimits,
    /// When it was made, Unix ms.
    pub created_ms: i64,
    /// When it expires; `None` = never.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// When its secret was last replaced by another.
    pub rotated_ms: Option<i64>,
    /// The secret before that, as long as it is accepted too.
    pub before: Option<SecretBefore>,
}

impl TokenRecord {
    /// Whether this is the digest of its secret, or of the one before.
    pub fn has(&self, sha256: &str) -> bool {
        self.sha256 == sha256 || self.before.as_ref().is_some_and(|before| before.sha256 == sha256)
    }

    /// When what has this digest is accepted no more, Unix ms; `None` = never.
    pub fn ends_ms(&self, sha256: &str) -> Option<i64> {
        let before = self.before.as_ref().filter(|before| before.sha256 == sha256);
        before.map_or(self.expires_ms, |before| Some(before.until_ms))
    }
}

/// A secret that was replaced and is still accepted for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretBefore {
    /// Hex SHA-256 of it.
    pub sha256: String,
    /// When it is accepted no more, Unix ms.
    pub until_ms: i64,
}

/// Another secret for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Hex SHA-256 of the new secret.
    pub sha256: String,
    /// When it is made, Unix ms.
    pub at_ms: i64,
    /// When the token expires from now on; `None` = never.
    pub expires_ms: Option<i64>,
    /// Until when the secret before is accepted too, Unix ms; not later than it would have been.
    pub before_until_ms: i64,
}
