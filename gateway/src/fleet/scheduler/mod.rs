//! The scheduler: one task owns agents, leases and the queue. Others send it commands and read what it publishes.
//!
//! - [`command`] lists the commands, and [`task`] is the loop that takes them in their order; leases and queue entries
//!   that were dropped come first, over a channel of their own;
//! - [`membership`] changes the table of agents: they register, are seen, are reached, are expelled;
//! - [`roster`] has them as placement sees them, [`seats`] counts the leases, and [`shares`] what each principal holds of
//!   them; [`look`] joins these for one decision;
//! - [`grants`] gives leases to queued runs; [`reasons`] says why the others wait;
//! - [`views`] is what people are shown of hosts and pools.
//!
//! Nothing here waits: a command is done when the next one is taken.

#[cfg(any(test, feature = "testing"))]
mod bench;
mod command;
mod grants;
mod look;
mod membership;
mod reasons;
mod roster;
mod seats;
mod shares;
mod task;
mod views;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{faults, ids::RunId, ordered_watch::OrderedWatch, risk::Confirm, wire};
use tokio::{sync::watch, task::AbortHandle};

use super::{
    Fleet, Remembered,
    agent_port::Port,
    allowed_principals::AllowedPrincipals,
    lease::Serial,
    pins,
    placement::{Host, Open},
    queue::Queue,
    snapshot::{Agent, FleetSnapshot},
};
use crate::{
    ledger::PinState,
    model::{Placement, Principal},
    options::timeouts,
};

#[cfg(any(test, feature = "testing"))]
pub(super) use bench::Crowd;
pub(super) use command::{Command, Dialled, NewEntry, Reply, Unrecorded};
pub(super) use task::{Ends, run};

use look::Look;
use reasons::Waiting;
use roster::{Report, Roster};
use seats::Seats;
use shares::Shares;

/// The scheduler's state.
pub(super) struct Scheduler {
    /// The handle that others have: its clock, its settings, and what dials agents.
    fleet: Fleet,
    /// What is published, and the owner's copy of it.
    table: FleetSnapshot,
    published: watch::Sender<Arc<FleetSnapshot>>,
    /// The table has changed since it was published.
    changed: bool,
    /// The hosts as placement sees them, as far as they are not in `touched`.
    roster: Roster,
    touched: Touched,
    /// By agent.
    lines: HashMap<Arc<str>, Line>,
    seats: Seats,
    shares: Shares,
    queue: Queue,
    /// Places in the queue, or what holds them up, have changed since they were told.
    stirred: bool,
    waiting: HashMap<RunId, Waiting>,
    /// Seats by pool, from the configuration.
    configured: BTreeMap<String, u32>,
    /// What was logged last of pools whose hosts were told different numbers of seats.
    odd_pools: BTreeMap<String, String>,
    /// The principals that tokens stand for.
    known: BTreeSet<Principal>,
}

/// The line to one agent: its connection as others follow it, and the task that keeps it.
struct Line {
    connection: OrderedWatch<Option<Port>>,
    dialling: Option<AbortHandle>,
}

/// The agents whose entries in the roster are out of date.
#[derive(Debug)]
enum Touched {
    All,
    These(BTreeSet<Arc<str>>),
}

impl Touched {
    fn is_empty(&self) -> bool {
        matches!(self, Self::These(agents) if agents.is_empty())
    }
}

