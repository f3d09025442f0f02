//! The calls that agents make: hello, register, heartbeat.

mod join;
mod noted;

use std::sync::{Arc, Mutex, PoisonError};

use longhaul_proto::{
    transport::{Proof, Session},
    version,
    visible::Foreign,
    wire,
};

use self::noted::Noted;
use super::{Inner, Runs, do_files, reconcile};
use crate::{
    fleet::{bounds, revoked},
    ledger::{AgentRecord, LedgerError, PinState},
};

/// Answers agents.
#[derive(Clone)]
pub(crate) struct AgentCalls {
    inner: Arc<Inner>,
    incarnation: String,
    /// Logged refusals: an agent of an incompatible protocol tries again for ever.
    noted: Arc<Mutex<Noted>>,
}

/// Why an agent is not answered. One that must be told what to do about it gets the words in an answer instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefusedAgent {
    /// Its protocol is too old or too new.
    #[error("{0}")]
    Protocol(String),
    /// Its key was revoked.
    #[error("{0}")]
    Revoked(String),
    /// It did not prove the join secret.
    #[error("{0}")]
    Unproven(String),
    /// Its invitation or its certificate is refused.
    #[error("{0}")]
    Refused(String),
    /// It asks for a certificate before it belongs to an agent.
    #[error("the key belongs to no agent yet: register first")]
    Early,
    /// Its request makes no sense.
    #[error("{0}")]
    Senseless(&'static str),
    /// Not now: it tries again.
    #[error("{0}")]
    NotNow(&'static str),
}

impl AgentCalls {
    pub(crate) fn new(runs: &Runs, incarnation: String) -> Self {
        Self { inner: runs.0.clone(), incarnation, noted: Arc::default() }
    }

    /// Logs a refusal once, for the gateway's owner: an agent that cannot join tries again and again. Its own owner
    /// gets the reason too.
    fn note(&self, session: &Session, words: &str) {
        let now = self.inner.deps.clock.monotonic();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let log = noted.note(session.address(), words, now);
        drop(noted);
        if log.silent > 0 {
            tracing::warn!(times = log.silent, "more agents could not join; `longhaul audit` has them");
        }
        if log.it {
            tracing::warn!(problem = words, "an agent cannot join");
        }
    }

    /// Counts a refusal.
    pub(crate) fn counted(&self, refused: RefusedAgent) -> RefusedAgent {
        let kind = match &refused {
            RefusedAgent::Protocol(_) => "protocol",
            RefusedAgent::Revoked(_) => "revoked",
            RefusedAgent::Unproven(_) => "unproven",
            RefusedAgent::Refused(_) => "refused",
            RefusedAgent::Early | RefusedAgent::Senseless(_) => "senseless",
            RefusedAgent::NotNow(_) => "not_now",
        };
        self.inner.metrics.refuse("agent", kind);
        refused
    }

    /// An agent greets the gateway on a new connection.
    ///
    /// # Errors
    /// See [`RefusedAgent`].
    pub(crate) async fn hello(
        &self,
        session: &Session,
        hello: &wire::HelloRequest,
    ) -> Result<wire::HelloReply, RefusedAgent> {
        if let Some(words) = version::objection("gateway", "agent", hello.protocol, &hello.version) {
            self.note(session, &words);
            return Err(RefusedAgent::Protocol(words));
        }
        let (channel, greeter) = (session.channel(), self.inner.fleet.greeter());
        let proved = !hello.channel_proof.is_empty();
        let pin = self.inner.fleet.pin(&channel.peer).await;
        if let Some(pin) = pin.as_ref().filter(|pin| pin.state == PinState::Revoked) {
            return Err(RefusedAgent::Revoked(revoked(pin)));
        }
        self.check_certificate(session, pin.as_ref())?;
        let accepted = pin.as_ref().is_some_and(|pin| pin.state == PinState::Accepted);
        // An agent that has joined may still have its token: the answer may not have reached it.
        let joined = !accepted && self.joins(session, hello).await?;
        if !joined
            && (pin.is_none() || proved)
            && let Err(error) = greeter.check_request(channel, hello)
        {
            if proved {
                let key = channel.peer.short();
                self.note(session, &format!("an agent (key {key}) does not hold the join secret of this gateway"));
            }
            return Err(RefusedAgent::Unproven(error.to_string()));
        }
        session.greet();
        let reply = greeter.reply(channel, self.inner.ledger.cluster_id(), &self.incarnation, Proof::when(proved));
        Ok(wire::HelloReply { certifies: self.inner.fleet.identities().is_some(), ..reply })
    }

    /// An agent registers, or sends a page of the runs that it holds.
    ///
    /// # Errors
    /// See [`RefusedAgent`].
    pub(crate) async fn register(
        &self,
        session: Session,
        request: wire::RegisterRequest,
    ) -> Result<wire::RegisterReply, RefusedAgent> {
        let wire::RegisterRequest { agent, mut runs, more, mut leftovers } = request;
        let mut info = agent.ok_or(RefusedAgent::Senseless("no agent in the request"))?;
        let heartbeat_ms = u32::try_from(self.inner.options.heartbeat.as_millis()).unwrap_or(u32::MAX);
        let mut reply = wire::RegisterReply {
            cluster_id: self.inner.ledger.cluster_id().to_owned(),
            gateway: self.incarnation.clone(),
            heartbeat_ms,
            ..Default::default()
        };
        // First refuse what is too long or holds control characters: it must not get into a log.
        let pages = || bounds::page(&runs).or_else(|| bounds::page(&leftovers));
        if let Some(problem) = bounds::agent(&info).or_else(pages) {
            self.inner.metrics.refuse("agent", "refused");
            let name: String = info.name.chars().take(64).collect();
            self.note(&session, &format!("agent {name:?} is refused: {problem}"));
            reply.problem = problem;
            return Ok(reply);
        }
        // From here on the agent's texts are only shown, never interpreted.
        info.make_harmless();
        runs.iter_mut().chain(&mut leftovers).for_each(Foreign::make_harmless);
        let failed = |error: LedgerError| {
            tracing::error!(error = &error as &dyn std::error::Error, "an agent could not be registered");
            RefusedAgent::NotNow("the gateway cannot use its ledger")
        };
        if session.is_over() {
            return Err(RefusedAgent::NotNow("the connection is gone"));
        }
        let problem = match self.inner.fleet.objection(&info) {
            Some(problem) => Some(problem),
            None => self.admitted(&session, &mut info).await?,
        };
        if let Some(problem) = problem {
            self.inner.metrics.refuse("agent", "refused");
            self.note(&session, &format!("agent {} ({}) is refused: {problem}", info.name, info.advertise));
            reply.problem = problem;
            return Ok(reply);
        }
        let heard_ms = self.inner.deps.clock.unix_ms();
        self.inner.ledger.put_agent(AgentRecord { info: info.clone(), heard_ms }).await.map_err(failed)?;
        self.inner.fleet.alive(&info, session.peer(), heard_ms).await;
        // All that it holds is counted, to the last page, before it may be given more.
        reply.verdicts = reconcile::verdicts(&self.inner, &info, &runs).await.map_err(failed)?;
        let left = reconcile::leftovers(&self.inner, &info, &leftovers).await.map_err(failed)?;
        reply.verdicts.extend(left);
        if more {
            return Ok(reply);
        }
        let (name, advertise, agent_id) = (info.name.clone(), info.advertise.clone(), info.agent_id.clone());
        if !self.inner.fleet.enter(info, session, heard_ms).await {
            let words = "its key was revoked, or another process of it came, in this very moment";
            return Err(RefusedAgent::NotNow(words));
        }
        tracing::info!(agent = %name, %advertise, runs = runs.len(), "agent registered");
        do_files::fetch_when_connected(&self.inner, agent_id);
        Ok(reply)
    }

    /// A heartbeat.
    pub(crate) async fn heartbeat(&self, session: &Session, mut beat: wire::HeartbeatRequest) -> wire::HeartbeatReply {
        beat.make_harmless();
        self.inner.fleet.heartbeat(beat, session.peer(), self.inner.deps.clock.unix_ms()).await
    }
}
