//! Agents and seats: who is connected, and which run gets the next free seat of a licence pool.
//!
//! Where runs are executed: agents, licence pools, the queue, and the connections to agents. A restart never over-uses
//! a pool: the leases of unfinished runs are counted before any agent connects.
//!
//! - [`registration`] takes in agents that register and send heartbeats;
//! - [`connector`] dials a registered agent back and keeps the connection: an agent is schedulable while its heartbeats
//!   arrive *and* the dial-back connection is up;
//! - [`scheduler`] is the task that owns agents, leases and the queue; it takes commands;
//! - [`snapshot`] is what it publishes, [`last_seen`] what each heartbeat changes in it, and [`contact`] what keeps an agent
//!   from being called;
//! - [`lease`] is what the runs' tasks hold;
//! - [`placement`] and [`queue`] decide, without any input or output, which run goes to which agent, and why a run waits;
//! - [`allowed_principals`] is whose runs an agent takes;
//! - [`inspect`] asks agents what is at a path;
//! - [`data`] asks them which data file a path names;
//! - [`bounds`] limits what an agent may report;
//! - [`drain`] keeps new runs from hosts that operators want empty;
//! - [`pins`] knows which key belongs to which agent;
//! - [`agent_port`] is how agents are called, whatever the transport;
//! - [`connection`] is the connection to one agent, over gRPC.
//!
//! A [`Lease`] is held by value: dropping it frees its seat, and the next run is placed at once.

pub(crate) mod agent_port;
mod allowed_principals;
#[cfg(any(test, feature = "testing"))]
pub mod bench;
pub(crate) mod bounds;
pub mod connection;
mod connector;
mod contact;
mod data;
pub(crate) mod drain;
mod help;
mod inspect;
pub(crate) mod invitations;
mod last_seen;
mod lease;
mod pins;
pub mod placement;
mod queue;
mod reads;
mod registration;
mod scheduler;
mod snapshot;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::{
    ids::RunId,
    ordered_watch::{OrderedReceiver, OrderedWatch},
    transport::Greeter,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::{
    Deps, Options,
    ca::Identities,
    ledger::{AgentRecord, AgentStore, DrainRecord, LedgerError, PinRecord, TokenRecord},
    metrics::Metrics,
    model::{Asked, Need, Placement, Principal, Scope, Urgency},
};
use agent_port::Port;
use connection::Dialer;
use lease::{Returned, Serial, Slot};
use pins::Pins;
use queue::Rank;
use scheduler::{Command, Dialled, Ends, NewEntry, Reply, Unrecorded};
use snapshot::FleetSnapshot;

pub(crate) use data::DataOn;
pub(crate) use help::{Helped, NoHelp};
pub(crate) use inspect::{Inspected, is_relative};
pub(crate) use lease::{Lease, QueueEntry, QueueNews};
pub(crate) use pins::{PinError, revoked};
pub(crate) use scheduler::pool_name;

/// The handle on agents, pools and the queue. Cheap to clone.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    options: Arc<Options>,
    metrics: Arc<Metrics>,
    deps: Deps,
    greeter: Greeter,
    ledger: Arc<dyn AgentStore>,
    dialer: Dialer,
    identities: Option<Identities>,
    ends: invitations::Ends,
    /// Changed only together with the ledger, so this lock is held over a ledger write.
    pins: tokio::sync::Mutex<Pins>,
    /// The URL that agents must dial; part of the advice to start one.
    url: String,
    /// To the scheduler.
    commands: mpsc::Sender<Command>,
    /// Leases and queue entries, back to the scheduler.
    returned: mpsc::Sender<Returned>,
    /// What the scheduler published last.
    published: watch::Receiver<Arc<FleetSnapshot>>,
    /// Tells leases and queue entries apart.
    serial: AtomicU64,
    /// Permits to fetch runs from spools: thousands may come with one registration.
    imports: Semaphore,
}

/// Commands that may wait for the scheduler; the sender of one more waits.
const COMMANDS: usize = 1024;

/// See [`Shared::imports`].
const IMPORTS: usize = 16;

/// What the gateway dials agents with.
pub(crate) struct Dialing {
    pub(crate) greeter: Greeter,
    pub(crate) dialer: Dialer,
    /// What issues certificates; `None` where there are none, in a simulation.
    pub(crate) identities: Option<Identities>,
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
    /// The handle; the scheduler's task runs from now on.
    pub(crate) fn new(
        options: Arc<Options>,
        metrics: Arc<Metrics>,
        deps: Deps,
        ledger: Arc<dyn AgentStore>,
        dialing: Dialing,
        url: String,
        remembered: Remembered,
    ) -> Self {
        let (fleet, ends) = Self::apart(options, metrics, deps, ledger, dialing, url, remembered);
        fleet.0.deps.tasks.spawn_until_stop(scheduler::run(fleet.clone(), ends));
        fleet
    }

    /// The handle, and what the scheduler's task has of it.
    fn apart(
        options: Arc<Options>,
        metrics: Arc<Metrics>,
        deps: Deps,
        ledger: Arc<dyn AgentStore>,
        dialing: Dialing,
        url: String,
        remembered: Remembered,
    ) -> (Self, Ends) {
        let Dialing { greeter, dialer, identities } = dialing;
        let at_start = scheduler::at_start(deps.clock.monotonic(), options.silent_after, &remembered);
        let (publish, published) = watch::channel(Arc::new(at_start));
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (returned, back) = mpsc::channel(lease::SLOTS);
        let (pins, imports) = (tokio::sync::Mutex::new(Pins::of(remembered.pins)), Semaphore::new(IMPORTS));
        let serial = AtomicU64::new(0);
        let shared = Shared {
            options,
            metrics,
            deps,
            greeter,
            ledger,
            dialer,
            identities,
            ends: invitations::Ends::default(),
            pins,
            url,
            commands,
            returned,
            published,
            serial,
            imports,
        };
        (Self(Arc::new(shared)), Ends { publish, inbox, back })
    }

