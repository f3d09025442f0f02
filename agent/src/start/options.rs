//! What an operator chooses about an agent, and the defaults.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use http::Uri;
use longhaul_proto::{encoding::Encoding, invitation::JoinToken, join::JoinSecret, telemetry::Push};

use crate::{
    identity::Label,
    prepare::Choice,
    spool::{MinFree, RunLimits},
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
    /// The secret shared with the gateway; `None` = none is known here.
    pub secret: Option<JoinSecret>,
    /// The token of an invitation, used where this agent has not joined yet.
    pub join: Option<JoinToken>,
    /// The sockets by which gateways of this user may be reached on this host: one of them may let this agent in.
    pub sockets: Vec<PathBuf>,
    /// Whether and where its numbers are sent by OTLP; nowhere by default.
    pub push_metrics: Push,
    /// Which engine is offered.
    pub engine: Choice,
    /// Stata's program or folder, when it is not found by itself.
    pub stata: Option<PathBuf>,
    /// Folders with help files, looked through before those of Stata's own ado-path.
    pub ado_path: Vec<PathBuf>,
    /// The program that understands `supervise` and `standin`; `None` = the running one.
    pub program: Option<PathBuf>,
    /// From the spawn to the first log byte; 120 s.
    pub start_timeout: Duration,
    /// From SIGINT to SIGTERM; 10 s.
    pub after_break: Duration,
    /// From SIGTERM to SIGKILL; 5 s.
    pub after_terminate: Duration,
    /// From the sentinel to the end of gathering; 30 s.
    pub gathering: Duration,
    /// Whether results are gathered where the request does not say no.
    pub results: bool,
    /// Most cores that one run may use, by Stata's `set processors`; `None` = as many as the licence allows.
    pub max_cores: Option<u32>,
    /// Whether data files that runs name are read for their digests.
    pub data_digests: bool,
    /// Room that must be free in the spool.
    pub min_free: MinFree,
    /// Bytes of each stream that are kept of a run; 4 GiB.
    pub output_limit: u64,
    /// Bytes that all spools may take before the gateway has those of ended runs deleted: outputs that it has, the oldest
    /// first; then files, the largest first; then only copies. 100 GiB, 0 = no limit.
    pub max_spool: u64,
    /// Bytes that one run's spool may take before it is ended; 8 GiB, 0 = no limit.
    pub max_run_spool: u64,
    /// What one run may use of the host besides; by default there is no limit.
    pub limits: RunLimits,
    /// The encoding of what is no UTF-8 in logs and do-files; Windows-1252.
    pub log_encoding: Encoding,
    /// A connection that has not sent a whole request head within this time of its acceptance is closed; 10 s.
    pub head_timeout: Duration,
    /// Connections in all; 256.
    pub max_connections: usize,
    /// Whether a process of Stata that no Longhaul started takes a seat of the pool.
    pub count_foreign: bool,
    /// Whether a real Stata may run as root.
    pub as_root: bool,
    /// Environment names that runs get besides the usual ones.
    pub env_allow: Vec<String>,
    /// The environment from which runs get the allowed part.
    pub environment: Vec<(OsString, OsString)>,
}

impl Options {
    /// The defaults, for an agent with its data in `data`.
    pub fn new(data: PathBuf, secret: impl Into<Option<JoinSecret>>) -> Self {
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
            secret: secret.into(),
            join: None,
            sockets: vec![],
            push_metrics: Push::default(),
            engine: Choice::Auto,
            stata: None,
            ado_path: vec![],
            program: None,
            start_timeout: Duration::from_secs(120),
            after_break: Duration::from_secs(10),
            after_terminate: Duration::from_secs(5),
            gathering: Duration::from_secs(30),
            results: true,
            max_cores: None,
            data_digests: true,
            min_free: MinFree::default(),
            output_limit: 4 << 30,
            max_spool: 100 << 30,
            max_run_spool: 8 << 30,
            limits: RunLimits::default(),
            log_encoding: Encoding::default(),
            head_timeout: Duration::from_secs(10),
            max_connections: 256,
            count_foreign: false,
            as_root: false,
            env_allow: vec![],
            environment,
        }
    }
}
