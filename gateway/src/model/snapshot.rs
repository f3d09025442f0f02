//! A run as it is at one moment: what its task publishes, and what a record says of a run that has ended.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    api::{ArtifactView, FilesRemoved, LocationView, ProcessView, Retry, RunError, ViewRange},
    egress::Egress,
    ids::RunId,
    risk::{Confirmed, Risk},
    state::{Cause, RunState},
    words,
};

use super::{Attempt, Contact, Placement, Principal, QueueReason, Remark, UnixMs, Urgency, Wait};

/// A run at one moment. What holds of unfinished runs alone (`waiting`, `progress`, `contact` and the like) is empty
/// once it has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSnapshot {
    /// Its id.
    pub run: RunId,
    /// The principal that submitted it; none while it is unverified.
    pub principal: Principal,
    /// An agent brought it without the gateway's seal, and no operator has adopted it.
    pub unverified: bool,
    /// The principal that the spool of an unverified run names.
    pub claims: Principal,

    /// The path, `text`, or `bundle: entry`.
    pub source: String,
    /// What the caller calls it.
    pub name: Option<String>,
    /// What the caller noted about it.
    pub user_note: Option<String>,
    /// Of a text: the name of the file that it was read from.
    pub file_name: Option<String>,
    /// Arguments of the do-file.
    pub args: Vec<String>,
    /// Name and version of the client.
    pub client: Option<String>,
    /// Limit on running.
    pub timeout: Option<Duration>,
    /// The pool whose limit that is; `None` = it is the caller's own.
    pub timeout_of: Option<String>,
    /// Sooner or later than others, and why.
    pub urgency: Urgency,
    /// Limit on waiting in the queue.
    pub queue_timeout: Option<Duration>,
    /// When another attempt may follow.
    pub retry: Retry,
    /// Most cores that its Stata may use, as was asked for.
    pub wanted_cores: Option<u32>,
    /// Most cores that its Stata was told to use.
    pub cores: Option<u32>,
    /// Risky commands in its code as it was submitted.
    pub risks: Vec<Risk>,
    /// Who agreed to them.
    pub confirmed: Option<Confirmed>,
    /// The id of its trace.
    pub trace_id: Option<String>,
    /// The W3C `traceparent` that its spans continue.
    pub traceparent: Option<String>,

    /// Its state.
    pub state: RunState,
    /// Why it is in that state.
    pub cause: Cause,
    /// The last attempt; `None` = it was given to no agent.
    pub attempt: Option<Attempt>,
    /// The name of the agent that has or had it.
    pub host: Option<String>,
    /// The pool whose seat its lease holds or held.
    pub pool: Option<String>,
    /// The request to end it.
    pub cancel: Option<CancelRequest>,

    /// When it was recorded, by the ledger's clock.
    pub created: Option<UnixMs>,
    /// First log byte, by the ledger's clock.
    pub started: Option<UnixMs>,
    /// The end, by the ledger's clock.
    pub finished: Option<UnixMs>,
    /// First log byte, by its host's clock.
    pub host_started: Option<UnixMs>,
    /// The end, by its host's clock.
    pub host_finished: Option<UnixMs>,
    /// How long it waited for the lease of its present attempt, if that was worth mentioning.
    pub queued_for: Option<Duration>,
    /// The reason for which it waited longest, in words.
    pub queued_behind: Option<String>,
    /// From running to end, by the agent's monotonic clock.
    pub duration: Option<Duration>,

    /// Why it does not go on at this moment.
    pub waiting: Option<Wait>,
    /// Since when nothing under way moves it on: a person must act.
    pub no_end_since: Option<UnixMs>,
    /// It is lost, and its agent has returned with it and executes it.
    pub runs_again: bool,
    /// Latest progress.
    pub progress: Option<Progress>,
    /// How long it will probably take.
    pub expected: Option<Expected>,
    /// What its processes do while its log does not grow.
    pub activity: Option<Activity>,
    /// What keeps its agent from being called.
    pub contact: Option<Contact>,
    /// How long its agent has been silent.
    pub silent_for: Option<Duration>,

    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or the gateway's.
    pub message: Option<String>,
    /// The command that failed.
    pub command: Option<String>,
    /// Where it failed.
    pub location: Option<LocationView>,
    /// What ended it, where it did not succeed.
    pub error: Option<RunError>,
    /// `stata` or `standin`, as the agent named it.
    pub engine: Option<String>,
    /// Edition and version.
    pub engine_note: Option<String>,
    /// Where the code ran.
    pub working_dir: Option<String>,
    /// Digest of the executed bytes, hex.
    pub code_sha256: Option<String>,

    /// Bytes of the log in the mirror.
    pub log_len: u64,
    /// Bytes of the console in the mirror.
    pub console_len: u64,
    /// The user's part of the log.
    pub user_part: Option<ViewRange>,
    /// The user's parts of attempts that are proven dead, in order; they lie before `user_part`.
    pub earlier_parts: Vec<ViewRange>,
    /// It has ended, and the mirror has all of its output.
    pub complete: bool,

    /// The principal whose request its agent carried out when it ended the run.
    pub ended_by: Option<String>,
    /// How Stata's process ended, and what it took.
    pub process: Option<ProcessView>,
    /// A project's `profile.do` was executed before the code.
    pub profile_ran: bool,
    /// What its agent or its end added.
    pub note: String,
    /// What holds of it besides its state.
    pub remarks: Vec<Remark>,
    /// Other results that agents reported for an attempt whose result is recorded, in words.
    pub contested: Vec<String>,
    /// Processes that had to be ended after Stata.
    pub leftovers: Vec<String>,
    /// Files that it left on its host.
    pub artifacts: Vec<ArtifactView>,
    /// Set when the folder of those files was removed.
    pub files_removed: Option<FilesRemoved>,

    /// What of it may leave to AI clients, by the rules that its agents had then.
    pub egress: Egress,
    /// Where its attempts were executed: the rules that hold there now count, too.
    pub ran_at: Vec<Placement>,
    /// Why its output is not in this snapshot, in words; only where a rule has taken it out.
    pub kept_in: Option<String>,
}

