//! Unverified runs: an agent brought them without this gateway's seal, and they wait until an operator says whose they
//! are.
//!
//! Such a run has no principal, so that only operators find, list, read, end or join it. Its output is fetched and its
//! end recorded like that of any run. It is never handed to an agent, because its request rests on an agent's word
//! alone.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{ids::RunId, wire};
use tokio::sync::oneshot;

use super::{
    ControlError, Inner, MAX_PAGE, Runs, check,
    registry::{Command, Reply},
    run_task::{Interrupted, RunTask},
};
use crate::{
    audit::{Event, Kind},
    ledger::{Adoption, Dedupe, ListQuery},
    metrics::count,
    model::{Identity, Origin, Principal, Record, RunSnapshot},
};

/// How long a run's task may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What lets an equal request find a run that came from a spool.
pub(crate) fn dedupe(record: &Record, principal: &Principal, submission: &wire::Submission, code: &str) -> Dedupe {
    match code {
        // Without a digest it would equal any code.
        "" => Dedupe::default(),
        code => Dedupe {
            shape: check::shape(principal, submission, &record.detail.asked.source),
            code: code.to_owned(),
            ..Dedupe::default()
        },
    }
}

/// The idempotency key of the call that made a run, as its request has it.
pub(crate) fn key(submission: &wire::Submission) -> Option<(String, String)> {
    // A submission of an older version has no digest: then the body is `UNKNOWN_BODY`.
    (!submission.key.is_empty()).then(|| (submission.key.clone(), submission.request_sha256.clone()))
}

impl Runs {
    /// Gives an unverified run to the principal that its spool names.
    ///
    /// # Errors
    /// See [`ControlError`]; nothing has changed then.
    pub async fn adopt(&self, who: &Identity, run: RunId) -> Result<Arc<RunSnapshot>, ControlError> {
        operators(who)?;
        let view = self.get(who, run).await?;
        if !view.unverified {
            let text =
                format!("run {} is verified: it is {}'s, and there is nothing to adopt", run.short(), view.principal);
            return Err(ControlError::WrongState(text));
        }
        self.0.audit.must(Event::of(Kind::Adopt, who).run(run).with("principal", view.claims.to_string())).await?;
        self.0.adopt(run).await?;
        tracing::info!(by = %who.principal, %run, "an unverified run was adopted");
        Ok(self.get(who, run).await?)
    }

    /// Gives all unverified runs that came from one host to the principals that their spools name.
    ///
    /// # Errors
    /// See [`ControlError`]; those adopted before the error stay so.
    pub async fn adopt_from(&self, who: &Identity, host: &str) -> Result<Vec<Arc<RunSnapshot>>, ControlError> {
        operators(who)?;
        let mut adopted = Vec::new();
        let mut before = None;
        loop {
            let query =
                ListQuery { principal: Some(Principal::default()), before, limit: MAX_PAGE, ..ListQuery::default() };
            let page = self.0.ledger.list(query).await.map_err(ControlError::Ledger)?;
            for record in page.iter().filter(|r| r.host() == host && !r.detail.origin.claims().is_none()) {
                let claims = record.detail.origin.claims().to_string();
                self.0.audit.must(Event::of(Kind::Adopt, who).run(record.run).with("principal", claims)).await?;
                self.0.adopt(record.run).await?;
                adopted.push(self.get(who, record.run).await?);
            }
            match page.last() {
                Some(last) if page.len() == MAX_PAGE as usize => before = Some(last.run),
                _ => break,
            }
        }
        tracing::info!(by = %who.principal, host, runs = adopted.len(), "unverified runs were adopted");
        Ok(adopted)
    }
}

fn operators(who: &Identity) -> Result<(), ControlError> {
    if who.may_operate() {
        return Ok(());
    }
    Err(ControlError::Forbidden("adopting a run needs a token with scope `operate`".to_owned()))
}

impl Inner {
    async fn adopt(self: &Arc<Self>, run: RunId) -> Result<(), ControlError> {
        let record = self.ledger.get(run).await.map_err(ControlError::Ledger)?;
        let submission = self.ledger.submission(run).await.map_err(ControlError::Ledger)?;
        let (Some(record), Some(submission)) = (record, submission) else { return Ok(()) };
        let principal = record.detail.origin.claims();
        if principal.is_none() {
            let text = format!("the spool of run {} names no principal: it stays with the operators", run.short());
            return Err(ControlError::WrongState(text));
        }
        let dedupe = dedupe(&record, &principal, &submission, record.detail.code_sha256());
        let adoption = Adoption { run, principal, key: key(&submission), dedupe };
        // The task of an unfinished run holds its record, so the task changes it.
        if let Some(active) = self.registry.get(run) {
            let (reply, answered) = oneshot::channel();
            let claim = Command::Claim { adoption: Box::new(adoption.clone()), reply };
            if active.mailbox.send(claim).await.is_ok()
                && let Ok(Ok(answer)) = tokio::time::timeout(ANSWER, answered).await
            {
                return answer.map(|_| count(&self.metrics.adopted));
            }
            if self.deps.tasks.stopping().is_cancelled() {
                return Err(ControlError::Stopping);
            }
        }
        self.ledger.adopt(adoption).await.map_err(ControlError::Ledger)?;
        count(&self.metrics.adopted);
        Ok(())
    }
}

impl RunTask {
    /// An operator says whose this run is.
    pub(super) async fn claim(&mut self, adoption: Adoption, reply: Reply) -> Result<(), Interrupted> {
        let principal = adoption.principal.clone();
        if let Err(error) = self.inner.ledger.adopt(adoption).await {
            let _ = reply.send(Err(ControlError::Ledger(error)));
            return Ok(());
        }
        let was = std::mem::replace(&mut self.record.detail.origin, Origin::Imported).is_unverified();
        self.record.principal.clone_from(&principal);
        self.inner.registry.claimed(self.record.run, &principal);
        self.inner.fleet.confirm(self.record.run, &principal).await;
        self.publish();
        let _ = reply.send(Ok(self.snapshot()));
        // Its task waited for this, and goes on.
        if was { Err(Interrupted::Moved) } else { Ok(()) }
    }

    /// Notes that an agent reported another result for this attempt; the recorded one stays.
    pub(super) async fn contest(&mut self, words: String) {
        if self.record.detail.contest(&words) {
            self.publish();
            if let Err(error) = self.inner.ledger.contest(self.record.run, words).await {
                // It is recorded with the next step at the latest.
                tracing::warn!(run = %self.record.run, error = &error as &dyn std::error::Error, "cannot note a second result yet");
            }
        }
    }
}
