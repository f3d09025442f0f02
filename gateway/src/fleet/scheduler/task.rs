//! The scheduler's task: it takes what comes back and the commands, one after the other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::{mpsc, watch};

use super::{Command, Reply, Scheduler};
use crate::fleet::{Fleet, lease::Returned, snapshot::FleetSnapshot};

/// Most of what came back that is taken at once.
const BATCH: usize = 1024;

/// What wakes the scheduler.
enum Woken {
    Returned,
    Tick,
    Command(Command),
}

/// The scheduler's ends of the channels to the others.
pub(in crate::fleet) struct Ends {
    /// What it publishes.
    pub(in crate::fleet) publish: watch::Sender<Arc<FleetSnapshot>>,
    /// The commands to it.
    pub(in crate::fleet) inbox: mpsc::Receiver<Command>,
    /// Leases and queue entries that come back.
    pub(in crate::fleet) back: mpsc::Receiver<Returned>,
}

/// Runs the scheduler until the gateway stops.
pub(in crate::fleet) async fn run(fleet: Fleet, ends: Ends) {
    let Ends { publish, inbox: mut commands, back: mut returned } = ends;
    let mut tick = tokio::time::interval(fleet.options().tick);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut scheduler = Scheduler::new(fleet, publish);
    let mut back = Vec::new();
    loop {
        let woken = tokio::select! {
            // In a fixed order, so that it can be replayed. What comes back is first: a task that gives up a seat
            // and then sends a command finds the seat free.
            biased;
            _ = returned.recv_many(&mut back, BATCH) => Woken::Returned,
            _ = tick.tick() => Woken::Tick,
            command = commands.recv() => match command {
                Some(command) => Woken::Command(command),
                None => return,
            },
        };
        // One command that fails must not end the others: the state is changed in small steps, each whole.
        let done = catch_unwind(AssertUnwindSafe(|| match woken {
            Woken::Returned => scheduler.take_back(&mut back),
            Woken::Tick => scheduler.tick(),
            Woken::Command(command) => scheduler.obey(command),
        }));
        if done.is_err() {
            tracing::error!("a command to the scheduler panicked; it goes on with the next");
        }
        // Not while more waits to be done: it may change places again.
        if scheduler.stirred && commands.is_empty() && returned.is_empty() {
            scheduler.tell_nearest();
        }
        scheduler.publish();
    }
}

impl Scheduler {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Hold { run, serial, principal, at, done } => {
                self.take_seat(run, serial, &principal, &at);
                self.answer(done, ());
            }
            Command::Confirm { run, principal } => {
                for (serial, at) in self.seats.of_run(run) {
                    self.take_seat(run, serial, &principal, &at);
                }
            }
            Command::Enqueue(entry) => self.enqueue(*entry),
            Command::AtOnce { new, reply } => self.at_once(*new, reply),
            Command::Principals { known, first_only, done } => {
                if known != self.known {
                    self.known = known;
                    self.table_changed();
                }
                self.serve_first(first_only);
                self.answer(done, ());
            }
            Command::PrincipalsUnknown { done } => {
                let first = self.table.first_only.clone().unwrap_or_default();
                self.serve_first(Some(first));
                self.answer(done, ());
            }
            Command::Drain { drains, done } => {
                self.drain(drains);
                self.answer(done, ());
            }
            Command::Resume { hosts, done } => {
                self.resume(&hosts);
                self.answer(done, ());
            }
            Command::Register { info, session, seen_ms, entered } => {
                let enters = self.register(*info, session, seen_ms);
                self.note_pools();
                self.answer(entered, enters);
            }
            Command::Alive { agent_id, incarnation, key, seen_ms } => {
                self.alive(&agent_id, &incarnation, key, seen_ms);
            }
            Command::Heartbeat { beat, key, seen_ms, reply } => {
                let answer = self.heartbeat(*beat, key, seen_ms);
                self.answer(reply, answer);
            }
            Command::Dialled { agent_id, incarnation, dialled, go_on } => {
                let goes_on = self.dialled(&agent_id, &incarnation, dialled);
                self.answer(go_on, goes_on);
            }
            Command::Expel { pin, done } => {
                self.expel(&pin);
                self.answer(done, ());
            }
            Command::Forget { agent_ids, gone } => {
                let all = self.forget(&agent_ids);
                self.note_pools();
                self.answer(gone, all);
            }
            Command::Connections { agent_id, reply } => {
                self.ensure(&agent_id);
                let connection = self.line(&agent_id).connection.subscribe();
                self.answer(reply, connection);
            }
            Command::Candidates { principal, need, reply } => {
                let candidates = self.candidates(&principal, &need);
                self.answer(reply, candidates);
            }
            Command::Held { holders, reply } => {
                let held = self.held(&holders);
                self.answer(reply, held);
            }
            Command::Views { reply } => {
                self.settle();
                let views = self.views();
                self.answer(reply, views);
            }
        }
    }

    /// Answers a command, after what it changed is published. A sender that does not wait any more needs no answer.
    pub(super) fn answer<T>(&mut self, reply: Reply<T>, answer: T) {
        self.publish();
        let _ = reply.send(answer);
    }
}
