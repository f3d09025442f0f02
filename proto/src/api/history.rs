//! What became of a run, step by step.

use serde::{Deserialize, Serialize};

use crate::{
    ids::RunId,
    state::{Cause, RunState},
};

/// Answer of `GET /api/v1/runs/{run}/history`: every step of a run and every attempt, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunHistory {
    /// The run.
    pub run_id: RunId,
    /// Its steps; the first is how it was recorded.
    pub steps: Vec<StepView>,
    /// Its attempts, also those that never started.
    pub attempts: Vec<AttemptView>,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepView {
    /// The state that it got.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// The attempt that it then had; 0 = none.
    pub attempt: u32,
    /// The host of that attempt; absent = there is none, or an earlier version did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When, by the gateway's clock.
    pub at: Option<String>,
}

/// An attempt: it was given to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptView {
    /// Its number.
    pub number: u32,
    /// The name of the agent; absent where an earlier version did not keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The pool whose seat it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// When it was given to the agent, by the gateway's clock.
    pub given_at: Option<String>,
    /// How it ended; absent = not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<AttemptEndView>,
}

/// How an attempt ended: with its run, or by giving it back to the queue (`queued`), since it never started or is proven
/// dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptEndView {
    /// The state that the run got.
    pub state: RunState,
    /// Why.
    pub cause: Cause,
    /// When, by the gateway's clock.
    pub at: Option<String>,
}
