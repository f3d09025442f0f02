//! The command line of what serves: `up`, `gateway`, `agent`.

use std::path::PathBuf;

use clap::Args;
use longhaul_proto::{egress::Egress, risk::Confirm};

use super::limits::LimitArgs;
use crate::config::{AuditMode, Engine, Secret, Settings, Tls, Url, pair};

/// `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address to listen on [default: 127.0.0.1:7447].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Seats of this host's licence [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) seats: Option<u32>,
    /// Folder under which do-files may be run; may be repeated [default: the home of this user].
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// Answer without a token; on loopback addresses only.
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// The ledger was restored from a backup: what waits in it may have been executed since, and is held back.
    #[arg(long)]
    pub(crate) restored: bool,
    /// Let do-files run in a real Stata as root.
    #[arg(long)]
    pub(crate) as_root: bool,
    /// Go on without this terminal, logging to `up.log` in the data folder; returns when it is ready. `longhaul down`
    /// stops it.
    #[arg(long)]
    pub(crate) background: bool,
    /// This process is what `--background` started.
    #[arg(long, hide = true, conflicts_with = "background")]
    pub(crate) in_background: bool,
}

/// `gateway`.
#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// Address to listen on [default: 127.0.0.1:7447].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// URL under which clients and agents reach it.
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<Url>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Connections in all [default: 16384, less where descriptors are fewer].
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<usize>,
    /// A proxy that is trusted to name its clients' addresses, such as 10.0.0.7 or 10.0.0.0/8; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub(crate) trusted_proxy: Vec<String>,
    /// What happens when the audit log cannot be written [default: on, which is to tell it].
    #[arg(long, value_name = "WHEN")]
    pub(crate) audit: Option<AuditMode>,
    /// Answer without a token; on loopback addresses only.
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// Let agents with a new key wait until `longhaul agents approve NAME`, although they hold the join secret.
    #[arg(long)]
    pub(crate) approve_agents: bool,
    /// The ledger was restored from a backup: what waits in it may have been executed since, and is held back.
    #[arg(long)]
    pub(crate) restored: bool,
}

/// `agent`.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The gateway to serve.
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<Url>,
    /// Address to listen on [default: 127.0.0.1:7448].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Let this agent's numbers be read at this address (/metrics), such as 127.0.0.1:9447 [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<String>,
    /// URL under which the gateway reaches this agent.
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<Url>,
    /// Unique name [default: the host's].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A label; may be repeated.
    #[arg(long, value_name = "K=V", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Licence whose seats are counted over all hosts that name it [default: the agent's name].
    #[arg(long, value_name = "POOL")]
    pub(crate) licence: Option<String>,
    /// Folder under which do-files may be run; may be repeated [default: the home of this user].
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// Seats of the licence [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) seats: Option<u32>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// The token of an invitation (`longhaul agents invite NAME` on the gateway), by which this agent joins; once it has, none
    /// is needed.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) join: Option<String>,
    /// File with the gateway's join secret [default: join-secret in the data folder]. The next version does not take it: agents
    /// are invited.
    #[arg(long, value_name = "FILE")]
    pub(crate) join_secret_file: Option<PathBuf>,
    /// Let do-files run in a real Stata as root.
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// How a gateway speaks to clients.
#[derive(Debug, Default, Args)]
pub(crate) struct TlsArgs {
    /// TLS for clients: a certificate of this gateway's own authority, or none [default: auto, and off on loopback].
    #[arg(long, value_name = "HOW")]
    pub(crate) tls: Option<Tls>,
    /// A certificate of your own for clients (PEM); read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let --tls off hold where other machines can listen: something else protects the connections.
    #[arg(long)]
    pub(crate) insecure_network: bool,
}

impl TlsArgs {
    fn put(&self, settings: &mut Settings) {
        settings.tls = self.tls;
        settings.tls_cert = self.tls_cert.clone();
        settings.tls_key = self.tls_key.clone();
        settings.insecure_network = self.insecure_network.then_some(true);
    }
}

