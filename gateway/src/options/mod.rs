//! All settings of a gateway, with units and defaults.

mod audit;
mod frontend;
pub mod notify;
pub mod proxies;
pub mod quotas;
pub mod timeouts;
mod tls;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

pub use audit::AuditOptions;
pub use frontend::FrontendOptions;
use longhaul_proto::{egress::Egress, encoding::Encoding, free_space::MinFree, telemetry::Push};
use notify::NotifyOptions;
use quotas::QuotaRules;
use timeouts::PoolTimeouts;
pub use tls::Tls;

/// The settings of a gateway. `Options::default()` suits a lab; `data` must be given.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder (with `gateway/`, `join-secret`, `credentials.json`, `endpoint.json`).
    pub data: PathBuf,
    /// URL that clients and agents use, if it differs from the listener's own address.
    pub advertise: Option<String>,
    /// Answer without a token; only on a loopback address.
    pub no_auth: bool,
    /// Where commands of the same OS user reach it without a port; `None` = nowhere.
    pub socket: Option<PathBuf>,
    /// Whether and where its numbers are sent by OTLP; nowhere by default.
    pub push_metrics: Push,
    /// Whether and with what certificate clients are answered that speak TLS.
    pub tls: Tls,
    /// Plain HTTP may be spoken where other machines can listen.
    pub insecure_network: bool,
    /// How long a certificate of the built-in authority holds; it is renewed after two thirds of that.
    pub certificate_lifetime: Duration,
    /// How long a certificate of an agent holds, and the gateway's own among them; 24 h. Each is renewed when two thirds of
    /// that have passed.
    pub agent_certificate_lifetime: Duration,
    /// The secret shared with the agents; `None` = the line in `<data>/join-secret`, created when missing.
    pub join_secret: Option<String>,
    /// An agent with a new key waits until an operator approves it, even if it holds the join secret.
    pub approve_agents: bool,
    /// The ledger was restored from a backup: runs queued in it may have been executed since, and are not started.
    pub restored: bool,
    /// Seats by pool that override what agents report.
    pub pools: BTreeMap<String, u32>,

    /// How often an agent sends a heartbeat.
    pub heartbeat: Duration,
    /// An agent without a heartbeat for this long is silent and gets no runs.
    pub silent_after: Duration,
    /// A run whose agent is silent for this long is `lost`; `None` = only by an operator's command. A restart of the
    /// gateway restarts this count.
    pub lost_after: Option<Duration>,
    /// Limit of one dial of an agent, with `Hello` and `Describe`.
    pub dial_timeout: Duration,
    /// Limit of one short call to an agent (`Cancel`, `Revoke`, `Forget`).
    pub call_timeout: Duration,
    /// Limit on inspecting a path on the agents while a submission waits for its answer.
    pub inspect_timeout: Duration,
    /// Initial and maximum back-off of redials, and of offering a returned run to the same agent again.
    pub backoff: (Duration, Duration),
    /// How often deadlines, silences and the reasons of waits are checked.
    pub tick: Duration,

    /// Most queued runs of all principals together.
    pub max_queued: usize,
    /// Most unfinished runs of one principal.
    pub max_per_principal: usize,
    /// An equal run that ended within this time by its own verdict, and whose end was not shown yet, answers instead of
    /// a new one.
    pub duplicate_window: Duration,
    /// The run of the same call (a client's own name for it, not an idempotency key) answers for this long after its
    /// end: as long as clients retry, and no longer, because such names are reused.
    pub call_window: Duration,
    /// Limit on asking an agent whether the do-files of a run have changed, while a submission waits for its answer.
    pub changed_timeout: Duration,
    /// Most output kept per run and stream, bytes.
    pub max_output: u64,
    /// The encoding of what is no UTF-8 in logs, where they are shown as text; Windows-1252. Kept are the bytes.
    pub log_encoding: Encoding,

    /// Records of ended runs are removed after this time, those of unfinished ones never.
    pub keep_records: Duration,
    /// Most bytes of all kept output; beyond that the oldest ended runs are removed with their records, but no
    /// unfinished ones and none that ended within `duplicate_window`.
    pub max_kept: u64,
    /// An agent deletes an ended run's spool after this time, once the mirror is whole.
    pub keep_spool: Duration,
    /// An MCP call can be resumed, and a session of its older era restored, for this long after it started.
    pub keep_calls: Duration,
    /// How often old records and spools are looked for.
    pub sweep_every: Duration,
    /// Nothing is removed by its age before the gateway has been up for this long, so that an operator who starts it
    /// with a wrong clock has time to notice.
    pub sweep_after: Duration,

    /// Most bytes of one blob, and of all blobs of a submission. By agents of an earlier version, which get them with the
    /// request, a submission is taken up to [`longhaul_proto::MAX_CODE_API`].
    pub max_bundle: u64,
    /// The program that draws graphs, and reads data files that are kept here, as a child of this process; `None` = the
    /// running one.
    pub draw_program: Option<PathBuf>,
    /// Most bytes of the files of one run that are copied from its own folder; those beyond stay on its host.
    pub max_artifacts: u64,
    /// Most blobs of one principal: those that it uploads, and those that its runs hold.
    pub max_blobs: u64,
    /// Most bytes of all blobs of one principal.
    pub max_blob_bytes: u64,
    /// What must stay free on the disk of the data folder; an upload that leaves less is refused.
    pub min_free: MinFree,
    /// An upload that no run took is deleted after this time.
    pub keep_uploads: Duration,

    /// What may leave to AI clients, by pool, `*` for those that are not named: narrower than what its agents say, never
    /// wider.
    pub egress_pools: BTreeMap<String, Egress>,

    /// How much of the gateway principals and groups may use.
    pub quotas: QuotaRules,
    /// Limits on running, by pool.
    pub pool_timeouts: PoolTimeouts,

    /// Whom runs may tell of their ends, and how.
    pub notify: NotifyOptions,

    /// Settings of the audit log.
    pub audit: AuditOptions,

    /// Settings of the HTTP and MCP layers.
    pub frontend: FrontendOptions,
}

