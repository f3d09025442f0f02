//! Bearer tokens and the principals that they stand for.

use super::Answer;
use crate::model::{Principal, Scope};

/// The tokens that this gateway made, for those who check and administer them.
pub trait TokenStore: Send + Sync + 'static {
    /// Adds a token; its name must be new.
    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool>;
    /// The token with this SHA-256 (hex), revoked or expired ones too.
    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>>;
    /// All tokens.
    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>>;
    /// Revokes a token by name; `false` when there is none that is not yet revoked.
    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool>;
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
    /// `use` or `operate`.
    pub scope: Scope,
    /// When it was made, Unix ms.
    pub created_ms: i64,
    /// When it expires; `None` = never.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}
