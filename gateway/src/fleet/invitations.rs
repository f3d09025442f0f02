//! Who may join: invitations, the keys that join by them or by the socket of the gateway's own user, and the certificates
//! of those that have joined.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    clock::rfc3339,
    faults, ids,
    invitation::JoinToken,
    transport::{Fingerprint, Session, Shown, identity::is_plain},
    wire,
};

use super::{Fleet, Pins};
use crate::{
    ca::{Identities, Issued},
    ledger::{InvitationRecord, JoinedBy, LedgerError, PinRecord, PinState},
    model::Principal,
};

/// Why an operator's command on invitations has no effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InviteError {
    /// The command cannot be carried out as it is.
    #[error("{0}")]
    Refused(String),
    /// It makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// There is no such invitation.
    #[error("{0}")]
    Unknown(String),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What is asked for in an invitation.
#[derive(Debug)]
pub(crate) struct Invite {
    /// The name that the agent joins under.
    pub(crate) name: String,
    /// Whose runs it takes unless it says otherwise.
    pub(crate) principal: Principal,
    /// How long it can be used.
    pub(crate) expires: Duration,
    /// The address at which the agent finds this gateway.
    pub(crate) gateway: String,
}

/// A process that shows a key of its own and is to be an agent.
#[derive(Clone, Debug)]
pub(crate) struct Newcomer {
    /// Its key.
    pub(crate) key: Fingerprint,
    /// Its id.
    pub(crate) agent_id: String,
    /// Its name.
    pub(crate) name: String,
}

impl Newcomer {
    /// Who greets the gateway on this connection.
    ///
    /// # Errors
    /// When it cannot be called so, in words for its owner.
    pub(crate) fn of(session: &Session, hello: &wire::HelloRequest) -> Result<Self, String> {
        if !is_plain(&hello.agent_name) {
            return Err(super::registration::NAME.to_owned());
        }
        if !is_plain(&hello.agent_id) {
            return Err(
                "its id is not one that this program makes: remove the file agent-id in its data folder".to_owned()
            );
        }
        let (name, agent_id) = (hello.agent_name.clone(), hello.agent_id.clone());
        Ok(Self { key: session.peer(), agent_id, name })
    }
}

/// The last second of the certificates that agents have, by their keys.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<BTreeMap<Fingerprint, (String, i64)>>);

impl Ends {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Fingerprint, (String, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, key: &Fingerprint) -> Option<i64> {
        self.all().get(key).map(|(_, until_s)| *until_s)
    }

    pub(super) fn forget(&self, key: &Fingerprint) {
        self.all().remove(key);
    }

    fn note(&self, key: Fingerprint, name: &str, until_s: i64) {
        let mut all = self.all();
        let known = all.entry(key).or_insert_with(|| (name.to_owned(), until_s));
        *known = (name.to_owned(), until_s.max(known.1));
    }
}

impl Fleet {
    /// What issues certificates; `None` in a simulation, where there are none.
    pub(crate) fn identities(&self) -> Option<&Identities> {
        self.0.identities.as_ref()
    }

    /// Makes an invitation that can be stored, and its token, which is shown once.
    ///
    /// # Errors
    /// When it could not be used.
    pub(crate) async fn prepare_invitation(
        &self,
        invite: Invite,
        by: &str,
    ) -> Result<(InvitationRecord, JoinToken), InviteError> {
        let refused = |words: String| InviteError::Refused(words);
        let Some(identities) = self.identities() else {
            return Err(refused("this gateway has no authority".to_owned()));
        };
        if !is_plain(&invite.name) {
            let words = format!("field `name`: an agent cannot be called so: {}", super::registration::NAME);
            return Err(InviteError::Malformed(words));
        }
        if let Some(pin) = self.0.pins.lock().await.holder(&invite.name) {
            return Err(refused(format!(
                "agent {} has joined already (key {}): to put another host or another key in its place, run `longhaul agents \
                 revoke {}` first",
                pin.name,
                pin.key.short(),
                pin.name
            )));
        }
        let secret = ids::secret::<16>().map_err(|_| refused("the system gives no random bytes".to_owned()))?;
        let token = JoinToken::new(&identities.root().fingerprint, secret, &invite.gateway)
            .map_err(|_| refused(format!("`{}` is no address of a gateway", invite.gateway)))?;
        let made_ms = self.0.deps.clock.unix_ms();
        let record = InvitationRecord {
            digest: token.digest(),
            name: invite.name,
            principal: invite.principal,
            by: by.to_owned(),
            made_ms,
            ends_ms: made_ms.saturating_add(i64::try_from(invite.expires.as_millis()).unwrap_or(i64::MAX)),
            used: None,
            withdrawn_ms: None,
        };
        Ok((record, token))
    }

