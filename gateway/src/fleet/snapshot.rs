//! What the scheduler publishes: agents, drains, and whom agents serve, as they are now. Readers take it from a watch
//! and never wait for the scheduler.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{
    transport::{Fingerprint, Session},
    wire,
};

use super::{agent_port::Port, last_seen::LastSeen};
use crate::{ledger::DrainRecord, model::Principal};

/// The fleet at one moment.
#[derive(Clone)]
pub(super) struct FleetSnapshot {
    /// When this process started, by the monotonic clock.
    pub(super) started: Duration,
    /// An agent that was not seen for so long is silent.
    pub(super) silent_after: Duration,
    /// By id.
    pub(super) agents: Arc<BTreeMap<Arc<str>, Arc<Agent>>>,
    /// Hosts on which no new run starts, by name.
    pub(super) drains: Arc<BTreeMap<String, DrainRecord>>,
    /// The only principal whose runs agents take that have neither `--serve` nor `--serve-all`; `None` = everybody's.
    pub(super) first_only: Option<Principal>,
    /// Runs in the queue.
    pub(super) queued: usize,
}

/// One agent, as last seen.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) info: wire::AgentInfo,
    /// It has registered with this process.
    pub(super) here: bool,
    /// When it was last seen; until it registers, when this process started. Shared: what a heartbeat changes is in
    /// here, so that none is published anew.
    pub(super) last_seen: Arc<LastSeen>,
    /// The connection to it.
    pub(super) connection: Option<Port>,
    /// Why it cannot be dialled.
    pub(super) dial_problem: Option<String>,
    /// Since when there is no connection to it, by the monotonic clock; `None` = there is one.
    pub(super) unconnected_since: Option<Duration>,
    /// When this process of it came, Unix ms; 0 = it has not registered with this gateway's process.
    pub(super) since_ms: i64,
    /// The connection over which it registered last.
    pub(super) session: Option<Session>,
    /// Why its registration is refused, in words that name it.
    pub(super) refused: Option<String>,
}

impl Agent {
    /// One that has not registered with this process, which began `now`; it was last seen at `seen_ms`, Unix ms.
    pub(super) fn unregistered(info: wire::AgentInfo, now: Duration, seen_ms: i64) -> Self {
        Self {
            info,
            here: false,
            last_seen: LastSeen::new(now, seen_ms),
            connection: None,
            dial_problem: None,
            unconnected_since: Some(now),
            since_ms: 0,
            session: None,
            refused: None,
        }
    }

    /// Whether it is registered by this process (`incarnation`) over a connection of this key.
    pub(super) fn is_registered(&self, incarnation: &str, key: Fingerprint) -> bool {
        let its = self.session.as_ref().is_some_and(|session| session.peer() == key);
        self.here && its && self.info.incarnation == incarnation
    }
}

impl FleetSnapshot {
    /// Whether another living process of this agent is registered: its heartbeats arrive, over a connection that is
    /// still up.
    pub(super) fn other_incarnation(&self, info: &wire::AgentInfo, now: Duration) -> bool {
        self.agents.get(&*info.agent_id).is_some_and(|a| {
            let connected = a.session.as_ref().is_some_and(|session| !session.is_over());
            a.here && connected && a.info.incarnation != info.incarnation && self.is_heard(a, now)
        })
    }

    /// Another agent that has this name and is alive.
    pub(super) fn holder_of(&self, name: &str, agent_id: &str, now: Duration) -> Option<&Agent> {
        let its = |a: &&Arc<Agent>| a.info.name == name && a.info.agent_id != agent_id && a.here;
        self.agents.values().filter(its).find(|a| self.is_heard(a, now)).map(Arc::as_ref)
    }

    fn is_heard(&self, agent: &Agent, now: Duration) -> bool {
        agent.last_seen.silent(now) <= self.silent_after
    }

    /// Whether the agent that last registered with this key is connected.
    pub(super) fn is_connected(&self, key: &Fingerprint) -> bool {
        let its = |a: &&Arc<Agent>| a.session.as_ref().is_some_and(|session| session.peer() == *key);
        let agent = self.agents.values().find(its);
        agent.is_some_and(|agent| agent.here && !agent.session.as_ref().is_none_or(Session::is_over))
    }

    /// All names that can mean a host.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let agents = self.agents.values().map(|a| &a.info.name).filter(|name| !name.is_empty());
        agents.chain(self.drains.keys()).cloned().collect()
    }

    /// The labels of all hosts, as `key=value`.
    pub(super) fn labels(&self) -> BTreeSet<String> {
        self.agents.values().flat_map(|a| &a.info.labels).map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// The folders from which an agent runs do-files, as it reports them.
    pub(super) fn roots(&self, agent_id: &str) -> Vec<String> {
        self.agents.get(agent_id).map(|agent| agent.info.roots.clone()).unwrap_or_default()
    }

    /// Agents that can be called, with their connections.
    pub(super) fn connected(&self) -> Vec<(String, Port)> {
        self.agents.iter().filter_map(|(id, a)| Some((id.to_string(), a.connection.clone()?))).collect()
    }

    /// The agents that are not silent.
    pub(super) fn present(&self, now: Duration) -> Vec<String> {
        self.agents.keys().filter(|id| self.silent_for(id, now).is_none()).map(ToString::to_string).collect()
    }

    /// Bytes by which an agent's spools exceed their limit.
    pub(super) fn spool_excess(&self, agent_id: &str) -> u64 {
        self.agents.get(agent_id).map_or(0, |agent| agent.last_seen.spools().excess())
    }
}
