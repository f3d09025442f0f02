//! Leases: which queued run gets which seat, and when.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use longhaul_proto::ids::RunId;

use super::{Scheduler, Waiting, command::NewEntry, placed};
use crate::{
    fleet::{
        lease::{Lease, Returned},
        placement::{self, Holder, Host, Pool},
    },
    ledger::DrainRecord,
    model::{Need, Principal},
};

impl Scheduler {
    /// Takes back leases and queue entries that were dropped; seats that are free now go to the next runs.
    pub(super) fn take_back(&mut self, back: &mut Vec<Returned>) {
        for returned in back.drain(..) {
            match returned {
                Returned::Lease(run, serial) => drop(self.leases.remove(&(run, serial))),
                Returned::Entry(run, serial) if self.waiting.get(&run).is_some_and(|w| w.serial == serial) => {
                    self.leave(run);
                }
                Returned::Entry(..) => {}
            }
        }
        self.place();
    }

    fn leave(&mut self, run: RunId) {
        self.queue.remove(run);
        self.waiting.remove(&run);
    }

    /// A run joins the queue, and gets its lease or the reason for which it waits.
    pub(super) fn enqueue(&mut self, entry: NewEntry) {
        let NewEntry { run, principal, need, serial, lease_slot, grant, reason, done } = entry;
        // An entry that the run had before and that has not come back yet.
        self.leave(run);
        self.queue.push(run, &principal, need);
        self.waiting.insert(run, Waiting::new(principal, serial, lease_slot, grant, reason));
        self.place();
        if let Some(why) = self.reason_of(run) {
            self.tell(run, &why);
        }
        self.answer(done, ());
    }

    /// Grants leases to all queued runs that can be placed.
    pub(super) fn place(&mut self) {
        let now_ms = self.fleet.0.deps.clock.unix_ms();
        for (run, host, waiting) in self.choose() {
            let waited_for = waiting.reasons.longest(now_ms);
            let lease =
                Lease { run, at: placed(&host), waited_for, serial: waiting.serial, slot: Some(waiting.lease_slot) };
            // A run that just left the queue does not take its lease, which then comes back like any other.
            let _ = waiting.grant.send(lease);
        }
        let metrics = &self.fleet.0.metrics;
        metrics.queued.store(self.queue.len() as u64, Ordering::Relaxed);
        metrics.seats.store(self.leases.len() as u64, Ordering::Relaxed);
    }

    /// Takes all runs that can be placed out of the queue, with their leases already counted.
    fn choose(&mut self) -> Vec<(RunId, Host, Waiting)> {
        let mut granted = Vec::new();
        if self.queue.len() == 0 {
            return granted;
        }
        let now = self.now();
        let mut hosts = self.hosts(now);
        let mut pools = self.pools(&Principal::default(), now);
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
            if let Some(waiting) = self.waiting.remove(&run) {
                self.take_seat(run, waiting.serial, &principal, &placed(&host));
                granted.push((run, host, waiting));
            }
        }
        granted
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

    /// Runs that can be placed now are, and waiting runs get the new reason at once.
    pub(super) fn table_changed(&mut self) {
        self.changed = true;
        self.tick();
    }
}
