//! What the HTTP and MCP layers must know again after a restart.

use super::Answer;
use crate::model::Principal;

/// Stashed state of resumable calls and MCP sessions, for the layers that own it.
pub trait StashStore: Send + Sync + 'static {
    /// Stores a stash entry, replacing one of the same kind and name.
    fn stash_put(&self, stash: Stash) -> Answer<'_, ()>;
    /// The stash entry of this kind and name.
    fn stash_get<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, Option<Stash>>;
    /// Removes a stash entry; a missing one is no error.
    fn stash_remove<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, ()>;
    /// Removes stash entries made before `before_ms`, and all but the newest `most`.
    fn stash_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()>;
}

/// What the HTTP and MCP layers must know again after a restart: a resumable call, or a session of the older MCP era.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stash {
    /// Its kind; together with `name` its key.
    pub kind: String,
    /// Its name within its kind.
    pub name: String,
    /// The principal that it belongs to.
    pub principal: Principal,
    /// When it was made, Unix ms.
    pub created_ms: i64,
    /// JSON, in the format of the module that stored it.
    pub body: String,
}
