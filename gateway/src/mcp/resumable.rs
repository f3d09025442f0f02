//! Calls that can be resumed: what an event id stands for.
//!
//! An event id is opaque, `<reference>.<n>`: a random reference to the call, and a number; neither tells anything of
//! the run. A client whose stream broke names the last event it received. Behind the reference stands a [`Resumable`]
//! with all that is needed to answer the call from the state of its run; it is in the ledger before the first event
//! that names it is sent. So no event is recorded, and a gateway that was killed still knows the call.
//!
//! ```text
//! call -> Resumable, hidden in its progress notifications -> store_event: ledger, then the id `<reference>.<n>`
//! GET with Last-Event-ID -> front: find (principal, session) or 404 -> library -> replay_events_after -> `resume`
//! ```
//!
//! The ledger deletes resumables after some days and beyond a number ([`crate::Options::keep_calls`]); the table of
//! open streams here is bounded too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{api::Joined, clock::Clock, ids};
use rmcp::{
    model::{JsonObject, JsonRpcMessage, ProgressToken, RequestId, ServerNotification},
    transport::streamable_http_server::session::{EventId, EventStore, EventStoreError, EventStream, ServerSseMessage},
};
use serde::{Deserialize, Serialize};

use super::resume;
use crate::{
    frontend::{Frontend, disconnect::ClientPresence},
    ledger::{LedgerError, Stash, StashStore},
    model::{Identity, Principal},
};

/// Kind of our stashes in the ledger.
const KIND: &str = "call";

/// Most open streams that are known. Beyond it the oldest gets another reference with its next progress.
const MAX_STREAMS: usize = 20_000;

/// Largest arguments that a resumable holds, bytes.
const MAX_ARGUMENTS: usize = 16 << 10;

/// All that is needed to answer a call on another connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Resumable {
    /// The calling principal.
    pub(super) principal: Principal,
    /// The JSON-RPC id of the request.
    pub(super) request: RequestId,
    /// The token of its progress.
    pub(super) token: ProgressToken,
    /// The session of the older era; `None` = the newer era.
    pub(super) session: Option<String>,
    /// Whether the caller waits as long as progress arrives.
    pub(super) patient: bool,
    /// Whether the caller asked to wait.
    #[serde(default)]
    pub(super) asked_to_wait: bool,
    /// What the call waits for.
    pub(super) asked: CallTarget,
}

/// What a resumable call waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CallTarget {
    /// The end of one run.
    Run {
        /// The run's id.
        run: ids::RunId,
        /// What versions before this one recorded of it.
        note: Option<String>,
        /// Why this run answers, when the call did not start it.
        #[serde(default)]
        joined: Option<Joined>,
    },
    /// `stata_wait` with these arguments.
    Wait(JsonObject),
}

impl CallTarget {
    /// `stata_wait`, unless the arguments are too large to keep.
    pub(super) fn wait(arguments: &JsonObject) -> Option<Self> {
        let len = serde_json::to_vec(arguments).map_or(usize::MAX, |v| v.len());
        (len <= MAX_ARGUMENTS).then(|| Self::Wait(arguments.clone()))
    }
}

/// A call that its client resumes.
#[derive(Clone, Debug)]
pub struct Resumed {
    pub(super) reference: String,
    /// Number of the last event that the client received.
    pub(super) seen: u64,
    pub(super) resumable: Arc<Resumable>,
    /// When it was first made, Unix ms.
    pub(super) asked_ms: i64,
    pub(super) caller: ClientPresence,
}

impl Resumed {
    /// The caller that resumes it.
    pub fn caller(&self) -> ClientPresence {
        self.caller.clone()
    }
}

/// The caller of the HTTP request under way, and the call it resumes: the library passes neither to its stores.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The caller.
    pub who: Identity,
    /// The call that is resumed.
    pub resumed: Option<Resumed>,
}

tokio::task_local! {
    /// The request under way.
    pub static ASKING: Asking;
}

