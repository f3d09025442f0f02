//! Commands to a run (cancel, adopt, supersede, declare dead, contest) and its deadlines.

use std::time::Duration;

use futures_util::future::BoxFuture;
use longhaul_proto::{
    api::CancelMode,
    error_kind::ErrorKind,
    faults,
    ids::RunId,
    state::{Cause, RunState},
    wire,
};
use tokio::sync::oneshot;

use super::{
    ControlError, journal,
    registry::{Command, Reply},
    run_task::{Interrupted, RunTask},
};
use crate::{
    fleet::agent_port::Port,
    model::{Attempt, CancelIntent, Contact, ContactState, Diagnosis, Placement, UnixMs, Wait},
};

impl RunTask {
    /// Sends the requested cancel to the agent, unless the agent has accepted it already.
    pub(super) fn start_cancelling(&mut self, connection: &Port) {
        let Some(intent) = &self.record.cancel else { return };
        if self.cancelling.is_some() || self.cancel_resting || self.cancelled == Some(intent.mode) {
            return;
        }
        let mode = intent.mode;
        let wire_mode = match mode {
            CancelMode::Break => wire::CancelMode::Break,
            CancelMode::Terminate => wire::CancelMode::Terminate,
            CancelMode::Kill => wire::CancelMode::Kill,
        };
        let run_id = self.record.run.to_string();
        let request = wire::CancelRequest { run_id, mode: wire_mode.into(), by: intent.by.clone() };
        let (connection, limit) = (connection.clone(), self.inner.options.call_timeout);
        self.cancelling = Some(Box::pin(async move {
            match tokio::time::timeout(limit, connection.cancel(request)).await {
                Ok(Ok(reply)) if reply.known => Ok(mode),
                Ok(Ok(_)) => Err("it does not know the run".to_owned()),
                Ok(Err(error)) => Err(error.words),
                Err(_) => Err("it does not answer".to_owned()),
            }
        }));
    }

