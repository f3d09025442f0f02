//! The JSON objects of the HTTP API, version 1: what the gateway writes and the command line reads.
//!
//! Times are RFC 3339 in UTC, durations are seconds. Within v1 objects only grow, so readers ignore fields they do not
//! know; requests are strict, so that a misspelt field is an error instead of a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ids::RunId,
    state::{Cause, RunState},
    wire,
};

/// A request to run something: exactly one of `path`, `text` and `bundle`; or `path` with `text`, which means "the path
/// where an agent has the same bytes, else the text".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubmitRequest {
    /// A do-file on the Stata host, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The code itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A do-file with the files it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleRequest>,
    /// Hex SHA-256 of the code the caller means; other bytes on the host are then an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Arguments of the do-file (`` `1' ``, `` `2' ``, …).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Absolute folder on the host where the code runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Limit from the moment it runs, seconds. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// Limit on waiting, seconds. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<f64>,
    /// The agent it must run on, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Labels the agent must carry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `stata` or `standin`, where the caller requires one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Let a `profile.do` in the working directory run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub project_profile: bool,
    /// The caller's idempotency key: the same key is the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Run it even though an equal run is unfinished or its end was not delivered yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Name and version of the client, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When another attempt may be made; `if_not_started` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// When another attempt of a run may be made. Attempts never overlap: a new one takes proof that the one before is
/// over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// One attempt, even when it never started.
    Never,
    /// When it is proved that the attempt never started.
    #[default]
    IfNotStarted,
    /// Also when it died by its host's restart or by a signal that Longhaul did not send.
    IfProvenDead,
}

impl Retry {
    /// The value as it goes over the wire.
    pub fn to_wire(self) -> wire::RetryPolicy {
        match self {
            Self::Never => wire::RetryPolicy::Never,
            Self::IfNotStarted => wire::RetryPolicy::IfNotStarted,
            Self::IfProvenDead => wire::RetryPolicy::IfProvenDead,
        }
    }

    /// From the wire; an unknown value is the default.
    pub fn from_wire(value: i32) -> Self {
        match wire::RetryPolicy::try_from(value) {
            Ok(wire::RetryPolicy::Never) => Self::Never,
            Ok(wire::RetryPolicy::IfProvenDead) => Self::IfProvenDead,
            _ => Self::IfNotStarted,
        }
    }

    /// Whether this is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A bundle in a request; at most 32 MiB in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRequest {
    /// The do-file to run, one of `files`.
    pub entry: String,
    /// The files, by path relative to the bundle.
    pub files: Vec<BundleFileRequest>,
}

/// One file of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleFileRequest {
    /// Relative path without `..`.
    pub path: String,
    /// The bytes in standard base64.
    pub content: String,
}

/// Answer to a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// The run, new or joined.
    #[serde(flatten)]
    pub run: RunView,
    /// Why the answer is an earlier run instead of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
}

/// Why a submission was answered with an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joined {
    /// The same idempotency key, given on purpose: the same run.
    Key,
    /// The same call, by the client's own id of it.
    Call,
    /// An equal run is unfinished.
    Unfinished,
    /// An equal run ended recently by its own verdict, and its end was not delivered.
    Undelivered,
}