/// The resumables. Cheap to clone.
#[derive(Clone)]
pub struct Resumables {
    ledger: Arc<dyn StashStore>,
    clock: Clock,
    streams: Arc<Mutex<Streams>>,
}

#[derive(Default)]
struct Streams {
    open: HashMap<String, Open>,
    opened: u64,
}

struct Open {
    reference: String,
    /// Number of the latest event.
    n: u64,
    /// Its resumable is in the ledger.
    kept: bool,
    order: u64,
}

impl Resumables {
    /// The resumables in this ledger.
    pub fn new(ledger: Arc<dyn StashStore>, clock: Clock) -> Self {
        Self { ledger, clock, streams: Arc::default() }
    }

    /// The call of an event id, for the principal that made it. `None` for every other principal, and for ids that are
    /// unknown.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn find(
        &self,
        event: &str,
        who: &Identity,
        session: Option<&str>,
    ) -> Result<Option<Resumed>, LedgerError> {
        let Some((reference, number)) = event.split_once('.') else { return Ok(None) };
        let Ok(seen) = number.parse::<u64>() else { return Ok(None) };
        let Some(stash) = self.ledger.stash_get(KIND, reference).await? else { return Ok(None) };
        let resumable: Resumable = serde_json::from_str(&stash.body).map_err(|e| LedgerError::Broken(e.to_string()))?;
        if resumable.principal != who.principal || resumable.session.as_deref() != session {
            return Ok(None);
        }
        Ok(Some(Resumed {
            reference: reference.to_owned(),
            seen,
            resumable: Arc::new(resumable),
            asked_ms: stash.created_ms,
            caller: ClientPresence::default(),
        }))
    }

    /// The id of the next event of a stream, and whether its resumable must still be written to the ledger.
    fn next(&self, stream: &str, last: bool) -> std::io::Result<(String, u64, bool)> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let order = streams.opened;
        if !streams.open.contains_key(stream) {
            let reference = reference()?;
            streams.opened += 1;
            streams.open.insert(stream.to_owned(), Open { reference, n: 0, kept: false, order });
            if streams.open.len() > MAX_STREAMS
                && let Some(oldest) = streams.open.iter().min_by_key(|(_, o)| o.order).map(|(id, _)| id.clone())
            {
                streams.open.remove(&oldest);
            }
        }
        let Some(open) = streams.open.get_mut(stream) else { return Err(std::io::ErrorKind::NotFound.into()) };
        open.n += 1;
        let next = (open.reference.clone(), open.n, !open.kept);
        if last {
            streams.open.remove(stream);
        }
        Ok(next)
    }

    async fn keep(&self, stream: &str, reference: &str, resumable: &Resumable) -> Result<(), LedgerError> {
        self.put(reference, resumable).await?;
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.open.get_mut(stream) {
            open.kept = true;
        }
        Ok(())
    }

    /// Puts into the ledger what stands behind a reference.
    ///
    /// # Errors
    /// When the ledger cannot take it.
    pub(super) async fn put(&self, reference: &str, resumable: &Resumable) -> Result<(), LedgerError> {
        let stash = Stash {
            kind: KIND.to_owned(),
            name: reference.to_owned(),
            principal: resumable.principal.clone(),
            created_ms: self.clock.unix_ms(),
            body: serde_json::to_string(resumable).map_err(|e| LedgerError::Broken(e.to_string()))?,
        };
        self.ledger.stash_put(stash).await
    }
}

/// A new reference to a call.
///
/// # Errors
/// When there is no randomness.
pub(super) fn reference() -> std::io::Result<String> {
    Ok(ids::secret::<16>()?.iter().map(|b| format!("{b:02x}")).collect())
}

/// What the library asks for event ids and replays.
pub(super) struct Store {
    pub(super) frontend: Frontend,
    pub(super) resumables: Resumables,
}

