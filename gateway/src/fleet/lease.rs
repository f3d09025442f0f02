//! Leases and places in the queue, as the runs' tasks hold them: by value. Dropping one gives it back to the scheduler,
//! without waiting and without loss: each has reserved its slot in the channel that takes it back.

use longhaul_proto::{ids::RunId, ordered_watch::OrderedReceiver};
use tokio::sync::{mpsc, oneshot};

use crate::model::{Placement, QueueReason};

/// Most leases and queue entries at one time: far more than a gateway has runs.
pub(super) const SLOTS: usize = 1 << 20;

/// Tells two leases (or two queue entries) of one run apart.
pub(super) type Serial = u64;

/// What comes back to the scheduler.
#[derive(Clone, Copy, Debug)]
pub(super) enum Returned {
    /// A lease was dropped.
    Lease(RunId, Serial),
    /// A run has left the queue, or got its lease.
    Entry(RunId, Serial),
}

/// A reserved slot in the channel back to the scheduler.
pub(super) type Slot = mpsc::OwnedPermit<Returned>;

/// A lease: one seat of a pool and room on one host, held by one run. Dropping it frees both.
pub(crate) struct Lease {
    pub(crate) run: RunId,
    pub(crate) at: Placement,
    /// The reason for which its run waited longest; empty = it did not wait.
    pub(crate) waited_for: String,
    pub(super) serial: Serial,
    /// `None` = the scheduler has ended with the gateway.
    pub(super) slot: Option<Slot>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.send(Returned::Lease(self.run, self.serial));
        }
    }
}

/// A place in the queue. Dropping it leaves the queue.
pub(crate) struct QueueEntry {
    pub(super) run: RunId,
    pub(super) serial: Serial,
    pub(super) slot: Option<Slot>,
    pub(super) granted: oneshot::Receiver<Lease>,
    pub(super) reason: OrderedReceiver<Option<QueueReason>>,
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
        // A lease that was granted at this very moment is in the channel, and comes back when the channel is dropped.
        if let Some(slot) = self.slot.take() {
            slot.send(Returned::Entry(self.run, self.serial));
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;

    use super::*;

    #[tokio::test]
    async fn a_dropped_lease_comes_back_even_through_a_full_channel() {
        let (back, mut returned) = mpsc::channel(2);
        let run = Ids::system().run();
        let at = Placement { agent_id: "a".into(), host: "stata1".into(), pool: "lab".into() };
        let lease = |serial| {
            let slot = back.clone().try_reserve_owned().ok();
            Lease { run, at: at.clone(), waited_for: String::new(), serial, slot }
        };
        let (first, second) = (lease(1), lease(2));
        assert!(back.try_reserve().is_err(), "every slot is reserved");
        drop((first, second));
        for serial in [1, 2] {
            assert!(matches!(returned.recv().await, Some(Returned::Lease(of, n)) if (of, n) == (run, serial)));
        }
    }
}
