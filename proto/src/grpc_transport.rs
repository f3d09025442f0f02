//! Where gRPC calls go: a connection, or a replacement for one.
//!
//! The clients generated from the protocol call through a [`GrpcTransport`], so that a simulation can put its own
//! network between two sides that are otherwise the real ones.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service, StdError},
};

/// A transport for calls. Cheap to clone.
#[derive(Clone)]
pub struct GrpcTransport(Arc<Call>);

type Call = dyn Fn(Request<Body>) -> BoxFuture<Response<Body>, StdError> + Send + Sync;

impl GrpcTransport {
    /// A transport to a service: a channel, or a server in this process.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error: Into<StdError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self::from_fn(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                service.call(request).await.map_err(Into::into)
            })
        })
    }

    /// A transport that the caller provides.
    pub fn from_fn(
        call: impl Fn(Request<Body>) -> BoxFuture<Response<Body>, StdError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(call))
    }
}

impl Service<Request<Body>> for GrpcTransport {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        // Readiness is asked of the clone of the service that each call gets.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        (self.0)(request)
    }
}

impl fmt::Debug for GrpcTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrpcTransport")
    }
}
