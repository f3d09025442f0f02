//! Why runs wait. Each reason goes as a message to the task of its run, which alone publishes it.

use std::{cell::RefCell, collections::HashMap, time::Duration};

use longhaul_proto::{ids::RunId, ordered_watch::OrderedWatch};
use tokio::sync::oneshot;

use super::{Scheduler, Taken, contact::outdated};
use crate::{
    fleet::{
        Lease,
        placement::{self, Host, Pool},
    },
    model::{ContactState, Need, Principal, QueueReason},
};

/// A run in the queue.
pub(in crate::fleet) struct Waiting {
    /// Its principal.
    pub(super) principal: Principal,
    /// Takes its lease.
    pub(in crate::fleet) grant: oneshot::Sender<Lease>,
    /// Why it waits, for its task; `None` = not known yet.
    reason: OrderedWatch<Option<QueueReason>>,
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

impl Waiting {
    pub(super) fn new(
        principal: Principal,
        grant: oneshot::Sender<Lease>,
        reason: OrderedWatch<Option<QueueReason>>,
    ) -> Self {
        Self { principal, grant, reason, reasons: RefCell::default() }
    }

    /// The reason that held longest: the last one may have been momentary, such as a late heartbeat.
    pub(in crate::fleet) fn waited_for(&self, now_ms: i64) -> String {
        let mut reasons = self.reasons.borrow_mut();
        reasons.next("", now_ms);
        std::mem::take(&mut reasons.longest.0)
    }

    fn tell(&self, why: &QueueReason, now_ms: i64) {
        self.reasons.borrow_mut().next(&why.words, now_ms);
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
    pub(in crate::fleet) fn reason_of(
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

    pub(in crate::fleet) fn reason(
        &self,
        (principal, need): &(Principal, Need),
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
    pub(in crate::fleet) fn tell(&self, run: RunId, why: &QueueReason, now_ms: i64) {
        if let Some(waiting) = self.waiting.get(&run) {
            waiting.tell(why, now_ms);
        }
    }

    /// Publishes the reasons of all waiting runs.
    pub(in crate::fleet) fn tell_all(&self, now: Duration, silent_after: Duration, url: &str, now_ms: i64) {
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

    /// Says that the agent of a run that holds a seat is silent, and what frees the seat.
    pub(in crate::fleet) fn silence_of(
        &self,
        run: RunId,
        taken: &Taken,
        asker: &Principal,
        now: Duration,
        silent_after: Duration,
    ) -> Option<String> {
        let contact = self.contact(&taken.agent_id, now, silent_after).filter(|c| c.state != ContactState::Awaited)?;
        if contact.state == ContactState::Unreachable {
            // Its heartbeats arrive, so the run may well be alive there.
            let words = contact.words;
            return Some(format!("{words}; its seat comes free when the agent is reached again and the run has ended"));
        }
        // Another principal's run is not named; an operator finds it on that host.
        let run = if taken.principal == *asker { run.short() } else { "RUN".to_owned() };
        Some(format!(
            "{}; its seat comes free when the agent returns and the run has ended, or when an operator says that it never \
             will (`longhaul declare-dead {run}`)",
            contact.words
        ))
    }
}
