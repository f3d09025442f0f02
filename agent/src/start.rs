//! Starting and stopping an agent.

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use longhaul_proto::{
    MAX_MESSAGE,
    clock::Clock,
    connections::{Bounds, Connections},
    durable, faults,
    ids::Ids,
    join::JoinSecret,
    private,
    tasks::Tasks,
    transport::{self, Greeter, Guarded, Key, KeyError, Role, dial::WINDOWS, hello},
    wire::agent_server::AgentServer,
};
use tokio::net::TcpListener;

use crate::{
    engine::{Choice, Engine},
    executor::{self, Local},
    identity::{Identity, Label},
    incoming,
    limits::MinFree,
    os::FileLock,
    pins::Pins,
    prepare::Preparer,
    register::{self, Registrar},
    runs::Runs,
    service::Service,
    source::Places,
    spool::{SpoolRoot, Timing},
    stata::wrapper::needs_staging,
};

/// The options of an agent. Each duration says where it counts from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder; the agent's part is `agent` below it.
    pub data: PathBuf,
    /// The gateway, `http://host:port`; `None` = the agent does not register itself (a gateway may still dial it).
    pub gateway: Option<Uri>,
    /// The address under which the gateway dials this agent; empty = the listener's, or, when that is a wildcard, the
    /// one from which the agent reaches the gateway.
    pub advertise: String,
    /// Name, labels, pool, seats, limit and roots.
    pub label: Label,
    /// Prefixes of clients' paths and the paths here that replace them.
    pub path_map: Vec<(String, PathBuf)>,
    /// The secret shared with the gateway.
    pub secret: JoinSecret,
    /// Which engine is offered.
    pub engine: Choice,
    /// Stata's program or folder, when it is not found by itself.
    pub stata: Option<PathBuf>,
    /// The program that understands `supervise` and `standin`; `None` = the running one.
    pub program: Option<PathBuf>,
    /// From the spawn to the first log byte; 120 s.
    pub start_timeout: Duration,
    /// From SIGINT to SIGTERM; 10 s.
    pub after_break: Duration,
    /// From SIGTERM to SIGKILL; 5 s.
    pub after_terminate: Duration,
    /// Room that must be free in the spool.
    pub min_free: MinFree,
    /// Bytes of each stream that are kept of a run; 4 GiB.
    pub output_limit: u64,
    /// Bytes that all spools may take before the gateway has those of ended runs deleted: outputs that it has, the oldest
    /// first; then files, the largest first; then only copies. 100 GiB, 0 = no limit.
    pub max_spool: u64,
    /// Bytes that one run's spool may take before it is ended; 8 GiB, 0 = no limit.
    pub max_run_spool: u64,
    /// A connection that has not sent a whole request head within this time of its acceptance is closed; 10 s.
    pub head_timeout: Duration,
    /// Connections in all; 256.
    pub max_connections: usize,
    /// Whether a real Stata may run as root.
    pub as_root: bool,
    /// Environment names that runs get besides the usual ones.
    pub env_allow: Vec<String>,
    /// The environment from which runs get the allowed part.
    pub environment: Vec<(OsString, OsString)>,
}

