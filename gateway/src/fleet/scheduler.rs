//! The scheduler: agents, leases and the queue, as plain state without any input or output.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{
    api::{ContactView, HostView, PoolView, RunView},
    clock::rfc3339,
    faults,
    ids::RunId,
    ordered_watch::OrderedWatch,
    transport::{Fingerprint, Session},
    version, wire,
};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::AbortHandle,
};

use super::{
    Lease,
    connection::Connection,
    drain,
    placement::{self, Host, Pool, Serves},
    queue::Queue,
};
use crate::{
    ledger::{AgentRecord, DrainRecord},
    model::{Need, Placement, QueueReason},
};

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
    /// The only principal whose runs agents take that have neither `--serve` nor `--serve-all`; `None` = everybody's.
    pub(crate) first_only: Option<String>,
}

/// A connection that has been gone for less is being dialled again, and is not reported.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(2);

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
    principal: String,
    agent_id: String,
    host: String,
    pool: String,
}

impl Taken {
    /// Names the holder of the seat to the principal of a waiting run: other principals' runs are not named.
    fn holder(&self, run: RunId, asker: &str) -> String {
        if self.principal == asker || faults::bug("others_runs_named") {
            format!("run {} on {}", run.short(), self.host)
        } else {
            format!("another principal's run on {}", self.host)
        }
    }
}

pub(super) struct Waiting {
    pub(super) grant: oneshot::Sender<Lease>,
    view: watch::Sender<Arc<RunView>>,
    reasons: RefCell<Reasons>,
}

/// The reasons for which one run waited.
#[derive(Default)]
struct Reasons {
    /// The present reason, and since when it holds, Unix ms.
    now: (String, i64),
    /// The earlier one that held longest, and for how long, ms.
    longest: (String, i64),
}

