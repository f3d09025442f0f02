//! Where runs are executed: agents, licence pools, the queue, and the connections to agents. A restart never over-uses
//! a pool: the leases of unfinished runs are counted before any agent connects.
//!
//! - [`registration`] takes in agents that register and send heartbeats;
//! - [`connector`] dials a registered agent back and keeps the connection: an agent is schedulable while its heartbeats
//!   arrive *and* the dial-back connection is up;
//! - [`scheduler`] is the state (agents, leases, the queue) behind one lock that is never held across an await;
//! - [`placement`] and [`queue`] are pure functions that decide which run goes to which agent, and why a run waits;
//! - [`bounds`] limits what an agent may report;
//! - [`drain`] keeps new runs from hosts that operators want empty;
//! - [`pins`] knows which key belongs to which agent;
//! - [`connection`] is the connection to one agent.
//!
//! A [`Lease`] is held by value: dropping it frees its seat, and the next run is placed at once.

pub(crate) mod bounds;
pub mod connection;
mod connector;
pub(crate) mod drain;
mod pins;
pub mod placement;
mod queue;
mod registration;
mod scheduler;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use longhaul_proto::{
    api::{HostView, PoolView},
    ids::RunId,
    ordered_watch::{OrderedReceiver, OrderedWatch},
    transport::Greeter,
    visible::Foreign,
    wire,
};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    Deps, Options,
    ledger::{AgentRecord, AgentStore, DrainRecord, LedgerError, PinRecord, PinState, TokenRecord},
    metrics::Metrics,
    model::{Contact, Need, Placement, Principal, QueueReason, Scope},
};
use connection::{Connection, Dialer};
use pins::Pins;

use scheduler::Scheduler;

pub(crate) use pins::{PinError, revoked};
pub(crate) use scheduler::pool_name;

/// The handle on agents, pools and the queue. Cheap to clone.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) options: Arc<Options>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) deps: Deps,
    pub(crate) greeter: Greeter,
    pub(crate) ledger: Arc<dyn AgentStore>,
    pub(crate) dialer: Dialer,
    /// Changed only together with the ledger, so this lock is held over a ledger write.
    pins: tokio::sync::Mutex<Pins>,
    /// The URL that agents must dial; part of the advice to start one.
    url: String,
    scheduler: Mutex<Scheduler>,
    /// Permits to fetch runs from spools: thousands may come with one registration.
    imports: Semaphore,
}

/// See [`Shared::imports`].
const IMPORTS: usize = 16;

/// A lease: one seat of a pool and room on one host, held by one run. Dropping it frees both.
pub(crate) struct Lease {
    pub(crate) run: RunId,
    pub(crate) at: Placement,
    /// The reason for which its run waited longest; empty = it did not wait.
    pub(crate) waited_for: String,
    fleet: Fleet,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.fleet.release(self.run);
    }
}

/// A place in the queue. Dropping it leaves the queue.
pub(crate) struct QueueEntry {
    run: RunId,
    fleet: Fleet,
    granted: oneshot::Receiver<Lease>,
    reason: OrderedReceiver<Option<QueueReason>>,
}

/// What a run's task learns while its run is in the queue.
pub(crate) enum QueueNews {
    /// It has a lease; `None` = the gateway stops.
    Lease(Option<Lease>),
    /// Why it waits from now on.
    Reason(QueueReason),
}

impl QueueEntry {
    /// Waits for the lease, or for another reason why there is none yet. May be dropped at any await.
    pub(crate) async fn news(&mut self) -> QueueNews {
        loop {
            tokio::select! {
                biased;
                granted = &mut self.granted => return QueueNews::Lease(granted.ok()),
                Ok(()) = self.reason.changed() => {
                    if let Some(why) = self.reason.get() {
                        return QueueNews::Reason(why);
                    }
                }
            }
        }
    }

