//! The settings: name, type and meaning, once.

use std::{collections::BTreeMap, path::PathBuf};

use longhaul_proto::{egress::Egress, encoding::Encoding, risk::Confirm};

use super::{
    AuditMode, SmtpTls,
    trace_url::TraceUrl,
    values::{Bytes, Engine, Given, Horizon, Secret, Time, Tls, Url, Value},
};

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty,)+) => {
        /// Every setting; `None` = not given.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Settings { $($(#[doc = $doc])+ pub(crate) $key: Option<$type>,)+ }

        impl Settings {
            /// The names.
            pub(crate) const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];

            /// Sets one by name.
            ///
            /// # Errors
            /// What a valid value looks like.
            pub(crate) fn set(&mut self, key: &str, given: Given) -> Result<(), String> {
                match key {
                    $(stringify!($key) => self.$key = Some(<$type>::read(given)?),)+
                    _ => return Err("there is no such setting".into()),
                }
                Ok(())
            }

            /// Overrides with the given values of `over`; returns their names.
            pub(crate) fn overlay(&mut self, over: Self) -> Vec<&'static str> {
                let mut set = vec![];
                $(if over.$key.is_some() {
                    self.$key = over.$key;
                    set.push(stringify!($key));
                })+
                set
            }

            /// Name, meaning and value of each.
            pub(crate) fn show(&self) -> Vec<(&'static str, &'static str, Option<String>)> {
                vec![$((stringify!($key), concat!($($doc),+).trim_ascii(), self.$key.as_ref().map(Value::show))),+]
            }
        }
    };
}

impl Settings {
    /// Names whose values are never printed.
    pub(crate) const SECRETS: &'static [&'static str] = &["token", "join_secret", "join"];
}

