//! Takes in agents that register and send heartbeats, and refuses those that cannot join.

use longhaul_proto::{
    transport::{Fingerprint, identity::is_plain},
    version, wire,
};

use super::{Fleet, pins, scheduler::Command};

/// What the name of an agent is.
pub(super) const NAME: &str =
    "its name must have 1 to 64 letters, digits, `-`, `_` or `.`: start it with another --name";

impl Fleet {
    /// Why this agent is refused, and what to do about it.
    pub(crate) fn objection(&self, info: &wire::AgentInfo) -> Option<String> {
        let mine = self.0.ledger.cluster_id();
        if info.agent_id.is_empty() || info.incarnation.is_empty() {
            return Some("the agent does not say who it is".to_owned());
        }
        if let Some(words) = version::objection("gateway", "agent", info.protocol, &info.version) {
            return Some(words);
        }
        if !is_plain(&info.name) {
            return Some(NAME.to_owned());
        }
        if !info.cluster_id.is_empty() && info.cluster_id != mine {
            return Some(format!(
                "its data folder belongs to another gateway (cluster {}, this one is {mine}): give it a data folder of its own with --data; or, when that gateway's ledger is lost for good, stop the agent, remove agent/cluster-id in its data folder and start it again: its runs are then imported",
                info.cluster_id
            ));
        }
        let (now, fleet) = (self.now(), self.snapshot());
        if fleet.other_incarnation(info, now) && !pins::any_incarnation() {
            return Some(format!(
                "another process of agent {} is connected: two have copies of one data folder, or the earlier one is about to \
                 be given up; stop the other, or wait until it is silent",
                info.name
            ));
        }
        fleet.holder_of(&info.name, &info.agent_id, now).map(|other| {
            format!(
                "another agent ({}) is connected under the name {}: start this one with another --name",
                other.info.advertise, info.name
            )
        })
    }

    /// A known agent is sending the pages of its runs, which may take long: that counts as a sign of life.
    pub(crate) async fn alive(&self, info: &wire::AgentInfo, key: Fingerprint, seen_ms: i64) {
        let (agent_id, incarnation) = (info.agent_id.clone(), info.incarnation.clone());
        self.send(Command::Alive { agent_id, incarnation, key, seen_ms }).await;
    }

    /// A heartbeat.
    pub(crate) async fn heartbeat(
        &self,
        beat: wire::HeartbeatRequest,
        key: Fingerprint,
        seen_ms: i64,
    ) -> wire::HeartbeatReply {
        let beat = Box::new(beat);
        let answered = self.ask(|reply| Command::Heartbeat { beat, key, seen_ms, reply }).await;
        // A gateway that stops asks nothing of its agents.
        answered.unwrap_or(wire::HeartbeatReply { known: true, problem: String::new() })
    }
}
