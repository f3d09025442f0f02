//! The gRPC health service (`grpc.health.v1.Health`), for probes that speak no HTTP: what `Check` answers is looked up when
//! it is asked for. There is no `Watch`: those who may ask without a token must not hold a stream open for ever.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, future::BoxFuture};
use tonic::{Request, Response, Status};
pub use tonic_health::pb::health_server::HealthServer;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

/// Largest message of a probe, bytes: a name.
const LIMIT: usize = 4096;

type Look = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// Answers for the empty name (all there is here) and for one service.
#[derive(Clone)]
pub struct Healthy {
    service: &'static str,
    look: Look,
}

/// The service as a route. `service` is the name of what is looked at; `look` says whether that serves.
pub fn server<F>(service: &'static str, look: impl Fn() -> F + Send + Sync + 'static) -> HealthServer<Healthy>
where
    F: Future<Output = bool> + Send + 'static,
{
    let look: Look = Arc::new(move || Box::pin(look()));
    HealthServer::new(Healthy { service, look }).max_decoding_message_size(LIMIT)
}

#[tonic::async_trait]
impl Health for Healthy {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let asked = &request.get_ref().service;
        if !asked.is_empty() && asked != self.service {
            return Err(Status::not_found(format!(
                "there is no such service here: ask for the empty name or `{}`",
                self.service
            )));
        }
        let status = if (self.look)().await { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("ask again with Check"))
    }
}
