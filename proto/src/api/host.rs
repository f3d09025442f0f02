//! Hosts: agents with their keys, licence pools, and the queue for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LimitsView;
use crate::ids::RunId;

/// Agents, pools and the queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hosts {
    /// The agents.
    pub hosts: Vec<HostView>,
    /// The licences.
    pub pools: Vec<PoolView>,
    /// The caller's waiting runs with their reasons, in order.
    pub queue: Vec<QueueView>,
    /// The caller's runs that were lost and run again, with what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returned: Vec<QueueView>,
}

/// One agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostView {
    /// Its unique name.
    pub name: String,
    /// `up`, `silent` (no heartbeat), `unreachable` (its address cannot be dialled), `draining` (its runs continue,
    /// none is started), or `idle` (up, but takes no runs; see `problem`).
    pub state: String,
    /// What is wrong and what to do.
    pub problem: Option<String>,
    /// Seconds since its last heartbeat.
    pub last_seen: f64,
    /// The address the gateway dials.
    pub advertise: String,
    /// Code runs as this user.
    pub os_user: String,
    /// The machine.
    pub hostname: String,
    /// Its cores.
    pub cores: u32,
    /// Program version.
    pub version: String,
    /// What it can run: `stata mp 18.0 (/usr/local/stata18/stata-mp)`.
    pub engines: Vec<String>,
    /// Its licence pool.
    pub pool: String,
    /// Runs at once on this host.
    pub host_limit: u32,
    /// Runs there now.
    pub running: u32,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Folders under which do-files may be run.
    pub roots: Vec<String>,
    /// Free bytes in its spool's file system.
    pub free_bytes: u64,
    /// The licence line of the last banner.
    pub licence: Option<String>,
    /// What that line says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence_terms: Option<LicenceView>,
    /// The principals whose runs it takes; absent = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<String>>,
    /// A note for people, though nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Set while an operator drains it: no run is started there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainView>,
    /// When its process came, RFC 3339; absent = not since the gateway started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The runs that hold its seats, as far as the caller may know of them: its own, and to operators all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<HolderView>,
    /// What of its runs and data may leave to AI clients, such as `output` or `full rows=off`; absent = everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// Kinds of risky commands to which a person must agree there, such as `shell,erase`; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Processes of Stata there that no Longhaul started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<ForeignView>,
    /// What each run may use there; absent = its agent is of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsView>,
}

/// What Stata's banner says of its licence. Reported, and applied to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LicenceView {
    /// In words: `2 seats, 4 cores, network, ends 2027-03-08`.
    pub words: String,
    /// Its seats; absent = without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<u32>,
    /// Cores that one process may use.
    pub cores: u32,
    /// Its last day, such as `2027-03-08`; absent = it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// Whole days until then, by UTC; negative = it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
}

/// Processes of Stata that one user has on a host, outside Longhaul.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForeignView {
    /// The user, told to operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How many.
    pub processes: u32,
    /// Start of the oldest, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Each takes a seat of the host's pool.
    pub takes_seats: bool,
}

/// A run that holds a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HolderView {
    /// The run.
    pub run_id: RunId,
    /// Whose it is.
    pub principal: String,
    /// Since when it runs, RFC 3339; absent = it has not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Answer to `POST /api/v1/hosts/forget`, whose body is that of a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forgotten {
    /// The names of the hosts that are forgotten.
    pub hosts: Vec<String>,
}

/// Who drains a host, since when and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrainView {
    /// The principal who drains it.
    pub by: String,
    /// When.
    pub at: String,
    /// The reason that principal gave.
    pub reason: Option<String>,
}

/// Body of `POST /api/v1/hosts/drain` and `POST /api/v1/hosts/resume`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DrainBody {
    /// Names of hosts, or patterns: `*` stands for any characters, `?` for one.
    pub hosts: Vec<String>,
    /// Why, for the users whose runs wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer to both: the hosts that matched, as they are now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Drained {
    /// The hosts.
    pub hosts: Vec<HostView>,
}

/// A key that identifies an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentKeyView {
    /// The agent's name.
    pub name: String,
    /// The agent's id.
    pub agent_id: String,
    /// SHA-256 of its public key, hex.
    pub key: String,
    /// `accepted`, `waiting` (for an operator), or `revoked`.
    pub state: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Who accepted or revoked it: an operator, or the join secret that the agent held.
    pub by: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// By what it became known: `secret`, `invitation` or `socket`.
    #[serde(default)]
    pub joined: String,
    /// The principal whose runs it takes unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<String>,
    /// When its certificate ends, RFC 3339; absent = none since the gateway started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<String>,
}

/// An invitation of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InvitationView {
    /// By what it is named.
    pub id: String,
    /// The name that the agent joins under.
    pub name: String,
    /// The principal whose runs it takes unless it says otherwise.
    pub serves: String,
    /// Who invited it.
    pub by: String,
    /// When, RFC 3339.
    pub made_at: String,
    /// From when on it cannot be used, RFC 3339.
    pub expires_at: String,
    /// `open`, `used`, `expired` or `withdrawn`.
    pub state: String,
    /// When it was used, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<String>,
    /// SHA-256 of the key that used it, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
    /// The token, in the answer that makes it and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The address of the gateway that is in the token; with it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// What may be a mistake in what was asked for, in words; in the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Invitations, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invitations {
    /// The invitations.
    pub invitations: Vec<InvitationView>,
}

/// All keys of agents; also the answer to approving and revoking, with the keys that matched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentKeys {
    /// The keys, by name.
    pub agents: Vec<AgentKeyView>,
}

/// One licence pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// Seats counted over all hosts.
    pub seats: u32,
    /// Seats held now.
    pub in_use: u32,
    /// Hosts that share it.
    pub hosts: Vec<String>,
    /// A note for people, such as hosts whose configurations differ in seat counts.
    pub note: Option<String>,
}

/// One waiting run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueView {
    /// The run.
    pub run_id: RunId,
    /// In words, its place and why it waits.
    pub waiting: String,
    /// Its principal; for those who may see all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Its place among the runs that wait for the same, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u32>,
}