    /// Why the run waits at this moment, if it is known.
    pub(crate) fn reason(&mut self) -> Option<QueueReason> {
        self.reason.get()
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        // A lease that was granted at this very moment is in the channel, and is freed when the channel is dropped.
        self.fleet.scheduler().leave(self.run);
    }
}

/// An agent's answer about a path.
pub(crate) struct Inspected {
    pub(crate) agent_id: String,
    pub(crate) host: String,
    pub(crate) reply: wire::InspectReply,
}

/// What the gateway dials agents with.
pub(crate) struct Dialing {
    pub(crate) greeter: Greeter,
    pub(crate) dialer: Dialer,
}

/// What the ledger knows of hosts.
pub(crate) struct Remembered {
    pub(crate) agents: Vec<AgentRecord>,
    pub(crate) drains: Vec<DrainRecord>,
    pub(crate) pins: Vec<PinRecord>,
}

impl Remembered {
    /// Reads it from the ledger.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn of(ledger: &dyn AgentStore) -> Result<Self, LedgerError> {
        Ok(Self { agents: ledger.agents().await?, drains: ledger.drains().await?, pins: ledger.pins().await? })
    }
}

impl Fleet {
    pub(crate) fn new(
        options: Arc<Options>,
        metrics: Arc<Metrics>,
        deps: Deps,
        ledger: Arc<dyn AgentStore>,
        dialing: Dialing,
        url: String,
        remembered: Remembered,
    ) -> Self {
        let now = deps.clock.monotonic();
        let Remembered { agents, drains, pins } = remembered;
        let mut scheduler = Scheduler::new(now, options.pools.clone(), agents, drains);
        for pin in pins.iter().filter(|pin| pin.state == PinState::Revoked) {
            if let Some(agent) = scheduler.known(&pin.agent_id) {
                agent.refused = Some(pins::revoked(pin));
            }
        }
        let (pins, scheduler) = (tokio::sync::Mutex::new(Pins::of(pins)), Mutex::new(scheduler));
        let Dialing { greeter, dialer } = dialing;
        let imports = Semaphore::new(IMPORTS);
        Self(Arc::new(Shared { options, metrics, deps, greeter, ledger, dialer, pins, url, scheduler, imports }))
    }

