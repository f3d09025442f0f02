//! The parts of an agent, wired once: for the real one and for one in a simulation.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use longhaul_proto::{
    MAX_MESSAGE,
    join::JoinSecret,
    tasks::Tasks,
    transport::{Greeter, Guarded, Key, Role, hello},
    wire::agent_server::AgentServer,
};

use super::{Deps, Options};
use crate::{
    data::DataReader,
    draw::Draw,
    executor::Executor,
    help::Help,
    identity::{Certificates, Contact, Identity, Pins},
    prepare::{Engine, Places, Preparer, install_lock},
    register::{ForeignWatch, GatewayDialer, RegistrationLoop, Ways},
    runs::{Room, Runs},
    service::Service,
    spool::{SpoolRoot, Timing},
};

/// An agent without a network.
pub(crate) struct Parts {
    pub(crate) identity: Identity,
    pub(crate) runs: Runs,
    pub(crate) tasks: Tasks,
    greeter: Greeter,
    pins: Pins,
    certificates: Certificates,
    ways: Ways,
    help: Help,
    data: DataReader,
    draw: Draw,
    max_spool: u64,
}

impl Parts {
    /// Opens the agent's part of the data folder, takes up the runs in it, and starts the tasks that need no gateway. `key` is what it shows of itself; `None` = there is no network.
    /// `advertise` is the address that the gateway dials; empty = not known yet.
    ///
    /// # Errors
    /// Any failure of the file system.
    #[expect(clippy::too_many_arguments, reason = "what an agent is made of, each once")]
    pub(crate) fn open(
        folder: &Path,
        options: &Options,
        advertise: String,
        preparer: Preparer,
        executor: Arc<dyn Executor>,
        contact: Contact,
        key: Option<Key>,
        deps: Deps,
    ) -> io::Result<Self> {
        let tasks = Tasks::new();
        let identity = Identity::open(folder, options.label.clone(), advertise, &deps.ids)?;
        let pins = Pins::open(folder, contact)?;
        let certificates = Certificates::open(folder, key.clone(), deps.clock.clone())?;
        let ways = Ways {
            secret: options.secret.is_some(),
            join: options.join.clone(),
            sockets: options.sockets.clone(),
            key,
        };
        let root = SpoolRoot::open(folder.join("runs"))?;
        let room = Room { min_free: options.min_free, max_spool: options.max_spool };
        let incoming = folder.join("incoming");
        let help = Help::new(&preparer, &options.ado_path, folder.join("standin-help"));
        let data = DataReader::new(deps.clock.clone());
        let draw = Draw::new(options);
        let runs = Runs::open(root, incoming, preparer, executor, room, deps.clock, tasks.clone())?;
        tasks.spawn_until_stop(runs.clone().measure());
        let secret = options.secret.clone().map_or_else(JoinSecret::unknown, Ok)?;
        let greeter = Greeter { role: Role::Agent, secret };
        Ok(Self {
            identity,
            runs,
            tasks,
            greeter,
            pins,
            certificates,
            ways,
            help,
            data,
            draw,
            max_spool: options.max_spool,
        })
    }

    /// The service as it may be called from outside.
    pub(crate) fn service(&self) -> Guarded<AgentServer<Service>> {
        let Self { identity, greeter, pins, certificates, runs, tasks, help, data, draw, .. } = self;
        let service = Service::new(identity, greeter, (pins, certificates), runs, tasks, help, data, draw);
        let all = AgentServer::new(service).max_encoding_message_size(MAX_MESSAGE);
        let hello = all.clone().max_decoding_message_size(hello::LIMIT);
        Guarded::new(Role::Agent, hello, all.max_decoding_message_size(MAX_MESSAGE))
    }

    /// Registers with the gateway that `dialer` reaches, and again after each failure, until the tasks stop.
    pub(crate) fn register(&self, gateway: Uri, dialer: GatewayDialer, foreign: Option<ForeignWatch>) {
        let registration_loop = RegistrationLoop {
            gateway,
            greeter: self.greeter.clone(),
            pins: self.pins.clone(),
            certificates: self.certificates.clone(),
            ways: self.ways.clone(),
            identity: self.identity.clone(),
            runs: self.runs.clone(),
            dialer,
            max_spool: self.max_spool,
            foreign,
        };
        self.tasks.spawn_until_stop(registration_loop.run());
    }
}

/// How runs are prepared by an agent with these options.
pub(crate) fn preparer(options: &Options, program: &Path) -> Preparer {
    let home = options.environment.iter().find(|(name, _)| name == "HOME").map(|(_, home)| PathBuf::from(home));
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
            gathering: millis(options.gathering),
        },
        results: options.results,
        install_lock: install_lock(home.as_deref(), &options.data.join("agent")),
        max_cores: options.max_cores,
        data_digests: options.data_digests,
        output_limit: options.output_limit,
        max_run_spool: options.max_run_spool,
        limits: options.limits,
        log_encoding: options.log_encoding,
        confirm: options.label.confirm.clone(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