impl Default for Options {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            data: PathBuf::new(),
            advertise: None,
            no_auth: false,
            socket: None,
            push_metrics: Push::default(),
            tls: Tls::default(),
            insecure_network: false,
            certificate_lifetime: s(30 * 24 * 3600),
            agent_certificate_lifetime: s(24 * 3600),
            join_secret: None,
            approve_agents: false,
            restored: false,
            pools: BTreeMap::new(),
            heartbeat: s(2),
            silent_after: s(8),
            lost_after: Some(s(24 * 3600)),
            dial_timeout: s(3),
            call_timeout: s(10),
            inspect_timeout: s(2),
            backoff: (Duration::from_millis(200), s(2)),
            tick: s(1),
            max_queued: 10_000,
            max_per_principal: 1_000,
            duplicate_window: s(15 * 60),
            call_window: s(2 * 60),
            changed_timeout: s(5),
            max_output: 4 << 30,
            log_encoding: Encoding::default(),
            keep_records: s(30 * 24 * 3600),
            max_kept: 100 << 30,
            keep_spool: s(24 * 3600),
            keep_calls: s(7 * 24 * 3600),
            sweep_every: s(600),
            sweep_after: s(3600),
            max_bundle: 2 << 30,
            draw_program: None,
            max_artifacts: 1 << 30,
            max_blobs: 20_000,
            max_blob_bytes: 20 << 30,
            min_free: MinFree::default(),
            keep_uploads: s(24 * 3600),
            egress_pools: BTreeMap::new(),
            quotas: QuotaRules::default(),
            pool_timeouts: PoolTimeouts::new(),
            notify: NotifyOptions::default(),
            audit: AuditOptions::default(),
            frontend: FrontendOptions::default(),
        }
    }
}
