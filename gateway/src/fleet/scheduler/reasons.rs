//! Why runs wait. Each reason goes as a message to the task of its run, which alone publishes it.

use longhaul_proto::{ids::RunId, ordered_watch::OrderedWatch};
use tokio::sync::oneshot;

use super::Scheduler;
use crate::{
    fleet::{
        contact::outdated,
        lease::{Lease, Serial, Slot},
    },
    model::{Need, Principal, QueueReason},
};

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
            Ok(_) => QueueReason::passing("its turn is next".to_owned()),
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
            let url = self.fleet.url();
            return QueueReason::lasting(format!(
                "no agent is connected: start one with `longhaul agent --gateway {url}`"
            ));
        }
        why
    }

    /// Sends the reason to the task of one waiting run.
    pub(super) fn tell(&mut self, run: RunId, why: &QueueReason) {
        let now_ms = self.fleet.0.deps.clock.unix_ms();
        if let Some(waiting) = self.waiting.get_mut(&run) {
            waiting.tell(why, now_ms);
        }
    }

    /// Sends the reasons to the tasks of all waiting runs.
    pub(super) fn tell_all(&mut self) {
        if self.queue.len() == 0 {
            return;
        }
        let now_ms = self.fleet.0.deps.clock.unix_ms();
        let reasons: Vec<QueueReason> = self.queue.lines().map(|(line, _)| self.reason(line)).collect();
        let Self { queue, waiting, .. } = self;
        for ((_, runs), why) in queue.lines().zip(reasons) {
            for run in runs {
                if let Some(waiting) = waiting.get_mut(run) {
                    waiting.tell(&why, now_ms);
                }
            }
        }
    }
}
