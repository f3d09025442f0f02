//! Which key belongs to which agent. An agent is identified by its key.
//!
//! ```text
//! (new key, its invitation)  -> accepted
//! (new key, right secret)    -> accepted | waiting (--approve-agents) -> accepted
//!                               accepted, waiting -> revoked -> accepted, by an operator's word alone
//! ```
//! A name and an id belong to the one key that first registered with them. Another key under either is refused until an
//! operator revokes the first; a revoked key stays refused, even with the join secret, until an operator approves it.
//! Every decision is in the ledger before it takes effect.

use std::collections::BTreeMap;

use longhaul_proto::{
    api::AgentKeyView,
    clock::rfc3339,
    faults,
    transport::{Fingerprint, Session},
    wire,
};

use super::{Fleet, scheduler::Command};
use crate::ledger::{JoinedBy, LedgerError, PinRecord, PinState};

/// The approver that is recorded for a key that came with the right secret.
const BY_SECRET: &str = "join secret";

/// The same, once it has a certificate.
const BY_CERTIFICATE: &str = "join secret, and its certificate since";

/// Fewest characters of a fingerprint that identify its key.
const SHORT: usize = 12;

/// All pins, by key.
#[derive(Debug, Default)]
pub(crate) struct Pins(pub(super) BTreeMap<Fingerprint, PinRecord>);

