//! Sessions of the older protocol era: the principal of each, and when an unused one is closed.
//!
//! The library keeps the sessions, does not record their owners, and would end a session after a silence, together with
//! the call that is under way in it. So its own clock is off, and this table says who may use a session and which
//! are idle. What a session was opened with is in the ledger, so that a restarted gateway knows the session again, for
//! its owner.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use longhaul_proto::clock::Clock;
use rmcp::transport::streamable_http_server::session::{SessionState, SessionStore, SessionStoreError};

use super::resumable::ASKING;
use crate::{
    ledger::{Stash, StashStore},
    model::Identity,
};

/// Kind of our stashes in the ledger.
const KIND: &str = "session";

/// The table of sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    book: Arc<Mutex<HashMap<String, Entry>>>,
    ledger: Arc<dyn StashStore>,
    clock: Clock,
}

struct Entry {
    who: Identity,
    uses: usize,
    last: Duration,
}

/// A use of a session, for as long as this value is held.
pub struct Held {
    sessions: Sessions,
    id: String,
}

impl Sessions {
    /// An empty table.
    pub fn new(ledger: Arc<dyn StashStore>, clock: Clock) -> Self {
        Self { book: Arc::default(), ledger, clock }
    }

    /// The library opened a session for this principal.
    pub fn opened(&self, id: String, who: Identity) {
        let last = self.clock.monotonic();
        self.with(|book| book.insert(id, Entry { who, uses: 0, last }));
    }

    /// Number of open sessions of a principal.
    pub fn count(&self, who: &Identity) -> usize {
        self.with(|book| book.values().filter(|e| e.who.principal == who.principal).count())
    }

    /// Uses a session, also one from before a restart. `None` when this principal has no session of that name.
    pub async fn enter(&self, id: &str, who: &Identity) -> Option<Held> {
        if !self.with(|book| book.contains_key(id)) {
            let stash = self.ledger.stash_get(KIND, id).await.unwrap_or_else(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for a session");
                None
            })?;
            if stash.principal != who.principal {
                return None;
            }
            let last = self.clock.monotonic();
            let entry = Entry { who: who.clone(), uses: 0, last };
            self.with(|book| book.entry(id.to_owned()).or_insert(entry).last = last);
        }
        self.known(id, who)
    }

    /// An idle session is not restored either.
    pub async fn forget(&self, id: &str) {
        if let Err(error) = self.ledger.stash_remove(KIND, id).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "an idle session is remembered a while longer");
        }
    }

    fn known(&self, id: &str, who: &Identity) -> Option<Held> {
        self.with(|book| {
            let entry = book.get_mut(id).filter(|e| e.who.principal == who.principal)?;
            entry.uses += 1;
            Some(Held { sessions: self.clone(), id: id.to_owned() })
        })
    }

    /// Takes out the sessions that were not used for so long.
    pub fn take_idle(&self, idle: Duration) -> Vec<String> {
        let now = self.clock.monotonic();
        self.with(|book| {
            let old: Vec<String> = book
                .iter()
                .filter(|(_, e)| e.uses == 0 && now.saturating_sub(e.last) >= idle)
                .map(|(id, _)| id.clone())
                .collect();
            for id in &old {
                book.remove(id);
            }
            old
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<String, Entry>) -> T) -> T {
        change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl SessionStore for Sessions {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        let who = ASKING.try_with(|asking| asking.who.principal.clone())?;
        let stash = self.ledger.stash_get(KIND, id).await?.filter(|stash| stash.principal == who);
        Ok(stash.map(|stash| serde_json::from_str(&stash.body)).transpose()?)
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        let principal = ASKING.try_with(|asking| asking.who.principal.clone())?;
        let body = serde_json::to_string(state)?;
        let (kind, name) = (KIND.to_owned(), id.to_owned());
        let stash = Stash { kind, name, principal, created_ms: self.clock.unix_ms(), body };
        Ok(self.ledger.stash_put(stash).await?)
    }

    async fn delete(&self, id: &str) -> Result<(), SessionStoreError> {
        Ok(self.ledger.stash_remove(KIND, id).await?)
    }
}

impl Held {
    /// Keeps the session in use until the body is dropped.
    pub fn around(self, body: Body) -> Body {
        Body::new(HeldBody { body, _held: self })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = self.sessions.clock.monotonic();
        self.sessions.with(|book| {
            if let Some(entry) = book.get_mut(&self.id) {
                entry.uses = entry.uses.saturating_sub(1);
                entry.last = now;
            }
        });
    }
}

struct HeldBody {
    body: Body,
    _held: Held,
}

impl http_body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::memory::MemoryLedger, model::Scopes};

    #[tokio::test]
    async fn a_session_is_its_owners_and_lives_while_used() {
        let sessions = Sessions::new(Arc::new(MemoryLedger::new("c")), Clock::system());
        let (a, b) = (Identity::local("a", Scopes::USE), Identity::local("b", Scopes::OPERATE));
        sessions.opened("s".into(), a.clone());
        assert!(sessions.enter("s", &b).await.is_none(), "somebody else's");
        assert!(sessions.enter("t", &a).await.is_none(), "unknown");
        let held = sessions.enter("s", &a).await.unwrap();
        assert!(sessions.take_idle(Duration::ZERO).is_empty(), "in use");
        drop(held);
        assert!(sessions.take_idle(Duration::from_secs(60)).is_empty(), "used lately");
        assert_eq!(sessions.take_idle(Duration::ZERO), ["s"]);
        assert!(sessions.enter("s", &a).await.is_none(), "closed");
    }
}
