//! Runs whose records were removed, and which an agent reports all the same.

use std::sync::Arc;

use longhaul_proto::{faults, ids::RunId, state::RunState, wire};

use super::{Files, request};
use crate::{ledger::LedgerError, model::HeldSpool, runs::Inner};

/// What is known of a run without a record that an agent reports.
pub(crate) enum Shown {
    /// The ledger never knew it.
    Unknown,
    /// Its record was removed after its end was known: the agent may delete it.
    Removed(wire::ForgetRequest),
    /// Its record was removed without this end: the run was lost, and is found again.
    Again,
    /// Its record was removed, and another agent had the run.
    Foreign,
}

/// Looks up a run that an agent reports among the removed ones.
pub(crate) async fn shown(
    inner: &Arc<Inner>,
    agent_id: &str,
    summary: &wire::RunSummary,
    run: RunId,
) -> Result<Shown, LedgerError> {
    if faults::bug("removed_runs_forgotten") {
        return Ok(Shown::Unknown);
    }
    let Some(removed) = inner.ledger.removed(run).await? else { return Ok(Shown::Unknown) };
    let ended = RunState::from_wire(summary.state).is_some_and(RunState::is_end);
    let its = |kept: &HeldSpool| ended && kept.agent_id == agent_id && kept.attempt == summary.attempt;
    let foreign = !removed.agents.is_empty() && removed.agents.iter().all(|given| given != agent_id);
    Ok(match removed.kept.into_iter().find(its) {
        Some(kept) => Shown::Removed(request(run, kept, Files::Go)),
        None if foreign && !faults::bug("removed_runs_claimed") => Shown::Foreign,
        None => Shown::Again,
    })
}

/// Whether an agent's summary has the known end: the same lengths and digests.
pub(crate) fn is_of(kept: &HeldSpool, agent_id: &str, summary: &wire::RunSummary) -> bool {
    let Some(outcome) = &summary.outcome else { return false };
    kept.agent_id == agent_id
        && (kept.log_len, kept.console_len) == (outcome.log_len, outcome.console_len)
        && kept.log_sha256 == outcome.log_sha256
        && kept.console_sha256 == outcome.console_sha256
}

/// The request to delete the files that a removed run left with an agent, if they are that run's. `None` for a run that
/// the ledger never knew: the ledger may be an old copy.
pub(crate) async fn left(
    inner: &Arc<Inner>,
    agent_id: &str,
    summary: &wire::RunSummary,
    run: RunId,
) -> Result<Option<wire::ForgetRequest>, LedgerError> {
    let removed = inner.ledger.removed(run).await?;
    let its = removed.into_iter().flat_map(|removed| removed.kept).find(|kept| is_of(kept, agent_id, summary));
    Ok(its.map(|kept| request(run, kept, Files::Go)))
}
