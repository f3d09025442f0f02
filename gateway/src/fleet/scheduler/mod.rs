//! The scheduler: agents, leases and the queue, as plain state without any input or output.

mod contact;
mod reasons;
mod views;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{
    faults,
    ids::RunId,
    ordered_watch::OrderedWatch,
    transport::{Fingerprint, Session},
    wire,
};
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
};

use super::{
    Lease,
    connection::Connection,
    placement::{self, Holder, Host, Pool, Serves},
    queue::Queue,
};
use crate::{
    ledger::{AgentRecord, DrainRecord},
    model::{Need, Placement, Principal, QueueReason},
};

use reasons::Waiting;

pub(crate) struct Scheduler {
    started: Duration,
    pub(super) open: bool,
    agents: BTreeMap<String, Agent>,
    pub(super) seats: BTreeMap<RunId, Taken>,
    pub(super) queue: Queue,
    waiting: HashMap<RunId, Waiting>,
    configured: BTreeMap<String, u32>,
    /// Hosts on which no new run starts, by name.
    pub(super) drains: BTreeMap<String, DrainRecord>,
    /// The principals that tokens stand for.
    pub(super) known: BTreeSet<Principal>,
    /// The only principal whose runs agents take that have neither `--serve` nor `--serve-all`; `None` = everybody's.
    pub(crate) first_only: Option<Principal>,
}

/// One agent.
pub(super) struct Agent {
    pub(super) info: wire::AgentInfo,
    /// It has registered with this process.
    pub(super) here: bool,
    /// When it was last heard, by the monotonic clock; until it registers, when this process started.
    pub(super) heard: Duration,
    /// When it was last heard, Unix ms.
    pub(super) seen_ms: i64,
    pub(super) connection: OrderedWatch<Option<Arc<Connection>>>,
    /// Why it cannot be dialled.
    pub(super) dial_problem: Option<String>,
    /// Since when there is no connection to it, by the monotonic clock; `None` = there is one.
    pub(super) unlinked: Option<Duration>,
    /// What its spools take and may take, bytes; 0 = not known, and no limit.
    pub(super) spool: (u64, u64),
    /// The largest of its ended runs' spools, largest first.
    pub(super) spools: Vec<wire::SpoolSize>,
    /// Fires at each heartbeat.
    pub(super) beat: Arc<Notify>,
    pub(super) contact: Option<AbortHandle>,
    /// The connection over which it registered last.
    pub(super) session: Option<Session>,
    /// Why its registration is refused, in words that name it.
    pub(super) refused: Option<String>,
}

/// A lease as the scheduler counts it.
pub(super) struct Taken {
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

impl Scheduler {
    pub(super) fn new(
        now: Duration,
        configured: BTreeMap<String, u32>,
        remembered: Vec<AgentRecord>,
        drains: Vec<DrainRecord>,
    ) -> Self {
        let mut scheduler = Self {
            started: now,
            open: true,
            agents: BTreeMap::new(),
            seats: BTreeMap::new(),
            queue: Queue::default(),
            waiting: HashMap::new(),
            configured,
            drains: drains.into_iter().map(|drain| (drain.host.clone(), drain)).collect(),
            known: BTreeSet::new(),
            first_only: None,
        };
        for agent in remembered {
            let entry = scheduler.agent(&agent.info.agent_id, now);
            (entry.info, entry.seen_ms) = (agent.info, agent.heard_ms);
        }
        scheduler
    }

    /// The entry of an agent, created when missing: runs may name an agent that has not returned yet.
    pub(super) fn agent(&mut self, agent_id: &str, now: Duration) -> &mut Agent {
        self.agents.entry(agent_id.to_owned()).or_insert_with(|| Agent {
            info: wire::AgentInfo { agent_id: agent_id.to_owned(), ..wire::AgentInfo::default() },
            here: false,
            heard: now,
            seen_ms: 0,
            connection: OrderedWatch::new(None),
            dial_problem: None,
            unlinked: Some(now),
            spool: (0, 0),
            spools: vec![],
            beat: Arc::default(),
            contact: None,
            session: None,
            refused: None,
        })
    }

    pub(super) fn known(&mut self, agent_id: &str) -> Option<&mut Agent> {
        self.agents.get_mut(agent_id)
    }

