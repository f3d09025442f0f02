//! Why runs wait. Each reason goes as a message to the task of its run, which alone publishes it.

use std::collections::{BTreeMap, HashMap};

use longhaul_proto::{faults, ids::RunId, ordered_watch::OrderedWatch};
use tokio::sync::oneshot;

use super::Scheduler;
use crate::{
    fleet::{
        contact::outdated,
        lease::{Lease, Serial, Slot},
    },
    model::{Need, Place, Principal, QueueReason, WaitsFor},
    options::quotas::Holder,
};

/// So many of those who come first are told at once when their places change, the others with the next tick; each is told of
/// something that was so when it was said.
const NEAREST: usize = 256;

/// A run in the queue.
pub(super) struct Waiting {
    /// Its principal.
    pub(super) principal: Principal,
    /// That of its entry, and of its lease.
    pub(super) serial: Serial,
    /// Its lease's slot in the channel back to the scheduler.
    pub(super) lease_slot: Slot,
    /// Takes its lease.
    pub(super) grant: oneshot::Sender<Lease>,
    /// Why it waits, for its task; `None` = not known yet.
    reason: OrderedWatch<Option<QueueReason>>,
    pub(super) reasons: Reasons,
}

/// The reasons for which one run waited.
#[derive(Default)]
pub(super) struct Reasons {
    /// The present reason, and since when it holds, Unix ms.
    now: (String, i64),
    /// The earlier one that held longest, and for how long, ms.
    longest: (String, i64),
}

impl Reasons {
    /// The reason that held longest: the last one may have been momentary, such as a late heartbeat.
    pub(super) fn longest(mut self, now_ms: i64) -> String {
        self.next("", now_ms);
        self.longest.0
    }

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

impl Waiting {
    pub(super) fn new(
        principal: Principal,
        serial: Serial,
        lease_slot: Slot,
        grant: oneshot::Sender<Lease>,
        reason: OrderedWatch<Option<QueueReason>>,
    ) -> Self {
        Self { principal, serial, lease_slot, grant, reason, reasons: Reasons::default() }
    }

    /// Whether its task knows no reason yet.
    fn is_untold(&self) -> bool {
        self.reasons.now.0.is_empty()
    }

    fn tell(&mut self, why: &QueueReason, now_ms: i64) {
        self.reasons.next(&why.words, now_ms);
        self.reason.send_if_modified(|reason| {
            let changed = reason.as_ref() != Some(why);
            if changed {
                *reason = Some(why.clone());
            }
            changed
        });
    }
}

impl Scheduler {
    /// Why a run waits; `None` when it is not queued.
    pub(super) fn reason_of(&self, run: RunId) -> Option<QueueReason> {
        self.queue.line_of(run).map(|line| self.reason(line))
    }

    /// Why the runs of a line wait.
    fn reason(&self, (principal, need): &(Principal, Need)) -> QueueReason {
        match self.look(principal, self.now()).choose(need) {
            Err(why) => self.in_words(why),
            Ok(_) => QueueReason::passing("its turn is next".to_owned()).of(WaitsFor::Turn),
        }
    }

    /// Why a run waits that no host can take, `why`: sometimes what is known of the whole fleet says more.
    pub(super) fn in_words(&self, why: QueueReason) -> QueueReason {
        let up = self.now().saturating_sub(self.table.started);
        let agents = &self.table.agents;
        let waits_for_agents = || {
            let awaited = agents.values().any(|a| outdated(&a.info).is_none());
            awaited && !agents.values().any(|a| a.here)
        };
        if up <= self.table.silent_after * 2 && waits_for_agents() {
            let words = format!("the gateway restarted {} s ago and waits for its agents to return", up.as_secs());
            return QueueReason::passing(words);
        }
        if self.roster.is_empty() {
            return QueueReason::lasting(format!("no agent is connected: {}", self.fleet.how_an_agent_joins()));
        }
        why
    }

    /// Sends the task of a run that has just joined the queue the reason for which it waits.
    pub(super) fn tell_first(&mut self, run: RunId, why: QueueReason) {
        let why = self.in_words(why);
        self.stirred = true;
        if self.queue.len() <= NEAREST {
            self.tell_places(NEAREST);
        }
        let now_ms = self.fleet.0.deps.clock.unix_ms();
        // Where many wait, its place follows with the next tick.
        if let Some(waiting) = self.waiting.get_mut(&run).filter(|waiting| waiting.is_untold()) {
            waiting.tell(&why, now_ms);
        }
    }

    /// Sends the reasons to the tasks of the waiting runs that come first.
    pub(super) fn tell_nearest(&mut self) {
        self.stirred = false;
        if !faults::bug("waits_told_late") {
            self.settle();
            self.tell_places(NEAREST);
        }
    }

    /// Sends the reasons to the tasks of all waiting runs.
    pub(super) fn tell_all(&mut self) {
        self.stirred = false;
        self.tell_places(usize::MAX);
    }

    /// Sends the first `most` in the queue their places and reasons.
    fn tell_places(&mut self, most: usize) {
        if self.queue.len() == 0 {
            return;
        }
        let now_ms = self.fleet.0.deps.clock.unix_ms();
        let reasons: HashMap<&(Principal, Need), QueueReason> =
            self.queue.lines().map(|line| (line, self.reason(line))).collect();
        let mut before: BTreeMap<&WaitsFor, (u32, RunId, &Principal)> = BTreeMap::new();
        let mut told = Vec::new();
        for (run, line) in self.queue.order(most) {
            let Some(why) = reasons.get(line) else { continue };
            let place = why.waits_for.as_deref().map(|waits_for| {
                let last = before.get(waits_for).copied();
                let number = last.map_or(1, |(number, ..)| number + 1);
                before.insert(waits_for, (number, run, &line.0));
                let of_another = last.filter(|(.., whose)| **whose != line.0).map(|(.., whose)| whose.to_string());
                Box::new(Place { number, after: last.map(|(_, run, _)| run), of_another })
            });
            told.push((run, QueueReason { place, ..why.clone() }));
        }
        for (run, why) in told {
            if let Some(waiting) = self.waiting.get_mut(&run) {
                waiting.tell(&why, now_ms);
            }
        }
    }

    /// The seats that these hold, by pool.
    pub(super) fn held(&self, holders: &[Holder]) -> Vec<BTreeMap<String, u32>> {
        let pools = |holder| self.shares.pools(holder).map(|(pool, n)| (pool.clone(), n)).collect();
        holders.iter().map(pools).collect()
    }
}
