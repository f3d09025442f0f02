//! What is told of all of one's runs as it happens.

use serde::{Deserialize, Serialize};

use super::ProgressView;
use crate::{
    ids::RunId,
    state::{Cause, RunState},
};

/// The first event of `GET /api/v1/events` (`event: ready`): from now on each step is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventsReady {
    /// Whether the steps since the id that was asked for follow; `false` = none was asked for, or the ledger has not come so far,
    /// as after it was restored: list the runs to know where they are.
    pub resumed: bool,
}

/// A step of a run (`event: state`). Its id is the place of the step: a reader that passes it as `Last-Event-ID` is told every
/// later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepEvent {
    /// The run.
    pub run_id: RunId,
    /// Which step it is, from 0.
    pub step: u32,
    /// The state that the run got.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// The attempt that it then had; 0 = none.
    pub attempt: u32,
    /// The host of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When, by the gateway's clock.
    pub at: Option<String>,
    /// Whose the run is; empty = an unverified one.
    pub principal: String,
    /// What its caller calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is new of a run between two steps (`event: progress`): where it is, why it waits, what keeps the gateway from its agent. It
/// has no id, and is not told again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProgressEvent {
    /// The run.
    pub run_id: RunId,
    /// Its state.
    pub state: RunState,
    /// The attempt that it has; 0 = none.
    pub attempt: u32,
    /// Its progress; absent = none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// Why it waits, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// It was asked to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelling: bool,
    /// What keeps the gateway from its agent, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}
