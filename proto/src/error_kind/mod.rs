//! What kind of error ended a run: the one table beside [`state`](crate::state) that says to which ends a kind belongs,
//! whether an MCP answer with it is an error, and whether the same run can succeed at another try.
//!
//! A kind is finer than a state and coarser than a return code: one word on which a program decides what to do next. A
//! failed run's kind follows from Stata's return code ([`codes`]), any other from its cause. Where neither tells, it is
//! [`ErrorKind::Unknown`], and the message stands beside it.

mod advice;
pub mod codes;
mod official;

use crate::state::{Cause, RunState, UnknownWord};

pub use advice::advice;

/// Whether the same run can succeed when it is tried again with nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TryAgain {
    /// What was wrong passes.
    CanHelp,
    /// Code, data or request must change first.
    CannotHelp,
    /// The kind does not tell.
    Unknown,
}

impl TryAgain {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::CanHelp => "trying again unchanged can help",
            Self::CannotHelp => "trying again unchanged cannot help",
            Self::Unknown => "whether trying again unchanged can help is not known",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The kind.
    pub kind: ErrorKind,
    /// The ends that it belongs to.
    pub states: &'static [RunState],
    /// MCP's `isError` of an answer that reports such an end.
    pub is_error: bool,
    /// Whether the same again can help.
    pub try_again: TryAgain,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal in [$($state:ident),+], $again:ident;)+) => {
        /// What kind of error ended a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorKind { $($(#[$doc])* $variant),+ }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Its row of the table.
            pub fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        kind: self,
                        states: &[$(RunState::$state),+],
                        is_error: true,
                        try_again: TryAgain::$again,
                    }),+
                }
            }
        }
    };
}

kinds! {
    /// A command that Stata cannot read: its form, an option, a list.
    Syntax = "syntax" in [Failed], CannotHelp;
    /// A command that is neither built in nor installed.
    CommandNotFound = "command_not_found" in [Failed], CannotHelp;
    /// A variable, or another thing with a name, that does not exist.
    VarnameNotFound = "varname_not_found" in [Failed], CannotHelp;
    /// What cannot be a name.
    InvalidName = "invalid_name" in [Failed], CannotHelp;
    /// Text where a number is needed, or a number where text is.
    TypeMismatch = "type_mismatch" in [Failed], CannotHelp;
    /// A name that is in use.
    NameConflict = "name_conflict" in [Failed], CannotHelp;
    /// Data that must be sorted first.
    NotSorted = "not_sorted" in [Failed], CannotHelp;
    /// An estimation that does not converge.
    Convergence = "convergence" in [Failed], CannotHelp;
    /// An estimation that finds no values to begin with.
    Infeasible = "infeasible" in [Failed], CannotHelp;
    /// An estimation that the data, weights or constraints do not allow.
    EstimationFailure = "estimation_failure" in [Failed], CannotHelp;
    /// Results that a command needs of an earlier one, and that are not there or are of another command.
    NoEstimationResults = "no_estimation_results" in [Failed], CannotHelp;
    /// No observations, or too few.
    NoObservations = "no_observations" in [Failed], CannotHelp;
    /// Data in memory that would be lost, or none where some are needed.
    DataInMemory = "data_in_memory" in [Failed], CannotHelp;
    /// A matrix that cannot be inverted or decomposed.
    MatrixSingular = "matrix_singular" in [Failed], CannotHelp;
    /// Matrices whose sizes do not fit each other.
    MatrixConformability = "matrix_conformability" in [Failed], CannotHelp;
    /// A matrix with missing values.
    MatrixMissing = "matrix_missing" in [Failed], CannotHelp;
    /// A file that is not there.
    FileNotFound = "file_not_found" in [Failed], CannotHelp;
    /// A file that is there already.
    FileExists = "file_exists" in [Failed], CannotHelp;
    /// A file that is damaged, or of a format that Stata does not read.
    FileCorrupt = "file_corrupt" in [Failed], CannotHelp;
    /// A file or folder that cannot be opened, read or written.
    FileIo = "file_io" in [Failed], Unknown;
    /// A log that is open already, or none that is.
    LogState = "log_state" in [Failed], CannotHelp;
    /// Another computer that did not answer as it should.
    Network = "network" in [Failed], CanHelp;
    /// What the host or its administrator does not allow.
    Permission = "permission" in [Failed], CannotHelp;
    /// A limit of Stata or of this edition.
    StataLimit = "stata_limit" in [Failed], CannotHelp;
    /// No memory left: Stata says so, or the kernel ended it.
    OutOfMemory = "out_of_memory" in [Failed, Errored], Unknown;
    /// Break was pressed, by nothing of Longhaul's.
    Interrupt = "interrupt" in [Failed], CanHelp;
    /// What the code asserted, or the data had to fulfil, is not so.
    ExpectationFailed = "expectation_failed" in [Failed], CannotHelp;
    /// Ended on request.
    Cancelled = "cancelled" in [Cancelled], Unknown;
    /// The run's own time limit.
    Timeout = "timeout" in [TimedOut], CannotHelp;
    /// The limit on waiting, while agents that could take it were busy.
    QueueTimeout = "queue_timeout" in [TimedOut], CanHelp;
    /// The limit on waiting, while no agent could have taken it.
    NoAgent = "no_agent" in [TimedOut], CanHelp;
    /// The agent is gone, and how the run ended is not known.
    AgentLost = "agent_lost" in [Lost], Unknown;
    /// Stata refused to start for its licence.
    Licence = "licence" in [Errored], Unknown;
    /// Stata could not be started.
    StartFailed = "start_failed" in [Errored], Unknown;
    /// The code or its folder could not be made ready on the host.
    StagingFailed = "staging_failed" in [Errored, Rejected], CannotHelp;
    /// The agent's owner does not allow it, or it is over a limit.
    PolicyBlocked = "policy_blocked" in [Errored, Rejected], CannotHelp;
    /// The run wrote more than its folder may hold.
    OutputTooLarge = "output_too_large" in [Errored], CannotHelp;
    /// No room on a disk of the host.
    DiskFull = "disk_full" in [Failed, Errored], Unknown;
    /// Stata died of its own fault or a plugin's.
    Crashed = "crashed" in [Errored], Unknown;
    /// A signal that Longhaul did not send.
    Killed = "killed" in [Errored], Unknown;
    /// The host was restarted.
    HostRebooted = "host_rebooted" in [Errored], CanHelp;
    /// None of these for sure.
    Unknown = "unknown" in [Failed, Errored, TimedOut, Cancelled, Rejected, Lost], Unknown;
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ErrorKind {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownWord::of(word))
    }
}

