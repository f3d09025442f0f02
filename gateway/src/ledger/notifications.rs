//! Who is told of the ends of runs, and what is still to be told: the outbox.
//!
//! What is told of an end is written in the transaction that records the end ([`super::Transition::told`]), a row for each
//! receiver; from then on it waits here until it was delivered or given up, whatever happens to the gateway.

use longhaul_proto::ids::RunId;

use super::Answer;
use crate::model::Principal;

/// Most receivers of one run, those that joining requests added among them.
pub const RUN_RECEIVERS: u32 = 32;

/// Receivers, the outbox, and by what webhooks are signed.
pub trait NotificationStore: Send + Sync + 'static {
    /// Adds receivers of one run, up to [`RUN_RECEIVERS`]; `false` = there is no such run, or it has its last end already.
    fn tell(&self, run: RunId, receivers: Vec<String>) -> Answer<'_, bool>;
    /// Adds a receiver of all runs of its principal, unless that has `most` others already.
    fn receiver_add(&self, receiver: ReceiverRecord, most: u32) -> Answer<'_, ReceiverAdded>;
    /// Removes one; `false` = there was none. What is in the outbox already is still told.
    fn receiver_remove(&self, principal: Principal, address: String) -> Answer<'_, bool>;
    /// The receivers of a principal, by address.
    fn receivers<'a>(&'a self, principal: &'a Principal) -> Answer<'a, Vec<ReceiverRecord>>;

    /// What is to be tried now, the longest due first.
    fn notifications_due(&self, now_ms: i64, limit: u32) -> Answer<'_, Vec<Notification>>;
    /// How much waits.
    fn notifications_waiting(&self) -> Answer<'_, Waiting>;
    /// Notes what became of a try; `false` when it no longer waits.
    fn notification_tried(&self, of: NotificationKey, tried: Tried) -> Answer<'_, bool>;
    /// What the runs of a principal told or have to tell, newest first.
    fn notifications_of<'a>(&'a self, principal: &'a Principal, limit: u32) -> Answer<'a, Vec<Notification>>;
    /// Removes what was told or given up before this time, the oldest first; how many.
    fn notification_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32>;

    /// By what the webhooks of a principal are signed, as it is after the change. The secrets are not stored: they are made of
    /// this and of a key of the gateway.
    fn signing(&self, principal: Principal, change: SigningChange) -> Answer<'_, Signing>;
}

/// Who is told of the ends of all runs of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverRecord {
    /// The principal.
    pub principal: Principal,
    /// `https://…` or `mailto:…`.
    pub address: String,
    /// Since when, Unix ms.
    pub created_ms: i64,
}

/// The answer to [`NotificationStore::receiver_add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverAdded {
    /// It is added.
    New,
    /// It was there before.
    Known,
    /// There are too many.
    Full,
}

/// Names an entry of the outbox: the end of a run by its place among the run's steps, and a receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotificationKey {
    /// The run.
    pub run: RunId,
    /// Which of its steps.
    pub n: u32,
    /// The receiver.
    pub address: String,
}

/// An entry of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its name.
    pub key: NotificationKey,
    /// Whose run it is.
    pub principal: Principal,
    /// When the end was recorded, Unix ms.
    pub made_ms: i64,
    /// When it is tried next, Unix ms.
    pub due_ms: i64,
    /// How often it was tried.
    pub tries: u32,
    /// Whether it was told.
    pub state: NotificationState,
    /// When it was told or given up, Unix ms; 0 = it waits.
    pub ended_ms: i64,
    /// What went wrong at the last try; empty = nothing.
    pub problem: String,
    /// What is told: JSON, the same at each try.
    pub body: String,
}

/// Whether something was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationState {
    /// Not yet.
    Waiting,
    /// The receiver has taken it.
    Delivered,
    /// It is not tried any more.
    GivenUp,
}

impl NotificationState {
    /// Its word, in the ledger and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }

    /// The state of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Delivered, Self::GivenUp].into_iter().find(|state| state.as_str() == word)
    }
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Whether it was told, or will not be.
    pub state: NotificationState,
    /// When that was, Unix ms.
    pub at_ms: i64,
    /// When it is tried next, if it waits, Unix ms.
    pub due_ms: i64,
    /// How often it was tried by now.
    pub tries: u32,
    /// What went wrong; empty = nothing.
    pub problem: String,
}

/// How much waits to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many entries.
    pub count: u64,
    /// When the oldest of them was made, Unix ms; 0 = none waits.
    pub oldest_ms: i64,
    /// When the next of them is due, Unix ms; 0 = none waits.
    pub next_ms: i64,
}

/// By what the webhooks of a principal are signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signing {
    /// What the secret is made of, beside the gateway's key.
    pub salt: String,
    /// Since when, Unix ms.
    pub made_ms: i64,
    /// When the secret was shown, Unix ms; 0 = not yet. In the answer to [`SigningChange::Show`] as it was before.
    pub shown_ms: i64,
    /// The one before it, with which webhooks are signed too; empty = there is none.
    pub before: String,
    /// Until when, Unix ms.
    pub before_until_ms: i64,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningChange {
    /// It stays; where there is none it is made with this salt.
    Keep {
        /// The salt.
        salt: String,
        /// Now, Unix ms.
        at_ms: i64,
    },
    /// Likewise, and the secret is shown if it was not yet.
    Show {
        /// The salt.
        salt: String,
        /// Now, Unix ms.
        at_ms: i64,
    },
    /// Another one takes its place, and is shown. Repeated with the same salt it changes nothing more.
    Rotate {
        /// The salt.
        salt: String,
        /// Now, Unix ms.
        at_ms: i64,
        /// Until when webhooks are signed with the one before too, Unix ms.
        before_until_ms: i64,
    },
}
