//! The task of one unfinished run, from its record to its end. Neither an unresponsive agent nor a failing disk can
//! keep it from answering commands.
//!
//! [`RunTask::run`] reads in order: wait for a lease and make the attempt durable ([`super::wait_for_lease`]), hand the
//! run over and follow it to its end ([`super::follow_attempt`]), record that end ([`super::finish`]). Every long wait goes through
//! [`RunTask::during`], which also serves commands and deadlines. While a step cannot be recorded, commands are
//! answered with that error.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    future::pending,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use longhaul_proto::{api::CancelMode, state::RunState, wire};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{
    Inner, journal,
    registry::{Command, Reply, RunHandle},
    snapshot::{self, Live},
    spans::Trail,
    step::queue_deadline,
    supervise::LeaseCell,
};
use crate::{
    fleet::agent_port::{AgentError, Port},
    ledger::LedgerError,
    mirror::Mirror,
    model::{Detail, Record, RunSnapshot, Wait},
};

/// Why the task leaves what it was doing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The gateway is stopping; the run goes on at its agent.
    Stopping,
    /// The run's state has changed: decide again what to do.
    Moved,
    /// Another gateway has taken the run over, and moves it from now on.
    Superseded,
}

/// How a run's task ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TaskEnd {
    /// The run has ended, and its end is recorded and published.
    Ended,
    /// The gateway is stopping.
    Stopping,
    /// Another gateway has taken the run over.
    Superseded,
}

pub(crate) struct RunTask {
    pub(super) inner: Arc<Inner>,
    pub(super) active: Arc<RunHandle>,
    pub(super) mailbox: OwnedMutexGuard<mpsc::Receiver<Command>>,
    pub(super) record: Record,
    /// The request, if it is small and this process has not dispatched it yet; otherwise it is read from the ledger.
    pub(super) submission: Option<wire::Submission>,
    pub(super) live: Live,
    pub(super) mirror: Option<Arc<Mirror>>,
    pub(super) seat: LeaseCell,
    /// The `Run` call of this attempt has provably not left the gateway.
    pub(super) unsent: bool,
    /// The run is `lost`: only the spool's own record may still change it.
    pub(super) correcting: bool,
    /// Agents that reported to have the do-file, and those that reported a problem, with their words.
    pub(super) fit: HashSet<String>,
    pub(super) unfit: BTreeMap<String, String>,
    /// What the agent answered when it refused the attempt.
    pub(super) refused: Option<AgentError>,
    pub(super) refetched: u32,
    /// The agent has reported the end of this attempt: no Stata process of it lives, and it holds no lease.
    pub(super) stata_ended: bool,
    /// Its lease is to be removed from the ledger by the next tick, unless its end is recorded before.
    pub(super) lease_to_free: bool,
    /// How many times in a row the agent then broke off without a new byte.
    pub(super) fruitless: u32,
    /// Follow from offset 0, because the agent has less output than the mirror.
    pub(super) from_start: bool,
    /// Why the agent, although connected, cannot look after this run.
    pub(super) trouble: Option<String>,
    pub(super) queue_deadline: Option<Duration>,
    /// Why a step of this run cannot be recorded now: commands are answered with this error, and no other step is
    /// started.
    pub(super) stuck: Option<LedgerError>,
    /// Who is answered when the present step is recorded, or cannot be for now.
    pub(super) unanswered: Option<Reply>,
    /// Commands that arrived meanwhile and wait until the step is recorded.
    pub(super) deferred: VecDeque<Command>,
    tick: tokio::time::Interval,
    pub(super) cancelling: Option<BoxFuture<'static, Result<CancelMode, String>>>,
    /// The cancel mode that the agent has accepted.
    pub(super) cancelled: Option<CancelMode>,
    /// A cancel has failed and is retried at the next tick.
    pub(super) cancel_resting: bool,
    /// It was looked up how long an equal run took.
    pub(super) looked_back: bool,
    /// What its trace still needs.
    pub(super) trail: Trail,
}

/// What woke [`RunTask::during`].
enum Woken {
    Command(Option<Command>),
    Cancelled(Result<CancelMode, String>),
    Tick,
    Stop,
}

