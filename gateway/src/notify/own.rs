//! What a person does with receivers of their own: all of it is under their own principal.

use longhaul_proto::{
    api::{NotificationView, NotifyList, NotifySecret, NotifyTested, ReceiverView, TestedView},
    clock::rfc3339,
};

use super::{
    Notify, NotifyError,
    message::{About, Message, TEST},
    receiver::Receiver,
};
use crate::{
    audit::{Event, Kind},
    ledger::{Notification, NotificationState, ReceiverAdded, ReceiverRecord, SigningChange},
    model::Identity,
};

/// Most receivers of one person.
pub const MAX_RECEIVERS: u32 = 16;
/// How many messages a list has.
const RECENT: u32 = 20;
/// How long webhooks are signed with the secret before, too: time to put the new one into place.
const OVERLAP_MS: i64 = 24 * 3600 * 1000;

impl Notify {
    /// The receivers of a person, and what became of the latest messages.
    ///
    /// # Errors
    /// [`NotifyError::Ledger`].
    pub async fn list(&self, who: &Identity) -> Result<NotifyList, NotifyError> {
        let receivers = self.0.ledger.receivers(&who.principal).await?;
        let recent = self.0.ledger.notifications_of(&who.principal, RECENT).await?;
        Ok(NotifyList {
            webhooks: !self.options().allow.is_empty(),
            mail: self.options().mail.is_some(),
            receivers: receivers.into_iter().map(view).collect(),
            recent: recent.into_iter().map(told).collect(),
        })
    }

    /// Adds one; the answer says whether it is new.
    ///
    /// # Errors
    /// See [`NotifyError`].
    pub async fn add(&self, who: &Identity, text: &str) -> Result<(ReceiverView, bool), NotifyError> {
        let added = self.try_add(who, text).await;
        if let Err(error @ (NotifyError::NotAllowed { .. } | NotifyError::NoWebhooks | NotifyError::NoMail)) = &added {
            self.0.audit.note(Event::of(Kind::ReceiverRefused, who).with("why", error.to_string()));
        }
        added
    }

    async fn try_add(&self, who: &Identity, text: &str) -> Result<(ReceiverView, bool), NotifyError> {
        let receiver = Receiver::parse(text).map_err(NotifyError::Malformed)?;
        self.allowed(&receiver).await?;
        let created_ms = self.0.deps.clock.unix_ms();
        let record = ReceiverRecord { principal: who.principal.clone(), address: receiver.address(), created_ms };
        let own = self.0.ledger.receivers(&who.principal).await?;
        if let Some(known) = own.into_iter().find(|known| known.address == record.address) {
            return Ok((view(known), false));
        }
        self.must(Event::of(Kind::ReceiverAdded, who).with("receiver", receiver.to_string())).await?;
        match self.0.ledger.receiver_add(record.clone(), MAX_RECEIVERS).await? {
            ReceiverAdded::New => Ok((view(record), true)),
            ReceiverAdded::Known => Ok((view(record), false)),
            ReceiverAdded::Full => Err(NotifyError::TooMany),
        }
    }

    /// Removes one.
    ///
    /// # Errors
    /// See [`NotifyError`].
    pub async fn remove(&self, who: &Identity, text: &str) -> Result<(), NotifyError> {
        let record = self.own(who, Some(text)).await?.pop().ok_or(NotifyError::NotThere)?;
        let shown = Receiver::parse(&record.address).map(|receiver| receiver.to_string()).unwrap_or_default();
        self.must(Event::of(Kind::ReceiverRemoved, who).with("receiver", shown)).await?;
        match self.0.ledger.receiver_remove(who.principal.clone(), record.address).await? {
            true => Ok(()),
            false => Err(NotifyError::NotThere),
        }
    }