    /// Executes a command.
    pub(super) fn obey(&mut self, command: Command) -> BoxFuture<'_, Result<(), Interrupted>> {
        Box::pin(self.obeyed(command))
    }

    async fn obeyed(&mut self, command: Command) -> Result<(), Interrupted> {
        match command {
            Command::Adopt { .. } | Command::Supersede { .. } if self.stuck.is_some() => {
                // A step is waiting to be recorded: the command is decided after it.
                self.deferred.push_back(command);
                Ok(())
            }
            Command::DeclareDead { reply, .. } if self.stuck.is_some() => {
                if let Some(error) = self.stuck.clone() {
                    let _ = reply.send(Err(ControlError::Ledger(error)));
                }
                Ok(())
            }
            Command::Claim { reply, .. } if self.stuck.is_some() => {
                if let Some(error) = self.stuck.clone() {
                    let _ = reply.send(Err(ControlError::Ledger(error)));
                }
                Ok(())
            }
            Command::Cancel { by, mode, reply } => self.cancel(by, mode, reply).await,
            Command::DeclareDead { by, reply } => self.declare_dead(&by, reply).await,
            Command::Supersede { by, reply } => self.supersede(by, reply).await,
            Command::Claim { adoption, reply } => self.claim(*adoption, reply).await,
            Command::Contest { words } => {
                self.contest(words).await;
                Ok(())
            }
            Command::Adopt { at, attempt } => self.take_over(at, attempt).await,
        }
    }

    /// A client asks for the end of the run: the request is durable before anything comes of it.
    async fn cancel(&mut self, by: String, mode: CancelMode, reply: Reply) -> Result<(), Interrupted> {
        let intent = CancelIntent { by, at_ms: self.inner.deps.clock.unix_ms(), mode };
        match self.record_intent(intent.clone()).await {
            Ok(true) => {
                faults::point("cancel.after_wish");
                journal::cancel_requested(&self.record, &intent.by, mode);
                let first = self.record.cancel.take().unwrap_or(intent);
                self.record.cancel = Some(CancelIntent { mode, ..first });
                self.cancel_resting = false;
                self.live.cancel_delivered = self.cancelled == Some(mode);
                if self.record.state != RunState::Queued || self.stuck.is_some() {
                    self.publish();
                    let _ = reply.send(Ok(self.snapshot()));
                    return Ok(());
                }
                self.unanswered = Some(reply);
                let stepped = self.step(RunState::Cancelled, Cause::CancelRequested).await;
                let unanswered = self.unanswered.take();
                stepped?;
                if let Some(reply) = unanswered {
                    let _ = reply.send(Ok(self.snapshot()));
                }
                Err(Interrupted::Moved)
            }
            Ok(false) => {
                let _ = reply.send(Ok(self.snapshot()));
                Ok(())
            }
            Err(error) => {
                let _ = reply.send(Err(error));
                Ok(())
            }
        }
    }

    /// The same call was made before, and an agent has that run: this one ends, unless it has started.
    async fn supersede(&mut self, by: RunId, reply: oneshot::Sender<()>) -> Result<(), Interrupted> {
        if self.record.state != RunState::Queued || self.record.attempt().is_some() {
            return Ok(());
        }
        self.record.detail.end.message = format!(
            "the same call was made before, and its run {by} was found with an agent: look there; nothing was run here"
        );
        self.step(RunState::Cancelled, Cause::CancelRequested).await?;
        let _ = reply.send(());
        Err(Interrupted::Moved)
    }

    /// An agent holds an attempt that the ledger does not know: the run goes on there.
    async fn take_over(&mut self, at: Placement, attempt: Attempt) -> Result<(), Interrupted> {
        if self.record.state != RunState::Queued || Some(attempt) <= self.record.attempt() {
            return Ok(());
        }
        let lease = self.inner.fleet.hold(self.record.run, &self.record.principal, at.clone()).await;
        self.seat.put(lease);
        self.step_to_attempt(attempt, at).await?;
        self.unsent = false;
        (self.stata_ended, self.lease_to_free, self.fruitless) = (false, false, 0);
        Err(Interrupted::Moved)
    }

    /// An operator declares that the agent will never come back.
    async fn declare_dead(&mut self, by: &str, reply: Reply) -> Result<(), Interrupted> {
        if let Some(text) = self.lives() {
            let _ = reply.send(Err(ControlError::WrongState(text)));
            return Ok(());
        }
        if self.record.state == RunState::Lost {
            // It was given up before, came back, and went away again: nothing is recorded, and its lease is freed.
            self.free_recorded_lease().await?;
            self.seat.free();
            self.correcting = false;
        } else {
            self.record.detail.end.message = format!(
                "{by} declared agent {} dead; the output so far is kept, and if the agent returns its record counts",
                self.record.host()
            );
            self.lose(Cause::DeclaredDead).await?;
        }
        let _ = reply.send(Ok(self.snapshot()));
        Err(Interrupted::Moved)
    }

    /// Why this run cannot be declared dead, and what to do instead.
    fn lives(&self) -> Option<String> {
        let host = self.record.host();
        let heard = self.inner.fleet.silent_for(self.record.agent_id()).is_none();
        match self.record.state {
            RunState::Queued => Some("it waits and is on no agent: cancel it instead".to_owned()),
            RunState::Lost if self.correcting && !heard => None,
            RunState::Lost if self.correcting => {
                Some(format!("it is lost, and agent {host} has returned with it: cancel it instead"))
            }
            state if state.is_end() => Some(format!("it is {state} already")),
            _ if !heard || self.trouble.is_some() => None,
            _ if self.stata_ended => Some(format!(
                "its Stata has ended and holds no seat; agent {host} sends the rest of its output, and the run ends by itself"
            )),
            _ => Some(match self.inner.fleet.contact(self.record.agent_id()) {
                Some(contact) => format!(
                    "{}, so the run may well be alive there: see that the gateway reaches it, or stop the agent first",
                    contact.words
                ),
                None => format!(
                    "agent {host} is connected and looks after this run: cancel it instead, with mode kill if need be"
                ),
            }),
        }
    }

    /// Makes a cancel request durable, within the time that a caller waits for an answer.
    async fn record_intent(&mut self, intent: CancelIntent) -> Result<bool, ControlError> {
        let limit = self.inner.options.call_timeout;
        match tokio::time::timeout(limit, self.inner.ledger.request_cancel(self.record.run, intent)).await {
            Ok(recorded) => recorded.map_err(ControlError::Ledger),
            Err(_) => Err(ControlError::Slow(limit)),
        }
    }

    fn silent_for(&self) -> Option<Duration> {
        match self.record.state {
            RunState::Starting | RunState::Running => self.inner.fleet.silent_for(self.record.agent_id()),
            _ => None,
        }
    }

    /// Checks the deadlines: the queue limit, the agent's silence, and the time after which a run counts as lost.
    pub(super) fn look_at_time(&mut self) -> BoxFuture<'_, Result<(), Interrupted>> {
        Box::pin(self.looked_at_time())
    }

    async fn looked_at_time(&mut self) -> Result<(), Interrupted> {
        self.cancel_resting = false;
        if self.record.state == RunState::Queued {
            if self.queue_deadline.is_some_and(|at| self.inner.deps.clock.monotonic() >= at) {
                self.note_queue_timeout();
                self.step(RunState::TimedOut, Cause::QueueTimeout).await?;
                return Err(Interrupted::Moved);
            }
            return Ok(());
        }
        if std::mem::take(&mut self.lease_to_free) {
            // The rest of the output takes long: a gateway that starts before its end must not hold a seat for it.
            self.free_recorded_lease().await?;
        }
        self.learn().await;
        let silent = self.silent_for();
        let contact = self.inner.fleet.contact(self.record.agent_id());
        let shown = |c: &Option<Contact>| c.as_ref().map(|c| (c.state, c.lasts.as_secs()));
        if silent.map(|d| d.as_secs()) != self.live.silent_for.map(|d| d.as_secs())
            || shown(&contact) != shown(&self.live.contact)
        {
            // `silent` would be wrong for an agent that has had no time yet to return.
            let awaited = contact.as_ref().is_some_and(|c| c.state == ContactState::Awaited);
            self.live.silent_for = silent.filter(|_| !awaited);
            let unclear = contact.as_ref().filter(|_| self.record.state == RunState::Starting);
            self.live.waiting = unclear.cloned().map(Wait::Unclear);
            self.live.contact = contact;
            self.publish();
        }
        self.look_for_an_end();
        if let (Some(silent), Some(horizon)) = (silent, self.inner.options.lost_after)
            && silent >= horizon
        {
            self.record.detail.end.message = format!(
                "agent {} was not heard for {} s; the output so far is kept, and if the agent returns its record counts",
                self.record.host(),
                silent.as_secs()
            );
            self.lose(Cause::AgentGone).await?;
            return Err(Interrupted::Moved);
        }
        Ok(())
    }

    /// The message of a run that reached its queue limit, and whether any agent could have taken it.
    fn note_queue_timeout(&mut self) {
        let none = match &self.live.waiting {
            Some(Wait::Queued(reason)) if reason.no_end => Some(reason.words.clone()),
            _ => None,
        };
        let waited = super::retry::waited_too_long(&self.record.detail);
        let end = &mut self.record.detail.end;
        end.message = match none {
            Some(why) => {
                end.diagnosis = Diagnosis::of_kind(ErrorKind::NoAgent);
                format!("{waited}: {why}")
            }
            None => waited,
        };
    }

    /// Notes since when only a person can move this run on: its agent is silent or unreachable, or cannot look after
    /// the run.
    fn look_for_an_end(&mut self) {
        let contact = self.live.contact.as_ref().filter(|c| c.state != ContactState::Awaited);
        let away = contact.map(|c| c.lasts);
        let for_how_long = away.or(self.trouble.is_some().then_some(Duration::ZERO));
        let since = for_how_long.and_then(|long| {
            let long = i64::try_from(long.as_millis()).unwrap_or(i64::MAX);
            UnixMs::stored(self.inner.deps.clock.unix_ms().saturating_sub(long).max(1))
        });
        if since.is_some() != self.live.no_end_since.is_some() {
            self.live.no_end_since = since;
            self.publish();
        }
    }

    async fn lose(&mut self, cause: Cause) -> Result<(), Interrupted> {
        self.record.detail.end.output = self.live.output();
        self.step(RunState::Lost, cause).await?;
        self.seat.free();
        Ok(())
    }
}
