//! Whether an agent can be reached now, and if not, why.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{clock::rfc3339, faults, version, wire, words::whole_duration};

use super::{
    drain,
    snapshot::{Agent, FleetSnapshot},
};
use crate::model::{Contact, ContactState, QueueReason};

/// A connection that has been gone for less is being dialled again, and is not reported.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(2);

impl FleetSnapshot {
    /// For how long an agent has not been seen; `None` = it is registered and not silent.
    pub(super) fn silent_for(&self, agent_id: &str, now: Duration) -> Option<Duration> {
        let Some(agent) = self.agents.get(agent_id) else { return Some(now.saturating_sub(self.started)) };
        let silent = agent.last_seen.silent(now);
        (!agent.here || silent > self.silent_after).then_some(silent)
    }

    /// What keeps an agent that has a run from being called; `None` = nothing to report.
    pub(super) fn contact(&self, agent_id: &str, now: Duration) -> Option<Contact> {
        let contact = |state: ContactState, lasts: Duration, words: String| Some(Contact { state, lasts, words });
        let agent = self.agents.get(agent_id)?;
        let name = &agent.info.name;
        let silent = agent.last_seen.silent(now);
        let up = now.saturating_sub(self.started);
        if let Some(refused) = agent.refused.as_ref().filter(|_| !agent.here && !faults::bug("revoked_returns")) {
            let words = format!("agent {name} does not return by itself: {refused}");
            return contact(ContactState::Silent, silent, words);
        }
        let more = outdated(&agent.info).filter(|_| !agent.here).map(|why| format!(": {why}")).unwrap_or_default();
        if !agent.here && up <= self.silent_after * 2 {
            let words =
                format!("the gateway restarted {} ago and waits for agent {name} to return{more}", whole_duration(up));
            return contact(ContactState::Awaited, up, words);
        }
        if !agent.here || silent > self.silent_after {
            return contact(
                ContactState::Silent,
                silent,
                format!("agent {name} is silent for {}{more}", whole_duration(silent)),
            );
        }
        let unconnected = now.saturating_sub(agent.unconnected_since?);
        if unconnected < UNREACHABLE_AFTER {
            return None;
        }
        let problem = agent.dial_problem.as_deref().unwrap_or("it is being dialled");
        let text = format!(
            "agent {name} sends heartbeats and cannot be reached for {}: {problem}",
            whole_duration(unconnected)
        );
        contact(ContactState::Unreachable, unconnected, text)
    }

    pub(super) fn up(&self, now: Duration) -> u64 {
        let up = |agent: &&Arc<Agent>| agent.can_run() && agent.last_seen.silent(now) <= self.silent_after;
        self.agents.values().filter(up).count() as u64
    }

    /// Whether an agent gets runs while its heartbeats arrive: then [`FleetSnapshot::away`] has nothing else to say.
    pub(super) fn is_open(&self, agent: &Agent) -> bool {
        agent.can_run() && !self.drains.contains_key(&agent.info.name)
    }

    /// Why an agent gets no runs now.
    pub(super) fn away(&self, agent: &Agent, now: Duration) -> Option<QueueReason> {
        let drained = || self.drains.get(&agent.info.name).map(drain::words).map(QueueReason::lasting);
        self.trouble(agent, now).or_else(drained)
    }

    /// What keeps an agent from taking runs, apart from a drain.
    pub(super) fn trouble(&self, agent: &Agent, now: Duration) -> Option<QueueReason> {
        let name = &agent.info.name;
        let silent = agent.last_seen.silent(now);
        if let Some(refused) = agent.refused.as_ref().filter(|_| !agent.here) {
            return Some(QueueReason::lasting(refused.clone()));
        }
        if !agent.here {
            let seen = || rfc3339(agent.last_seen.seen_ms()).unwrap_or_else(|| "long ago".to_owned());
            // An agent of its last version would be refused before it could identify itself.
            if let Some(words) = outdated(&agent.info) {
                return Some(QueueReason::lasting(format!(
                    "agent {name} is not connected (last seen {}): {words}",
                    seen()
                )));
            }
            return Some(if now.saturating_sub(self.started) <= self.silent_after * 2 {
                let ago = silent.as_secs();
                QueueReason::passing(format!("the gateway restarted {ago} s ago and waits for agent {name} to return"))
            } else {
                QueueReason::lasting(format!("agent {name} is not connected (last seen {}): start it again", seen()))
            });
        }
        if silent > self.silent_after {
            return Some(QueueReason::lasting(format!("agent {name} is silent for {} s", silent.as_secs())));
        }
        if agent.connection.is_none() {
            return Some(match &agent.dial_problem {
                Some(problem) => QueueReason::lasting(format!("agent {name} cannot be reached: {problem}")),
                None => QueueReason::passing(format!("agent {name} is being dialled")),
            });
        }
        let problem = &agent.info.problem;
        (!problem.is_empty()).then(|| QueueReason::lasting(format!("agent {name} takes no runs: {problem}")))
    }
}

impl Agent {
    /// Whether it takes runs while its heartbeats arrive, apart from a drain.
    fn can_run(&self) -> bool {
        self.here && self.connection.is_some() && self.info.problem.is_empty()
    }
}

/// Why an agent cannot return with the version that it last had; `None` = it can.
pub(super) fn outdated(info: &wire::AgentInfo) -> Option<String> {
    let told = info.protocol > 0 && !faults::bug("old_protocol_untold");
    told.then(|| version::objection("gateway", "agent", info.protocol, &info.version)).flatten()
}
