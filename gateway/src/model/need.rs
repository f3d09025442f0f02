//! What a run requires of an agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run requires of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Need {
    /// The agent's name; empty = any.
    pub host: String,
    /// Labels it must carry.
    pub labels: BTreeMap<String, String>,
    /// `stata` or `standin`; empty = the agent's own.
    pub engine: String,
    /// Its code is more than an agent gets within a request: only agents that take blobs have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub large_code: bool,
    /// Agents (by id) that reported that they cannot run this one, and why.
    #[serde(skip)]
    pub unfit: BTreeMap<String, String>,
}
