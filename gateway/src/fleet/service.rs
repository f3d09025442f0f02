//! The gRPC service that agents call: hello, register, heartbeat.

use std::sync::{Arc, Mutex, PoisonError};

use longhaul_proto::{
    transport::{Fingerprint, Session},
    version,
    visible::Foreign,
    wire,
};
use tonic::{Request, Response, Status};

use super::{bounds, connector, pins, reconcile};
use crate::{
    ledger::{AgentRecord, PinState},
    runs::{Inner, Runs},
};

/// Answers agents. Until `hello` was answered on a connection, no other call on it reaches this code
/// ([`longhaul_proto::transport::guard`]).
#[derive(Clone)]
pub struct FleetService {
    inner: Arc<Inner>,
    incarnation: String,
    /// The last logged refusal: an agent of an incompatible protocol tries again for ever.
    apart: Arc<Mutex<String>>,
}

impl FleetService {
    pub(crate) fn new(runs: &Runs, incarnation: String) -> Self {
        Self { inner: runs.0.clone(), incarnation, apart: Arc::default() }
    }

    /// Logs a refusal once, for the gateway's owner: an agent that cannot join tries again and again. Its own owner
    /// gets the reason too.
    fn note(&self, words: String) {
        let mut said = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != words {
            tracing::warn!(problem = words, "an agent cannot join");
            *said = words;
        }
    }

    /// Why this agent is refused, and what to do about it.
    fn objection(&self, info: &wire::AgentInfo) -> Option<String> {
        let fleet = &self.inner.fleet;
        let mine = self.inner.ledger.cluster_id();
        let plain = |name: &str| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if info.agent_id.is_empty() || info.incarnation.is_empty() {
            return Some("the agent does not say who it is".to_owned());
        }
        if let Some(words) = version::objection("gateway", "agent", info.protocol, &info.version) {
            return Some(words);
        }
        if !plain(&info.name) {
            return Some(
                "its name must have 1 to 64 letters, digits, `-`, `_` or `.`: start it with another --name".to_owned(),
            );
        }
        if !info.cluster_id.is_empty() && info.cluster_id != mine {
            return Some(format!(
                "its data folder belongs to another gateway (cluster {}, this one is {mine}): give it a data folder of its own with --data; or, when that gateway's ledger is lost for good, stop the agent, remove agent/cluster-id in its data folder and start it again: its runs are then imported",
                info.cluster_id
            ));
        }
        let (now, silent_after) = (fleet.now(), self.inner.options.silent_after);
        let scheduler = fleet.scheduler();
        if scheduler.other_incarnation(info, now, silent_after) && !pins::any_incarnation() {
            return Some(format!(
                "another process of agent {} is connected: two have copies of one data folder, or the earlier one is about to \
                 be given up; stop the other, or wait until it is silent",
                info.name
            ));
        }
        scheduler.holder_of(&info.name, &info.agent_id, now, silent_after).map(|other| {
            format!(
                "another agent ({}) is connected under the name {}: start this one with another --name",
                other.info.advertise, info.name
            )
        })
    }
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for FleetService {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        let (session, hello) = (session(&request)?, request.get_ref());
        if let Some(words) = version::objection("gateway", "agent", hello.protocol, &hello.version) {
            self.note(words.clone());
            return Err(Status::failed_precondition(words));
        }
        let (channel, fleet) = (session.channel(), &self.inner.fleet.0);
        let proved = !hello.channel_proof.is_empty();
        let pin = self.inner.fleet.pin(&channel.peer).await;
        if let Some(pin) = pin.as_ref().filter(|pin| pin.state == PinState::Revoked) {
            return Err(Status::permission_denied(pins::revoked(pin)));
        }
        if (pin.is_none() || proved)
            && let Err(error) = fleet.greeter.check_request(channel, hello)
        {
            if proved {
                let key = channel.peer.short();
                self.note(format!("an agent (key {key}) does not hold the join secret of this gateway"));
            }
            return Err(Status::unauthenticated(error.to_string()));
        }
        session.greet();
        let reply = fleet.greeter.reply(channel, fleet.ledger.cluster_id(), &self.incarnation, proved);
        Ok(Response::new(reply))
    }

