//! How agents join, and the certificates that they are given.

use std::sync::atomic::Ordering;

use longhaul_proto::{faults, transport::Session, wire};

use super::{AgentCalls, RefusedAgent};
use crate::{
    audit::{Event, Kind},
    fleet::invitations::{Newcomer, needs_certificate},
    ledger::{JoinedBy, LedgerError, PinRecord, PinState},
    model::RequestOrigin,
};

impl AgentCalls {
    /// Refuses a certificate that is not this agent's or does not hold.
    pub(super) fn check_certificate(&self, session: &Session, pin: Option<&PinRecord>) -> Result<(), RefusedAgent> {
        let words = match self.inner.fleet.certified(session) {
            Ok(Some(id)) if pin.is_some_and(|pin| pin.agent_id != id) => {
                format!("its certificate is that of another agent ({id})")
            }
            Ok(_) => return Ok(()),
            Err(words) => words,
        };
        let key = session.peer().short();
        let name = pin.map_or_else(|| format!("with the key {key}"), |pin| pin.name.clone());
        self.refused(session, &name, &words);
        Err(RefusedAgent::Refused(words))
    }

    /// Logs a refusal, for people and in the audit log: once, and then counted, as who is refused tries again and again.
    fn refused(&self, session: &Session, name: &str, words: &str) {
        self.note(session, &format!("agent {name} is refused: {words}"));
        let origin = RequestOrigin::new(session.address(), self.inner.audit.request_id(), None);
        let event = Event::from(Kind::AgentRefused, origin).with("agent", name).with("key", session.peer().to_string());
        self.inner.audit.counted(event.with("why", words));
    }

    /// Lets an agent in that has an invitation, or is of the gateway's own user; whether it did.
    ///
    /// # Errors
    /// See [`RefusedAgent`].
    pub(super) async fn joins(&self, session: &Session, hello: &wire::HelloRequest) -> Result<bool, RefusedAgent> {
        let fleet = &self.inner.fleet;
        let invited = !hello.join_token.is_empty();
        if !invited && (!session.is_of_own_user() || faults::bug("socket_joins_nothing")) {
            return Ok(false);
        }
        let refuse = |name: &str, words: String| {
            self.refused(session, name, &words);
            Err(RefusedAgent::Refused(words))
        };
        let who = match Newcomer::of(session, hello) {
            Ok(who) => who,
            Err(words) => return refuse("that joins", words),
        };
        let invitation = match invited {
            false => None,
            true => match fleet.invited(&who, &hello.join_token).await.map_err(failed)? {
                Ok(invitation) => Some(invitation),
                Err(words) => return refuse(&who.name, words),
            },
        };
        // Before the lines that say that it joins.
        if let Err(words) = fleet.has_room_for(&who).await {
            return refuse(&who.name, words);
        }
        let how = if invited { JoinedBy::Invitation } else { JoinedBy::Socket };
        if let Some(one) = &invitation {
            let used = Event::own(Kind::InvitationUsed).with("agent", who.name.clone()).with("invitation", one.id());
            self.inner.audit.must(used.with("invited_by", one.by.clone())).await.map_err(unaudited)?;
        }
        let joined = Event::own(Kind::AgentJoined).with("agent", who.name.clone()).with("joined", how.as_str());
        self.inner.audit.must(joined.with("key", who.key.to_string())).await.map_err(unaudited)?;
        match fleet.join(&who, invitation.as_ref()).await.map_err(failed)? {
            Ok(()) => Ok(true),
            Err(words) => refuse(&who.name, words),
        }
    }

    /// Takes an agent in whose description is sound; words = it is refused.
    ///
    /// # Errors
    /// See [`RefusedAgent`].
    pub(super) async fn admitted(
        &self,
        session: &Session,
        info: &mut wire::AgentInfo,
    ) -> Result<Option<String>, RefusedAgent> {
        let (fleet, key) = (&self.inner.fleet, session.peer());
        let known = fleet.pin(&key).await;
        if let Some(pin) = &known
            && needs_certificate(pin)
            && fleet.identities().is_some()
            && !session.channel().shown.is_issued()
            && !faults::bug("key_alone_is_enough")
        {
            return Ok(Some(format!(
                "agent {} joined by {} and shows its key without a certificate: start it as the version of longhaul that joined, \
                 or a later one",
                pin.name,
                if pin.joined == JoinedBy::Invitation { "an invitation" } else { "the socket" }
            )));
        }
        if let Err(words) = fleet.admit(key, info).await.map_err(failed)? {
            return Ok(Some(words));
        }
        let Some(pin) = fleet.pin(&key).await else { return Ok(None) };
        if known.is_none() {
            tracing::warn!(
                agent = %pin.name,
                "an agent has joined with the join secret, which the next version does not take any more: invite new ones with \
                 `longhaul agents invite NAME`"
            );
            let joined =
                Event::own(Kind::AgentJoined).with("agent", pin.name.clone()).with("joined", pin.joined.as_str());
            self.inner.audit.must(joined.with("key", key.to_string())).await.map_err(unaudited)?;
        }
        fleet.note_certificate(&pin, session);
        if let Some(principal) = pin.serves.filter(|_| !info.serve_all && info.serve.is_empty()) {
            // As typed, so that no other issuer's can be meant.
            let typed = if principal.is_local() { format!("local:{principal}") } else { principal.to_string() };
            info.serve = vec![typed];
        }
        Ok(None)
    }

    /// An agent asks for a certificate.
    ///
    /// # Errors
    /// See [`RefusedAgent`].
    pub(crate) async fn certify(&self, session: &Session) -> Result<wire::CertifyReply, RefusedAgent> {
        let pin = self.inner.fleet.pin(&session.peer()).await.ok_or(RefusedAgent::Early)?;
        match pin.state {
            PinState::Accepted => {}
            PinState::Waiting => return Err(RefusedAgent::Early),
            PinState::Revoked => return Err(RefusedAgent::Revoked(crate::fleet::revoked(&pin))),
        }
        let issued = match self.inner.fleet.certify(&pin, &session.channel().shown) {
            Ok(issued) => issued,
            Err(words) => {
                self.refused(session, &pin.name, &words);
                return Err(RefusedAgent::Refused(words));
            }
        };
        self.inner.metrics.certificates_issued.fetch_add(1, Ordering::Relaxed);
        if !session.channel().shown.is_issued() {
            let event =
                Event::own(Kind::CertificateIssued).with("agent", pin.name.clone()).with("key", pin.key.to_string());
            self.inner.audit.must(event).await.map_err(unaudited)?;
        }
        tracing::debug!(agent = %pin.name, "certificate issued");
        Ok(wire::CertifyReply { chain: issued.chain })
    }
}

fn failed(error: LedgerError) -> RefusedAgent {
    tracing::error!(error = &error as &dyn std::error::Error, "an agent could not join");
    RefusedAgent::NotNow("the gateway cannot use its ledger")
}

fn unaudited(error: crate::audit::NotAudited) -> RefusedAgent {
    tracing::error!(error = &error as &dyn std::error::Error, "an agent could not join");
    RefusedAgent::NotNow("the gateway cannot write its audit log")
}