impl Options {
    /// The defaults, for an agent with its data in `data`.
    pub fn new(data: PathBuf, secret: JoinSecret) -> Self {
        let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let home = environment.iter().find(|(name, _)| name == "HOME").map(|(_, home)| PathBuf::from(home));
        Self {
            data,
            gateway: None,
            advertise: String::new(),
            label: Label {
                name: crate::os::hostname(),
                pool: crate::os::hostname(),
                pool_seats: 1,
                host_limit: 1,
                roots: home.into_iter().collect(),
                ..Label::default()
            },
            path_map: vec![],
            secret,
            engine: Choice::Auto,
            stata: None,
            program: None,
            start_timeout: Duration::from_secs(120),
            after_break: Duration::from_secs(10),
            after_terminate: Duration::from_secs(5),
            min_free: MinFree::default(),
            output_limit: 4 << 30,
            max_spool: 100 << 30,
            max_run_spool: 8 << 30,
            head_timeout: Duration::from_secs(10),
            max_connections: 256,
            as_root: false,
            env_allow: vec![],
            environment,
        }
    }
}

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

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error("the data folder {} cannot be used", .0.display())]
    Data(PathBuf, #[source] io::Error),
    /// The data folder is not this user's alone.
    #[error(transparent)]
    Foreign(#[from] private::NotPrivate),
    /// Runs as root, where every do-file could do everything.
    #[error(
        "this agent would run do-files in {0} as root, with every right on this machine: start it as the user whose \
         do-files it runs, or with --as-root if that is meant"
    )]
    Root(String),
    /// The data folder's name has a character that Stata cannot take.
    #[error("the data folder {} holds {character}, which Stata cannot be given in a path: choose another with --data", .path.display())]
    Name {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        character: &'static str,
    },
    /// Another agent uses the data folder.
    #[error("another agent has the data folder {}: stop it, or give this one its own with --data", .0.display())]
    Held(PathBuf),
    /// The program's file was not found.
    #[error("the running program cannot be found, so that no supervisor could be started")]
    Program(#[source] io::Error),
    /// The listener.
    #[error("the listener has no address")]
    Listener(#[source] io::Error),
    /// The agent's key cannot be read or made.
    #[error("this agent has no key to show")]
    Key(#[source] KeyError),
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Kept in its data folder.
    pub agent_id: String,
    /// Why it takes no runs, in words for people; empty = it takes runs.
    pub problem: String,
    tasks: Tasks,
    _lock: FileLock,
}

/// Starts an agent on an open listener.
///
/// # Errors
/// See [`StartError`]. A missing Stata is not an error: the agent starts, takes no runs and says why.
pub async fn start(options: Options, listener: TcpListener, deps: Deps) -> Result<Agent, StartError> {
    private::check_folder(&options.data)?;
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
    let addr = listener.local_addr().map_err(StartError::Listener)?;
    let tasks = Tasks::new();

    let program = match &options.program {
        Some(program) => program.clone(),
        None => executor::own_program().map_err(StartError::Program)?,
    };
    let preparer = preparer(&options, &program);
    as_root(&options, &preparer)?;
    let advertise = match options.advertise {
        given if !given.is_empty() => given,
        _ if addr.ip().is_unspecified() => String::new(),
        _ => format!("http://{addr}"),
    };
    let identity = Identity::open(&folder, options.label, advertise, &deps.ids).map_err(data_error)?;
    let key = Key::ensure(&folder.join("key")).map_err(StartError::Key)?;
    let pins = Pins::open(&folder, options.gateway.is_some()).map_err(data_error)?;
    let root = SpoolRoot::open(folder.join("runs")).map_err(data_error)?;
    let runs = Runs::open(root, preparer, Arc::new(Local::new(program)), options.min_free, deps.clock, tasks.clone())
        .map_err(data_error)?;
    let problem = runs.problem().unwrap_or_default();
    if !problem.is_empty() {
        tracing::warn!(%problem, "this agent takes no runs");
    }

    tasks.spawn_until_stop(runs.clone().measure());
    tasks.spawn_until_stop(identity.clone().keep_user());
    let greeter = Greeter { role: Role::Agent, secret: options.secret };
    let service = Service::new(identity.clone(), greeter.clone(), pins.clone(), runs.clone(), tasks.clone());
    let bounds = incoming::bounds(options.head_timeout, options.max_connections);
    serve(listener, key.clone(), service, bounds, &tasks);
    if let Some(gateway) = options.gateway {
        let dialer = register::tcp(gateway.clone(), key, addr, identity.clone());
        let max_spool = options.max_spool;
        let registrar = Registrar { gateway, greeter, pins, identity: identity.clone(), runs, dialer, max_spool };
        tasks.spawn_until_stop(registrar.run());
    }
    Ok(Agent { addr, agent_id: identity.agent_id().to_owned(), problem, tasks, _lock: lock })
}

/// Refuses root unless on purpose, since root's do-file may do everything; the stand-in may run as root, since it does
/// no real work.
fn as_root(options: &Options, preparer: &Preparer) -> Result<(), StartError> {
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

/// How runs are prepared by an agent with these options.
pub(crate) fn preparer(options: &Options, program: &Path) -> Preparer {
    Preparer {
        places: Places {
            host: options.label.name.clone(),
            roots: options.label.roots.clone(),
            path_map: options.path_map.clone(),
            hidden: std::fs::canonicalize(&options.data).into_iter().collect(),
        },
        engine: Engine::find(options.engine, options.stata.as_deref(), program),
        environment: options.environment.clone(),
        env_allow: options.env_allow.clone(),
        timing: Timing {
            timeout: None,
            start: millis(options.start_timeout),
            after_break: millis(options.after_break),
            after_terminate: millis(options.after_terminate),
        },
        output_limit: options.output_limit,
        max_run_spool: options.max_run_spool,
    }
}

/// The service as it may be called from outside.
pub(crate) fn guarded(service: Service) -> Guarded<AgentServer<Service>> {
    let all = AgentServer::new(service).max_encoding_message_size(MAX_MESSAGE);
    let hello = all.clone().max_decoding_message_size(hello::LIMIT);
    Guarded::new(Role::Agent, hello, all.max_decoding_message_size(MAX_MESSAGE))
}

fn serve(listener: TcpListener, key: Key, service: Service, bounds: Bounds, tasks: &Tasks) {
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .add_service(guarded(service));
    let incoming = transport::accept::within(listener, key, Connections::new(bounds), tasks);
    let stop = tasks.stopping();
    tasks.spawn(async move {
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await {
            tracing::error!(%error, "the agent's listener failed");
        }
    });
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Agent {
    /// Stops answering and releases the data folder; runs go on under their supervisors. Returns whether all tasks had
    /// stopped within `deadline`.
    pub async fn shutdown(self, deadline: Duration) -> bool {
        self.tasks.shutdown(deadline).await
    }

    /// Where the spools of an agent with this data folder are.
    pub fn spools(data: &Path) -> PathBuf {
        data.join("agent").join("runs")
    }
}