    /// Stores an invitation.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(crate) async fn invite(&self, invitation: InvitationRecord) -> Result<(), LedgerError> {
        self.0.ledger.invite(invitation).await
    }

    /// All invitations that are remembered, the oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) async fn invitations(&self) -> Result<Vec<InvitationRecord>, LedgerError> {
        self.0.ledger.invitations().await
    }

    /// The invitations that a word means, an agent's name or the beginning of an id, and that can still be withdrawn.
    ///
    /// # Errors
    /// When there is none, with those that there are.
    pub(crate) async fn withdrawable(&self, word: &str) -> Result<Vec<InvitationRecord>, InviteError> {
        let now_ms = self.0.deps.clock.unix_ms();
        let all = self.invitations().await?;
        let open =
            all.into_iter().filter(|one| one.used.is_none() && one.withdrawn_ms.is_none() && one.ends_ms > now_ms);
        let open: Vec<_> = open.collect();
        let means = |one: &&InvitationRecord| one.name == word || (word.len() >= 8 && one.digest.starts_with(word));
        let meant: Vec<_> = open.iter().filter(means).cloned().collect();
        if meant.is_empty() {
            let open: Vec<_> = open.iter().map(|one| format!("{} ({})", one.name, one.id())).collect();
            let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
            let words = format!(
                "no invitation that can still be used is for {word}; there are: {open}. An agent that has joined is removed with \
                 `longhaul agents revoke`"
            );
            return Err(InviteError::Unknown(words));
        }
        Ok(meant)
    }

    /// Withdraws an invitation. `false` = an agent has used it meanwhile.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(crate) async fn withdraw(&self, invitation: &InvitationRecord) -> Result<bool, LedgerError> {
        self.0.ledger.withdraw_invitation(invitation.digest.clone(), self.0.deps.clock.unix_ms()).await
    }

    /// The invitation of this token, if this newcomer may use it; else words for its owner.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) async fn invited(
        &self,
        who: &Newcomer,
        token: &str,
    ) -> Result<Result<InvitationRecord, String>, LedgerError> {
        let now_ms = self.0.deps.clock.unix_ms();
        let digest = longhaul_proto::sha256_hex(token.trim().as_bytes());
        let Some(found) = self.0.ledger.invitation(digest).await? else {
            return Ok(Err(
                "this gateway knows no such invitation: it is another gateway's, or ended long ago; an operator of \
                           this gateway makes one with `longhaul agents invite NAME`"
                    .to_owned(),
            ));
        };
        Ok(match objection(&found, who, now_ms) {
            Some(words) => Err(words),
            None => Ok(found),
        })
    }

    /// Why a newcomer cannot be let in under its name, in words for its owner.
    ///
    /// # Errors
    /// Such words.
    pub(crate) async fn has_room_for(&self, who: &Newcomer) -> Result<(), String> {
        let info = wire::AgentInfo { agent_id: who.agent_id.clone(), name: who.name.clone(), ..Default::default() };
        let pins = self.0.pins.lock().await;
        pins.judge(who.key, &info, false, self.0.deps.clock.unix_ms()).map(drop)
    }

    /// Lets a newcomer in: by an invitation that it may use, or as the gateway's own user; else words for its owner.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(crate) async fn join(
        &self,
        who: &Newcomer,
        invitation: Option<&InvitationRecord>,
    ) -> Result<Result<(), String>, LedgerError> {
        let mut pins = self.0.pins.lock().await;
        let info = wire::AgentInfo { agent_id: who.agent_id.clone(), name: who.name.clone(), ..Default::default() };
        let judged = match pins.judge(who.key, &info, false, self.0.deps.clock.unix_ms()) {
            Ok(pin) => pin,
            Err(words) => return Ok(Err(words)),
        };
        let pin = PinRecord {
            state: PinState::Accepted,
            at_ms: self.0.deps.clock.unix_ms(),
            by: invitation.map_or_else(|| "the gateway's own user".to_owned(), |one| one.by.clone()),
            joined: if invitation.is_some() { JoinedBy::Invitation } else { JoinedBy::Socket },
            serves: invitation.map(|one| one.principal.clone()),
            ..judged
        };
        match invitation {
            Some(one) if !faults::bug("invitation_used_twice") => {
                if !self.0.ledger.use_invitation(one.digest.clone(), pin.clone()).await? {
                    return Ok(Err(
                        "this invitation was used by another agent, or withdrawn, in this very moment".to_owned()
                    ));
                }
            }
            _ => self.0.ledger.put_pin(pin.clone()).await?,
        }
        tracing::info!(agent = %pin.name, key = %pin.key, joined = pin.joined.as_str(), by = pin.by, "an agent has joined");
        pins.insert(pin);
        Ok(Ok(()))
    }

    /// A certificate for an agent that has shown this key.
    ///
    /// # Errors
    /// In words, when there is none for it.
    pub(crate) fn certify(&self, pin: &PinRecord, shown: &Shown) -> Result<Issued, String> {
        let identities = self.identities().ok_or("this gateway issues no certificates")?;
        let issued = identities
            .issue(&pin.agent_id, shown, self.now_s())
            .map_err(|error| longhaul_proto::words::chain(&error))?;
        self.0.ends.note(pin.key, &pin.name, issued.until_s);
        Ok(issued)
    }

    /// The id in the certificate that was shown; `None` = a key alone was shown.
    ///
    /// # Errors
    /// Why the certificate is refused, in words for the agent's owner.
    pub(crate) fn certified(&self, session: &Session) -> Result<Option<String>, String> {
        let Some(identities) = self.identities() else { return Ok(None) };
        Ok(identities.agent(&session.channel().shown, self.now_s())?.map(|(id, _)| id))
    }

    /// Records what a registered agent showed.
    pub(crate) fn note_certificate(&self, pin: &PinRecord, session: &Session) {
        let shown = self.identities().map(|all| all.agent(&session.channel().shown, self.now_s()));
        if let Some(Ok(Some((_, until_s)))) = shown {
            self.0.ends.note(pin.key, &pin.name, until_s);
        }
    }

    /// The last second of each agent's certificate (Unix time), by name; of the agents that this gateway has heard since it
    /// started.
    pub(crate) fn certificate_ends(&self) -> Vec<(String, i64)> {
        let mut all: Vec<_> = self.0.ends.all().values().cloned().collect();
        all.sort();
        all
    }

    /// Certificates of hosts that are forgotten are told no more.
    pub(crate) fn forget_certificates(&self, hosts: &[String]) {
        self.0.ends.all().retain(|_, (name, _)| !hosts.contains(name));
    }

    /// When the gateway's own ends, Unix seconds.
    pub(crate) fn own_certificate_end(&self) -> Option<i64> {
        self.identities().map(Identities::until_s)
    }

    /// What an operator should know of certificates between gateway and agents; none of it keeps runs from going on now.
    pub(crate) fn certificate_note(&self) -> Option<String> {
        let identities = self.identities()?;
        if let Some(why) = identities.trouble() {
            return Some(format!("the gateway's certificate for its agents was not renewed: {why}"));
        }
        // A sixth of its life is left of one that should have been renewed when a third was left.
        let late_s = i64::try_from(identities.lifetime().as_secs() / 6).unwrap_or(i64::MAX);
        let late: Vec<_> = (self.0.ends.all().iter())
            .filter(|(key, (_, until_s))| until_s - self.now_s() < late_s && self.connected(key))
            .map(|(_, (name, _))| name.clone())
            .collect();
        (!late.is_empty()).then(|| {
            format!(
                "the certificates of these agents end soon and were not renewed: {}; see their logs",
                late.join(", ")
            )
        })
    }

    fn now_s(&self) -> i64 {
        self.0.deps.clock.unix_ms() / 1000
    }
}

