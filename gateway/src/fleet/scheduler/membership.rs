//! Agents come and go: they register, are seen, are reached, and are expelled.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    transport::{Fingerprint, Session},
    wire,
};

use super::{Scheduler, command::Dialled, pool_name};
use crate::{
    fleet::{
        agent_port::Port,
        bounds, connector,
        last_seen::{LastSeen, Spools},
        pins::{self, any_incarnation},
        snapshot::Agent,
    },
    ledger::PinRecord,
    metrics::count,
};

/// Most spools per agent whose sizes are remembered.
const SPOOLS: usize = 64;

impl Scheduler {
    /// An agent that is known, to be changed, if it satisfies `so`.
    fn known(&mut self, agent_id: &str, so: impl FnOnce(&Agent) -> bool) -> Option<&mut Agent> {
        self.table.agents.get(agent_id).filter(|agent| so(agent))?;
        Some(self.agent(agent_id))
    }

    /// Creates the entry of an agent when it is missing.
    pub(super) fn ensure(&mut self, agent_id: &str) {
        if !self.table.agents.contains_key(agent_id) {
            self.agent(agent_id);
        }
    }

    /// Registers an agent as present, after its runs were counted, and dials it back; `false` when another process of
    /// it was faster.
    pub(super) fn register(&mut self, info: wire::AgentInfo, session: Session, seen_ms: i64) -> bool {
        let now = self.now();
        if self.table.other_incarnation(&info, now) && !any_incarnation() {
            return false;
        }
        let key = session.peer();
        let (agent_id, incarnation, address) =
            (info.agent_id.clone(), info.incarnation.clone(), info.advertise.clone());
        self.forget_namesakes(&info.name, &agent_id);
        let agent = self.agent(&agent_id);
        let same = agent.is_registered(&incarnation, key) && agent.info.advertise == address;
        if !same {
            agent.since_ms = seen_ms;
        }
        (agent.session, agent.refused) = (Some(session), None);
        agent.last_seen.note(now, seen_ms);
        agent.last_seen.note_free(info.free_bytes);
        (agent.info, agent.here) = (info, true);
        agent.last_seen.wake();
        if same && self.line(&agent_id).dialling.as_ref().is_some_and(|task| !task.is_finished()) {
            return true;
        }
        if let Some(earlier) = self.line(&agent_id).dialling.take() {
            earlier.abort();
        }
        let agent = self.agent(&agent_id);
        (agent.dial_problem, agent.unconnected_since) = (None, Some(now));
        self.connect(&agent_id, None);
        let kept = connector::keep(self.fleet.clone(), agent_id.clone(), incarnation, address, key);
        let task = self.fleet.0.deps.tasks.spawn_until_stop(kept).abort_handle();
        self.line(&agent_id).dialling = Some(task);
        true
    }

