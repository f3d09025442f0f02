//! An agent whose network and executor a simulation provides: everything else is the real one.

use std::{io, path::Path, sync::Arc};

use futures_util::future::BoxFuture;
use http::Uri;
use longhaul_proto::{
    grpc_transport::GrpcTransport,
    tasks::Tasks,
    transport::{DialError, Dialled, Greeter, Role},
};

use crate::{
    executor::Executor,
    identity::Identity,
    pins::Pins,
    register::{LinkError, Registrar},
    runs::Runs,
    service::Service,
    spool::SpoolRoot,
    start::{self, Deps, Options},
};

/// Opens one connection to the gateway.
pub type Dialer = Arc<dyn Fn() -> BoxFuture<'static, io::Result<Dialled>> + Send + Sync>;

/// An agent in a simulation.
pub struct SimAgent {
    /// The transport to its service.
    pub door: GrpcTransport,
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
    let tasks = Tasks::new();
    let identity = Identity::open(&folder, options.label.clone(), options.advertise.clone(), &deps.ids)?;
    let preparer = start::preparer(options, Path::new("/nowhere/longhaul"));
    let root = SpoolRoot::open(folder.join("runs"))?;
    let runs = Runs::open(root, preparer, executor, options.min_free, deps.clock, tasks.clone())?;
    let greeter = Greeter { role: Role::Agent, secret: options.secret.clone() };
    let pins = Pins::open(&folder, true)?;
    let service = Service::new(identity.clone(), greeter.clone(), pins.clone(), runs.clone(), tasks.clone());
    let dialer = Arc::new(move || -> BoxFuture<'static, Result<Dialled, LinkError>> {
        let dialled = dialer();
        Box::pin(async move { dialled.await.map_err(|e| DialError::Connect(e).into()) })
    });
    let gateway = Uri::from_static("http://gateway:1");
    let max_spool = options.max_spool;
    let registrar = Registrar { gateway, greeter, pins, identity, runs: runs.clone(), dialer, max_spool };
    tasks.spawn_until_stop(runs.clone().measure());
    tasks.spawn_until_stop(registrar.run());
    Ok(SimAgent { door: GrpcTransport::new(start::guarded(service)), runs, tasks })
}