/// Whether an agent with this pin must show a certificate. Those that joined with the secret may still show their key alone,
/// until the secret is gone.
pub(crate) fn needs_certificate(pin: &PinRecord) -> bool {
    pin.joined != JoinedBy::Secret
}

/// Why this newcomer may not use this invitation, in words for its owner.
fn objection(one: &InvitationRecord, who: &Newcomer, now_ms: i64) -> Option<String> {
    let name = &one.name;
    let at = |ms: i64| rfc3339(ms).unwrap_or_default();
    let another = format!("an operator makes another one with `longhaul agents invite {name}`");
    if let Some((used_ms, key)) = one.used.filter(|(_, key)| *key != who.key) {
        if faults::bug("invitation_used_twice") {
            return None;
        }
        return Some(format!(
            "this invitation was used before, by another agent (key {}) at {}: it is good for one. If that was none of yours, an \
             operator runs `longhaul agents revoke {name}`; then {another}",
            key.short(),
            at(used_ms)
        ));
    }
    if one.name != who.name {
        return Some(format!(
            "this invitation is for an agent called {name}, and this one is called {}: start it with --name {name}",
            who.name
        ));
    }
    if one.is_open(&who.key, now_ms) || faults::bug("invitation_never_ends") {
        return None;
    }
    Some(match one.withdrawn_ms {
        Some(ms) => format!("this invitation was withdrawn at {}: {another}", at(ms)),
        None => format!("this invitation ended at {}: {another}", at(one.ends_ms)),
    })
}

impl Pins {
    /// The accepted pin of this name.
    fn holder(&self, name: &str) -> Option<&PinRecord> {
        self.0.values().find(|pin| pin.name == name && pin.state == PinState::Accepted)
    }

    fn insert(&mut self, pin: PinRecord) {
        self.0.insert(pin.key, pin);
    }
}
