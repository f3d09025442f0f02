//! An attempt that never started: the proof of that is asked for, and the run goes back to the queue or ends.

use longhaul_proto::{
    api::Retry,
    state::{Cause, RunState},
    wire,
};

use super::run_task::{Interrupted, RunTask};
use crate::fleet::agent_port::Port;

impl RunTask {
    /// Asks for the proof that this attempt never started; `None` = no answer.
    pub(super) async fn revoke(&mut self, connection: &Port) -> Result<Option<bool>, Interrupted> {
        let request =
            wire::RevokeRequest { run_id: self.record.run.to_string(), attempt: self.record.attempt_number() };
        let limit = self.inner.options.call_timeout;
        let asked = self.during(Some(connection), tokio::time::timeout(limit, connection.revoke(request))).await?;
        Ok(asked.ok().and_then(Result::ok).map(|reply| reply.revoked))
    }

    /// The agent proved that the attempt never started.
    pub(super) async fn never_started(&mut self) -> Result<(), Interrupted> {
        if let Some(refused) = self.refused.as_ref().filter(|error| error.lasts()) {
            let message = format!("agent {} did not take it: {}", self.record.host(), refused.words);
            self.detail().end.message = message;
            self.record.detail.end.complete = self.record.detail.dead_complete();
            return self.step(RunState::Errored, Cause::SpawnFailed).await;
        }
        self.give_back("the agent proved that it never began").await
    }

    pub(super) async fn give_back(&mut self, why: &str) -> Result<(), Interrupted> {
        tracing::info!(run = %self.record.run, attempt = self.record.attempt_number(), why, "back to the queue");
        self.unsent = false;
        if self.record.cancel.is_some() {
            self.record.detail.end.complete = self.record.detail.dead_complete();
            return self.step(RunState::Cancelled, Cause::CancelRequested).await;
        }
        if self.record.detail.asked.retry == Retry::Never {
            let host = self.record.host();
            self.record.detail.end.message =
                format!("it never began on {host}: {why}; its owner wanted no other attempt");
            self.record.detail.end.complete = self.record.detail.dead_complete();
            return self.step(RunState::Errored, Cause::NotStarted).await;
        }
        self.step(RunState::Queued, Cause::Returned).await
    }
}
