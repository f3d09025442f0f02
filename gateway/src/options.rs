//! Everything that can be set, in one place, with units and defaults.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Settings of a gateway. `Options::default()` is what a lab needs; `data` must be given.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder (`gateway/`, `join-secret`, `credentials.json`, `endpoint.json` live there).
    pub data: PathBuf,
    /// URL that clients and agents use, when it is not the listener's own address.
    pub advertise: Option<String>,
    /// Answer without a token; only on a loopback address.
    pub no_auth: bool,
    /// The secret shared with the agents; `None` = the line in `<data>/join-secret`, made when missing.
    pub join_secret: Option<String>,
    /// An agent with a new key waits until an operator approves it, although it holds the join secret.
    pub approve_agents: bool,
    /// The ledger was restored from a backup: what waits in it may have been executed since, and is not started.
    pub restored: bool,
    /// Seats by pool that overrule what agents were told.
    pub pools: BTreeMap<String, u32>,

    /// How often an agent says that it is still here.
    pub heartbeat: Duration,
    /// An agent without a heartbeat for so long is silent and gets no runs.
    pub silent_after: Duration,
    /// A run whose agent is silent for so long is `lost`; `None` = never by itself. After a restart of the gateway it
    /// counts anew.
    pub lost_after: Option<Duration>,
    /// Limit of one dial of an agent, with `Hello` and `Describe`.
    pub dial_timeout: Duration,
    /// Limit of one short call to an agent (`Cancel`, `Revoke`, `Forget`).
    pub call_timeout: Duration,
    /// Limit on looking at a path on the agents while a submission waits for its answer.
    pub inspect_timeout: Duration,
    /// First and longest pause between dials, and before an agent that gave a run back gets it again.
    pub backoff: (Duration, Duration),
    /// How often limits, silences and waiting reasons are looked at.
    pub tick: Duration,

    /// Waiting runs, of all principals together.
    pub max_queued: usize,
    /// Unfinished runs of one principal.
    pub max_per_principal: usize,
    /// An equal run that ended within this time by its own verdict, its end not seen by anybody yet, answers instead of a
    /// new one.
    pub duplicate_window: Duration,
    /// The run of the same call (a client's own name for it, no key given on purpose) answers for so long after its end:
    /// as long as a client tries again, and no longer, because such names come again.
    pub call_window: Duration,
    /// Limit on asking an agent whether the do-files of a run have changed, while a submission waits for its answer.
    pub changed_timeout: Duration,
    /// Output kept per run and stream, bytes.
    pub max_output: u64,

    /// Records of ended runs are removed after this time. Unfinished ones never.
    pub keep_records: Duration,
    /// Bytes that all kept output may take; beyond that the oldest ended runs are removed with their records.
    /// Unfinished ones and those that ended within `duplicate_window` never.
    pub max_kept: u64,
    /// An agent lets go of an ended run's spool after this time, once the mirror is whole.
    pub keep_spool: Duration,
    /// A call of MCP can be resumed, and a session of its older era restored, for so long after it began.
    pub keep_calls: Duration,
    /// How often old records and spools are looked for.
    pub sweep_every: Duration,
    /// Nothing is removed by its age before the gateway has been up for so long: whoever starts it with a wrong clock
    /// has time to see that.
    pub sweep_after: Duration,

    /// The side that clients see: MCP and HTTP.
    pub face: crate::http::FaceOptions,
}

impl Default for Options {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            data: PathBuf::new(),
            advertise: None,
            no_auth: false,
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
            keep_records: s(30 * 24 * 3600),
            max_kept: 100 << 30,
            keep_spool: s(24 * 3600),
            keep_calls: s(7 * 24 * 3600),
            sweep_every: s(600),
            sweep_after: s(3600),
            face: crate::http::FaceOptions::default(),
        }
    }
}
