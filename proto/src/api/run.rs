//! One run.

use serde::{Deserialize, Serialize};

use super::{PriorityView, ProcessView, Retry, RunError};
use crate::{
    ids::RunId,
    risk::{Confirmed, Risk},
    state::{Cause, RunState},
};

/// Everything about a run that its owner may see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Where people read its trace, as the gateway's `trace_url` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_url: Option<String>,

    /// The principal who asked.
    pub principal: String,
    /// Name and version of that principal's client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What was requested: the path, `text`, or `bundle: entry`.
    pub source: String,
    /// What the caller calls the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the caller noted about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_note: Option<String>,
    /// Of `text`: the name of the file that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
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
    /// How long it will probably take, learnt from an earlier run; only while running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedView>,
    /// The request to end it, if there is one.
    #[serde(default)]
    pub cancel_requested: Option<CancelRequested>,
    /// The command that failed, as echoed.
    #[serde(default)]
    pub command: Option<String>,
    /// Where in the code it failed.
    #[serde(default)]
    pub location: Option<LocationView>,
    /// What ended it, where it did not succeed: its kind, what to do, and what the log shows around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<RunError>>,
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
    /// The principal whose request its agent carried out when it ended the run; absent for every other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// How Stata's process ended, and what it took; only at an end that an agent recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessView>,
    /// A project's `profile.do` was executed before the code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub profile_ran: bool,
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
    /// Commands in its code, as it was submitted, that a person may want to know of: as far as its text tells, and no
    /// boundary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// Who agreed to them, where a host asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmed>,
    /// When another attempt may be made, where the request says so.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
    /// Its priority, where it is not the normal one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<PriorityView>,
    /// The pool whose default the limit on running is, where the request had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_of: Option<String>,
    /// Most cores that its Stata may use, as was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Most cores that its Stata was told to use (`set processors`); absent = it was told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors: Option<u32>,
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProgressView {
    /// Percent of the outermost block.
    pub percent: Option<f64>,
    /// One line, at most 200 characters.
    pub text: String,
}

/// How long a run will probably take: as long as the latest successful run of the same principal took that had the same code and
/// arguments, on the same host if there was one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExpectedView {
    /// How long that one took, seconds.
    pub duration: f64,
    /// The run that took so long.
    pub run_id: RunId,
    /// Whether it ran on the same host.
    pub same_host: bool,
}

/// What a run's processes do while its log does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivityView {
    /// Seconds since the log last grew.
    pub quiet_for: f64,
    /// Processors in use by Stata and its descendants, over the last sample of some seconds; absent before the first.
    pub cpus: Option<f64>,
}

/// Why the gateway does not hear from a run at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CancelRequested {
    /// The principal who made it.
    pub by: String,
    /// When.
    pub at: String,
    /// Its agent has accepted it.
    #[serde(default, rename = "told")]
    pub delivered: bool,
}

/// Where in the code it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// What runs, as people call it: the do-file, of a text the file that it was read from.
    pub fn what(&self) -> &str {
        self.file_name.as_deref().unwrap_or(&self.source)
    }

    /// Why the log is withheld while the run lasts, in words; `None` = the user's part so far is shown.
    pub fn withheld(&self) -> Option<&'static str> {
        ViewRange::withheld(self.view, self.state)
    }
}

/// The user's part of the log, in offsets of the whole log. They never decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl ViewRange {
    /// Why the log of a run in this state, with this user's part, is withheld, in words; `None` = it is shown.
    pub fn withheld(part: Option<Self>, state: RunState) -> Option<&'static str> {
        let known = part.is_none_or(|part| part.safe_end.or(part.end).is_some());
        (!known && !state.is_end()).then_some(
            "the agent is of an earlier version and does not tell which part of the log is the user's: the output is \
             shown when the run has ended",
        )
    }
}

/// A file that a run left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArtifactView {
    /// Its path on the host.
    pub path: String,
    /// Its size, bytes.
    pub bytes: u64,
}

/// What was removed of a run's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FilesRemoved {
    /// When.
    pub at: String,
    /// Their size, bytes.
    pub bytes: u64,
    /// Why, in words.
    pub why: String,
}
