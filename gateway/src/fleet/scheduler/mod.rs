//! The scheduler: one task owns agents, leases and the queue. Others send it commands and read what it publishes.
//!
//! - [`command`] lists the commands, and [`task`] is the loop that takes them in their order; leases and queue entries
//!   that were dropped come first, over a channel of their own;
//! - [`arrivals`] changes the table of agents: they register, are heard, are reached, are expelled;
//! - [`grants`] gives leases to queued runs; [`reasons`] says why the others wait;
//! - [`views`] is what people are shown of hosts and pools.
//!
//! Nothing here waits: a command is done when the next one is taken.

mod arrivals;
mod command;
mod grants;
mod reasons;
mod task;
mod views;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{faults, ids::RunId, ordered_watch::OrderedWatch, wire};
use tokio::{sync::watch, task::AbortHandle};

use super::{
    Fleet, Remembered,
    connection::Connection,
    lease::Serial,
    pins,
    placement::{Holder, Host, Pool, Serves},
    queue::Queue,
    snapshot::{Agent, FleetSnapshot},
};
use crate::{
    ledger::PinState,
    model::{Placement, Principal},
};

pub(super) use command::{Command, Dialled, NewEntry, Reply};
pub(super) use task::run;

use reasons::Waiting;

/// The scheduler's state.
pub(super) struct Scheduler {
    /// The handle that others have: its clock, its settings, and what dials agents.
    fleet: Fleet,
    /// What is published, and the owner's copy of it.
    table: FleetSnapshot,
    published: watch::Sender<Arc<FleetSnapshot>>,
    /// The table has changed since it was published.
    changed: bool,
    /// By agent.
    lines: HashMap<Arc<str>, Line>,
    leases: BTreeMap<(RunId, Serial), Taken>,
    queue: Queue,
    waiting: HashMap<RunId, Waiting>,
    /// Seats by pool, from the configuration.
    configured: BTreeMap<String, u32>,
    /// The principals that tokens stand for.
    known: BTreeSet<Principal>,
}

/// The line to one agent: its connection as others follow it, and the task that keeps it.
struct Line {
    connection: OrderedWatch<Option<Arc<Connection>>>,
    dialling: Option<AbortHandle>,
}

/// A lease as the scheduler counts it.
struct Taken {
    principal: Principal,
    agent_id: String,
    host: String,
    pool: String,
}

impl Taken {
    /// Names the holder of the seat to the principal of a waiting run: other principals' runs are not named.
    fn holder(&self, run: RunId, asker: &Principal) -> Holder {
        let own = Some(run).filter(|_| self.principal == *asker);
        let words = if own.is_some() || faults::bug("others_runs_named") {
            format!("run {} on {}", run.short(), self.host)
        } else {
            format!("another principal's run on {}", self.host)
        };
        Holder { own, words }
    }
}

/// What is published before any agent has connected.
pub(super) fn at_start(now: Duration, silent_after: Duration, remembered: &Remembered) -> FleetSnapshot {
    let mut agents = BTreeMap::new();
    for agent in &remembered.agents {
        let id = agent.info.agent_id.as_str();
        let known = Agent { info: agent.info.clone(), seen_ms: agent.heard_ms, ..Agent::unregistered(id, now) };
        agents.insert(Arc::from(id), Arc::new(known));
    }
    for pin in remembered.pins.iter().filter(|pin| pin.state == PinState::Revoked) {
        if let Some(agent) = agents.get_mut(&*pin.agent_id) {
            Arc::make_mut(agent).refused = Some(pins::revoked(pin));
        }
    }
    let drains = remembered.drains.iter().map(|drain| (drain.host.clone(), drain.clone()));
    FleetSnapshot {
        started: now,
        silent_after,
        agents: Arc::new(agents),
        drains: Arc::new(drains.collect()),
        first_only: None,
        queued: 0,
    }
}

impl Scheduler {
    fn new(fleet: Fleet, published: watch::Sender<Arc<FleetSnapshot>>) -> Self {
        let table = published.borrow().as_ref().clone();
        let configured = fleet.0.options.pools.clone();
        Self {
            fleet,
            table,
            published,
            changed: false,
            lines: HashMap::new(),
            leases: BTreeMap::new(),
            queue: Queue::default(),
            waiting: HashMap::new(),
            configured,
            known: BTreeSet::new(),
        }
    }

    fn now(&self) -> Duration {
        self.fleet.now()
    }

    /// Publishes the table, if it has changed.
    fn publish(&mut self) {
        let queued = self.queue.len();
        if !std::mem::take(&mut self.changed) && self.table.queued == queued {
            return;
        }
        self.table.queued = queued;
        self.published.send_replace(Arc::new(self.table.clone()));
    }

    /// The entry of an agent, to be changed; created when missing: runs may name an agent that has not returned yet.
    fn agent(&mut self, agent_id: &str) -> &mut Agent {
        let now = self.now();
        self.changed = true;
        let entry = Arc::make_mut(&mut self.table.agents).entry(Arc::from(agent_id));
        Arc::make_mut(entry.or_insert_with(|| Arc::new(Agent::unregistered(agent_id, now))))
    }