/// Whose runs an agent takes.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Take the runs of these principals only [default: everybody's while the gateway has one principal, then its first
    /// operator's].
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(crate) serve: Vec<String>,
    /// Take everybody's runs: all of them run as this user.
    #[arg(long, conflicts_with = "serve")]
    pub(crate) serve_all: bool,
    /// What may leave to AI clients: full, output or verdict; after full also rows=off, graphs=off, files=off, row_limit=N,
    /// min_cell=N, such as "full rows=off min_cell=10" [default: full].
    #[arg(long, value_name = "RULE")]
    pub(crate) egress: Option<Egress>,
    /// Risky commands to which a person must agree before a run starts: shell, erase, install, network, python, plugin, or all
    /// [default: none].
    #[arg(long, value_name = "KIND,...")]
    pub(crate) confirm: Option<Confirm>,
}

impl ServeArgs {
    fn put(&self, settings: &mut Settings) {
        settings.serve = (!self.serve.is_empty()).then(|| self.serve.clone());
        settings.serve_all = self.serve_all.then_some(true);
        settings.egress = self.egress.clone();
        settings.confirm = self.confirm.clone();
    }
}

/// What executes.
#[derive(Debug, Default, Args)]
pub(crate) struct EngineArgs {
    /// What executes do-files [default: stata].
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<Engine>,
    /// Stata's program [default: looked for].
    #[arg(long, value_name = "PATH")]
    pub(crate) stata: Option<PathBuf>,
    /// Folder with help files, looked through before Stata's own ado-path; may be repeated.
    #[arg(long, value_name = "DIR")]
    pub(crate) ado_path: Vec<PathBuf>,
    /// Do not gather what runs leave in r(), e() and s().
    #[arg(long)]
    pub(crate) no_results: bool,
    /// Most cores that one run may use, by Stata/MP's `set processors` [default: as many as the licence allows].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) max_cores: Option<u32>,
    /// Do not read the data files that runs name for their digests.
    #[arg(long)]
    pub(crate) no_data_digests: bool,
}

impl Up {
    pub(super) fn put(&self, s: &mut Settings) {
        s.listen = self.listen.clone();
        s.seats = self.seats;
        self.limits.put(s);
        s.roots = (!self.root.is_empty()).then(|| self.root.clone());
        s.no_auth = self.no_auth.then_some(true);
        s.restored = self.restored.then_some(true);
        s.as_root = self.as_root.then_some(true);
        self.tls.put(s);
        self.engine.put(s);
        self.serve.put(s);
    }
}

impl Gateway {
    pub(super) fn put(&self, s: &mut Settings) {
        s.listen = self.listen.clone();
        s.advertise = self.advertise.clone();
        s.no_auth = self.no_auth.then_some(true);
        s.audit = self.audit;
        s.approve_agents = self.approve_agents.then_some(true);
        s.restored = self.restored.then_some(true);
        self.tls.put(s);
        s.max_connections = self.max_connections;
        s.trusted_proxies = (!self.trusted_proxy.is_empty()).then(|| self.trusted_proxy.clone());
    }
}

impl Agent {
    pub(super) fn put(&self, s: &mut Settings) {
        s.gateway = self.gateway.clone();
        s.metrics_listen = self.metrics_listen.clone();
        s.listen = self.listen.clone();
        s.advertise = self.advertise.clone();
        s.name = self.name.clone();
        s.labels = (!self.label.is_empty()).then(|| self.label.iter().cloned().collect());
        s.licence = self.licence.clone();
        s.roots = (!self.root.is_empty()).then(|| self.root.clone());
        s.seats = self.seats;
        self.limits.put(s);
        s.join = self.join.clone().map(Secret);
        s.join_secret_file = self.join_secret_file.clone();
        s.as_root = self.as_root.then_some(true);
        self.engine.put(s);
        self.serve.put(s);
    }
}

impl EngineArgs {
    fn put(&self, settings: &mut Settings) {
        settings.engine = self.engine;
        settings.stata = self.stata.clone();
        settings.ado_path = (!self.ado_path.is_empty()).then(|| self.ado_path.clone());
        settings.results = self.no_results.then_some(false);
        settings.max_cores = self.max_cores;
        settings.data_digests = self.no_data_digests.then_some(false);
    }
}
