//! States and causes of a run, and what each end means to the command line, MCP and telemetry.
//!
//! ```text
//! queued   -> starting | rejected | cancelled | timed_out (queue)
//! starting -> running  | queued (the agent proved that it never started) | errored | cancelled | lost
//! running  -> succeeded | failed (Stata's verdict) | errored (ours) | timed_out (run) | cancelled | lost
//! starting, running -> queued (the attempt is proven dead, and its owner asked for another in that case)
//! lost     -> any other end, once, only from the spool's own record, only while no later attempt exists
//! ```
//!
//! A run that starts and ends between two looks goes from `starting` straight to its end. All ends but `lost` are
//! final. The command line's exit status, MCP's `isError`, the span's result and the metrics all read [`RunState`]
//! through this module, so that they cannot disagree. What kind of error an end is says the table beside it,
//! [`error_kind`](crate::error_kind).

use serde::{Deserialize, Serialize};

use crate::wire;

macro_rules! words {
    ($(#[$m:meta])* $name:ident = $wire:ident { $($(#[$vm:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vm])* $variant),+ }

        impl $name {
            /// Every value, in the order of the protocol.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the API and the ledger.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value as it goes over the wire.
            pub fn to_wire(self) -> wire::$wire {
                match self { $(Self::$variant => wire::$wire::$variant),+ }
            }

            /// From the wire; `None` for a value that this version does not know.
            pub fn from_wire(value: i32) -> Option<Self> {
                match wire::$wire::try_from(value).ok()? {
                    $(wire::$wire::$variant => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word).ok_or_else(|| UnknownWord(word.to_owned()))
            }
        }
    };
}

/// The word names no state or cause.
#[derive(Debug, thiserror::Error)]
#[error("unknown word `{0}`")]
pub struct UnknownWord(String);

impl UnknownWord {
    /// This one.
    pub fn of(word: impl Into<String>) -> Self {
        Self(word.into())
    }
}

words! {
    /// Where a run stands.
    RunState = RunState {
        /// Recorded, waiting for an agent, a seat or its turn.
        Queued = "queued",
        /// An attempt left the gateway.
        Starting = "starting",
        /// Stata wrote its first log byte.
        Running = "running",
        /// The do-file came to its end.
        Succeeded = "succeeded",
        /// Stata's verdict: r(N).
        Failed = "failed",
        /// Not Stata's verdict: no start, licence, killed, out of memory, host rebooted.
        Errored = "errored",
        /// A limit its owner set was reached.
        TimedOut = "timed_out",
        /// Its end was requested.
        Cancelled = "cancelled",
        /// Malformed, forbidden, or over a limit.
        Rejected = "rejected",
        /// The outcome is not known; the output so far is kept.
        Lost = "lost",
    }
}

words! {
    /// Why a run is in its state.
    Cause = Cause {
        /// Queued: the request was recorded.
        Submitted = "submitted",
        /// Queued: the agent proved that the attempt never started.
        Returned = "returned",
        /// Starting: a `Run` call left the gateway.
        Dispatched = "dispatched",
        /// Running: the first log byte.
        FirstOutput = "first_output",
        /// Succeeded: the sentinel was written.
        Completed = "completed",
        /// Succeeded: `exit, STATA` with status 0 and a clean end.
        CompletedUnconfirmed = "completed_unconfirmed",
        /// Failed: r(N).
        StataError = "stata_error",
        /// Errored: Stata's program could not be started.
        SpawnFailed = "spawn_failed",
        /// Errored: no log byte within `start_timeout`.
        StartTimeout = "start_timeout",
        /// Errored: Stata refused for its licence.
        Licence = "licence",
        /// Errored: a signal that Longhaul did not send.
        Killed = "killed",
        /// Errored: Stata died of its own fault.
        Crashed = "crashed",
        /// Errored: the kernel's memory killer.
        OutOfMemory = "out_of_memory",
        /// Errored: the host's boot id changed and no exit was recorded.
        HostRebooted = "host_rebooted",
        /// Errored: Stata ended without a verdict in its log.
        Incomplete = "incomplete",
        /// Errored: the do-file could not be read on the host when its turn came.
        SourceUnreadable = "source_unreadable",
        /// Errored: no room in the spool.
        SpoolFull = "spool_full",
        /// Timed out: the run's own limit.
        RunTimeout = "run_timeout",
        /// Timed out: the queue limit.
        QueueTimeout = "queue_timeout",
        /// Cancelled.
        CancelRequested = "cancel_requested",
        /// Lost: the agent did not return within the horizon.
        AgentGone = "agent_gone",
        /// Lost: an operator declared it dead.
        DeclaredDead = "declared_dead",
        /// Rejected: malformed.
        Malformed = "malformed",
        /// Rejected: forbidden.
        Forbidden = "forbidden",
        /// Rejected: over a limit.
        OverLimit = "over_limit",
        /// Errored: the attempt never started, and the run's retry policy allowed no other.
        NotStarted = "not_started",
        /// Queued: the attempt is proven dead, and the run's retry policy allows another.
        ProvenDead = "proven_dead",
    }
}

/// What an end means outside: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Exit status of `longhaul run` and `longhaul wait`.
    pub exit_status: u8,
    /// MCP's `isError`.
    pub is_error: bool,
    /// Result word of spans and metrics, after `cicd.pipeline.result` of the OpenTelemetry conventions.
    pub result: &'static str,
}

impl RunState {
    /// Whether the run has ended. `lost` counts as an end that may be corrected once.
    pub fn is_end(self) -> bool {
        self.meaning().is_some()
    }

    /// What this end means to the command line, MCP and telemetry; `None` while the run has not ended.
    pub fn meaning(self) -> Option<Meaning> {
        let row = |exit_status, result| Some(Meaning { exit_status, is_error: exit_status != 0, result });
        match self {
            Self::Queued | Self::Starting | Self::Running => None,
            Self::Succeeded => row(0, "success"),
            Self::Failed => row(1, "failure"),
            Self::Cancelled => row(3, "cancellation"),
            Self::Errored | Self::Rejected | Self::Lost => row(4, "error"),
            Self::TimedOut => row(5, "timeout"),
        }
    }

    /// Whether the state machine has this edge.
    pub fn may_become(self, next: Self) -> bool {
        use RunState::{Cancelled, Errored, Lost, Queued, Rejected, Running, Starting, TimedOut};
        match self {
            Queued => matches!(next, Starting | Rejected | Cancelled | TimedOut | Errored),
            Starting => next != Rejected && next != Starting,
            Running => next == Queued || (next.is_end() && next != Rejected),
            Lost => next.is_end() && next != Lost && next != Rejected,
            _ => false,
        }
    }

    /// The cause that says only which end it is: for an end whose own cause this version does not know. `None` while
    /// the run has not ended.
    pub fn plain_cause(self) -> Option<Cause> {
        match self {
            Self::Queued | Self::Starting | Self::Running => None,
            Self::Succeeded => Some(Cause::Completed),
            Self::Failed => Some(Cause::StataError),
            Self::Errored => Some(Cause::Incomplete),
            Self::TimedOut => Some(Cause::RunTimeout),
            Self::Cancelled => Some(Cause::CancelRequested),
            Self::Rejected => Some(Cause::Malformed),
            Self::Lost => Some(Cause::AgentGone),
        }
    }

    /// Whether the state machine has this edge for this cause: back to the queue only with proof.
    pub fn may_become_by(self, next: Self, cause: Cause) -> bool {
        let proved = match (self, next) {
            (Self::Starting, Self::Queued) => matches!(cause, Cause::Returned | Cause::ProvenDead),
            (Self::Running, Self::Queued) => cause == Cause::ProvenDead,
            _ => true,
        };
        proved && self.may_become(next)
    }

    /// Whether a pool's seat is held in this state.
    pub fn holds_seat(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_wire_and_text() {
        for s in RunState::ALL {
            assert_eq!(RunState::from_wire(s.to_wire() as i32), Some(*s));
            assert_eq!(s.as_str().parse::<RunState>().unwrap(), *s);
        }
        for c in Cause::ALL {
            assert_eq!(Cause::from_wire(c.to_wire() as i32), Some(*c));
            assert_eq!(serde_json::to_value(c).unwrap(), c.as_str());
        }
    }

    #[test]
    fn ends_are_final_but_lost() {
        for from in RunState::ALL.iter().filter(|s| s.is_end() && **s != RunState::Lost) {
            assert!(RunState::ALL.iter().all(|to| !from.may_become(*to)), "{from}");
        }
        assert!(RunState::Lost.may_become(RunState::Succeeded));
    }

    #[test]
    fn back_to_the_queue_only_with_proof() {
        for cause in Cause::ALL {
            let (dead, returned) = (*cause == Cause::ProvenDead, *cause == Cause::Returned);
            assert_eq!(RunState::Running.may_become_by(RunState::Queued, *cause), dead, "{cause}");
            assert_eq!(RunState::Starting.may_become_by(RunState::Queued, *cause), dead || returned, "{cause}");
            assert!(!RunState::Lost.may_become_by(RunState::Queued, *cause), "silence is no proof");
        }
    }
}
