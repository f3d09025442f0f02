//! Deduplication: whether an earlier run answers a request, in place of a new one.
//!
//! Decides whether an earlier run may answer a request: a repeated call must not execute twice, and an old result must
//! never pass for a new one.
//!
//! Clients and models repeat calls that were lost. The ledger finds the run that could answer ([`Dedupe`]); this module
//! asks that run's agent whether the do-files that it entered are still the same. There are three answers:
//!
//! - they are: the run answers;
//! - a command is ending the run there: it answers nothing, and the request goes on as if that run did not exist;
//! - they have changed, or that cannot be determined: nothing is joined and nothing is started, and the caller is told
//!   how to go on. An agent that cannot answer counts as changed: to start a second run might execute the same thing
//!   twice, and to join might show an old result as a new one; only the caller knows which of the two is wanted (and
//!   says so with `again`).
//!
//! With an idempotency key of the caller's own none of this is asked: the key names one run for as long as its record
//! is kept.
//!
//! [`Dedupe`]: crate::ledger::Dedupe

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use longhaul_proto::{api::Joined, faults, ids::RunId, state::RunState, wire, words::whole_duration};
use tokio::sync::watch;

use super::{Accepted, Inner, SubmitError, submit};
use crate::{
    ledger::{LedgerError, NewRun},
    model::Record,
};

/// Files named in an error.
const NAMED: usize = 3;

/// What the agent of a run answers about its do-files.
enum AgentAnswer {
    Same,
    Ending,
    /// They have changed, or that cannot be determined; in words.
    Not(String),
    /// The agent cannot be asked now; in words.
    NotNow(String),
}

/// Why an earlier run does not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{words}")]
pub struct Unjoined {
    /// The run.
    pub run: RunId,
    /// In words, which may name do-files that it entered.
    pub words: String,
    /// In words without them.
    pub without_names: String,
}

/// Whether an earlier run answers a request.
pub(super) enum Verdict {
    /// It answers.
    Join(Accepted),
    /// It does not; the request goes on without it.
    GoOn,
}

/// Decides whether `run` answers, and if so binds the request's key to it.
///
/// # Errors
/// When nothing is joined and nothing may be started, or when the ledger fails.
pub(super) async fn decide(inner: &Arc<Inner>, new: &NewRun, run: RunId, why: Joined) -> Result<Verdict, SubmitError> {
    let record = inner.ledger.get(run).await.map_err(SubmitError::Ledger)?;
    let record = record.ok_or(SubmitError::Ledger(LedgerError::Lost(run)))?;
    if why != Joined::Key {
        match ask(inner, &record).await {
            AgentAnswer::Same => {}
            AgentAnswer::Ending => return Ok(Verdict::GoOn),
            // The caller knows of the earlier run and wants another.
            AgentAnswer::Not(_) | AgentAnswer::NotNow(_) if new.dedupe.join_since_ms.is_none() => {
                return Ok(Verdict::GoOn);
            }
            AgentAnswer::Not(reason) => return Err(SubmitError::Changed(refusal(inner, &record, why, &reason))),
            AgentAnswer::NotNow(reason) => return Err(SubmitError::Unasked(refusal(inner, &record, why, &reason))),
        }
        for name in new.names() {
            let named = inner.ledger.name_run(new.record.principal.clone(), name, run).await;
            named.map_err(SubmitError::Ledger)?;
        }
    }
    submit::earlier(inner, run, why).await.map(Verdict::Join)
}