/// Everything about a run that its owner may see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// The run's id.
    pub run_id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or Longhaul's.
    pub message: Option<String>,
    /// The agent it was given to.
    pub host: Option<String>,
    /// The fencing token; 0 before the first dispatch.
    pub attempt: u32,
    /// When it was recorded; this and the next two by the gateway's clock.
    pub created_at: Option<String>,
    /// When Stata wrote its first log byte.
    pub started_at: Option<String>,
    /// When its end was recorded.
    pub finished_at: Option<String>,
    /// When Stata wrote its first log byte, by its host's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_started_at: Option<String>,
    /// When it ended, by its host's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_finished_at: Option<String>,
    /// Bytes of the log that the gateway has.
    pub output_bytes: u64,
    /// The id of its trace.
    pub trace_id: Option<String>,

    /// The principal who asked.
    pub principal: String,
    /// Name and version of that principal's client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What was requested: the path, `text`, or `bundle: entry`.
    pub source: String,
    /// Arguments of the do-file.
    #[serde(default)]
    pub args: Vec<String>,
    /// In words, why it waits; only while queued or starting.
    #[serde(default)]
    pub waiting: Option<String>,
    /// Since when the run cannot proceed without an action by an operator: no agent, a silent agent, a drained host.
    /// `waiting` or `contact` says what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_end_since: Option<String>,
    /// How long it waited for a seat before it started, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_for: Option<f64>,
    /// What it waited for last, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_behind: Option<String>,
    /// It is lost, and its agent has returned with it: it continues there, and its own record will count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runs_again: bool,
    /// Latest progress; only while running.
    #[serde(default)]
    pub progress: Option<ProgressView>,
    /// The request to end it, if there is one.
    #[serde(default)]
    pub cancel_requested: Option<CancelRequested>,
    /// The command that failed, as echoed.
    #[serde(default)]
    pub command: Option<String>,
    /// Where in the code it failed.
    #[serde(default)]
    pub location: Option<LocationView>,
    /// `stata` or `standin`.
    #[serde(default)]
    pub engine: Option<String>,
    /// Edition and version, or what the stand-in says of itself.
    #[serde(default)]
    pub engine_note: Option<String>,
    /// Where the code ran.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// Hex SHA-256 of the executed bytes.
    #[serde(default)]
    pub code_sha256: Option<String>,
    /// Bytes of the console stream that the gateway has.
    #[serde(default)]
    pub console_bytes: u64,
    /// The user's part of the log, as byte offsets; absent until it has started.
    #[serde(default)]
    pub view: Option<ViewRange>,
    /// The user's parts of attempts that are proven dead, in order; they lie before `view`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_views: Vec<ViewRange>,
    /// Whether the gateway's copy is whole: length and digest match the agent's.
    #[serde(default)]
    pub output_complete: bool,
    /// Limit on running, seconds.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// Limit on waiting, seconds.
    #[serde(default)]
    pub queue_timeout: Option<f64>,
    /// From running to end, seconds, monotonic.
    #[serde(default)]
    pub duration: Option<f64>,
    /// What else a person should know.
    #[serde(default)]
    pub note: Option<String>,
    /// Processes that had to be ended after Stata.
    #[serde(default)]
    pub leftovers: Vec<String>,
    /// Files that the run left.
    #[serde(default)]
    pub artifacts: Vec<ArtifactView>,
    /// Set when the folder of the run's files was removed from its host while this record is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_removed: Option<FilesRemoved>,
    /// The licence pool whose seat it holds or held.
    #[serde(default)]
    pub pool: Option<String>,
    /// Set when the agent is silent: for how many seconds.
    #[serde(default)]
    pub agent_silent_for: Option<f64>,
    /// When another attempt may be made, where the request says so.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
    /// What its processes do while its log does not grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityView>,
    /// What keeps the gateway from its agent, while something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactView>,
    /// The exit status of `longhaul run` and `wait`; only at an end.
    #[serde(default)]
    pub exit_status: Option<u8>,
    /// An agent brought it without the gateway's seal: `principal` is empty, and only operators see it, until one
    /// adopts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// The principal that the spool of an unverified run names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
}

/// Latest progress of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Percent of the outermost block.
    pub percent: Option<f64>,
    /// One line, at most 200 characters.
    pub text: String,
}

/// What a run's processes do while its log does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivityView {
    /// Seconds since the log last grew.
    pub quiet_for: f64,
    /// Processors in use by Stata and its descendants, over the last sample of some seconds; absent before the first.
    pub cpus: Option<f64>,
}

/// Why the gateway does not hear from a run at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContactView {
    /// `awaited` (the gateway restarted and its agent has not returned yet), `silent` (its agent is not heard), or
    /// `unreachable` (its agent is heard and cannot be dialled).
    pub state: String,
    /// For how many seconds.
    pub since: f64,
    /// In words.
    pub words: String,
}

