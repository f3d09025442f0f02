//! Invitations of agents: who may join once, until when, and for whom it will work.

use longhaul_proto::transport::Fingerprint;

use super::{Answer, PinRecord};
use crate::model::Principal;

/// Invitations that ended so long before another is made are removed, ms: 90 days.
pub const KEEP_INVITATIONS_MS: i64 = 90 * 24 * 3600 * 1000;

/// The invitations of agents, for the fleet.
pub trait InvitationStore: Send + Sync + 'static {
    /// Stores a new invitation, once however often it is asked to, and removes those that ended [`KEEP_INVITATIONS_MS`] before it was made.
    fn invite(&self, invitation: InvitationRecord) -> Answer<'_, ()>;
    /// All invitations, the oldest first.
    fn invitations(&self) -> Answer<'_, Vec<InvitationRecord>>;
    /// The invitation with this digest, if it is remembered.
    fn invitation(&self, digest: String) -> Answer<'_, Option<InvitationRecord>>;
    /// Withdraws an invitation that was not used; one that was withdrawn stays as it is. `false` = it was used, or there is
    /// none.
    fn withdraw_invitation(&self, digest: String, at_ms: i64) -> Answer<'_, bool>;
    /// Uses an invitation for the key of this pin, at the time of the pin, and stores the pin; both or neither. An
    /// invitation that this key has used is used once more: an agent may not have heard the answer. `false` = it may not
    /// be used (any more), and nothing has changed.
    fn use_invitation(&self, digest: String, pin: PinRecord) -> Answer<'_, bool>;
}

/// One invitation. Its token is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationRecord {
    /// SHA-256 of the token, hex.
    pub digest: String,
    /// The name that the agent joins under.
    pub name: String,
    /// The principal whose runs it takes unless it is told otherwise.
    pub principal: Principal,
    /// Who invited it, for people.
    pub by: String,
    /// When, Unix ms.
    pub made_ms: i64,
    /// From when on it cannot be used, Unix ms.
    pub ends_ms: i64,
    /// When it was used, and by which key.
    pub used: Option<(i64, Fingerprint)>,
    /// When it was withdrawn, Unix ms.
    pub withdrawn_ms: Option<i64>,
}

impl InvitationRecord {
    /// By what people name it: the beginning of its digest.
    pub fn id(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }

    /// Whether this key may use it now.
    pub fn is_open(&self, key: &Fingerprint, now_ms: i64) -> bool {
        match self.used {
            Some((_, used_by)) => used_by == *key,
            None => self.withdrawn_ms.is_none() && self.ends_ms > now_ms,
        }
    }
}
