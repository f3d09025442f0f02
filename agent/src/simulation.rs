//! An agent whose network and executor a simulation provides: everything else is the real one.

use std::{io, path::Path, sync::Arc};

use futures_util::future::BoxFuture;
use http::Uri;
use longhaul_proto::{
    grpc_transport::GrpcTransport,
    tasks::Tasks,
    transport::{DialError, Dialled},
};

use crate::{
    executor::Executor,
    identity::Contact,
    register::{ConnectError, GatewayDialer},
    runs::Runs,
    start::{self, Deps, Options, Parts},
};

/// Opens one connection to the gateway.
pub type Dialer = Arc<dyn Fn() -> BoxFuture<'static, io::Result<Dialled>> + Send + Sync>;

/// An agent in a simulation.
pub struct SimAgent {
    /// The transport to its service.
    pub transport: GrpcTransport,
    /// Its runs.
    pub runs: Runs,
    /// The simulation crashes it through these.
    pub tasks: Tasks,
}

/// Starts an agent on its folder; at once, and again after a crash.
///
/// # Errors
/// Any failure of the file system.
pub fn start(options: &Options, executor: Arc<dyn Executor>, dialer: Dialer, deps: Deps) -> io::Result<SimAgent> {
    let folder = options.data.join("agent");
    longhaul_proto::durable::create_folder(&folder)?;
    let preparer = start::preparer(options, Path::new("/nowhere/longhaul"));
    let advertise = options.advertise.clone();
    let parts = Parts::open(&folder, options, advertise, preparer, executor, Contact::Agent, None, deps)?;
    let dialer: GatewayDialer = Arc::new(move || -> BoxFuture<'static, Result<Dialled, ConnectError>> {
        let dialled = dialer();
        Box::pin(async move { dialled.await.map_err(|e| DialError::Connect(e).into()) })
    });
    parts.register(Uri::from_static("http://gateway:1"), dialer, None);
    Ok(SimAgent { transport: GrpcTransport::new(parts.service()), runs: parts.runs, tasks: parts.tasks })
}