    fn line(&mut self, agent_id: &str) -> &mut Line {
        let line = || Line { connection: OrderedWatch::new(None), dialling: None };
        self.lines.entry(Arc::from(agent_id)).or_insert_with(line)
    }

    /// From now on the leases of this run are a principal's, and count whether or not its agent is connected.
    fn confirm(&mut self, run: RunId, principal: &Principal) {
        for (_, taken) in self.leases.range_mut((run, 0)..=(run, Serial::MAX)) {
            taken.principal.clone_from(principal);
        }
    }

    /// The leases that count now.
    fn taken(&self, now: Duration) -> impl Iterator<Item = (&RunId, &Taken)> {
        let here = move |agent_id: &str| self.table.silent_for(agent_id, now).is_none();
        let counts =
            move |taken: &Taken| !taken.principal.is_none() || faults::bug("invented_seats") || here(&taken.agent_id);
        self.leases.iter().filter(move |(_, taken)| counts(taken)).map(|((run, _), taken)| (run, taken))
    }

    fn take_seat(&mut self, run: RunId, serial: Serial, principal: &Principal, at: &Placement) {
        let Placement { agent_id, host, pool } = at.clone();
        self.leases.insert((run, serial), Taken { principal: principal.clone(), agent_id, host, pool });
    }

    /// How many leases each agent has.
    fn running(&self, now: Duration) -> HashMap<&str, u32> {
        let mut running = HashMap::new();
        for (_, taken) in self.taken(now) {
            *running.entry(taken.agent_id.as_str()).or_default() += 1;
        }
        running
    }

    fn host(&self, agent: &Agent, running: u32, now: Duration) -> Host {
        let info = &agent.info;
        Host {
            id: info.agent_id.clone(),
            name: info.name.clone(),
            labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            engines: info.engines.iter().map(|e| e.kind.clone()).collect(),
            pool: pool_name(info),
            limit: info.host_limit,
            running,
            away: self.table.away(agent, now),
            serves: self.serves(info),
        }
    }

    /// Whose runs an agent takes.
    fn serves(&self, info: &wire::AgentInfo) -> Serves {
        if faults::bug("serves_everybody") {
            return Serves::Everybody;
        }
        match &self.table.first_only {
            _ if !info.serve.is_empty() => Serves::told(&info.serve, &self.known),
            Some(first) if !info.serve_all => Serves::First(first.clone()),
            _ => Serves::Everybody,
        }
    }

    /// All hosts in the order of names, so that equal choices are always made alike.
    fn hosts(&self, now: Duration) -> Vec<Host> {
        let running = self.running(now);
        let of = |agent: &Agent| running.get(agent.info.agent_id.as_str()).copied().unwrap_or_default();
        let named = self.table.agents.values().filter(|a| !a.info.name.is_empty());
        let mut hosts: Vec<Host> = named.map(|a| self.host(a, of(a), now)).collect();
        hosts.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        hosts
    }

    /// Seats by pool: from the configuration, else the smallest number that its agents report. Holders are named as far
    /// as `asker` may know them.
    fn pools(&self, asker: &Principal, now: Duration) -> HashMap<String, Pool> {
        let mut pools: HashMap<String, Pool> = HashMap::new();
        let busy: BTreeSet<&str> = self.leases.values().map(|taken| taken.agent_id.as_str()).collect();
        let counted = |agent: &&Arc<Agent>| agent.here || busy.contains(agent.info.agent_id.as_str());
        for agent in self.table.agents.values().filter(counted) {
            let (name, reported) = (pool_name(&agent.info), agent.info.pool_seats.max(1));
            let pool = pools.entry(name).or_insert(Pool { seats: u32::MAX, ..Pool::default() });
            pool.seats = pool.seats.min(reported);
        }
        for (run, taken) in self.taken(now) {
            let pool = pools.entry(taken.pool.clone()).or_insert(Pool { seats: 1, ..Pool::default() });
            let silent = self.silence_of(*run, taken, asker, now);
            // Only if all holders are silent: otherwise the seats come free by themselves.
            pool.silent = if pool.holders.is_empty() { silent } else { pool.silent.take().and(silent) };
            pool.holders.push(taken.holder(*run, asker));
        }
        for (name, pool) in &mut pools {
            pool.seats = self.configured.get(name).copied().unwrap_or(pool.seats);
        }
        pools
    }
}

/// A run placed on this host.
fn placed(host: &Host) -> Placement {
    Placement { agent_id: host.id.clone(), host: host.name.clone(), pool: host.pool.clone() }
}

/// The pool of an agent; without one it has a licence of its own.
pub(crate) fn pool_name(info: &wire::AgentInfo) -> String {
    if info.pool.is_empty() { info.name.clone() } else { info.pool.clone() }
}