impl Reasons {
    fn next(&mut self, words: &str, now_ms: i64) {
        if self.now.0 != words {
            let (before, since_ms) = std::mem::replace(&mut self.now, (words.to_owned(), now_ms));
            let held = now_ms.saturating_sub(since_ms);
            if !before.is_empty() && (held > self.longest.1 || self.longest.0.is_empty()) {
                self.longest = (before, held);
            }
        }
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
            first_only: None,
        };
        for agent in remembered {
            let entry = scheduler.agent(&agent.info.agent_id, now);
            (entry.info, entry.seen_ms) = (agent.info, agent.seen_ms);
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

    pub(super) fn take_seat(&mut self, run: RunId, principal: &str, at: &Placement) {
        let Placement { agent_id, host, pool } = at.clone();
        self.seats.insert(run, Taken { principal: principal.to_owned(), agent_id, host, pool });
    }

    /// The principal of a queued run.
    fn principal_of(&self, run: RunId) -> String {
        self.waiting.get(&run).map(|waiting| waiting.view.borrow().principal.clone()).unwrap_or_default()
    }

    /// From now on the lease of this run is a principal's, and counts whether or not its agent is connected.
    pub(super) fn confirm(&mut self, run: RunId, principal: &str) {
        if let Some(taken) = self.seats.get_mut(&run) {
            principal.clone_into(&mut taken.principal);
        }
    }

    /// The leases that count now.
    fn taken(&self, now: Duration, silent_after: Duration) -> impl Iterator<Item = (&RunId, &Taken)> {
        let here = move |agent_id: &str| self.silent_for(agent_id, now, silent_after).is_none();
        self.seats.iter().filter(move |(_, taken)| {
            !taken.principal.is_empty() || faults::bug("invented_seats") || here(&taken.agent_id)
        })
    }

    pub(super) fn enqueue(
        &mut self,
        run: RunId,
        principal: &str,
        need: Need,
        view: watch::Sender<Arc<RunView>>,
        grant: oneshot::Sender<Lease>,
    ) {
        self.queue.push(run, principal, need);
        self.waiting.insert(run, Waiting { grant, view, reasons: RefCell::default() });
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
        let mut pools = self.pools("", now, silent_after);
        let choose = |principal: &str, need: &Need, hosts: &[Host], pools: &HashMap<String, Pool>| {
            placement::choose(principal, need, hosts, pools).ok()
        };
        while let Some((run, at)) = self.queue.take(|principal, need| choose(principal, need, &hosts, &pools)) {
            let host = &mut hosts[at];
            host.running += 1;
            if let Some(pool) = pools.get_mut(&host.pool) {
                pool.holders.push(String::new());
            }
            let host = host.clone();
            let principal = self.principal_of(run);
            self.take_seat(run, &principal, &placed(&host));
            if let Some(waiting) = self.waiting.remove(&run) {
                granted.push((run, host, waiting));
            }
        }
        granted
    }

    /// Why a run waits; `None` when it is not queued.
    pub(super) fn reason_of(
        &self,
        run: RunId,
        now: Duration,
        silent_after: Duration,
        url: &str,
    ) -> Option<QueueReason> {
        let line = self.queue.line_of(run)?;
        let pools = self.pools(&self.principal_of(run), now, silent_after);
        Some(self.reason(line, &self.hosts(now, silent_after), &pools, now, silent_after, url))
    }

    fn reason(
        &self,
        (principal, need): &(String, Need),
        hosts: &[Host],
        pools: &HashMap<String, Pool>,
        now: Duration,
        silent_after: Duration,
        url: &str,
    ) -> QueueReason {
        let up = now.saturating_sub(self.started);
        let someone_is_here = self.agents.values().any(|a| a.here);
        let awaited = self.agents.values().any(|a| outdated(&a.info).is_none());
        if !someone_is_here && awaited && up <= silent_after * 2 {
            let words = format!("the gateway restarted {} s ago and waits for its agents to return", up.as_secs());
            return QueueReason::passing(words);
        }
        if hosts.is_empty() {
            return QueueReason::lasting(format!(
                "no agent is connected: start one with `longhaul agent --gateway {url}`"
            ));
        }
        match placement::choose(principal, need, hosts, pools) {
            Err(why) => why,
            Ok(_) => QueueReason::passing("its turn is next".to_owned()),
        }
    }

    /// Publishes the reason of one waiting run.
    pub(super) fn tell(&self, run: RunId, why: &QueueReason, now_ms: i64) {
        if let Some(waiting) = self.waiting.get(&run) {
            waiting.tell(why, now_ms);
        }
    }

    /// Publishes the reasons of all waiting runs.
    pub(super) fn tell_all(&self, now: Duration, silent_after: Duration, url: &str, now_ms: i64) {
        let hosts = self.hosts(now, silent_after);
        for (line, runs) in self.queue.lines() {
            // All runs of a line belong to one principal.
            let pools = self.pools(&line.0, now, silent_after);
            let why = self.reason(line, &hosts, &pools, now, silent_after, url);
            for waiting in runs.iter().filter_map(|run| self.waiting.get(run)) {
                waiting.tell(&why, now_ms);
            }
        }
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

    /// For how long an agent has not been heard; `None` = it is registered and not silent.
    pub(super) fn silent_for(&self, agent_id: &str, now: Duration, silent_after: Duration) -> Option<Duration> {
        let Some(agent) = self.agents.get(agent_id) else { return Some(now.saturating_sub(self.started)) };
        let silent = now.saturating_sub(agent.heard);
        (!agent.here || silent > silent_after).then_some(silent)
    }

    /// What keeps an agent that has a run from being called; `None` = nothing to report.
    pub(super) fn contact(&self, agent_id: &str, now: Duration, silent_after: Duration) -> Option<ContactView> {
        let view = |state: &str, since: Duration, words: String| {
            Some(ContactView { state: state.to_owned(), since: since.as_secs_f64(), words })
        };
        let agent = self.agents.get(agent_id)?;
        let name = &agent.info.name;
        let silent = now.saturating_sub(agent.heard);
        let up = now.saturating_sub(self.started);
        let more = outdated(&agent.info).filter(|_| !agent.here).map(|why| format!(": {why}")).unwrap_or_default();
        if !agent.here && up <= silent_after * 2 {
            let words = format!("the gateway restarted {} ago and waits for agent {name} to return{more}", words(up));
            return view("awaited", up, words);
        }
        if !agent.here || silent > silent_after {
            return view("silent", silent, format!("agent {name} is silent for {}{more}", words(silent)));
        }
        let unlinked = now.saturating_sub(agent.unlinked?);
        if unlinked < UNREACHABLE_AFTER {
            return None;
        }
        let problem = agent.dial_problem.as_deref().unwrap_or("it is being dialled");
        let text = format!("agent {name} is heard and not reached for {}: {problem}", words(unlinked));
        view("unreachable", unlinked, text)
    }

    pub(super) fn up(&self, now: Duration, silent_after: Duration) -> u64 {
        self.agents.values().filter(|a| self.trouble(a, now, silent_after).is_none()).count() as u64
    }

    /// Schedulable agents that match a need, with their connections.
    pub(super) fn candidates(
        &self,
        principal: &str,
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

    /// Why an agent gets no runs now.
    fn away(&self, agent: &Agent, now: Duration, silent_after: Duration) -> Option<QueueReason> {
        let drained = || self.drains.get(&agent.info.name).map(drain::words).map(QueueReason::lasting);
        self.trouble(agent, now, silent_after).or_else(drained)
    }

    /// What keeps an agent from taking runs, apart from a drain.
    fn trouble(&self, agent: &Agent, now: Duration, silent_after: Duration) -> Option<QueueReason> {
        let name = &agent.info.name;
        let silent = now.saturating_sub(agent.heard);
        if let Some(refused) = agent.refused.as_ref().filter(|_| !agent.here) {
            return Some(QueueReason::lasting(refused.clone()));
        }
        if !agent.here {
            let seen = || rfc3339(agent.seen_ms).unwrap_or_else(|| "long ago".to_owned());
            // An agent of its last version would be refused before it could identify itself.
            if let Some(words) = outdated(&agent.info) {
                return Some(QueueReason::lasting(format!(
                    "agent {name} is not connected (last seen {}): {words}",
                    seen()
                )));
            }
            return Some(if now.saturating_sub(self.started) <= silent_after * 2 {
                let ago = silent.as_secs();
                QueueReason::passing(format!("the gateway restarted {ago} s ago and waits for agent {name} to return"))
            } else {
                QueueReason::lasting(format!("agent {name} is not connected (last seen {}): start it again", seen()))
            });
        }
        if silent > silent_after {
            return Some(QueueReason::lasting(format!("agent {name} is silent for {} s", silent.as_secs())));
        }
        if agent.connection.get().is_none() {
            return Some(match &agent.dial_problem {
                Some(problem) => QueueReason::lasting(format!("agent {name} cannot be reached: {problem}")),
                None => QueueReason::passing(format!("agent {name} is being dialled")),
            });
        }
        let problem = &agent.info.problem;
        (!problem.is_empty()).then(|| QueueReason::lasting(format!("agent {name} takes no runs: {problem}")))
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
            _ if !info.serve.is_empty() => Serves::Told(info.serve.clone()),
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
    fn pools(&self, asker: &str, now: Duration, silent_after: Duration) -> HashMap<String, Pool> {
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

    /// Says that the agent of a run that holds a seat is silent, and what frees the seat.
    fn silence_of(
        &self,
        run: RunId,
        taken: &Taken,
        asker: &str,
        now: Duration,
        silent_after: Duration,
    ) -> Option<String> {
        let contact = self.contact(&taken.agent_id, now, silent_after).filter(|c| c.state != "awaited")?;
        if contact.state == "unreachable" {
            // Its heartbeats arrive, so the run may well be alive there.
            let words = contact.words;
            return Some(format!("{words}; its seat comes free when the agent is reached again and the run has ended"));
        }
        // Another principal's run is not named; an operator finds it on that host.
        let run = if taken.principal == asker { run.short() } else { "RUN".to_owned() };
        Some(format!(
            "{}; its seat comes free when the agent returns and the run has ended, or when an operator says that it never \
             will (`longhaul declare-dead {run}`)",
            contact.words
        ))
    }

    pub(super) fn views(&self, now: Duration, silent_after: Duration, now_ms: i64) -> (Vec<HostView>, Vec<PoolView>) {
        let mut hosts: Vec<HostView> = self
            .agents
            .values()
            .filter(|a| !a.info.name.is_empty())
            .map(|a| self.view(a, now, silent_after, now_ms))
            .collect();
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut pools: Vec<PoolView> =
            self.pools("", now, silent_after).into_iter().map(|(name, pool)| self.pool_view(name, &pool)).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        (hosts, pools)
    }

    fn view(&self, agent: &Agent, now: Duration, silent_after: Duration, now_ms: i64) -> HostView {
        let info = &agent.info;
        let silent = now.saturating_sub(agent.heard);
        let state = match () {
            () if !agent.here || silent > silent_after => "silent",
            () if agent.connection.get().is_none() => "unreachable",
            () if self.drains.contains_key(&info.name) => "draining",
            () if !info.problem.is_empty() => "idle",
            () => "up",
        };
        let engine = |e: &wire::Engine| {
            let words = [&e.kind, &e.edition, &e.version].into_iter().filter(|w| !w.is_empty());
            let words = words.map(String::as_str).collect::<Vec<_>>().join(" ");
            if e.program.is_empty() { words } else { format!("{words} ({})", e.program) }
        };
        let last_seen = if agent.here { silent.as_secs_f64() } else { (now_ms - agent.seen_ms).max(0) as f64 / 1000.0 };
        let serves = self.serves(info);
        HostView {
            serves: serves.names(),
            note: serves.note(&info.name),
            name: info.name.clone(),
            state: state.to_owned(),
            problem: self.away(agent, now, silent_after).map(|why| why.words),
            last_seen,
            advertise: info.advertise.clone(),
            os_user: info.os_user.clone(),
            hostname: info.hostname.clone(),
            cores: info.cores,
            version: info.version.clone(),
            engines: info.engines.iter().map(engine).collect(),
            pool: pool_name(info),
            host_limit: info.host_limit,
            running: self.host(agent, now, silent_after).running,
            labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            roots: info.roots.clone(),
            free_bytes: info.free_bytes,
            licence: (!info.licence.is_empty()).then(|| info.licence.clone()),
            draining: self.drains.get(&info.name).map(drain::view),
        }
    }

    fn pool_view(&self, name: String, pool: &Pool) -> PoolView {
        let sharing = self.agents.values().filter(|a| a.here && pool_name(&a.info) == name);
        let told: BTreeMap<String, u32> = sharing.map(|a| (a.info.name.clone(), a.info.pool_seats.max(1))).collect();
        let differ = told.values().collect::<BTreeSet<_>>().len() > 1;
        let note = match (self.configured.get(&name), differ) {
            (None, true) => {
                let told = told.iter().map(|(host, seats)| format!("{host}: {seats}")).collect::<Vec<_>>().join(", ");
                Some(format!("its hosts were told different numbers of seats ({told}); the smallest counts"))
            }
            _ => None,
        };
        let in_use = u32::try_from(pool.holders.len()).unwrap_or(u32::MAX);
        PoolView { name, seats: pool.seats, in_use, hosts: told.into_keys().collect(), note }
    }
}

/// Why an agent cannot return with the version that it last had; `None` = it can.
fn outdated(info: &wire::AgentInfo) -> Option<String> {
    let told = info.protocol > 0 && !faults::bug("old_protocol_untold");
    told.then(|| version::objection("gateway", "agent", info.protocol, &info.version)).flatten()
}

impl Waiting {
    /// The reason that held longest: the last one may have been momentary, such as a late heartbeat.
    pub(super) fn waited_for(&self, now_ms: i64) -> String {
        let mut reasons = self.reasons.borrow_mut();
        reasons.next("", now_ms);
        std::mem::take(&mut reasons.longest.0)
    }

    fn tell(&self, why: &QueueReason, now_ms: i64) {
        self.reasons.borrow_mut().next(&why.words, now_ms);
        self.view.send_if_modified(|view| {
            let same = view.waiting.as_deref() == Some(why.words.as_str()) && view.no_end_since.is_some() == why.no_end;
            if !same {
                let view = Arc::make_mut(view);
                view.waiting = Some(why.words.clone());
                // Since when, even if the words have changed.
                let since = view.no_end_since.take().or_else(|| rfc3339(now_ms));
                view.no_end_since = since.filter(|_| why.no_end);
            }
            !same
        });
    }
}

/// `12 s`, `4 min 10 s`, `2 h 5 min`.
fn words(d: Duration) -> String {
    match d.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
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