    /// The secret by which a person's webhooks are signed: the first time, or another one.
    ///
    /// # Errors
    /// [`NotifyError::Shown`] where it was shown before.
    pub async fn secret(&self, who: &Identity, rotate: bool) -> Result<NotifySecret, NotifyError> {
        let at_ms = self.0.deps.clock.unix_ms();
        let salt = longhaul_proto::ids::secret::<16>().map(|bytes| longhaul_proto::hex(&bytes));
        let salt = salt.unwrap_or_else(|_| self.0.deps.ids.name());
        let kind = if rotate { Kind::NotifySecretRotated } else { Kind::NotifySecretShown };
        let change = match rotate {
            true => SigningChange::Rotate { salt, at_ms, before_until_ms: at_ms + OVERLAP_MS },
            false => SigningChange::Show { salt, at_ms },
        };
        self.must(Event::of(kind, who)).await?;
        let signing = self.0.ledger.signing(who.principal.clone(), change).await?;
        if !rotate && signing.shown_ms > 0 {
            return Err(NotifyError::Shown(rfc3339(signing.shown_ms).unwrap_or_default()));
        }
        let before = !signing.before.is_empty() && signing.before_until_ms > at_ms;
        Ok(NotifySecret {
            secret: self.0.key.secret(&who.principal, &signing.salt).text(),
            made_at: rfc3339(signing.made_ms),
            secret_before_until: before.then(|| rfc3339(signing.before_until_ms)).flatten(),
        })
    }

    /// Sends a test to one receiver of a person or to all of them, now, and says what happened.
    ///
    /// # Errors
    /// See [`NotifyError`].
    pub async fn test(&self, who: &Identity, text: Option<&str>) -> Result<NotifyTested, NotifyError> {
        let timestamp = rfc3339(self.0.deps.clock.unix_ms()).unwrap_or_default();
        let data = About { principal: who.principal.to_string(), ..About::default() };
        let body = Message { kind: TEST.to_owned(), timestamp, data }.json();
        let tests = self.own(who, text).await?.into_iter().map(|record| self.test_one(who, record.address, &body));
        Ok(NotifyTested { receivers: futures_util::future::join_all(tests).await })
    }

    async fn test_one(&self, who: &Identity, address: String, body: &str) -> TestedView {
        let id = format!("test_{}", self.0.deps.ids.name());
        let sent = match Receiver::parse(&address) {
            Ok(receiver) => self.send(&who.principal, &receiver, &id, body).await.map_err(|failed| failed.words),
            Err(words) => Err(words),
        };
        TestedView { address, delivered: sent.is_ok(), problem: sent.err() }
    }

    /// The receivers of a person, or the one of this address.
    async fn own(&self, who: &Identity, text: Option<&str>) -> Result<Vec<ReceiverRecord>, NotifyError> {
        let mut own = self.0.ledger.receivers(&who.principal).await?;
        if let Some(text) = text {
            // As it is kept, or as it was written.
            let kept = Receiver::parse(text).map(|receiver| receiver.address()).unwrap_or_default();
            own.retain(|record| record.address == kept || record.address == text);
        }
        if own.is_empty() { Err(NotifyError::NotThere) } else { Ok(own) }
    }

    async fn must(&self, event: Event) -> Result<(), NotifyError> {
        self.0.audit.must(event).await.map_err(|error| NotifyError::Unaudited(error.into()))
    }
}

fn view(record: ReceiverRecord) -> ReceiverView {
    ReceiverView { address: record.address, created_at: rfc3339(record.created_ms) }
}

fn told(one: Notification) -> NotificationView {
    let waits = one.state == NotificationState::Waiting;
    NotificationView {
        run_id: one.key.run,
        address: one.key.address,
        state: one.state.as_str().to_owned(),
        recorded_at: rfc3339(one.made_ms),
        tries: one.tries,
        told_at: (one.state == NotificationState::Delivered).then(|| rfc3339(one.ended_ms)).flatten(),
        given_up_at: (one.state == NotificationState::GivenUp).then(|| rfc3339(one.ended_ms)).flatten(),
        next_try_at: waits.then(|| rfc3339(one.due_ms)).flatten(),
        problem: Some(one.problem).filter(|problem| !problem.is_empty()),
    }
}
