//! The service that agents call.

use longhaul_proto::{join::Guard, wire};
use tonic::{Request, Response, Status};

/// Answers agents.
pub struct FleetService {
    guard: Guard,
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for FleetService {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        Ok(Response::new(self.guard.hello(request.get_ref(), "")))
    }
    async fn register(&self, request: Request<wire::RegisterRequest>) -> Result<Response<wire::RegisterReply>, Status> {
        self.guard.check(request.metadata())?;
        Err(Status::unavailable("starting"))
    }
    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatReply>, Status> {
        self.guard.check(request.metadata())?;
        Err(Status::unavailable("starting"))
    }
}