    fn now(&self) -> Duration {
        self.0.deps.clock.monotonic()
    }

    /// What the scheduler published last.
    fn snapshot(&self) -> Arc<FleetSnapshot> {
        self.0.published.borrow().clone()
    }

    /// Sends a command; `false` = the scheduler has ended with the gateway.
    async fn send(&self, command: Command) -> bool {
        self.0.commands.send(command).await.is_ok()
    }

    /// Sends a command and waits until it is done; `None` = the scheduler has ended with the gateway.
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
        let (reply, answered) = oneshot::channel();
        if !self.send(command(reply)).await {
            return None;
        }
        answered.await.ok()
    }

    fn serial(&self) -> Serial {
        self.0.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// Reserves a slot in the channel back to the scheduler.
    async fn slot(&self) -> Option<Slot> {
        self.0.returned.clone().reserve_owned().await.ok()
    }

    /// Takes a lease for a run that already occupies a seat: after a restart, or when it was found in a spool. Without
    /// a principal there is only the agent's word for the run: then it counts only while its agent is connected. The
    /// lease counts when this returns.
    pub(crate) async fn hold(&self, run: RunId, principal: &Principal, at: Placement) -> Lease {
        let (serial, slot, principal) = (self.serial(), self.slot().await, principal.clone());
        let lease = Lease { run, at: at.clone(), waited_for: String::new(), serial, slot };
        self.ask(|done| Command::Hold { run, serial, principal, at, done }).await;
        lease
    }

    /// The run of this lease, known only from its agent's word so far, belongs to a principal from now on.
    pub(crate) async fn confirm(&self, run: RunId, principal: &Principal) {
        self.send(Command::Confirm { run, principal: principal.clone() }).await;
    }

    /// Whose runs agents take that have neither `--serve` nor `--serve-all`: everybody's while there is one principal,
    /// else the first operator's.
    pub(crate) async fn principals(&self, tokens: &[TokenRecord]) {
        let valid = || tokens.iter().filter(|token| token.revoked_ms.is_none());
        let known: BTreeSet<Principal> = valid().map(|token| token.principal.clone()).collect();
        // An operator whose token is revoked counts only if there is no other.
        let operators = tokens.iter().filter(|token| token.scopes.may(Scope::Operate));
        let first = operators.min_by_key(|token| (token.revoked_ms.is_some(), token.created_ms, &token.name));
        let first = first.map(|token| token.principal.clone()).unwrap_or_default();
        let first_only = (known.len() > 1).then_some(first);
        self.ask(|done| Command::Principals { known, first_only, done }).await;
    }

    /// The number of principals cannot be read: act as if there were several.
    pub(crate) async fn principals_unknown(&self) {
        self.ask(|done| Command::PrincipalsUnknown { done }).await;
    }

    /// A lease for a run that is about to be recorded; `None` = it has to wait for one.
    pub(crate) async fn lease_at_once(&self, run: RunId, principal: &Principal, asked: &Asked) -> Option<Lease> {
        let (serial, principal, lease_slot) = (self.serial(), principal.clone(), self.slot().await?);
        let (need, rank) = (asked.need.clone(), Rank::of(&asked.urgency));
        let new = Box::new(Unrecorded { run, principal, need, rank, serial, lease_slot });
        self.ask(|reply| Command::AtOnce { new, reply }).await.flatten()
    }

    /// Joins the queue. When this returns, the run has its lease, or the reason for which it waits.
    pub(crate) async fn enqueue(&self, run: RunId, principal: &Principal, need: Need, urgency: &Urgency) -> QueueEntry {
        let (grant, granted) = oneshot::channel();
        let told = OrderedWatch::new(None);
        let reason = told.subscribe();
        let (serial, slot, lease_slot) = (self.serial(), self.slot().await, self.slot().await);
        let entry = QueueEntry { run, serial, slot, granted, reason };
        if let Some(lease_slot) = lease_slot {
            let (principal, reason, rank) = (principal.clone(), told, Rank::of(urgency));
            let new = |done| NewEntry { run, principal, need, rank, serial, lease_slot, grant, reason, done };
            self.ask(|done| Command::Enqueue(Box::new(new(done)))).await;
        }
        entry
    }

    /// The connection of an agent, as it comes and goes.
    pub(crate) async fn connections(&self, agent_id: &str) -> OrderedReceiver<Option<Port>> {
        let agent_id = agent_id.to_owned();
        let connections = self.ask(|reply| Command::Connections { agent_id, reply }).await;
        // The gateway stops: none comes any more.
        connections.unwrap_or_else(|| OrderedWatch::new(None).subscribe())
    }

    /// Dialling an agent came to something; `false` = stop dialling.
    async fn dialled(&self, agent_id: &str, incarnation: &str, dialled: Dialled) -> bool {
        let (agent_id, incarnation) = (agent_id.to_owned(), incarnation.to_owned());
        self.ask(|go_on| Command::Dialled { agent_id, incarnation, dialled, go_on }).await.unwrap_or_default()
    }

    /// Drops agents for good; `false` = one of them is seen or holds seats, and stays.
    pub(crate) async fn forget(&self, agent_ids: Vec<String>) -> bool {
        self.ask(|gone| Command::Forget { agent_ids, gone }).await.unwrap_or_default()
    }

    /// What the gateway greets agents with.
    pub(crate) fn greeter(&self) -> &Greeter {
        &self.0.greeter
    }

    pub(crate) fn imports(&self) -> &Semaphore {
        &self.0.imports
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    /// The URL that agents must dial.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }
}