/// Asks the agent of a run, for a bounded time.
async fn ask(inner: &Arc<Inner>, record: &Record) -> AgentAnswer {
    // A queued run has entered no do-file yet.
    if record.state == RunState::Queued || record.attempt().is_none() || faults::bug("join_without_asking") {
        return AgentAnswer::Same;
    }
    let host = record.host();
    let limit = inner.options.changed_timeout;
    let asked = async {
        let mut connections = inner.fleet.connections(record.agent_id()).await;
        // An agent that restarts, or whose gateway restarted, is back within this time.
        let connection = connections.wait_for(|l| l.as_ref().is_some_and(|l| !l.is_broken())).await.ok().flatten()?;
        let request = wire::ChangedRequest { run_id: record.run.to_string(), attempt: record.attempt_number() };
        connection.changed(request).await.ok()
    };
    let reply = tokio::time::timeout(limit, asked).await.ok().flatten();
    match reply {
        None => {
            let contact = inner.fleet.contact(record.agent_id()).map(|c| c.words);
            let why = contact.unwrap_or_else(|| format!("agent {host} does not answer"));
            AgentAnswer::NotNow(format!(
                "whether the do-files that it ran have changed since cannot be told now ({why})"
            ))
        }
        // A run without output has no old result to show; so early its agent may not have it, or no notes of it.
        Some(reply) if begins(record) && reply.changed.is_empty() && (!reply.known || !reply.unsure.is_empty()) => {
            if reply.ending {
                AgentAnswer::Ending
            } else {
                AgentAnswer::Same
            }
        }
        Some(reply) if !reply.known => AgentAnswer::Not(format!(
            "whether the do-files that it ran have changed since cannot be told: agent {host} does not keep the run any more"
        )),
        Some(reply) if reply.ending => AgentAnswer::Ending,
        Some(reply) if !reply.changed.is_empty() => {
            let more = if reply.changed.len() > NAMED { " and others" } else { "" };
            let named: Vec<String> = reply.changed.iter().take(NAMED).map(|path| plain(path)).collect();
            AgentAnswer::Not(format!("{}{more} changed since it ran them", named.join(", ")))
        }
        Some(reply) if !reply.unsure.is_empty() => AgentAnswer::Not(format!(
            "whether the do-files that it ran have changed since cannot be told: {}",
            plain(&reply.unsure)
        )),
        Some(_) => AgentAnswer::Same,
    }
}

/// Whether this run is known to have printed nothing yet.
fn begins(record: &Record) -> bool {
    record.state == RunState::Starting && !faults::bug("beginning_counts_as_changed")
}

/// An agent's text as one short line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

fn refusal(inner: &Inner, record: &Record, why: Joined, reason: &str) -> Unjoined {
    let short = record.run.short();
    let age = |since_ms: i64| {
        let ms = u64::try_from(inner.deps.clock.unix_ms() - since_ms).unwrap_or_default();
        whole_duration(Duration::from_millis(ms))
    };
    let by = if why == Joined::Call { "by this same call" } else { "by an equal call" };
    let which = format!("run {short} was submitted {} ago {by}", age(record.created_ms));
    let (stands, ways) = if record.state.is_end() {
        let stands = format!("and ended {} ago ({})", age(record.finished_ms), record.state);
        (stands, format!("`stata_wait(runs: \"{short}\")` or `longhaul wait {short}` shows its result."))
    } else {
        let ways = format!(
            "To end that one first: `stata_cancel(run: \"{short}\")` or `longhaul cancel {short}`. To have its result after \
             all: `stata_wait(runs: \"{short}\")` or `longhaul wait {short}`. The run goes on by itself."
        );
        ("and is not over".to_owned(), ways)
    };
    let words = |reason: &str| {
        format!(
            "{which} {stands}, but {reason}; so nothing was joined and nothing was started. To run what is there now: pass \
             `again: true` (`longhaul run --again`). {ways}"
        )
    };
    let without_names = words("do-files that it ran have changed since, or that cannot be told");
    Unjoined { run: record.run, words: words(reason), without_names }
}

/// Ends that were shown and are not yet noted in the ledger: an equal request that arrives at this moment must not be
/// answered with one of them.
pub(crate) struct Shown(watch::Sender<BTreeSet<RunId>>);

impl Default for Shown {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }
}

impl Shown {
    /// From now until [`Shown::noted`], [`Shown::settled`] waits for these runs.
    pub(super) fn noting(&self, runs: &[RunId]) {
        self.0.send_modify(|shown| shown.extend(runs));
    }

    pub(super) fn noted(&self, runs: &[RunId]) {
        self.0.send_modify(|shown| shown.retain(|run| !runs.contains(run)));
    }

    /// Waits until every end that was shown before this call is noted.
    pub(super) async fn settled(&self) {
        let before = self.0.borrow().clone();
        if !before.is_empty() {
            let mut now = self.0.subscribe();
            // The sender is `self`'s, so it cannot be closed.
            let _ = now.wait_for(|shown| shown.is_disjoint(&before)).await;
        }
    }
}
