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
    /// Agents (by id) that reported that they cannot run this one, and why.
    #[serde(skip)]
    pub unfit: BTreeMap<String, String>,
}
