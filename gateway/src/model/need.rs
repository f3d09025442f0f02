//! What a run requires of an agent.

use std::collections::BTreeMap;

use longhaul_proto::faults;
use serde::{Deserialize, Serialize};

use super::token_limits;

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
    /// The limit on running that it asks for, ms: only pools that allow as much have it. 0 = it asks for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout_ms: u64,
    /// The agents that the token of its submission is limited to; empty = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_hosts: Vec<String>,
    /// The licence pools that it is limited to; empty = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_pools: Vec<String>,
    /// The folders that it is limited to; empty = all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_roots: Vec<String>,
    /// The kinds of its risky commands to which no person has agreed: a host that asks for one of them does not take it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<String>,
    /// Agents (by id) that reported that they cannot run this one, and why.
    #[serde(skip)]
    pub unfit: BTreeMap<String, String>,
}

impl Need {
    /// Whether it asks for an agent of this name that carries these labels, or for any.
    pub fn asks_for<'a>(&self, name: &str, label: impl Fn(&str) -> Option<&'a String>) -> bool {
        (self.host.is_empty() || self.host == name) && self.labels.iter().all(|(key, value)| label(key) == Some(value))
    }

    /// Whether the token of its submission may use an agent of this name, which holds seats of this pool.
    pub fn permits(&self, name: &str, pool: &str) -> bool {
        (among(&self.only_hosts, name) && self.permits_pool(pool)) || faults::bug("token_limits_ignored")
    }

    /// Whether the token of its submission may start a do-file at this path of a host.
    pub fn permits_path(&self, path: &str) -> bool {
        token_limits::below(&self.only_roots, path) || faults::bug("token_limits_ignored")
    }

    /// Whether the token of its submission may use seats of this pool.
    pub fn permits_pool(&self, pool: &str) -> bool {
        among(&self.only_pools, pool) || faults::bug("token_limits_ignored")
    }

    /// What the token of its submission is limited to, in words; empty = nothing.
    pub fn limits(&self) -> String {
        let words = |what: &str, only: &[String]| (!only.is_empty()).then(|| format!("{what} {}", only.join(", ")));
        let all: Vec<String> =
            [words("host", &self.only_hosts), words("pool", &self.only_pools)].into_iter().flatten().collect();
        all.join(" and ")
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn among(only: &[String], what: &str) -> bool {
    only.is_empty() || only.iter().any(|one| one == what)
}