#[async_trait::async_trait]
impl EventStore for Store {
    async fn store_event(&self, stream: &str, event: &ServerSseMessage) -> Result<EventId, EventStoreError> {
        // The stream of a session that belongs to no request: nothing on it can be resumed, and an empty id tells a
        // client so.
        if stream.ends_with(":common") {
            return Ok(EventId::new());
        }
        let last = matches!(event.message.as_deref(), Some(JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)));
        let (reference, n, unkept) = self.resumables.next(stream, last)?;
        if unkept
            && let Some(resumable) = ticket_of(event)
            && let Err(error) = self.resumables.keep(stream, &reference, &resumable).await
        {
            // The call goes on; it only cannot be resumed.
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot note a call for its resumption");
            return Ok(EventId::new());
        }
        Ok(format!("{reference}.{n}"))
    }

    async fn replay_events_after(&self, last: &str) -> Result<EventStream, EventStoreError> {
        match ASKING.try_with(|asking| asking.clone()) {
            Ok(Asking { who, resumed: Some(resumed) }) => Ok(resume::replay(&self.frontend, who, resumed)),
            // The layer in front lets no such request through.
            _ => Err(format!("no caller may resume {last}").into()),
        }
    }
}

/// The resumable that travels, hidden from clients, with a progress notification.
fn ticket_of(event: &ServerSseMessage) -> Option<Arc<Resumable>> {
    match event.message.as_deref()? {
        JsonRpcMessage::Notification(one) => match &one.notification {
            ServerNotification::ProgressNotification(progress) => progress.extensions.get::<Arc<Resumable>>().cloned(),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::memory::MemoryLedger, model::Scopes};

    #[tokio::test]
    async fn an_event_id_is_random_and_its_owners() {
        let resumables = Resumables::new(Arc::new(MemoryLedger::new("c")), Clock::system());
        let run = ids::Ids::system().run();
        let resumable = Resumable {
            principal: Principal::local("ann"),
            request: RequestId::Number(7),
            token: ProgressToken(RequestId::Number(7)),
            session: None,
            patient: true,
            asked_to_wait: false,
            asked: CallTarget::Run { run, note: None, joined: None },
        };
        let (reference, n, unkept) = resumables.next("s", false).unwrap();
        assert_eq!((reference.len(), n, unkept), (32, 1, true));
        let (ann, ben) = (Identity::local("ann", Scopes::USE), Identity::local("ben", Scopes::OPERATE));
        let event = format!("{reference}.1");
        assert!(resumables.find(&event, &ann, None).await.unwrap().is_none(), "nothing stands behind it yet");
        resumables.keep("s", &reference, &resumable).await.unwrap();
        assert_eq!(*resumables.find(&event, &ann, None).await.unwrap().unwrap().resumable, resumable);
        assert!(!resumables.next("s", true).unwrap().2, "kept once");
        for (event, who, session) in [
            (event.as_str(), &ben, None),
            (event.as_str(), &ann, Some("other")),
            (reference.as_str(), &ann, None),
            (&format!("{reference}.x"), &ann, None),
            (&format!("{}.1", run), &ann, None),
            ("", &ann, None),
        ] {
            assert!(resumables.find(event, who, session).await.unwrap().is_none(), "{event}");
        }
        assert_ne!(resumables.next("s", true).unwrap().0, reference, "a stream that ended is forgotten here");
        assert!(resumables.find(&event, &ann, None).await.unwrap().is_some(), "but its resumable is kept");
    }

    #[test]
    fn open_streams_are_bounded() {
        let resumables = Resumables::new(Arc::new(MemoryLedger::new("c")), Clock::system());
        let first = resumables.next("0", false).unwrap().0;
        for n in 1..=MAX_STREAMS {
            resumables.next(&n.to_string(), false).unwrap();
        }
        assert_eq!(resumables.streams.lock().unwrap().open.len(), MAX_STREAMS);
        assert_ne!(resumables.next("0", false).unwrap().0, first, "the oldest went");
    }
}
