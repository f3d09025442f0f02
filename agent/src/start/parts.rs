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
    telemetry::{Declared, Meters},
    transport::{Greeter, Guarded, Key, Role, hello},
    wire::agent_server::AgentServer,
};
use tokio::sync::watch;

use super::{Deps, Options};
use crate::{
    data::DataReader,
    draw::Draw,
    executor::Executor,
    help::Help,
    identity::{Certificates, Contact, Identity, Pins},
    metrics::{self, Metrics},
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
    refused: watch::Sender<Option<String>>,
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
        let metrics = Metrics::new(Meters::new("longhaul-agent", identity.agent_id(), &options.push_metrics));
        let runs = Runs::open(root, incoming, preparer, executor, room, deps.clock, tasks.clone(), metrics)?;
        show(&runs, options.max_spool);
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
            refused: watch::Sender::new(None),
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

    /// The words with which the gateway refuses this agent for good, as soon as it does.
    pub(crate) fn refused(&self) -> watch::Receiver<Option<String>> {
        self.refused.subscribe()
    }

    /// Registers with the gateway that `dialer` reaches, and again after each failure, until the tasks stop or the gateway
    /// refuses it for good.
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
            refused: self.refused.clone(),
            foreign,
        };
        self.tasks.spawn_until_stop(registration_loop.run());
    }
}

/// Shows what the runs hold in the agent's numbers; these do not keep the runs.
fn show(runs: &Runs, max_spool: u64) {
    let meters = &runs.metrics().meters;
    let add = |declared: &'static Declared, value: fn(&Runs) -> Option<u64>| {
        let runs = runs.downgrade();
        meters.observe(declared, move |told| {
            if let Some(value) = runs.upgrade().as_ref().and_then(value) {
                told(value as f64, &[]);
            }
        });
    };
    add(&metrics::HELD, |runs| Some(runs.held() as u64));
    add(&metrics::TAKES, |runs| Some(u64::from(runs.problem().is_none())));
    add(&metrics::SPOOL, Runs::spool_bytes);
    add(&metrics::SPOOL_FREE, |runs| Some(runs.free_bytes()));
    meters.observe(&metrics::SPOOL_LIMIT, move |told| told(max_spool as f64, &[]));
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
