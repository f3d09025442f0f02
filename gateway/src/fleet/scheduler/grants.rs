//! Leases: which queued run gets which seat, and when.

use std::sync::{Arc, atomic::Ordering};

use longhaul_proto::ids::RunId;

use super::{
    Look, Reply, Scheduler, Touched, Waiting,
    command::{NewEntry, Unrecorded},
    placed,
};
use crate::{
    fleet::lease::{Lease, Returned},
    ledger::DrainRecord,
    model::{Placement, Principal},
};

impl Scheduler {
    /// Takes back leases and queue entries that were dropped; seats that are free now go to the next runs.
    pub(super) fn take_back(&mut self, back: &mut Vec<Returned>) {
        for returned in back.drain(..) {
            match returned {
                Returned::Lease(run, serial) => self.give_back(run, serial),
                Returned::Entry(run, serial) if self.waiting.get(&run).is_some_and(|w| w.serial == serial) => {
                    self.leave(run);
                }
                Returned::Entry(..) => {}
            }
        }
        self.place();
    }

    fn leave(&mut self, run: RunId) {
        self.stirred |= self.queue.remove(run);
        self.waiting.remove(&run);
    }

    /// A run joins the queue, and gets its lease or the reason for which it waits. Unless a host has changed, only for this
    /// run a host is looked for: none of the others could be placed before.
    pub(super) fn enqueue(&mut self, entry: NewEntry) {
        let NewEntry { run, principal, need, rank, serial, lease_slot, grant, reason, done } = entry;
        // An entry that the run had before and that has not come back yet.
        self.leave(run);
        self.queue.push(run, &principal, need, rank);
        self.waiting.insert(run, Waiting::new(principal, serial, lease_slot, grant, reason));
        if !self.touched.is_empty() {
            self.place();
        }
        match self.queue.heads_line(run).map(|(asker, need)| self.look(asker, self.now()).choose(need).map(placed)) {
            Some(Ok(at)) => self.grant(run, at),
            Some(Err(why)) => self.tell_first(run, why),
            None => {
                if let Some(why) = self.reason_of(run) {
                    self.tell_first(run, why);
                }
            }
        }
        self.note_numbers();
        self.answer(done, ());
    }

    /// A run that is not recorded yet gets its lease if it need not wait for it: none of its principal with the same need
    /// waits, and a host takes it now.
    pub(super) fn at_once(&mut self, new: Unrecorded, reply: Reply<Option<Lease>>) {
        let Unrecorded { run, principal, need, rank, serial, lease_slot } = new;
        if !self.touched.is_empty() {
            self.place();
        }
        self.queue.push(run, &principal, need, rank);
        let heads = self.queue.heads_line(run);
        let at = heads.and_then(|(asker, need)| self.look(asker, self.now()).choose(need).map(placed).ok());
        let lease = match at {
            Some(at) => {
                self.queue.grant(run, &principal);
                self.take_seat(run, serial, &principal, &at);
                Some(Lease { run, at, waited_for: String::new(), serial, slot: Some(lease_slot) })
            }
            None => {
                self.queue.remove(run);
                None
            }
        };
        self.note_numbers();
        self.answer(reply, lease);
    }

    /// Grants leases to all queued runs that can be placed.
    pub(super) fn place(&mut self) {
        self.settle();
        let now = self.now();
        loop {
            let Self { queue, table, roster, seats, shares, configured, .. } = self;
            let quotas = &self.fleet.0.options.quotas;
            let next = queue.next(|asker, need| {
                let look = Look { table, roster, seats, shares, quotas, configured, asker, now };
                look.choose(need).ok().map(placed)
            });
            let Some((run, at)) = next else { break };
            self.grant(run, at);
        }
        self.note_numbers();
    }

    /// Takes a run out of the queue and gives it its lease.
    fn grant(&mut self, run: RunId, at: Placement) {
        let Some(Waiting { principal, serial, lease_slot, grant, reasons, .. }) = self.waiting.remove(&run) else {
            self.queue.remove(run);
            return;
        };
        self.queue.grant(run, &principal);
        self.take_seat(run, serial, &principal, &at);
        let waited_for = reasons.longest(self.fleet.0.deps.clock.unix_ms());
        // A run that just left the queue does not take its lease, which then comes back like any other.
        let _ = grant.send(Lease { run, at, waited_for, serial, slot: Some(lease_slot) });
    }

    fn note_numbers(&self) {
        let metrics = &self.fleet.0.metrics;
        metrics.queued.store(self.queue.len() as u64, Ordering::Relaxed);
    }

    /// Applies the passing of time: silence changes which agents are schedulable and why runs wait.
    pub(super) fn tick(&mut self) {
        self.place();
        self.tell_all();
        let up = self.table.up(self.now());
        let metrics = &self.fleet.0.metrics;
        metrics.agents_up.store(up, Ordering::Relaxed);
        metrics.hosts_draining.store(self.table.drains.len() as u64, Ordering::Relaxed);
    }

    /// From now on no new run starts on these hosts.
    pub(super) fn drain(&mut self, drains: Vec<DrainRecord>) {
        Arc::make_mut(&mut self.table.drains).extend(drains.into_iter().map(|drain| (drain.host.clone(), drain)));
        self.table_changed();
    }

    /// From now on these hosts take runs again.
    pub(super) fn resume(&mut self, hosts: &[String]) {
        Arc::make_mut(&mut self.table.drains).retain(|host, _| !hosts.contains(host));
        self.table_changed();
    }

    /// From now on agents that were not told whom to serve take the runs of `first` only; `None` = of everybody.
    pub(super) fn serve_first(&mut self, first: Option<Principal>) {
        let before = std::mem::replace(&mut self.table.first_only, first.clone());
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
        self.table_changed();
    }

    /// For every agent something may have changed: runs that can be placed now are, and waiting runs get the new reason
    /// at once.
    pub(super) fn table_changed(&mut self) {
        (self.changed, self.touched) = (true, Touched::All);
        self.tick();
    }
}