/// Latest progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Percent of the outermost block; finite.
    pub percent: Option<f64>,
    /// One line.
    pub text: String,
}

/// How long a run will probably take, as an earlier run of the same code did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How long that one took.
    pub duration: Duration,
    /// Which one it was.
    pub run: RunId,
    /// It ran on the same host.
    pub same_host: bool,
}

/// What a run's processes do while its log does not grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activity {
    /// Since the log last grew.
    pub quiet: Duration,
    /// Processors in use by Stata and its descendants; `None` before the first sample.
    pub cpus: Option<f64>,
}

/// The request to end a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// The principal that made it, in words.
    pub by: String,
    /// When.
    pub at: Option<UnixMs>,
    /// Its agent has accepted it.
    pub delivered: bool,
}

impl RunSnapshot {
    /// Since when it has been in its present state, as far as that is worth telling: a running run since its first log
    /// byte, one before that since it was recorded.
    pub fn since(&self) -> Option<UnixMs> {
        match self.state {
            RunState::Queued | RunState::Starting => self.created,
            RunState::Running => self.started,
            _ => None,
        }
    }

    /// Whether only a person can move it on.
    pub fn has_no_end(&self) -> bool {
        !self.state.is_end() && self.no_end_since.is_some()
    }

    /// How long it probably still takes, in words.
    pub fn time_left(&self, now_ms: i64) -> Option<String> {
        let since = self.since().filter(|_| self.state == RunState::Running)?;
        words::time_left(self.expected?.duration, since.ago(now_ms))
    }

    /// In words, which limit on running it got from its pool.
    pub fn given_timeout(&self) -> Option<String> {
        let (pool, limit) = (self.timeout_of.as_ref()?, self.timeout?);
        Some(format!("no timeout was asked for: it has that of pool {pool}, {}", words::whole_duration(limit)))
    }

    /// The same for those who may see all runs: a run of another one that comes before it is named.
    #[must_use]
    pub fn for_all_seeing(self: &Arc<Self>) -> Arc<Self> {
        let Some(Wait::Queued(reason)) = &self.waiting else { return self.clone() };
        let words = reason.told(true);
        if words == reason.told(false) {
            return self.clone();
        }
        let reason = QueueReason { words, place: None, ..reason.clone() };
        Arc::new(Self { waiting: Some(Wait::Queued(reason)), ..Self::clone(self) })
    }

    /// The runs of its own principal that hold the seats for which it waits in the queue.
    pub fn behind(&self) -> &[RunId] {
        match &self.waiting {
            Some(Wait::Queued(reason)) => &reason.behind,
            _ => &[],
        }
    }

    /// Why the log is withheld while the run lasts, in words; `None` = the user's part so far is shown.
    pub fn withheld(&self) -> Option<&'static str> {
        ViewRange::withheld(self.user_part, self.state)
    }
}