    /// The agent that last registered with this key.
    pub(super) fn by_key(&mut self, key: &Fingerprint) -> Option<&mut Agent> {
        self.agents.values_mut().find(|a| a.session.as_ref().is_some_and(|s| s.peer() == *key))
    }

    /// Whether another living process of this agent is registered: its heartbeats arrive, over a connection that is
    /// still up.
    pub(super) fn other_incarnation(&self, info: &wire::AgentInfo, now: Duration, silent_after: Duration) -> bool {
        self.agents.get(&info.agent_id).is_some_and(|a| {
            let linked = a.session.as_ref().is_some_and(|s| !s.is_over());
            a.here && linked && a.info.incarnation != info.incarnation && now.saturating_sub(a.heard) <= silent_after
        })
    }

    /// Another agent that has this name and is alive.
    pub(super) fn holder_of(
        &self,
        name: &str,
        agent_id: &str,
        now: Duration,
        silent_after: Duration,
    ) -> Option<&Agent> {
        self.agents.values().find(|a| {
            a.info.name == name && a.info.agent_id != agent_id && a.here && now.saturating_sub(a.heard) <= silent_after
        })
    }

    /// Drops silent agents whose name a new one carries, unless a lease is on them.
    pub(super) fn forget_namesakes(&mut self, name: &str, agent_id: &str) {
        let busy: BTreeSet<&str> = self.seats.values().map(|t| t.agent_id.as_str()).collect();
        self.agents.retain(|id, a| {
            let goes = a.info.name == name && id != agent_id && !busy.contains(id.as_str());
            if goes && let Some(contact) = &a.contact {
                contact.abort();
            }
            !goes
        });
    }

    pub(super) fn take_seat(&mut self, run: RunId, principal: &Principal, at: &Placement) {
        let Placement { agent_id, host, pool } = at.clone();
        self.seats.insert(run, Taken { principal: principal.clone(), agent_id, host, pool });
    }

    /// The principal of a queued run.
    fn principal_of(&self, run: RunId) -> Principal {
        self.waiting.get(&run).map(|waiting| waiting.principal.clone()).unwrap_or_default()
    }

    /// From now on the lease of this run is a principal's, and counts whether or not its agent is connected.
    pub(super) fn confirm(&mut self, run: RunId, principal: &Principal) {
        if let Some(taken) = self.seats.get_mut(&run) {
            taken.principal.clone_from(principal);
        }
    }

    /// The leases that count now.
    fn taken(&self, now: Duration, silent_after: Duration) -> impl Iterator<Item = (&RunId, &Taken)> {
        let here = move |agent_id: &str| self.silent_for(agent_id, now, silent_after).is_none();
        self.seats.iter().filter(move |(_, taken)| {
            !taken.principal.is_none() || faults::bug("invented_seats") || here(&taken.agent_id)
        })
    }

    pub(super) fn enqueue(
        &mut self,
        run: RunId,
        principal: &Principal,
        need: Need,
        grant: oneshot::Sender<Lease>,
        reason: OrderedWatch<Option<QueueReason>>,
    ) {
        self.queue.push(run, principal, need);
        self.waiting.insert(run, Waiting::new(principal.clone(), grant, reason));
    }

    pub(super) fn leave(&mut self, run: RunId) {
        if self.queue.remove(run) {
            self.waiting.remove(&run);
        }
    }