impl RunTask {
    pub(super) fn new(
        inner: Arc<Inner>,
        active: Arc<RunHandle>,
        mailbox: OwnedMutexGuard<mpsc::Receiver<Command>>,
        record: Record,
        submission: Option<wire::Submission>,
        seat: LeaseCell,
    ) -> Self {
        let mut tick = tokio::time::interval(inner.options.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let queue_deadline = queue_deadline(&inner, &record);
        Self {
            live: Live::of(&record),
            correcting: record.state == RunState::Lost,
            inner,
            active,
            mailbox,
            record,
            submission,
            mirror: None,
            seat,
            unsent: false,
            fit: HashSet::new(),
            unfit: BTreeMap::new(),
            refused: None,
            refetched: 0,
            stata_ended: false,
            lease_to_free: false,
            fruitless: 0,
            from_start: false,
            trouble: None,
            queue_deadline,
            stuck: None,
            unanswered: None,
            deferred: VecDeque::new(),
            tick,
            cancelling: None,
            cancelled: None,
            cancel_resting: false,
            looked_back: false,
            trail: Trail::default(),
        }
    }

    /// Runs to the end of the run, or until the gateway stops.
    pub(super) async fn run(mut self) -> TaskEnd {
        let counted = self.correcting;
        self.trail = Trail::of(&self.record, self.unsent);
        while !self.record.state.is_end() || self.correcting {
            let left = match self.record.state {
                RunState::Queued => Box::pin(self.wait_for_lease()).await,
                _ => Box::pin(self.follow_to_the_end()).await,
            };
            match left {
                Err(Interrupted::Stopping) => return TaskEnd::Stopping,
                Err(Interrupted::Superseded) => return TaskEnd::Superseded,
                Ok(()) | Err(Interrupted::Moved) => {}
            }
            self.correcting &= self.record.state == RunState::Lost;
        }
        if counted && self.record.state == RunState::Lost {
            // It was lost before, came back, and was given up again.
            self.inner.registry.remove(self.record.run);
            return TaskEnd::Ended;
        }
        journal::ended(&self.record);
        self.inner.metrics.ended(&self.record);
        self.inner.registry.remove(self.record.run);
        TaskEnd::Ended
    }

    /// Does some work that may take long, and meanwhile serves commands and deadlines; with a connection it also sends
    /// a pending cancel to the agent.
    pub(super) async fn during<T>(
        &mut self,
        connection: Option<&Port>,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        let mut work = pin!(work);
        let stop = self.inner.deps.tasks.stopping();
        loop {
            if self.stuck.is_none()
                && let Some(command) = self.deferred.pop_front()
            {
                self.obey(command).await?;
            }
            if let Some(connection) = connection {
                self.start_cancelling(connection);
            }
            // Queued runs without a deadline do not tick: a queue of ten thousand would wake up every second for
            // nothing.
            let timed =
                self.stuck.is_none() && (self.record.state != RunState::Queued || self.queue_deadline.is_some());
            let Self { mailbox, cancelling, tick, .. } = self;
            let cancel = async {
                match cancelling {
                    Some(call) => call.await,
                    None => pending().await,
                }
            };
            let woken = tokio::select! {
                // In a fixed order, so that it can be replayed. The work comes last, so that an output that never
                // pauses cannot hold up commands.
                biased;
                () = stop.cancelled() => Woken::Stop,
                command = mailbox.recv() => Woken::Command(command),
                result = cancel => Woken::Cancelled(result),
                _ = tick.tick(), if timed => Woken::Tick,
                done = &mut work => return Ok(done),
            };
            match woken {
                Woken::Command(Some(command)) => self.obey(command).await?,
                Woken::Command(None) | Woken::Stop => return Err(Interrupted::Stopping),
                Woken::Tick => self.look_at_time().await?,
                Woken::Cancelled(result) => {
                    self.cancelling = None;
                    match result {
                        Ok(mode) => {
                            self.cancelled = Some(mode);
                            self.live.cancel_delivered =
                                self.record.cancel.as_ref().is_some_and(|wish| wish.mode == mode);
                            self.publish();
                        }
                        Err(problem) => {
                            tracing::debug!(run = %self.record.run, %problem, "the agent did not take the cancel yet");
                            self.cancel_resting = true;
                        }
                    }
                }
            }
        }
    }

    pub(super) fn waiting(&mut self, why: Option<Wait>) {
        if self.live.waiting != why {
            self.live.waiting = why;
            self.publish();
        }
    }

    /// Publishes the run's snapshot to all watchers.
    pub(super) fn publish(&self) {
        self.active.publish(self.snapshot());
    }

    /// The run as it is now.
    pub(super) fn snapshot(&self) -> Arc<RunSnapshot> {
        Arc::new(snapshot::snapshot(&self.record, &self.live))
    }

    /// The run's detail, to be changed before a step records it.
    pub(super) fn detail(&mut self) -> &mut Detail {
        &mut self.record.detail
    }
}
