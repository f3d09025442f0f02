//! The gRPC service that agents call: hello, register, heartbeat.

use longhaul_proto::{transport::Session, wire};
use tonic::{Request, Response, Status};

use crate::runs::{
    Runs,
    agent_calls::{AgentCalls, RefusedAgent},
};

/// Answers agents. Until `hello` was answered on a connection, no other call on it reaches this code
/// ([`longhaul_proto::transport::guard`]).
#[derive(Clone)]
pub struct FleetService(AgentCalls);

impl FleetService {
    pub(crate) fn new(runs: &Runs, incarnation: String) -> Self {
        Self(AgentCalls::new(runs, incarnation))
    }
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for FleetService {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        let session = session(&request)?;
        self.0
            .hello(&session, request.get_ref())
            .await
            .map(Response::new)
            .map_err(|refused| status(self.0.counted(refused)))
    }

    async fn register(&self, request: Request<wire::RegisterRequest>) -> Result<Response<wire::RegisterReply>, Status> {
        let session = session(&request)?;
        self.0
            .register(session, request.into_inner())
            .await
            .map(Response::new)
            .map_err(|refused| status(self.0.counted(refused)))
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatReply>, Status> {
        let session = session(&request)?;
        Ok(Response::new(self.0.heartbeat(&session, request.into_inner()).await))
    }

    async fn certify(&self, request: Request<wire::CertifyRequest>) -> Result<Response<wire::CertifyReply>, Status> {
        let session = session(&request)?;
        self.0.certify(&session).await.map(Response::new).map_err(|refused| status(self.0.counted(refused)))
    }
}

fn session<T>(request: &Request<T>) -> Result<Session, Status> {
    Session::of(request.extensions()).cloned().ok_or_else(|| Status::internal("a call without a session"))
}

fn status(refused: RefusedAgent) -> Status {
    let words = refused.to_string();
    match refused {
        RefusedAgent::Protocol(_) => Status::failed_precondition(words),
        RefusedAgent::Early => Status::failed_precondition(words),
        RefusedAgent::Refused(_) | RefusedAgent::Revoked(_) => Status::permission_denied(words),
        RefusedAgent::Unproven(_) => Status::unauthenticated(words),
        RefusedAgent::Senseless(_) => Status::invalid_argument(words),
        RefusedAgent::NotNow(_) => Status::unavailable(words),
    }
}