/// What is published before any agent has connected.
pub(super) fn at_start(now: Duration, silent_after: Duration, remembered: &Remembered) -> FleetSnapshot {
    let mut agents = BTreeMap::new();
    for agent in &remembered.agents {
        let known = Agent::unregistered(agent.info.clone(), now, agent.heard_ms);
        agents.insert(Arc::from(agent.info.agent_id.as_str()), Arc::new(known));
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
            roster: Roster::default(),
            touched: Touched::All,
            lines: HashMap::new(),
            seats: Seats::default(),
            shares: Shares::default(),
            stirred: false,
            queue: Queue::default(),
            waiting: HashMap::new(),
            configured,
            odd_pools: BTreeMap::new(),
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
        let id: Arc<str> = Arc::from(agent_id);
        self.changed = true;
        self.touch(&id);
        let unregistered = || {
            let info = wire::AgentInfo { agent_id: agent_id.to_owned(), ..wire::AgentInfo::default() };
            Arc::new(Agent::unregistered(info, now, 0))
        };
        Arc::make_mut(Arc::make_mut(&mut self.table.agents).entry(id).or_insert_with(unregistered))
    }

    /// The entry of an agent in the roster is out of date.
    fn touch(&mut self, agent_id: &Arc<str>) {
        if let Touched::These(agents) = &mut self.touched {
            agents.insert(agent_id.clone());
        }
    }

    /// Brings the roster up to date.
    fn settle(&mut self) {
        let agents: Vec<Arc<str>> = match std::mem::replace(&mut self.touched, Touched::These(BTreeSet::new())) {
            Touched::These(agents) => agents.into_iter().collect(),
            Touched::All => self.table.agents.keys().cloned().collect(),
        };
        for id in agents {
            let Some(agent) = self.table.agents.get(&id) else { continue };
            let running = self.seats.of_agent(&id).all;
            let reports = agent.here || running > 0;
            let report = || Report { pool: pool_name(&agent.info), seats: agent.info.pool_seats.max(1) };
            self.roster.put(self.host(agent, running), reports.then(report));
        }
    }

    fn line(&mut self, agent_id: &str) -> &mut Line {
        let line = || Line { connection: OrderedWatch::new(None), dialling: None };
        self.lines.entry(Arc::from(agent_id)).or_insert_with(line)
    }

    fn take_seat(&mut self, run: RunId, serial: Serial, principal: &Principal, at: &Placement) {
        self.give_back(run, serial);
        self.seats.take(run, serial, principal, at);
        self.shares.take(&self.fleet.0.options.quotas, principal, &at.pool);
        self.stirred = true;
        self.recount(&at.agent_id);
    }

    fn give_back(&mut self, run: RunId, serial: Serial) {
        if let Some((principal, at)) = self.seats.give_back(run, serial) {
            self.shares.give_back(&self.fleet.0.options.quotas, &principal, &at.pool);
            self.stirred = true;
            self.recount(&at.agent_id);
        }
    }

    /// The leases of an agent have changed.
    fn recount(&mut self, agent_id: &str) {
        let running = self.seats.of_agent(agent_id).all;
        self.roster.set_running(agent_id, running);
        // What an agent that is not here reports counts while it has leases.
        if running <= 1 && self.table.agents.get(agent_id).is_some_and(|agent| !agent.here) {
            self.touch(&Arc::from(agent_id));
        }
    }

    fn host(&self, agent: &Agent, running: u32) -> Host {
        let info = &agent.info;
        Host {
            id: info.agent_id.clone(),
            name: info.name.clone(),
            labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            engines: info.engines.iter().map(|e| e.kind.clone()).collect(),
            pool: pool_name(info),
            limit: info.host_limit,
            running,
            takes_blobs: info.takes_blobs,
            longest: timeouts::of_pool(&self.fleet.0.options.pool_timeouts, &pool_name(info)).largest,
            confirm: Confirm::of_wire(&info.confirm),
            allowed: self.allowed(info),
            open: if self.table.is_open(agent) { Open::WhileSeen(agent.last_seen.clone()) } else { Open::No },
        }
    }

    /// Hosts and pools for one decision about a run of this principal.
    fn look<'s>(&'s self, asker: &'s Principal, now: Duration) -> Look<'s> {
        let Self { table, roster, seats, shares, configured, .. } = self;
        let quotas = &self.fleet.0.options.quotas;
        Look { table, roster, seats, shares, quotas, configured, asker, now }
    }

    /// Whose runs an agent takes.
    fn allowed(&self, info: &wire::AgentInfo) -> AllowedPrincipals {
        if faults::bug("serves_everybody") {
            return AllowedPrincipals::Everybody;
        }
        match &self.table.first_only {
            _ if !info.serve.is_empty() => AllowedPrincipals::told(&info.serve, &self.known),
            Some(first) if !info.serve_all => AllowedPrincipals::First(first.clone()),
            _ => AllowedPrincipals::Everybody,
        }
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
