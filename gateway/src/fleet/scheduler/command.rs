//! The commands to the scheduler.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_proto::{
    api::{HostView, PoolView},
    ids::RunId,
    ordered_watch::{OrderedReceiver, OrderedWatch},
    transport::{Fingerprint, Session},
    wire,
};
use tokio::sync::oneshot;

use crate::{
    fleet::{
        agent_port::Port,
        lease::{Lease, Serial, Slot},
        queue::Rank,
    },
    ledger::{DrainRecord, PinRecord},
    model::{Need, Placement, Principal, QueueReason},
    options::quotas::Holder,
};

/// An answer to a command. It is sent when what the command changed is published.
pub(in crate::fleet) type Reply<T> = oneshot::Sender<T>;

/// An agent that can be asked about a path.
pub(in crate::fleet) type Candidate = (String, String, Port);

/// A command to the scheduler.
pub(in crate::fleet) enum Command {
    /// Counts a lease for a run that occupies its seat already.
    Hold { run: RunId, serial: Serial, principal: Principal, at: Placement, done: Reply<()> },
    /// The leases of this run are this principal's from now on.
    Confirm { run: RunId, principal: Principal },
    /// A run joins the queue.
    Enqueue(Box<NewEntry>),
    /// A run that is not recorded yet takes a seat that it need not wait for; `None` = there is none.
    AtOnce { new: Box<Unrecorded>, reply: Reply<Option<Lease>> },
    /// The principals that tokens stand for, and the only one that agents serve that were not told whom to serve.
    Principals { known: BTreeSet<Principal>, first_only: Option<Principal>, done: Reply<()> },
    /// The principals cannot be read: as if there were several.
    PrincipalsUnknown { done: Reply<()> },
    /// No new run starts on these hosts.
    Drain { drains: Vec<DrainRecord>, done: Reply<()> },
    /// These hosts take runs again.
    Resume { hosts: Vec<String>, done: Reply<()> },
    /// An agent registers; the answer is whether it may: no other process of it was faster.
    Register { info: Box<wire::AgentInfo>, session: Session, seen_ms: i64, entered: Reply<bool> },
    /// A registered agent gave a sign of life.
    Alive { agent_id: String, incarnation: String, key: Fingerprint, seen_ms: i64 },
    /// A heartbeat.
    Heartbeat { beat: Box<wire::HeartbeatRequest>, key: Fingerprint, seen_ms: i64, reply: Reply<wire::HeartbeatReply> },
    /// Dialling an agent succeeded or failed, or its connection broke; the answer is whether to go on dialling.
    Dialled { agent_id: String, incarnation: String, dialled: Dialled, go_on: Reply<bool> },
    /// A key was revoked: end all connections with its holder.
    Expel { pin: Box<PinRecord>, done: Reply<()> },
    /// Agents are forgotten; the answer is whether all are: one that is seen or holds seats stays.
    Forget { agent_ids: Vec<String>, gone: Reply<bool> },
    /// The connection of an agent, as it comes and goes.
    Connections { agent_id: String, reply: Reply<OrderedReceiver<Option<Port>>> },
    /// The schedulable agents that match a need.
    Candidates { principal: Principal, need: Box<Need>, reply: Reply<Vec<Candidate>> },
    /// The seats that these hold, by pool.
    Held { holders: Vec<Holder>, reply: Reply<Vec<BTreeMap<String, u32>>> },
    /// Agents and pools, for people.
    Views { reply: Reply<(Vec<HostView>, Vec<PoolView>)> },
}

/// A run that joins the queue.
pub(in crate::fleet) struct NewEntry {
    pub(in crate::fleet) run: RunId,
    pub(in crate::fleet) principal: Principal,
    pub(in crate::fleet) need: Need,
    /// Its place by its priority.
    pub(in crate::fleet) rank: Rank,
    /// That of the entry; the lease gets the same.
    pub(in crate::fleet) serial: Serial,
    /// The lease's slot in the channel back to the scheduler.
    pub(in crate::fleet) lease_slot: Slot,
    /// Takes the lease.
    pub(in crate::fleet) grant: oneshot::Sender<Lease>,
    /// Why the run waits, for its task; `None` = not known yet.
    pub(in crate::fleet) reason: OrderedWatch<Option<QueueReason>>,
    /// Answered when the run has its lease, or its first reason.
    pub(in crate::fleet) done: Reply<()>,
}

/// A run that is about to be recorded.
pub(in crate::fleet) struct Unrecorded {
    pub(in crate::fleet) run: RunId,
    pub(in crate::fleet) principal: Principal,
    pub(in crate::fleet) need: Need,
    /// Its place by its priority.
    pub(in crate::fleet) rank: Rank,
    /// The lease's.
    pub(in crate::fleet) serial: Serial,
    /// The lease's slot in the channel back to the scheduler.
    pub(in crate::fleet) lease_slot: Slot,
}

/// What became of dialling an agent.
pub(in crate::fleet) enum Dialled {
    /// There is a connection.
    Connected(Port),
    /// The connection broke.
    Broken,
    /// It cannot be reached, and why.
    Failed(String),
}