/// What is known of an end, for its kind and the advice.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The end.
    pub state: RunState,
    /// Its cause.
    pub cause: Cause,
    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or Longhaul's.
    pub message: &'a str,
    /// The command that failed, as echoed.
    pub command: &'a str,
    /// The agent; empty = none.
    pub host: &'a str,
    /// Where the code ran; empty = not known.
    pub working_dir: &'a str,
}

/// The kind of an end that has this cause and is no failure of the code; `None` = the cause is that of no such end.
pub fn of_cause(cause: Cause) -> Option<ErrorKind> {
    Some(match cause {
        Cause::Submitted
        | Cause::Returned
        | Cause::Dispatched
        | Cause::FirstOutput
        | Cause::Completed
        | Cause::CompletedUnconfirmed
        | Cause::ProvenDead => return None,
        // Without the code nothing is known.
        Cause::StataError | Cause::Incomplete => ErrorKind::Unknown,
        Cause::SpawnFailed | Cause::StartTimeout | Cause::NotStarted => ErrorKind::StartFailed,
        Cause::Licence => ErrorKind::Licence,
        Cause::Killed => ErrorKind::Killed,
        Cause::Crashed => ErrorKind::Crashed,
        Cause::OutOfMemory => ErrorKind::OutOfMemory,
        Cause::HostRebooted => ErrorKind::HostRebooted,
        Cause::SourceUnreadable | Cause::Malformed => ErrorKind::StagingFailed,
        Cause::SpoolFull => ErrorKind::DiskFull,
        Cause::RunTimeout => ErrorKind::Timeout,
        Cause::QueueTimeout => ErrorKind::QueueTimeout,
        Cause::CancelRequested => ErrorKind::Cancelled,
        Cause::AgentGone | Cause::DeclaredDead => ErrorKind::AgentLost,
        Cause::Forbidden | Cause::OverLimit => ErrorKind::PolicyBlocked,
    })
}

impl ErrorKind {
    /// The kind of an end; `None` for a success and while a run has not ended.
    pub fn of(end: &Facts<'_>) -> Option<Self> {
        if !end.state.is_end() || end.state == RunState::Succeeded {
            return None;
        }
        let kind = match (end.state, end.rc) {
            (RunState::Failed, Some(rc)) => codes::kind(rc, end.message, end.command),
            (RunState::Failed, None) => Self::Unknown,
            _ => of_cause(end.cause).unwrap_or(Self::Unknown),
        };
        Some(if kind.belongs_to(end.state) { kind } else { Self::Unknown })
    }

    /// The same, where another process has told the kind: that one if this version knows it and it is one of such an end,
    /// else the kind that follows from the rest.
    pub fn told(word: &str, end: &Facts<'_>) -> Option<Self> {
        let own = Self::of(end)?;
        Some(word.parse().ok().filter(|kind: &Self| kind.belongs_to(end.state)).unwrap_or(own))
    }

    fn belongs_to(self, state: RunState) -> bool {
        self.row().states.contains(&state)
    }
}

#[cfg(test)]
mod tests;