    /// Drops silent agents whose name a new one carries, unless a lease is on them.
    fn forget_namesakes(&mut self, name: &str, agent_id: &str) {
        let goes = |(id, agent): &(&Arc<str>, &Arc<Agent>)| {
            agent.info.name == name && ***id != *agent_id && self.seats.of_agent(id).all == 0
        };
        let gone: Vec<Arc<str>> = self.table.agents.iter().filter(goes).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    /// Drops agents for good, as an operator says; `false` = one of them is seen, or has seats, and stays.
    pub(super) fn forget(&mut self, agent_ids: &[String]) -> bool {
        let now = self.now();
        let mut all = true;
        for id in agent_ids {
            let Some(agent) = self.table.agents.get(id.as_str()).cloned() else { continue };
            let seen = agent.here && agent.last_seen.silent(now) <= self.table.silent_after;
            if seen || agent.connection.is_some() || self.seats.of_agent(id).all > 0 {
                all = false;
            } else {
                self.remove(&Arc::from(id.as_str()));
            }
        }
        all
    }

    fn remove(&mut self, id: &Arc<str>) {
        Arc::make_mut(&mut self.table.agents).remove(id);
        self.changed = true;
        self.roster.remove(id);
        self.seats.set_foreign(id, "", 0);
        if let Some(dialling) = self.lines.remove(id).and_then(|line| line.dialling) {
            dialling.abort();
        }
    }

    /// Sets the connection of an agent, for those that follow it too.
    fn connect(&mut self, agent_id: &str, connection: Option<Port>) {
        self.agent(agent_id).connection.clone_from(&connection);
        self.line(agent_id).connection.send_if_modified(|current| {
            let changed = current.is_some() || connection.is_some();
            *current = connection;
            changed
        });
    }

    /// A registered agent is sending the pages of its runs, which may take long: that counts as a sign of life.
    pub(super) fn alive(&mut self, agent_id: &str, incarnation: &str, key: Fingerprint, seen_ms: i64) {
        let registered = self.table.agents.get(agent_id).filter(|agent| agent.is_registered(incarnation, key));
        let Some(agent) = registered else { return };
        let silent = self.note(&agent.last_seen.clone(), seen_ms);
        if silent > self.table.silent_after {
            self.place();
        }
    }

    /// An agent is seen; returns for how long it was not.
    fn note(&self, last_seen: &LastSeen, seen_ms: i64) -> Duration {
        let now = self.now();
        let silent = last_seen.silent(now);
        last_seen.note(now, seen_ms);
        silent
    }

    /// A heartbeat.
    pub(super) fn heartbeat(
        &mut self,
        beat: wire::HeartbeatRequest,
        key: Fingerprint,
        seen_ms: i64,
    ) -> wire::HeartbeatReply {
        let silent_after = self.table.silent_after;
        let objection = bounds::state(&beat.problem, &beat.licence, &beat.engines);
        let registered = self.table.agents.get(&*beat.agent_id).cloned();
        let Some(agent) = registered.filter(|agent| agent.is_registered(&beat.incarnation, key)) else {
            return wire::HeartbeatReply { known: false, problem: String::new() };
        };
        let silent = self.note(&agent.last_seen, seen_ms);
        let metrics = &self.fleet.0.metrics;
        count(&metrics.heartbeats);
        if silent > self.fleet.0.options.heartbeat * 2 {
            count(&metrics.heartbeats_late);
        }
        if silent > silent_after {
            tracing::info!(agent = %agent.info.name, silent_ms = silent.as_millis(), "a silent agent is heard again");
        }
        let largest = beat.spools.into_iter().take(SPOOLS).collect();
        let spools = Spools { bytes: beat.spool_bytes, limit: beat.spool_limit, largest };
        agent.last_seen.note_disk(beat.free_bytes, spools);
        let foreign = bounds::foreign(beat.foreign);
        let seats = foreign.iter().map(|foreign| foreign.processes).fold(0, u32::saturating_add);
        agent.last_seen.note_foreign(foreign);
        let pool = pool_name(&agent.info);
        let freed = self.seats.set_foreign(&beat.agent_id, &pool, if beat.count_foreign { seats } else { 0 });
        agent.last_seen.wake();
        let info = &agent.info;
        let mut changed = silent > silent_after || freed;
        // One that says what it may not say is registered, and keeps its description.
        if objection.is_none() {
            let differs = info.problem != beat.problem || info.engines != beat.engines;
            changed |= differs;
            if differs || info.licence != beat.licence {
                let info = &mut self.agent(&beat.agent_id).info;
                (info.problem, info.engines, info.licence) = (beat.problem, beat.engines, beat.licence);
            }
        }
        if changed {
            self.place();
        }
        let dial_problem = || agent.dial_problem.clone().unwrap_or_default();
        wire::HeartbeatReply { known: true, problem: objection.unwrap_or_else(dial_problem) }
    }

    /// Dialling one incarnation of an agent came to something; `false` when another has taken its place.
    pub(super) fn dialled(&mut self, agent_id: &str, incarnation: &str, dialled: Dialled) -> bool {
        let now = self.now();
        let Some(agent) = self.known(agent_id, |agent| agent.info.incarnation == incarnation) else { return false };
        let (connection, problem) = match dialled {
            Dialled::Connected(connection) => (Some(connection), None),
            Dialled::Broken => (None, None),
            Dialled::Failed(problem) => (None, Some(problem)),
        };
        agent.dial_problem = problem;
        let since = agent.unconnected_since.or(Some(now));
        agent.unconnected_since = if connection.is_some() { None } else { since };
        let connected = connection.is_some();
        self.connect(agent_id, connection);
        if connected {
            self.place();
        }
        true
    }

    /// Ends all connections with the holder of a revoked key.
    pub(super) fn expel(&mut self, pin: &PinRecord) {
        // Not those of an agent that has joined with another key since.
        let its = |agent: &Agent| agent.session.as_ref().is_none_or(|session| session.peer() == pin.key);
        let Some(agent) = self.known(&pin.agent_id, its) else { return };
        (agent.here, agent.refused) = (false, Some(pins::revoked(pin)));
        let (session, connection) = (agent.session.take(), agent.connection.take());
        if let Some(dialling) = self.line(&pin.agent_id).dialling.take() {
            dialling.abort();
        }
        if let Some(session) = session {
            session.cut();
        }
        if let Some(connection) = connection {
            connection.cut();
        }
        self.connect(&pin.agent_id, None);
        self.table_changed();
    }
}
