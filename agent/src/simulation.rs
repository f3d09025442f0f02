//! An agent whose network and executor are made by a simulation: everything else is the real one.

use std::{io, path::Path, sync::Arc};

use futures_util::future::BoxFuture;
use http::Uri;
use longhaul_proto::{door::Door, join::Guard, tasks::Tasks, wire::agent_server::AgentServer};

use crate::{
    executor::Executor,
    identity::Identity,
    register::{LinkError, Registrar},
    runs::Runs,
    service::Service,
    spool::SpoolRoot,
    start::{self, Deps, Options},
};

/// Opens one connection to the gateway.
pub type Dialer = Arc<dyn Fn() -> BoxFuture<'static, io::Result<Door>> + Send + Sync>;

/// An agent in a simulation.
pub struct SimAgent {
    /// Where its service answers.
    pub door: Door,
    /// Its runs.
    pub runs: Runs,
    /// Crashed by the simulation.
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
    let guard = Guard::new(options.secret.clone())?;
    let service = Service::new(identity.clone(), guard, runs.clone(), tasks.clone());
    let dialer = Arc::new(move || -> BoxFuture<'static, Result<Door, LinkError>> {
        let dialled = dialer();
        Box::pin(async move { dialled.await.map_err(LinkError::Connect) })
    });
    let gateway = Uri::from_static("http://gateway:1");
    let (secret, max_spool) = (options.secret.clone(), options.max_spool);
    let registrar = Registrar { gateway, secret, identity, runs: runs.clone(), dialer, max_spool };
    tasks.spawn_until_stop(registrar.run());
    Ok(SimAgent { door: Door::new(AgentServer::new(service)), runs, tasks })
}
