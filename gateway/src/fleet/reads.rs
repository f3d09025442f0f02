//! What is known of agents, for other parts of the gateway.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longhaul_proto::{
    api::{HostView, PoolView},
    egress::Egress,
    wire,
};

use super::{Fleet, agent_port::Port, scheduler::Command};
use crate::{
    model::{Contact, Principal},
    options::quotas::Holder,
};

impl Fleet {
    /// For how long an agent has not been seen; `None` = it is registered and not silent.
    pub(crate) fn silent_for(&self, agent_id: &str) -> Option<Duration> {
        self.snapshot().silent_for(agent_id, self.now())
    }

    /// What keeps an agent from being called; `None` = nothing to report.
    pub(crate) fn contact(&self, agent_id: &str) -> Option<Contact> {
        self.snapshot().contact(agent_id, self.now())
    }

    /// Agents that can be called now.
    pub(crate) fn connected_agents(&self) -> Vec<(String, Port)> {
        self.snapshot().connected()
    }

    /// Agents whose heartbeats arrive, whether or not they can be called now: none of them registers again by itself.
    pub(crate) fn present(&self) -> Vec<String> {
        self.snapshot().present(self.now())
    }

    /// Whether an agent can start an attempt where an earlier one died; `true` for one that has not registered yet.
    pub(crate) fn puts_aside(&self, agent_id: &str) -> bool {
        self.snapshot().agents.get(agent_id).is_none_or(|agent| !agent.here || agent.info.puts_aside)
    }

    /// Bytes by which an agent's spools exceed their limit.
    pub(crate) fn spool_excess(&self, agent_id: &str) -> u64 {
        self.snapshot().spool_excess(agent_id)
    }

    /// The largest spools of an agent's ended runs, as last reported.
    pub(crate) fn largest_spools(&self, agent_id: &str) -> Vec<wire::SpoolSize> {
        self.snapshot().agents.get(agent_id).map(|agent| agent.last_seen.spools().largest.to_vec()).unwrap_or_default()
    }

    /// The folders from which an agent runs do-files: for those whose runs it takes, who can list them by a run.
    pub(crate) fn roots(&self, agent_id: &str) -> Vec<String> {
        self.snapshot().roots(agent_id)
    }

    /// What of an agent's runs and data may leave to AI clients, as it told last; of one that is not known everything.
    pub(crate) fn egress(&self, agent_id: &str) -> Egress {
        let snapshot = self.snapshot();
        snapshot.agents.get(agent_id).map(|agent| Egress::of_wire(agent.info.egress.as_ref())).unwrap_or_default()
    }

    /// The names and labels of all hosts that this process knows.
    pub(crate) fn known(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let snapshot = self.snapshot();
        (snapshot.names(), snapshot.labels())
    }

    /// Whether any agent that this process knows is such a one, by its description and whether it has registered here.
    pub(crate) fn any_agent(&self, is_one: impl Fn(&wire::AgentInfo, bool) -> bool) -> bool {
        self.snapshot().agents.values().any(|agent| is_one(&agent.info, agent.here))
    }

    /// The descriptions of all agents that this process knows, and whether each has registered with it.
    pub(crate) fn infos(&self) -> Vec<(wire::AgentInfo, bool)> {
        self.snapshot().agents.values().map(|agent| (agent.info.clone(), agent.here)).collect()
    }

    /// Whose runs agents take that were not told whom to serve; `None` = everybody's.
    pub(crate) fn first_only(&self) -> Option<Principal> {
        self.snapshot().first_only.clone()
    }

    /// What is to be done where no agent is there, in words.
    pub(crate) fn how_an_agent_joins(&self) -> String {
        format!(
            "start one with `longhaul agent --gateway {}`, or let an operator invite one (`longhaul agents invite NAME`)",
            self.url()
        )
    }

    /// How many runs are queued.
    pub(crate) fn queued(&self) -> usize {
        self.snapshot().queued
    }

    /// The seats that these hold, by pool.
    pub(crate) async fn held(&self, holders: Vec<Holder>) -> Vec<BTreeMap<String, u32>> {
        self.ask(|reply| Command::Held { holders, reply }).await.unwrap_or_default()
    }

    /// Agents and pools, for people.
    pub(crate) async fn views(&self) -> (Vec<HostView>, Vec<PoolView>) {
        self.ask(|reply| Command::Views { reply }).await.unwrap_or_default()
    }
}