/// A durable request to end a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// The principal who made it.
    pub by: String,
    /// When.
    pub at: String,
    /// Its agent has accepted it.
    #[serde(default)]
    pub told: bool,
}

/// Where in the code it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationView {
    /// The do-file.
    pub file: String,
    /// 1-based.
    pub line: u32,
    /// "file:line" of the do-files around it, outermost first.
    #[serde(default)]
    pub callers: Vec<String>,
}

impl RunView {
    /// Why the log is withheld while the run lasts, in words; `None` = the user's part so far is shown.
    pub fn withheld(&self) -> Option<&'static str> {
        let known = self.view.is_none_or(|part| part.safe_end.or(part.end).is_some());
        (!known && !self.state.is_end()).then_some(
            "the agent is of an earlier version and does not tell which part of the log is the user's: the output is \
             shown when the run has ended",
        )
    }
}

/// The user's part of the log, in offsets of the whole log. They never decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRange {
    /// First byte of the user's part.
    pub start: u64,
    /// Just after its last byte; absent while live.
    pub end: Option<u64>,
    /// Up to here the bytes are the user's, whatever follows; after the end, the end. Absent: the agent is of an
    /// earlier version that does not send it.
    #[serde(default)]
    pub safe_end: Option<u64>,
}

/// A file that a run left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactView {
    /// Its path on the host.
    pub path: String,
    /// Its size, bytes.
    pub bytes: u64,
}

/// Answer to an operator's confirmation that the gateway's clock is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockTrusted {
    /// The clock's time.
    pub now: String,
}

/// What was removed of a run's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesRemoved {
    /// When.
    pub at: String,
    /// Their size, bytes.
    pub bytes: u64,
    /// Why, in words.
    pub why: String,
}

/// A page of runs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunList {
    /// The runs.
    pub runs: Vec<RunView>,
    /// Pass as `before` to get the next page; absent on the last.
    pub next: Option<RunId>,
}

/// Body of `POST /api/v1/runs/adopt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdoptBody {
    /// The host whose unverified runs are given to their principals.
    pub all_from: String,
}

/// Answer to it: the runs, as they are now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Adopted {
    /// The runs.
    pub runs: Vec<RunView>,
}

/// How hard to end a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// Break, then terminate after 10 s, then kill after 5 s more.
    #[default]
    Break,
    /// Terminate, then kill after 5 s.
    Terminate,
    /// Kill at once.
    Kill,
}

/// Body of `POST /api/v1/runs/{id}/cancel`; may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CancelBody {
    /// How hard.
    pub mode: CancelMode,
}

/// One event of `…/events`: the bytes from `offset` to `next` as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputEvent {
    /// First byte.
    pub offset: u64,
    /// Just after the last byte: ask from here next.
    pub next: u64,
    /// The text.
    pub text: String,
    /// Whether bytes that are not UTF-8 were replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lossy: bool,
}

/// Agents, pools and the queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// The principals whose runs it takes; absent = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<String>>,
    /// A note for people, though nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Set while an operator drains it: no run is started there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainView>,
}

/// Who drains a host, since when and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct Drained {
    /// The hosts.
    pub hosts: Vec<HostView>,
}

/// A key that identifies an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// All keys of agents; also the answer to approving and revoking, with the keys that matched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentKeys {
    /// The keys, by name.
    pub agents: Vec<AgentKeyView>,
}

/// One licence pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct QueueView {
    /// The run.
    pub run_id: RunId,
    /// In words, why it waits.
    pub waiting: String,
}

/// An error answer, `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable word, such as `unknown-run`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, short.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
}

/// Header of output answers: where the next read starts.
pub const NEXT_OFFSET: &str = "longhaul-next-offset";
/// Header of output answers: the offset of the first returned byte. From there the bytes are contiguous up to
/// [`NEXT_OFFSET`], unless the caller asked for more than one `offset`: of the user's parts of several attempts.
pub const FIRST_OFFSET: &str = "longhaul-first-offset";
/// Header of output answers: `true` when the run has ended and no byte follows the returned ones.
pub const COMPLETE: &str = "longhaul-complete";
