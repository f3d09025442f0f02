//! What callers may ask of one run: to end it, and to give its agent up. The run's task decides and answers.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{api::CancelMode, faults, ids::RunId, state::RunState};
use tokio::sync::oneshot;

use super::{
    ControlError, Runs,
    reads::Look,
    registry::{Command, Reply},
};
use crate::{
    audit::{Event, Kind},
    model::{CancelIntent, Identity, RunSnapshot},
};

/// How much longer than the limit of one ledger write a caller waits.
const PATIENCE: Duration = Duration::from_secs(1);

impl Runs {
    /// Makes the request to end a run durable and starts to act on it. Repeating it is harmless, and may ask for a
    /// harder mode. A lost run may still be executing on an agent that is away: the request is kept for that agent.
    ///
    /// # Errors
    /// See [`ControlError`]. Cancelling an ended run answers with its view.
    pub async fn cancel(&self, who: &Identity, run: RunId, mode: CancelMode) -> Result<Arc<RunSnapshot>, ControlError> {
        let by = who.principal.to_string();
        let looked = self.look(who, run).await?;
        let owner = match &looked {
            Look::Live(active) => active.principal(),
            Look::Ended(record) => record.principal.clone(),
        };
        if !who.may_cancel(&owner) && !faults::bug("runs_for_everybody") && !faults::bug("scopes_ignored") {
            let words = format!(
                "ending run {} needs a token of scope `{}`, and yours has scope `{}`: ask the operator of this gateway",
                run.short(),
                if who.principal == owner { "cancel_own" } else { "cancel_all" },
                who.scopes
            );
            return Err(ControlError::Forbidden(words));
        }
        self.0
            .audit
            .must(Event::of(Kind::Cancel, who).run(run).with("mode", serde_json::to_value(mode).unwrap_or_default()))
            .await?;
        if let Look::Ended(record) = &looked
            && record.state != RunState::Lost
        {
            self.0.audit.outcome(Kind::Cancel, who, Some(run), format!("it had ended already: {}", record.state));
        }
        if let Look::Ended(record) = looked
            && record.state == RunState::Lost
        {
            let intent = CancelIntent { by: by.clone(), at_ms: self.0.deps.clock.unix_ms(), mode };
            self.0.ledger.request_cancel(run, intent).await.map_err(ControlError::Ledger)?;
            // Its agent may have returned at this moment; then the run's task must get the command too.
        }
        let done = self.ask(who, run, |reply| Command::Cancel { by, mode, reply }).await;
        self.told(Kind::Cancel, who, run, done)
    }

    /// An operator declares that the agent of a run will never come back: the run becomes `lost`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn declare_dead(&self, who: &Identity, run: RunId) -> Result<Arc<RunSnapshot>, ControlError> {
        if !who.may_operate() {
            return Err(ControlError::Forbidden(
                "declaring an agent dead needs a token with scope `operate`".to_owned(),
            ));
        }
        let by = who.principal.to_string();
        let before = self.get(who, run).await?;
        // A run that was lost, came back and went away again has a task, and holds a lease.
        let returned = before.state == RunState::Lost && self.0.registry.get(run).is_some();
        if before.state.is_end() && !returned {
            return Err(ControlError::WrongState(format!("run {} has ended: it is {}", run.short(), before.state)));
        }
        self.0.audit.must(Event::of(Kind::DeclareDead, who).run(run).trace(before.trace_id.as_deref())).await?;
        let done = self.ask(who, run, |reply| Command::DeclareDead { by, reply }).await;
        self.told(Kind::DeclareDead, who, run, done)
    }

    /// A command that was refused after its line has a second one.
    fn told<T>(&self, of: Kind, who: &Identity, run: RunId, done: Result<T, ControlError>) -> Result<T, ControlError> {
        done.inspect_err(|error| self.0.audit.outcome(of, who, Some(run), error))
    }

    /// Sends a command to the run's task; for a run without one the answer is its view.
    async fn ask(
        &self,
        who: &Identity,
        run: RunId,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<Arc<RunSnapshot>, ControlError> {
        let Look::Live(active) = self.look(who, run).await? else { return Ok(self.get(who, run).await?) };
        let (reply, answered) = oneshot::channel();
        let asked = async {
            let sent = active.mailbox.send(command(reply)).await.is_ok();
            if sent { answered.await.ok() } else { None }
        };
        // Longer than any write of the ledger may take, so that the answer of the run's task comes first.
        let limit = self.0.options.call_timeout + PATIENCE;
        match tokio::time::timeout(limit, asked).await {
            Ok(Some(answer)) => return answer,
            Ok(None) => {}
            Err(_) => return Err(ControlError::Slow(limit)),
        }
        // The task has just ended: with its run, or with the gateway.
        if self.0.deps.tasks.stopping().is_cancelled() {
            return Err(ControlError::Stopping);
        }
        Ok(self.get(who, run).await?)
    }
}