    /// Takes all runs that can be placed out of the queue, with their leases already counted.
    pub(super) fn place(&mut self, now: Duration, silent_after: Duration) -> Vec<(RunId, Host, Waiting)> {
        let mut granted = Vec::new();
        if !self.open || self.queue.len() == 0 {
            return granted;
        }
        let mut hosts = self.hosts(now, silent_after);
        let mut pools = self.pools(&Principal::default(), now, silent_after);
        let choose = |principal: &Principal, need: &Need, hosts: &[Host], pools: &HashMap<String, Pool>| {
            placement::choose(principal, need, hosts, pools).ok()
        };
        while let Some(((run, principal), at)) =
            self.queue.take(|principal, need| choose(principal, need, &hosts, &pools))
        {
            let host = &mut hosts[at];
            host.running += 1;
            if let Some(pool) = pools.get_mut(&host.pool) {
                pool.holders.push(Holder::default());
            }
            let host = host.clone();
            self.take_seat(run, &principal, &placed(&host));
            if let Some(waiting) = self.waiting.remove(&run) {
                granted.push((run, host, waiting));
            }
        }
        granted
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

    /// Schedulable agents that match a need, with their connections.
    pub(super) fn candidates(
        &self,
        principal: &Principal,
        need: &Need,
        now: Duration,
        silent_after: Duration,
    ) -> Vec<(String, String, Arc<Connection>)> {
        let roomy = HashMap::new();
        let alone = |agent: &Agent| {
            // A drained one may still inspect a path: a run that fits no other host is to wait for it.
            let away = self.trouble(agent, now, silent_after);
            let host = Host { running: 0, limit: 1, away, ..self.host(agent, now, silent_after) };
            placement::choose(principal, need, &[host], &roomy).is_ok()
        };
        self.agents
            .values()
            .filter(|agent| alone(agent))
            .filter_map(|a| Some((a.info.agent_id.clone(), a.info.name.clone(), a.connection.get()?)))
            .collect()
    }

    /// The folders from which an agent runs do-files, as it reports them.
    pub(super) fn roots(&self, agent_id: &str) -> Vec<String> {
        self.agents.get(agent_id).map(|agent| agent.info.roots.clone()).unwrap_or_default()
    }

    pub(super) fn linked(&self) -> Vec<(String, Arc<Connection>)> {
        self.agents.iter().filter_map(|(id, a)| Some((id.clone(), a.connection.get()?))).collect()
    }

    /// The agents that are not silent.
    pub(super) fn present(&self, now: Duration, silent_after: Duration) -> Vec<String> {
        self.agents.keys().filter(|id| self.silent_for(id, now, silent_after).is_none()).cloned().collect()
    }

    fn host(&self, agent: &Agent, now: Duration, silent_after: Duration) -> Host {
        let info = &agent.info;
        let running = self.taken(now, silent_after).filter(|(_, t)| t.agent_id == info.agent_id).count();
        Host {
            id: info.agent_id.clone(),
            name: info.name.clone(),
            labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            engines: info.engines.iter().map(|e| e.kind.clone()).collect(),
            pool: pool_name(info),
            limit: info.host_limit,
            running: u32::try_from(running).unwrap_or(u32::MAX),
            away: self.away(agent, now, silent_after),
            serves: self.serves(info),
        }
    }

    /// Whose runs an agent takes.
    fn serves(&self, info: &wire::AgentInfo) -> Serves {
        if faults::bug("serves_everybody") {
            return Serves::Everybody;
        }
        match &self.first_only {
            _ if !info.serve.is_empty() => Serves::told(&info.serve, &self.known),
            Some(first) if !info.serve_all => Serves::First(first.clone()),
            _ => Serves::Everybody,
        }
    }

    /// All hosts in the order of names, so that equal choices are always made alike.
    fn hosts(&self, now: Duration, silent_after: Duration) -> Vec<Host> {
        let mut hosts: Vec<Host> =
            self.agents.values().filter(|a| !a.info.name.is_empty()).map(|a| self.host(a, now, silent_after)).collect();
        hosts.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        hosts
    }

    /// Seats by pool: from the configuration, else the smallest number that its agents report. Holders are named as far
    /// as `asker` may know them.
    fn pools(&self, asker: &Principal, now: Duration, silent_after: Duration) -> HashMap<String, Pool> {
        let mut pools: HashMap<String, Pool> = HashMap::new();
        for agent in
            self.agents.values().filter(|a| a.here || self.seats.values().any(|t| t.agent_id == a.info.agent_id))
        {
            let (name, told) = (pool_name(&agent.info), agent.info.pool_seats.max(1));
            let pool = pools.entry(name).or_insert(Pool { seats: u32::MAX, ..Pool::default() });
            pool.seats = pool.seats.min(told);
        }
        for (run, taken) in self.taken(now, silent_after) {
            let pool = pools.entry(taken.pool.clone()).or_insert(Pool { seats: 1, ..Pool::default() });
            let silent = self.silence_of(*run, taken, asker, now, silent_after);
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
pub(super) fn placed(host: &Host) -> Placement {
    Placement { agent_id: host.id.clone(), host: host.name.clone(), pool: host.pool.clone() }
}

/// The pool of an agent; without one it has a licence of its own.
pub(crate) fn pool_name(info: &wire::AgentInfo) -> String {
    if info.pool.is_empty() { info.name.clone() } else { info.pool.clone() }
}
