//! Starting and stopping an agent.

mod error;
mod options;
mod parts;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{
    clock::Clock,
    connections::{Bounds, Connections},
    durable, faults,
    health::{self, HealthServer, Healthy},
    ids::Ids,
    not_dumpable, private,
    tasks::{self, Tasks},
    transport::{self, Key, dial::WINDOWS},
};
use tokio::{net::TcpListener, sync::watch};

pub use error::StartError;
pub use options::Options;
pub(crate) use parts::{Parts, preparer};

use crate::{
    executor::{self, Local},
    identity::Contact,
    metrics,
    os::{FileLock, Standins},
    prepare::Preparer,
    register::{self, ForeignWatch},
    runs::Runs,
    service::bounds::bounds,
    stata::wrapper::needs_staging,
};

/// What is passed in, so that tests can replay it.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Time.
    pub clock: Clock,
    /// Ids.
    pub ids: Ids,
}

impl Deps {
    /// The system's own.
    pub fn system() -> Self {
        Self { clock: Clock::system(), ids: Ids::system() }
    }
}

/// A running agent.
pub struct Agent {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Kept in its data folder.
    pub agent_id: String,
    /// Why it takes no runs, in words for people; empty = it takes runs.
    pub problem: String,
    tasks: Tasks,
    runs: Runs,
    refused: watch::Receiver<Option<String>>,
    _lock: FileLock,
}

/// Starts an agent on an open listener.
///
/// # Errors
/// See [`StartError`]. A missing Stata is not an error: the agent starts, takes no runs and says why.
pub async fn start(options: Options, listener: TcpListener, deps: Deps) -> Result<Agent, StartError> {
    private::check_folder(&options.data)?;
    if let Err(error) = not_dumpable::set() {
        tracing::warn!(%error, "other processes of this user may read this agent's memory");
    }
    let folder = options.data.join("agent");
    let data_error = |error| StartError::Data(folder.clone(), error);
    durable::create_folder(&folder).map_err(data_error)?;
    // Absolute, because Stata is started in another folder than the agent.
    let folder = std::fs::canonicalize(&folder).map_err(data_error)?;
    if let Some(character) = needs_staging(&folder) {
        return Err(StartError::Name { path: folder, character });
    }
    let lock = FileLock::try_take(&folder.join("lock")).map_err(data_error)?;
    let lock = lock.ok_or_else(|| StartError::Held(folder.clone()))?;
    // What an agent was writing when it was killed.
    durable::remove_unfinished(&folder);
    let addr = listener.local_addr().map_err(StartError::Listener)?;

    let program = match &options.program {
        Some(program) => program.clone(),
        None => executor::own_program().map_err(StartError::Program)?,
    };
    let preparer = preparer(&options, &program);
    check_user(&options, &preparer)?;
    let is_standin = preparer.engine.as_ref().is_ok_and(|engine| engine.is_standin());
    let clock = deps.clock.clone();
    let key = Key::ensure(&folder.join("key")).map_err(StartError::Key)?;
    let advertise = match &options.advertise {
        given if !given.is_empty() => given.clone(),
        _ if addr.ip().is_unspecified() => String::new(),
        _ => format!("http://{addr}"),
    };
    let executor = tasks::blocking(move || Local::new(program).with_limits()).await.map_err(data_error)?;
    let executor = Arc::new(executor);
    let contact = if options.gateway.is_some() { Contact::Agent } else { Contact::Gateway };
    let parts = Parts::open(&folder, &options, advertise, preparer, executor.clone(), contact, Some(key.clone()), deps)
        .map_err(data_error)?;
    executor.keep_one_ready(&parts.tasks);
    let problem = parts.runs.problem().unwrap_or_default();
    if !problem.is_empty() {
        tracing::warn!(%problem, "this agent takes no runs");
    }
    parts.tasks.spawn_until_stop(parts.identity.clone().refresh_user());
    serve(listener, key.clone(), &parts, bounds(options.head_timeout, options.max_connections));
    if let Some(gateway) = options.gateway {
        let dialer = register::tcp(gateway.clone(), key, addr, parts.identity.clone());
        let standins = if is_standin { Standins::Count } else { Standins::Ignore };
        let foreign = ForeignWatch::new(clock, standins, options.count_foreign);
        parts.register(gateway, dialer, Some(foreign));
    }
    let agent_id = parts.identity.agent_id().to_owned();
    let refused = parts.refused();
    Ok(Agent { addr, agent_id, problem, tasks: parts.tasks, runs: parts.runs, refused, _lock: lock })
}

/// Refuses root unless on purpose, since root's do-file may do everything; the stand-in may run as root, since it does
/// no real work.
fn check_user(options: &Options, preparer: &Preparer) -> Result<(), StartError> {
    let Ok(engine) = &preparer.engine else { return Ok(()) };
    if !rustix::process::geteuid().is_root() || options.as_root {
        return Ok(());
    }
    if engine.is_standin() {
        tracing::warn!("this agent runs do-files as root: with a real Stata it would need --as-root");
        return Ok(());
    }
    if faults::bug("root_unasked") { Ok(()) } else { Err(StartError::Root(engine.program.display().to_string())) }
}

fn serve(listener: TcpListener, key: Key, parts: &Parts, bounds: Bounds) {
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .add_service(health(&parts.runs))
        .add_service(parts.service());
    let incoming = transport::accept::within(listener, key, Connections::new(bounds), &parts.tasks);
    let stop = parts.tasks.stopping();
    parts.tasks.spawn(async move {
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await {
            tracing::error!(%error, "the agent's listener failed");
        }
    });
}

/// What probes by gRPC are told: whether this agent takes runs. They need no key.
fn health(runs: &Runs) -> HealthServer<Healthy> {
    let runs = runs.clone();
    health::server("longhaul.v1.Agent", move || {
        let runs = runs.clone();
        async move { tasks::blocking(move || runs.problem().is_none()).await.unwrap_or(false) }
    })
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("addr", &self.addr).field("agent_id", &self.agent_id).finish_non_exhaustive()
    }
}

impl Agent {
    /// Answers `/metrics` on this listener, in the clear and without a token, until it stops.
    pub fn serve_metrics(&self, listener: TcpListener) {
        metrics::serve::start(listener, self.runs.metrics().meters.clone(), &self.tasks);
    }

    /// Comes back when its tasks get their turn, its registry of runs can be read and blocking work is done: where it does
    /// not, this process supervises nothing any more.
    pub async fn answers(&self) {
        let runs = self.runs.clone();
        let read = self.tasks.spawn(async move { tasks::blocking(move || runs.problem()).await });
        let _ = read.await;
    }

    /// Comes back when its gateway refuses this agent for good (its key was revoked before it was let in, or its invitation is
    /// not good), with the gateway's words; else never.
    pub async fn refused(&self) -> String {
        let mut refused = self.refused.clone();
        match refused.wait_for(Option::is_some).await.map(|words| words.clone().unwrap_or_default()) {
            Ok(words) => words,
            // Its tasks have ended, and no words came.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops answering and releases the data folder; runs go on under their supervisors. Returns whether all tasks had
    /// stopped within `deadline`.
    pub async fn shutdown(self, deadline: Duration) -> bool {
        let meters = self.runs.metrics().meters.clone();
        let clean = self.tasks.shutdown(deadline).await;
        meters.shutdown().await;
        clean
    }

    /// Where the spools of an agent with this data folder are.
    pub fn spools(data: &Path) -> PathBuf {
        data.join("agent").join("runs")
    }
}