    fn scheduler(&self) -> MutexGuard<'_, Scheduler> {
        self.0.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.deps.clock.monotonic()
    }

    /// Takes a lease for a run that already occupies a seat: after a restart, or when it was found in a spool. Without
    /// a principal there is only the agent's word for the run: then it counts only while its agent is connected.
    pub(crate) fn hold(&self, run: RunId, principal: &Principal, at: Placement) -> Lease {
        self.scheduler().take_seat(run, principal, &at);
        Lease { run, at, waited_for: String::new(), fleet: self.clone() }
    }

    /// The run of this lease, known only from its agent's word so far, belongs to a principal from now on.
    pub(crate) fn confirm(&self, run: RunId, principal: &Principal) {
        self.scheduler().confirm(run, principal);
    }

    /// Whose runs agents take that have neither `--serve` nor `--serve-all`: everybody's while there is one principal,
    /// else the first operator's.
    pub(crate) fn principals(&self, tokens: &[TokenRecord]) {
        let valid = || tokens.iter().filter(|token| token.revoked_ms.is_none());
        let principals: BTreeSet<Principal> = valid().map(|token| token.principal.clone()).collect();
        // An operator whose token is revoked counts only if there is no other.
        let operators = tokens.iter().filter(|token| token.scope == Scope::Operate);
        let first = operators.min_by_key(|token| (token.revoked_ms.is_some(), token.created_ms, &token.name));
        let first = first.map(|token| token.principal.clone()).unwrap_or_default();
        let several = principals.len() > 1;
        self.scheduler().known = principals;
        self.serve_first(several.then_some(first));
    }

    /// The number of principals cannot be read: act as if there were several.
    pub(crate) fn principals_unknown(&self) {
        let first = self.scheduler().first_only.clone().unwrap_or_default();
        self.serve_first(Some(first));
    }

    fn serve_first(&self, first: Option<Principal>) {
        let before = std::mem::replace(&mut self.scheduler().first_only, first.clone());
        if before == first {
            return;
        }
        match first {
            Some(first) => tracing::warn!(
                "this gateway has several principals: agents that were not told whom to serve take the runs of {first} only; start \
                 them with --serve NAME,... or --serve-all"
            ),
            None => {
                tracing::info!("this gateway has one principal: agents that were not told whom to serve take all runs")
            }
        }
        // Runs that can be placed now are, and waiting runs get the new reason at once.
        self.tick();
    }

    fn release(&self, run: RunId) {
        self.scheduler().seats.remove(&run);
        self.place();
    }

    /// Joins the queue.
    pub(crate) fn enqueue(&self, run: RunId, principal: &Principal, need: Need) -> QueueEntry {
        let (grant, granted) = oneshot::channel();
        let told = OrderedWatch::new(None);
        let reason = told.subscribe();
        self.scheduler().enqueue(run, principal, need, grant, told);
        self.place();
        let (now, scheduler) = (self.now(), self.scheduler());
        if let Some(why) = scheduler.reason_of(run, now, self.0.options.silent_after, &self.0.url) {
            scheduler.tell(run, &why, self.0.deps.clock.unix_ms());
        }
        drop(scheduler);
        QueueEntry { run, fleet: self.clone(), granted, reason }
    }

    /// Grants leases to all queued runs that can be placed.
    pub(crate) fn place(&self) {
        let mut unwanted = Vec::new();
        {
            let mut scheduler = self.scheduler();
            let grants = scheduler.place(self.now(), self.0.options.silent_after);
            for (run, host, waiting) in grants {
                let waited_for = waiting.waited_for(self.0.deps.clock.unix_ms());
                let at = scheduler::placed(&host);
                let seat = Lease { run, at, waited_for, fleet: self.clone() };
                // A run that just left the queue does not take its lease; the lease is dropped after the lock is
                // released.
                if let Err(seat) = waiting.grant.send(seat) {
                    unwanted.push(seat);
                }
            }
            let metrics = &self.0.metrics;
            metrics.queued.store(scheduler.queue.len() as u64, Ordering::Relaxed);
            metrics.seats.store(scheduler.seats.len() as u64, Ordering::Relaxed);
        }
        drop(unwanted);
    }

    /// Applies the passing of time: silence changes which agents are schedulable and why runs wait.
    pub(crate) fn tick(&self) {
        self.place();
        let (now, silent_after) = (self.now(), self.0.options.silent_after);
        let scheduler = self.scheduler();
        scheduler.tell_all(now, silent_after, &self.0.url, self.0.deps.clock.unix_ms());
        self.0.metrics.agents_up.store(scheduler.up(now, silent_after), Ordering::Relaxed);
        self.0.metrics.hosts_draining.store(scheduler.drains.len() as u64, Ordering::Relaxed);
    }

    /// Grants no more leases: what is freed from now on is freed by a gateway that stops.
    pub(crate) fn stop(&self) {
        self.scheduler().open = false;
    }

    /// The connection of an agent, as it comes and goes.
    pub(crate) fn connections(&self, agent_id: &str) -> OrderedReceiver<Option<Arc<Connection>>> {
        let now = self.now();
        self.scheduler().agent(agent_id, now).connection.subscribe()
    }

    /// For how long an agent has not been heard; `None` = it is registered and not silent.
    pub(crate) fn silent_for(&self, agent_id: &str) -> Option<Duration> {
        self.scheduler().silent_for(agent_id, self.now(), self.0.options.silent_after)
    }

    /// What keeps an agent from being called; `None` = nothing to report.
    pub(crate) fn contact(&self, agent_id: &str) -> Option<Contact> {
        self.scheduler().contact(agent_id, self.now(), self.0.options.silent_after)
    }

    /// Asks the schedulable agents that match what is at a path: until one reports no problem, all have answered, or
    /// the time is up.
    pub(crate) async fn inspect(
        &self,
        need: &Need,
        principal: &Principal,
        path: &str,
        working_dir: &str,
    ) -> Vec<Inspected> {
        use futures_util::{StreamExt, stream::FuturesUnordered};
        let asked = self.scheduler().candidates(principal, need, self.now(), self.0.options.silent_after);
        let mut pending: FuturesUnordered<_> = asked
            .into_iter()
            .map(|(agent_id, host, connection)| async move {
                let request = wire::InspectRequest { path: path.to_owned(), working_dir: working_dir.to_owned() };
                let (mut client, request) = connection.control(request);
                let mut reply = client.inspect(request).await.ok()?.into_inner();
                reply.make_harmless();
                Some(Inspected { agent_id, host, reply })
            })
            .collect();
        let mut found = Vec::new();
        let all = async {
            while let Some(answer) = pending.next().await {
                let Some(answer) = answer else { continue };
                let well = answer.reply.problem.is_empty();
                found.push(answer);
                if well {
                    break;
                }
            }
        };
        // A timeout is no error: a path that no agent could inspect is inspected when its run's turn comes.
        let _ = tokio::time::timeout(self.0.options.inspect_timeout, all).await;
        found
    }

    /// What the gateway greets agents with.
    pub(crate) fn greeter(&self) -> &Greeter {
        &self.0.greeter
    }

    /// Whose runs agents take that were not told whom to serve; `None` = everybody's.
    pub(crate) fn first_only(&self) -> Option<Principal> {
        self.scheduler().first_only.clone()
    }

    pub(crate) fn imports(&self) -> &Semaphore {
        &self.0.imports
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// The folders from which an agent runs do-files: for operators alone.
    pub(crate) fn roots(&self, agent_id: &str) -> Vec<String> {
        self.scheduler().roots(agent_id)
    }

    /// The names and labels of all hosts that this process knows.
    pub(crate) fn known(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let scheduler = self.scheduler();
        (scheduler.names(), scheduler.labels())
    }

    /// The URL that agents must dial.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// Agents that can be called now.
    pub(crate) fn linked(&self) -> Vec<(String, Arc<Connection>)> {
        self.scheduler().linked()
    }

    /// Agents whose heartbeats arrive, whether or not they can be called now: none of them registers again by itself.
    pub(crate) fn present(&self) -> Vec<String> {
        self.scheduler().present(self.now(), self.0.options.silent_after)
    }

    /// Whether an agent can start an attempt where an earlier one died; `true` for one that has not registered yet.
    pub(crate) fn puts_aside(&self, agent_id: &str) -> bool {
        self.scheduler().known(agent_id).is_none_or(|agent| !agent.here || agent.info.puts_aside)
    }

    /// Bytes by which an agent's spools exceed their limit.
    pub(crate) fn spool_excess(&self, agent_id: &str) -> u64 {
        let mut scheduler = self.scheduler();
        let spool = scheduler.known(agent_id).map_or((0, 0), |agent| agent.spool);
        if spool.1 == 0 { 0 } else { spool.0.saturating_sub(spool.1) }
    }

    /// The largest spools of an agent's ended runs, as last reported.
    pub(crate) fn largest_spools(&self, agent_id: &str) -> Vec<wire::SpoolSize> {
        self.scheduler().known(agent_id).map(|agent| agent.spools.clone()).unwrap_or_default()
    }

    /// How many runs are queued.
    pub(crate) fn queued(&self) -> usize {
        self.scheduler().queue.len()
    }

    /// Agents and pools, for people.
    pub(crate) fn views(&self) -> (Vec<HostView>, Vec<PoolView>) {
        self.scheduler().views(self.now(), self.0.options.silent_after, self.0.deps.clock.unix_ms())
    }
}