settings! {
    /// Data folder; default $XDG_STATE_HOME/longhaul, else ~/.local/state/longhaul.
    data: PathBuf,
    /// The gateway to use, as https://host:port or http://host:port; default the daemon that holds the data folder.
    gateway: Url,
    /// Token for the gateway.
    token: Secret,
    /// File with the token for the gateway.
    token_file: PathBuf,
    /// File with the root certificate by which the gateway is trusted (PEM); default what `login` pinned, else the system's.
    gateway_ca: PathBuf,
    /// OTLP endpoint for traces and metrics, where no OTEL_* variable names one.
    otlp_endpoint: String,
    /// Traces tell what scripts say of themselves, too: paths, the command that failed, Stata's words; default false.
    trace_details: bool,
    /// Where people read a trace, with {trace_id} in its place; it is shown with each run that has one.
    trace_url: TraceUrl,
    /// A gateway or an agent sends the lines of its log to the OTLP endpoint, too; default false.
    otlp_logs: bool,

    /// Address to listen on, as host:port.
    listen: String,
    /// Address at which this agent's numbers are read (/metrics, plain HTTP, no token); default none. On another address
    /// than loopback only with insecure_network.
    metrics_listen: String,
    /// URL under which others reach this gateway or agent.
    advertise: Url,
    /// Answer without a token; on loopback addresses only.
    no_auth: bool,
    /// TLS for clients: `auto` = by a certificate of the gateway's own authority, the default where others reach the port;
    /// `off` = none, the default on loopback.
    tls: Tls,
    /// File with a certificate of your own for clients (PEM, with what leads to its root); read again when it changes.
    tls_cert: PathBuf,
    /// File with its private key (PEM).
    tls_key: PathBuf,
    /// Let `tls = "off"` hold where other machines can listen.
    insecure_network: bool,
    /// How long a certificate of the gateway's own authority holds; default 30 days. Renewed at two thirds of that.
    certificate_lifetime: Time,
    /// Agents with a new key wait until an operator approves them, although they hold the join secret.
    approve_agents: bool,
    /// How long certificates of agents hold, and the gateway's own among them; each is renewed when two thirds have passed.
    agent_certificate_lifetime: Time,
    /// The token of an invitation, by which this agent joins.
    join: Secret,
    /// Secret shared by the gateway and its agents. The next version does not take it: agents are invited.
    join_secret: Secret,
    /// File with that secret.
    join_secret_file: PathBuf,

    /// Engine of this agent, or of a run: stata or standin.
    engine: Engine,
    /// Stata's program.
    stata: PathBuf,
    /// Folders with help files, looked through before those of Stata's own ado-path.
    ado_path: Vec<PathBuf>,
    /// Unique name of this agent; default the host's name.
    name: String,
    /// Labels of this agent.
    labels: BTreeMap<String, String>,
    /// Licence pool whose seats this agent's runs take; default the agent's name.
    licence: String,
    /// Seats of that pool.
    seats: u32,
    /// Runs at once on this host; default as many as seats.
    host_limit: u32,
    /// A Stata on this host that no Longhaul started takes a seat of the pool.
    count_foreign: bool,
    /// Principals whose runs this agent takes; default everybody while the gateway has one, then its first operator alone.
    serve: Vec<String>,
    /// This agent takes everybody's runs.
    serve_all: bool,
    /// What may leave to AI clients: full, output or verdict, and after full rows=off, graphs=off, files=off, row_limit=N,
    /// min_cell=N. Default full.
    egress: Egress,
    /// Risky commands to which a person must agree before a run starts: shell, erase, install, network, python, plugin, or
    /// all, with commas between. Default none.
    confirm: Confirm,
    /// Folders under which do-files may be run; default the home of the agent's user.
    roots: Vec<PathBuf>,
    /// Prefixes of clients' paths and what they are on this host.
    path_map: BTreeMap<String, String>,
    /// Variables of the agent's environment that runs may see, besides the usual.
    env_allow: Vec<String>,
    /// Limit from the start of Stata to its first log byte.
    start_timeout: Time,
    /// Gather what a run leaves in r(), e() and s(), where the request does not say no; default true.
    results: bool,
    /// Limit of that, from the end of the user's code; default 30s.
    gather_timeout: Time,
    /// Most cores that one run may use, by `set processors` of Stata/MP; default as many as the licence allows.
    max_cores: u32,
    /// Read the data files that a run's log names, after its end, for their digests; default true.
    data_digests: bool,
    /// No run starts with less free space than this in the spool, and a gateway takes no upload that leaves less.
    min_free: Bytes,
    /// Likewise, percent of the file system.
    min_free_percent: u32,
    /// Output kept per run and stream; default 4 GiB. Stata goes on beyond it, and the record says so.
    max_output: Bytes,
    /// The encoding of what is no UTF-8 in logs and do-files, as text shows it; default windows-1252.
    log_encoding: Encoding,
    /// What all spools of this agent may take before ended runs are let go of, oldest first; default 100 GiB, 0 = no limit.
    max_spool: Bytes,
    /// What the spool of one run may take (log, console, temporary files, work); default 8 GiB, 0 = no limit. Beyond it
    /// the run is ended.
    max_run_spool: Bytes,
    /// Memory that one run may have, with all that it starts; default 0 = no limit. Beyond it the run is ended.
    max_run_memory: Bytes,
    /// Processes that one run may have, each with its threads; default 0 = no limit. Beyond it the run is ended.
    max_run_processes: u32,
    /// Processor time that one run may take, with all that it starts; default 0s = no limit. Beyond it the run is ended.
    max_run_cpu: Time,
    /// How long one run may run, from its first output; default 0s = no limit. A run's own `timeout` may be shorter.
    max_run_time: Time,

    /// The ledger was restored from a backup: what waits in it is not started by itself.
    restored: bool,
    /// What may leave to AI clients, by pool, `*` for the others; it narrows what agents say.
    egress_pools: BTreeMap<String, String>,
    /// How much of the gateway principals may use, `*` for those that are not named, and `@GROUP` together: seats=N, seats.POOL=N,
    /// running=N, queued=N, kept=BYTES, streams=N, submissions=N in a minute, priority=high.
    quotas: BTreeMap<String, String>,
    /// The members of the groups that have a quota.
    groups: BTreeMap<String, String>,
    /// Limits on running by pool, `*` for the others: default=D for runs that ask for none, max=D for those that do.
    pool_timeouts: BTreeMap<String, String>,
    /// Seats by pool that overrule what agents say.
    pools: BTreeMap<String, u32>,
    /// How often agents say that they are there.
    heartbeat: Time,
    /// An agent without a heartbeat for so long is silent.
    silent_after: Time,
    /// A run whose agent is silent for so long is lost, or `never`.
    lost_after: Horizon,
    /// Limit of one attempt to reach an agent.
    dial_timeout: Time,
    /// Waiting runs of all callers together; default 10000. Beyond it submissions are refused.
    max_queued: usize,
    /// Unfinished runs of one caller; default 1000. Beyond it submissions are refused.
    max_per_principal: usize,
    /// An equal run that ended within this time by its own verdict, its end never seen, answers instead of a new one.
    duplicate_window: Time,
    /// Records of ended runs are kept so long; default 30 days.
    keep_records: Time,
    /// What all kept output may take; beyond it the oldest ended runs are removed. Default 100 GiB.
    max_kept: Bytes,
    /// Bytes of one uploaded file, and of all files of a submission; default 2 GiB.
    max_bundle: Bytes,
    /// Bytes of the files that one run left in a folder of its own which the gateway copies; default 1 GiB.
    max_artifacts: Bytes,
    /// Uploaded files of one caller, with those that its runs hold; default 20000.
    max_blobs: usize,
    /// Their bytes; default 20 GiB.
    max_blob_bytes: Bytes,
    /// Uploaded files that no run took are kept so long; default 24 hours.
    keep_uploads: Time,
    /// Spools of ended runs are kept so long on the agents; default 24 hours.
    keep_spool: Time,
    /// Names besides its own under which the gateway answers.
    allowed_hosts: Vec<String>,
    /// Web origins that may call the gateway.
    allowed_origins: Vec<String>,
    /// Connections to a gateway or agent in all; default 16384 and 256, less where descriptors are fewer.
    max_connections: usize,
    /// Descriptors that a gateway's connections leave to its ledger and its agents; default 256.
    reserved_files: usize,
    /// Connections of one address that have not shown a token; default 128. The oldest makes room for the newest.
    connections_per_address: usize,
    /// Connections of one caller; default 4096.
    connections_per_principal: usize,
    /// Event streams and downloads of one caller at a time; default 4096.
    streams_per_principal: usize,
    /// MCP calls of one caller at a time; default 4096.
    calls_per_principal: usize,
    /// Open MCP sessions of one caller; default 1024.
    sessions_per_principal: usize,
    /// Limit from the acceptance of a connection to a whole request head; default 10 s.
    head_timeout: Time,
    /// Limit on the pause between two pieces of a request's body; default 30 s.
    body_timeout: Time,
    /// Bytes of request bodies that a gateway holds at a time; default 160 MiB. Beyond it callers are told to come again.
    max_body_bytes: Bytes,
    /// Proxies that are trusted to name their clients' addresses, such as 10.0.0.7 or 10.0.0.0/8.
    trusted_proxies: Vec<String>,
    /// To whom webhooks may be sent when runs end: hosts, or networks, each with a port (443 without one), such as
    /// hooks.lab.org:8443; http:// before it where TLS is not needed. None by default. Addresses that are not public must be
    /// listed as networks.
    notify_allow: Vec<String>,
    /// File with root certificates (PEM) by which receivers of webhooks and the mail relay are trusted, besides the system's.
    notify_ca: PathBuf,
    /// The wait after the first try to tell of an end that failed; it doubles.
    notify_retry: Time,
    /// The longest such wait.
    notify_retry_longest: Time,
    /// What could not be told for so long is given up.
    notify_give_up: Time,
    /// Limit of one try.
    notify_timeout: Time,
    /// The relay for mail about ends of runs, as host or host:port; default none.
    smtp_relay: String,
    /// How the way to it is encrypted: starttls, on (from the first byte) or off.
    smtp_tls: SmtpTls,
    /// The user at the relay, where it asks for one.
    smtp_user: String,
    /// File with that user's password.
    smtp_password_file: PathBuf,
    /// The sender of mail.
    mail_from: String,
    /// The domains to which mail may go.
    mail_domains: Vec<String>,
    /// What happens when the audit log cannot be written: `on` = that is told, `required` = what must be in it is refused.
    audit: AuditMode,
    /// A file of the audit log that is this long is followed by another; default 16 MiB.
    audit_file: Bytes,
    /// What all files of the audit log may take before the oldest are removed; default 1 GiB.
    audit_keep: Bytes,
    /// Let an agent run a real Stata as root.
    as_root: bool,
    /// Waiting tools return a handle after this time to clients not known to wait longer.
    handle_after: Time,
    /// Waiting tools answer after this time where nothing but a person can move the run on; default 60 s.
    no_end_after: Time,
    /// A person who is asked about risky commands by an MCP client of the older revision is waited for so long; default 2 min.
    confirm_within: Time,
    /// How often a waiting call sends progress.
    progress_every: Time,
    /// A daemon that is asked to stop is gone after this time at the latest; its runs go on.
    stop_timeout: Time,
}
