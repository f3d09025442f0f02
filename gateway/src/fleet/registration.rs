//! Takes in agents that register and send heartbeats, and refuses those that cannot join.

use longhaul_proto::{
    transport::{Fingerprint, Session},
    version, wire,
};

use super::{Fleet, bounds, connector, pins};

/// Most spools per agent whose sizes are remembered.
const SPOOLS: usize = 64;

impl Fleet {
    /// Why this agent is refused, and what to do about it.
    pub(crate) fn objection(&self, info: &wire::AgentInfo) -> Option<String> {
        let mine = self.0.ledger.cluster_id();
        let plain = |name: &str| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if info.agent_id.is_empty() || info.incarnation.is_empty() {
            return Some("the agent does not say who it is".to_owned());
        }
        if let Some(words) = version::objection("gateway", "agent", info.protocol, &info.version) {
            return Some(words);
        }
        if !plain(&info.name) {
            return Some(
                "its name must have 1 to 64 letters, digits, `-`, `_` or `.`: start it with another --name".to_owned(),
            );
        }
        if !info.cluster_id.is_empty() && info.cluster_id != mine {
            return Some(format!(
                "its data folder belongs to another gateway (cluster {}, this one is {mine}): give it a data folder of its own with --data; or, when that gateway's ledger is lost for good, stop the agent, remove agent/cluster-id in its data folder and start it again: its runs are then imported",
                info.cluster_id
            ));
        }
        let (now, silent_after) = (self.now(), self.0.options.silent_after);
        let scheduler = self.scheduler();
        if scheduler.other_incarnation(info, now, silent_after) && !pins::any_incarnation() {
            return Some(format!(
                "another process of agent {} is connected: two have copies of one data folder, or the earlier one is about to \
                 be given up; stop the other, or wait until it is silent",
                info.name
            ));
        }
        scheduler.holder_of(&info.name, &info.agent_id, now, silent_after).map(|other| {
            format!(
                "another agent ({}) is connected under the name {}: start this one with another --name",
                other.info.advertise, info.name
            )
        })
    }

    /// Registers an agent as present, after its runs were counted, and dials it back.
    pub(super) fn registered(&self, info: wire::AgentInfo, session: Session, seen_ms: i64) {
        let key = session.peer();
        let (agent_id, incarnation, address) =
            (info.agent_id.clone(), info.incarnation.clone(), info.advertise.clone());
        let now = self.now();
        let mut scheduler = self.scheduler();
        scheduler.forget_namesakes(&info.name, &agent_id);
        let agent = scheduler.agent(&agent_id, now);
        let same = agent.here
            && agent.info.incarnation == incarnation
            && agent.info.advertise == address
            && agent.session.as_ref().is_some_and(|s| s.peer() == key);
        (agent.session, agent.refused) = (Some(session), None);
        (agent.info, agent.here, agent.heard, agent.seen_ms) = (info, true, now, seen_ms);
        agent.beat.notify_waiters();
        if same && agent.contact.as_ref().is_some_and(|c| !c.is_finished()) {
            return;
        }
        if let Some(earlier) = agent.contact.take() {
            earlier.abort();
        }
        agent.dial_problem = None;
        agent.unlinked = Some(now);
        agent.connection.send_if_modified(|connection| connection.take().is_some());
        let contact = connector::keep(self.clone(), agent_id, incarnation, address, key);
        agent.contact = Some(self.0.deps.tasks.spawn_until_stop(contact).abort_handle());
    }

    /// A known agent is sending the pages of its runs, which may take long: that counts as a sign of life.
    pub(crate) fn tells(&self, info: &wire::AgentInfo, key: Fingerprint, seen_ms: i64) {
        let now = self.now();
        let mut scheduler = self.scheduler();
        let known = scheduler.known(&info.agent_id).filter(|a| {
            let its = a.session.as_ref().is_some_and(|s| s.peer() == key);
            a.here && its && a.info.incarnation == info.incarnation
        });
        if let Some(agent) = known {
            (agent.heard, agent.seen_ms) = (now, seen_ms);
        }
    }

    /// A heartbeat.
    pub(crate) fn heard(&self, beat: wire::HeartbeatRequest, key: Fingerprint, seen_ms: i64) -> wire::HeartbeatReply {
        let now = self.now();
        let silent_after = self.0.options.silent_after;
        let objection = bounds::state(&beat.problem, &beat.licence, &beat.engines);
        let (problem, changed) = {
            let mut scheduler = self.scheduler();
            let known = scheduler.known(&beat.agent_id).filter(|a| {
                let its = a.session.as_ref().is_some_and(|s| s.peer() == key);
                a.here && its && a.info.incarnation == beat.incarnation
            });
            let Some(agent) = known else { return wire::HeartbeatReply { known: false, problem: String::new() } };
            let silent = now.saturating_sub(agent.heard);
            if silent > silent_after {
                tracing::info!(agent = %agent.info.name, silent_ms = silent.as_millis(), "a silent agent is heard again");
            }
            let changed =
                silent > silent_after || agent.info.problem != beat.problem || agent.info.engines != beat.engines;
            (agent.heard, agent.seen_ms) = (now, seen_ms);
            agent.spool = (beat.spool_bytes, beat.spool_limit);
            agent.spools = beat.spools;
            agent.spools.truncate(SPOOLS);
            agent.info.free_bytes = beat.free_bytes;
            agent.beat.notify_waiters();
            match objection {
                // It is registered, and keeps its description.
                Some(words) => (words, false),
                None => {
                    agent.info.problem = beat.problem;
                    agent.info.engines = beat.engines;
                    agent.info.licence = beat.licence;
                    (agent.dial_problem.clone().unwrap_or_default(), changed)
                }
            }
        };
        if changed {
            self.place();
        }
        wire::HeartbeatReply { known: true, problem }
    }
}
