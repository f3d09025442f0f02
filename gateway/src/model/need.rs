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

impl Need {
    /// Whether it asks for an agent of this name that carries these labels, or for any.
    pub fn asks_for<'a>(&self, name: &str, label: impl Fn(&str) -> Option<&'a String>) -> bool {
        (self.host.is_empty() || self.host == name) && self.labels.iter().all(|(key, value)| label(key) == Some(value))
    }
}