/// Why an operator's command on a name has no effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// No key has the name.
    #[error("no agent {name} has ever joined; there are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    Unknown {
        /// The name.
        name: String,
        /// The known names.
        known: Vec<String>,
    },
    /// Another key has the name, or the id, by now.
    #[error("another key (that of agent {0}) has the name or the id by now: revoke that one first")]
    Taken(String),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Pins {
    pub(crate) fn of(records: Vec<PinRecord>) -> Self {
        Self(records.into_iter().map(|pin| (pin.key, pin)).collect())
    }

    fn others(&self, key: &Fingerprint, agent_id: &str, name: &str) -> Option<&PinRecord> {
        let its = |p: &&PinRecord| p.agent_id == agent_id || p.name == name;
        self.0.values().filter(|p| p.key != *key && p.state != PinState::Revoked).find(its)
    }

    /// The pin that results from a registration with this key.
    ///
    /// # Errors
    /// Why it is refused, in words for the agent's owner.
    pub(super) fn judge(
        &self,
        key: Fingerprint,
        info: &wire::AgentInfo,
        approve: bool,
        now_ms: i64,
    ) -> Result<PinRecord, String> {
        let held = self.0.get(&key);
        if let Some(pin) = held.filter(|p| p.state == PinState::Revoked) {
            return Err(revoked(pin));
        }
        if let Some(other) = self.others(&key, &info.agent_id, &info.name) {
            let what = if other.name == info.name {
                format!("the name {} belongs to another key ({})", info.name, other.key.short())
            } else {
                format!("its id belongs to agent {}, with another key ({})", other.name, other.key.short())
            };
            return Err(format!(
                "{what}: start this agent with another --name and a data folder of its own; or, when this one takes the other's \
                 place, an operator runs `longhaul agents revoke {}` on the gateway",
                other.name
            ));
        }
        match held {
            Some(pin) if pin.agent_id != info.agent_id => Err(format!(
                "its key ({}) belongs to agent {} with another id: put its file agent-id back from a backup, or remove its file \
                 key and have an operator run `longhaul agents revoke {}` on the gateway",
                key.short(),
                pin.name,
                pin.name
            )),
            Some(pin) if pin.name == info.name => Ok(pin.clone()),
            Some(pin) if pin.joined == JoinedBy::Invitation && !faults::bug("invited_renamed") => Err(format!(
                "its key ({}) was invited as {}: start this agent with --name {}; under another name it needs a data folder of its \
                 own and an invitation for that name",
                key.short(),
                pin.name,
                pin.name
            )),
            _ => Ok(PinRecord {
                key,
                agent_id: info.agent_id.clone(),
                name: info.name.clone(),
                state: if approve { PinState::Waiting } else { PinState::Accepted },
                at_ms: now_ms,
                by: held.map_or_else(|| BY_SECRET.to_owned(), |pin| pin.by.clone()),
                joined: held.map_or(JoinedBy::Secret, |pin| pin.joined),
                serves: held.and_then(|pin| pin.serves.clone()),
            }),
        }
    }

    fn view(pin: &PinRecord, connected: bool, until_s: Option<i64>) -> AgentKeyView {
        AgentKeyView {
            name: pin.name.clone(),
            agent_id: pin.agent_id.clone(),
            key: pin.key.to_string(),
            state: pin.state.as_str().to_owned(),
            since: rfc3339(pin.at_ms).unwrap_or_default(),
            by: match (pin.joined, until_s) {
                // It has moved over, and needs the secret no more.
                (JoinedBy::Secret, Some(_)) if pin.by == BY_SECRET => BY_CERTIFICATE.to_owned(),
                _ => pin.by.clone(),
            },
            connected,
            joined: pin.joined.as_str().to_owned(),
            serves: pin.serves.as_ref().map(ToString::to_string),
            certificate_until: until_s.and_then(|at| rfc3339(at.saturating_mul(1000))),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.values().map(|p| p.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The pins with this name, or with a fingerprint that starts with it.
    fn meant(&self, word: &str) -> Vec<PinRecord> {
        let its = |p: &&PinRecord| p.name == word || (word.len() >= SHORT && p.key.to_string().starts_with(word));
        self.0.values().filter(its).cloned().collect()
    }

    /// The one of them that is approved: that waits, or was revoked last.
    fn approvable(&self, word: &str) -> Option<PinRecord> {
        let meant = self.meant(word);
        let of = |state: PinState| meant.iter().filter(|p| p.state == state).max_by_key(|p| p.at_ms).cloned();
        // Approving an accepted key again changes nothing.
        of(PinState::Waiting).or_else(|| of(PinState::Accepted)).or_else(|| of(PinState::Revoked))
    }

    fn unknown(&self, name: &str) -> PinError {
        PinError::Unknown { name: name.to_owned(), known: self.names() }
    }
}

/// The deliberate bug: a copy of an agent takes its place.
pub(super) fn any_incarnation() -> bool {
    faults::bug("second_incarnation")
}

/// The answer to a revoked key.
pub(crate) fn revoked(pin: &PinRecord) -> String {
    let (name, by) = (&pin.name, &pin.by);
    let since = rfc3339(pin.at_ms).unwrap_or_default();
    format!(
        "the key of agent {name} was revoked (by {by} since {since}): an operator may run `longhaul agents approve {name}` on \
         the gateway; or remove the file key in its data folder and start it again, to join as a new agent"
    )
}

fn waits(pin: &PinRecord) -> String {
    format!(
        "it waits for an operator, who runs `longhaul agents approve {}` on the gateway (its key is {}); it joins by itself then",
        pin.name,
        pin.key.short()
    )
}

impl Fleet {
    /// The pin of a key.
    pub(crate) async fn pin(&self, key: &Fingerprint) -> Option<PinRecord> {
        self.0.pins.lock().await.0.get(key).cloned()
    }

    /// Decides whether an agent may register with this key, and records its pin. `Ok(Err(words))` = no, or not yet.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(crate) async fn admit(
        &self,
        key: Fingerprint,
        info: &wire::AgentInfo,
    ) -> Result<Result<(), String>, LedgerError> {
        let mut pins = self.0.pins.lock().await;
        let pin = match pins.judge(key, info, self.0.options.approve_agents, self.0.deps.clock.unix_ms()) {
            Ok(pin) => pin,
            Err(words) => return Ok(Err(words)),
        };
        if pins.0.get(&key) != Some(&pin) {
            self.0.ledger.put_pin(pin.clone()).await?;
            tracing::info!(agent = %pin.name, key = %pin.key, state = pin.state.as_str(), "an agent's key is known now");
            pins.0.insert(key, pin.clone());
        }
        Ok(if pin.state == PinState::Waiting { Err(waits(&pin)) } else { Ok(()) })
    }

    /// Registers an agent as present, if its key is still accepted and no other process of it was faster: a key that
    /// was revoked meanwhile cannot get in after its revocation.
    pub(crate) async fn enter(&self, info: wire::AgentInfo, session: Session, seen_ms: i64) -> bool {
        let pins = self.0.pins.lock().await;
        let accepted = pins.0.get(&session.peer()).is_some_and(|pin| pin.state == PinState::Accepted);
        let info = Box::new(info);
        let entered = self.ask(|entered| Command::Register { info, session, seen_ms, entered });
        accepted && entered.await.unwrap_or_default()
    }

    /// All keys, by name.
    pub(crate) async fn agent_keys(&self) -> Vec<AgentKeyView> {
        let pins = self.0.pins.lock().await;
        let mut all: Vec<_> = pins.0.values().map(|pin| self.key_view(pin)).collect();
        all.sort_by(|a, b| (&a.name, &a.since).cmp(&(&b.name, &b.since)));
        all
    }

    /// Approves the key with this name (or this fingerprint) that waits, or was revoked last.
    ///
    /// # Errors
    /// See [`PinError`].
    pub(crate) async fn approve(&self, name: &str, by: &str) -> Result<AgentKeyView, PinError> {
        let mut pins = self.0.pins.lock().await;
        let pin = pins.approvable(name).ok_or_else(|| pins.unknown(name))?;
        if let Some(other) = pins.others(&pin.key, &pin.agent_id, &pin.name) {
            return Err(PinError::Taken(other.name.clone()));
        }
        if pin.state == PinState::Accepted {
            return Ok(self.key_view(&pin));
        }
        let now_ms = self.0.deps.clock.unix_ms();
        let pin = PinRecord { state: PinState::Accepted, by: by.to_owned(), at_ms: now_ms, ..pin };
        self.0.ledger.put_pin(pin.clone()).await?;
        tracing::info!(agent = %pin.name, key = %pin.key, by, "agent approved");
        let view = self.key_view(&pin);
        pins.0.insert(pin.key, pin);
        Ok(view)
    }

    /// The keys that an operator means by a word, with commas between: the one to approve, or all.
    pub(crate) async fn keys_meant(&self, word: &str, to_approve: bool) -> String {
        let pins = self.0.pins.lock().await;
        let meant = if to_approve { pins.approvable(word).into_iter().collect() } else { pins.meant(word) };
        meant.iter().map(|pin| pin.key.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Refuses every key of this name from now on, and ends its connections.
    ///
    /// # Errors
    /// See [`PinError`].
    pub(crate) async fn revoke(&self, name: &str, by: &str) -> Result<Vec<AgentKeyView>, PinError> {
        let mut pins = self.0.pins.lock().await;
        let its = pins.meant(name);
        if its.is_empty() {
            return Err(pins.unknown(name));
        }
        let at_ms = self.0.deps.clock.unix_ms();
        let mut views = Vec::new();
        for mut pin in its {
            if pin.state != PinState::Revoked {
                pin = PinRecord { state: PinState::Revoked, by: by.to_owned(), at_ms, ..pin };
                self.0.ledger.put_pin(pin.clone()).await?;
                tracing::info!(agent = %pin.name, key = %pin.key, by, "agent revoked");
                pins.0.insert(pin.key, pin.clone());
            }
            self.expel(&pin).await;
            self.0.ends.forget(&pin.key);
            views.push(Pins::view(&pin, false, None));
        }
        Ok(views)
    }

    fn key_view(&self, pin: &PinRecord) -> AgentKeyView {
        Pins::view(pin, self.connected(&pin.key), self.0.ends.of(&pin.key))
    }

    pub(super) fn connected(&self, key: &Fingerprint) -> bool {
        self.snapshot().is_connected(key)
    }

    /// Ends all connections with the holder of a key.
    async fn expel(&self, pin: &PinRecord) {
        let pin = Box::new(pin.clone());
        self.ask(|done| Command::Expel { pin, done }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Fingerprint {
        Fingerprint([n; 32])
    }

    fn agent(id: &str, name: &str) -> wire::AgentInfo {
        wire::AgentInfo { agent_id: id.to_owned(), name: name.to_owned(), ..Default::default() }
    }

    fn pin(n: u8, id: &str, name: &str, state: PinState) -> PinRecord {
        let (agent_id, name, by) = (id.to_owned(), name.to_owned(), "ana".to_owned());
        PinRecord { key: key(n), agent_id, name, state, at_ms: 1_000, by, joined: JoinedBy::Secret, serves: None }
    }

    #[test]
    fn a_name_and_an_id_belong_to_one_key() {
        use PinState::{Accepted, Revoked, Waiting};
        let pins = Pins::of(vec![
            pin(1, "a", "stata1", Accepted),
            pin(2, "b", "stata2", Revoked),
            pin(3, "c", "stata3", Waiting),
        ]);
        // Key, id, name; the resulting state, or words of the refusal.
        let cases: [(u8, &str, &str, Result<PinState, &str>); 12] = [
            (1, "a", "stata1", Ok(Accepted)),
            (3, "c", "stata3", Ok(Waiting)),
            (2, "b", "stata2", Err("longhaul agents approve stata2")),
            (2, "x", "fresh", Err("was revoked (by ana")),
            (9, "x", "fresh", Ok(Accepted)),
            // Another key under a known name, or with a known id.
            (9, "x", "stata1", Err("longhaul agents revoke stata1")),
            (9, "a", "fresh", Err("longhaul agents revoke stata1")),
            (9, "x", "stata3", Err("longhaul agents revoke stata3")),
            // The old one was revoked: a new key is accepted anew.
            (9, "x", "stata2", Ok(Accepted)),
            (9, "b", "stata2", Ok(Accepted)),
            // It takes another name, which is free, or not.
            (1, "a", "renamed", Ok(Accepted)),
            (1, "a", "stata3", Err("belongs to another key")),
        ];
        for (n, id, name, want) in cases {
            let got = pins.judge(key(n), &agent(id, name), false, 5);
            match (&got, want) {
                (Ok(pin), Ok(state)) => assert_eq!((pin.state, pin.name.as_str(), pin.key), (state, name, key(n))),
                (Err(words), Err(want)) => assert!(words.contains(want), "{n} {id} {name}: {words}"),
                _ => panic!("{n} {id} {name}: {got:?}"),
            }
        }
        assert!(pins.judge(key(1), &agent("other", "stata1"), false, 5).unwrap_err().contains("agent-id"));
        let known = pins.judge(key(1), &agent("a", "stata1"), true, 5).unwrap();
        assert_eq!(known.state, Accepted, "who is accepted stays so");
        for (n, id, name) in [(9, "x", "fresh"), (1, "a", "renamed")] {
            assert_eq!(pins.judge(key(n), &agent(id, name), true, 5).unwrap().state, Waiting, "{name}");
        }
    }
}