    async fn register(&self, request: Request<wire::RegisterRequest>) -> Result<Response<wire::RegisterReply>, Status> {
        let session = session(&request)?;
        let wire::RegisterRequest { agent, mut runs, more, mut leftovers } = request.into_inner();
        let mut info = agent.ok_or_else(|| Status::invalid_argument("no agent in the request"))?;
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
            self.note(format!("agent {:?} is refused: {problem}", info.name.chars().take(64).collect::<String>()));
            reply.problem = problem;
            return Ok(Response::new(reply));
        }
        // From here on the agent's texts are only shown, never interpreted.
        info.make_harmless();
        runs.iter_mut().chain(&mut leftovers).for_each(Foreign::make_harmless);
        let failed = |error: crate::ledger::LedgerError| {
            tracing::error!(error = &error as &dyn std::error::Error, "an agent could not be registered");
            Status::unavailable("the gateway cannot use its ledger")
        };
        if session.is_over() {
            return Err(Status::unavailable("the connection is gone"));
        }
        let problem = match self.objection(&info) {
            Some(problem) => Some(problem),
            None => self.inner.fleet.admit(session.peer(), &info).await.map_err(failed)?.err(),
        };
        if let Some(problem) = problem {
            self.note(format!("agent {} ({}) is refused: {problem}", info.name, info.advertise));
            reply.problem = problem;
            return Ok(Response::new(reply));
        }
        let seen_ms = self.inner.deps.clock.unix_ms();
        self.inner.ledger.put_agent(AgentRecord { info: info.clone(), seen_ms }).await.map_err(failed)?;
        self.inner.fleet.tells(&info, session.peer(), seen_ms);
        // All that it holds is counted, to the last page, before it may be given more.
        reply.verdicts = reconcile::verdicts(&self.inner, &info, &runs).await.map_err(failed)?;
        let left = reconcile::leftovers(&self.inner, &info, &leftovers).await.map_err(failed)?;
        reply.verdicts.extend(left);
        if more {
            return Ok(Response::new(reply));
        }
        let (name, advertise) = (info.name.clone(), info.advertise.clone());
        if !self.inner.fleet.enter(info, session, seen_ms).await {
            return Err(Status::unavailable("its key was revoked, or another process of it came, in this very moment"));
        }
        tracing::info!(agent = %name, %advertise, runs = runs.len(), "agent registered");
        Ok(Response::new(reply))
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatReply>, Status> {
        let key = session(&request)?.peer();
        let mut beat = request.into_inner();
        beat.make_harmless();
        let reply = self.inner.fleet.heard(beat, key, self.inner.deps.clock.unix_ms());
        Ok(Response::new(reply))
    }
}

fn session<T>(request: &Request<T>) -> Result<Session, Status> {
    Session::of(request.extensions()).cloned().ok_or_else(|| Status::internal("a call without a session"))
}

/// Most spools per agent whose sizes are remembered.
const SPOOLS: usize = 64;

impl super::Fleet {
    /// Registers an agent as present, after its runs were counted, and dials it back.
    pub(super) fn registered(&self, info: wire::AgentInfo, session: Session, seen_ms: i64) {
        let key = session.peer();
        let (agent_id, incarnation, address) =
            (info.agent_id.clone(), info.incarnation.clone(), info.advertise.clone());
        let now = self.now();
        let mut scheduler = self.scheduler();
        scheduler.forget_namesakes(&info.name, &agent_id);
        let agent = scheduler.agent(&agent_id, now);
        let same = agent.here
            && agent.info.incarnation == incarnation
            && agent.info.advertise == address
            && agent.session.as_ref().is_some_and(|s| s.peer() == key);
        (agent.session, agent.refused) = (Some(session), None);
        (agent.info, agent.here, agent.heard, agent.seen_ms) = (info, true, now, seen_ms);
        agent.beat.notify_waiters();
        if same && agent.contact.as_ref().is_some_and(|c| !c.is_finished()) {
            return;
        }
        if let Some(earlier) = agent.contact.take() {
            earlier.abort();
        }
        agent.dial_problem = None;
        agent.unlinked = Some(now);
        agent.connection.send_if_modified(|connection| connection.take().is_some());
        let contact = connector::keep(self.clone(), agent_id, incarnation, address, key);
        agent.contact = Some(self.0.deps.tasks.spawn_until_stop(contact).abort_handle());
    }

    /// A known agent is sending the pages of its runs, which may take long: that counts as a sign of life.
    fn tells(&self, info: &wire::AgentInfo, key: Fingerprint, seen_ms: i64) {
        let now = self.now();
        let mut scheduler = self.scheduler();
        let known = scheduler.known(&info.agent_id).filter(|a| {
            let its = a.session.as_ref().is_some_and(|s| s.peer() == key);
            a.here && its && a.info.incarnation == info.incarnation
        });
        if let Some(agent) = known {
            (agent.heard, agent.seen_ms) = (now, seen_ms);
        }
    }

    fn heard(&self, beat: wire::HeartbeatRequest, key: Fingerprint, seen_ms: i64) -> wire::HeartbeatReply {
        let now = self.now();
        let silent_after = self.0.options.silent_after;
        let objection = bounds::state(&beat.problem, &beat.licence, &beat.engines);
        let (problem, changed) = {
            let mut scheduler = self.scheduler();
            let known = scheduler.known(&beat.agent_id).filter(|a| {
                let its = a.session.as_ref().is_some_and(|s| s.peer() == key);
                a.here && its && a.info.incarnation == beat.incarnation
            });
            let Some(agent) = known else { return wire::HeartbeatReply { known: false, problem: String::new() } };
            let silent = now.saturating_sub(agent.heard);
            if silent > silent_after {
                tracing::info!(agent = %agent.info.name, silent_ms = silent.as_millis(), "a silent agent is heard again");
            }
            let changed =
                silent > silent_after || agent.info.problem != beat.problem || agent.info.engines != beat.engines;
            (agent.heard, agent.seen_ms) = (now, seen_ms);
            agent.spool = (beat.spool_bytes, beat.spool_limit);
            agent.spools = beat.spools;
            agent.spools.truncate(SPOOLS);
            agent.info.free_bytes = beat.free_bytes;
            agent.beat.notify_waiters();
            match objection {
                // It is registered, and keeps its description.
                Some(words) => (words, false),
                None => {
                    agent.info.problem = beat.problem;
                    agent.info.engines = beat.engines;
                    agent.info.licence = beat.licence;
                    (agent.dial_problem.clone().unwrap_or_default(), changed)
                }
            }
        };
        if changed {
            self.place();
        }
        wire::HeartbeatReply { known: true, problem }
    }
}
