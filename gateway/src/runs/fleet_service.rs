//! The gRPC service that agents call: hello, register, heartbeat.

use std::sync::{Arc, Mutex, PoisonError};

use longhaul_proto::{
    transport::{Proof, Session},
    version,
    visible::Foreign,
    wire,
};
use tonic::{Request, Response, Status};

use super::{Inner, Runs, reconcile};
use crate::{
    fleet::{bounds, revoked},
    ledger::{AgentRecord, LedgerError, PinState},
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
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for FleetService {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        let (session, hello) = (session(&request)?, request.get_ref());
        if let Some(words) = version::objection("gateway", "agent", hello.protocol, &hello.version) {
            self.note(words.clone());
            return Err(Status::failed_precondition(words));
        }
        let (channel, greeter) = (session.channel(), self.inner.fleet.greeter());
        let proved = !hello.channel_proof.is_empty();
        let pin = self.inner.fleet.pin(&channel.peer).await;
        if let Some(pin) = pin.as_ref().filter(|pin| pin.state == PinState::Revoked) {
            return Err(Status::permission_denied(revoked(pin)));
        }
        if (pin.is_none() || proved)
            && let Err(error) = greeter.check_request(channel, hello)
        {
            if proved {
                let key = channel.peer.short();
                self.note(format!("an agent (key {key}) does not hold the join secret of this gateway"));
            }
            return Err(Status::unauthenticated(error.to_string()));
        }
        session.greet();
        let reply = greeter.reply(channel, self.inner.ledger.cluster_id(), &self.incarnation, Proof::when(proved));
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
        let failed = |error: LedgerError| {
            tracing::error!(error = &error as &dyn std::error::Error, "an agent could not be registered");
            Status::unavailable("the gateway cannot use its ledger")
        };
        if session.is_over() {
            return Err(Status::unavailable("the connection is gone"));
        }
        let problem = match self.inner.fleet.objection(&info) {
            Some(problem) => Some(problem),
            None => self.inner.fleet.admit(session.peer(), &info).await.map_err(failed)?.err(),
        };
        if let Some(problem) = problem {
            self.note(format!("agent {} ({}) is refused: {problem}", info.name, info.advertise));
            reply.problem = problem;
            return Ok(Response::new(reply));
        }
        let heard_ms = self.inner.deps.clock.unix_ms();
        self.inner.ledger.put_agent(AgentRecord { info: info.clone(), heard_ms }).await.map_err(failed)?;
        self.inner.fleet.alive(&info, session.peer(), heard_ms).await;
        // All that it holds is counted, to the last page, before it may be given more.
        reply.verdicts = reconcile::verdicts(&self.inner, &info, &runs).await.map_err(failed)?;
        let left = reconcile::leftovers(&self.inner, &info, &leftovers).await.map_err(failed)?;
        reply.verdicts.extend(left);
        if more {
            return Ok(Response::new(reply));
        }
        let (name, advertise) = (info.name.clone(), info.advertise.clone());
        if !self.inner.fleet.enter(info, session, heard_ms).await {
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
        let reply = self.inner.fleet.heard(beat, key, self.inner.deps.clock.unix_ms()).await;
        Ok(Response::new(reply))
    }
}

fn session<T>(request: &Request<T>) -> Result<Session, Status> {
    Session::of(request.extensions()).cloned().ok_or_else(|| Status::internal("a call without a session"))
}
