//! What dead attempts and removed runs left with agents: deleted at once where the agent can be called, and otherwise
//! when it can.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{clock::rfc3339, faults, ids::RunId, visible};

use super::{Files, Freed, Reason, request};
use crate::{
    fleet::agent_port::Failure,
    ledger::LedgerError,
    model::{AttemptRecord, HeldSpool, Record, Removed},
    runs::Inner,
};

/// Spools that are remembered at most until their agents can be asked: some 300 bytes each.
const UNFREED: usize = 10_000;

/// Whether the agent of a run's last attempt may still keep its spool when the record is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnSpool {
    /// It was deleted before, or there was none.
    Gone,
    /// Its agent could not be asked, or that is not known.
    Held,
}

/// Spools that are to be deleted and whose agents could not be asked: what removed runs left, and what dead attempts
/// left of runs whose own spool was deleted. The agents are asked in a later pass of upkeep.
///
/// The list is lost with the process, which does no harm: agents register with the next one, and what they report of
/// removed runs is deleted then ([`super::shown`], [`super::left`]); of other runs, the rest is deleted with the record. For the same
/// reason what is beyond [`UNFREED`] is not kept.
#[derive(Default)]
pub(crate) struct Unfreed(Mutex<BTreeMap<(RunId, u32), HeldSpool>>);

impl Unfreed {
    fn add(&self, run: RunId, spools: Vec<HeldSpool>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for spool in spools {
            if list.len() < UNFREED && !faults::bug("unreachable_dead_spools_stay") {
                list.insert((run, spool.attempt), spool);
            }
        }
    }

    fn take_of(&self, agents: &[String]) -> Vec<(RunId, HeldSpool)> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_these = list.extract_if(.., |_, spool| agents.contains(&spool.agent_id));
        of_these.map(|((run, _), spool)| (run, spool)).collect()
    }
}

/// Asks other agents to delete the spools of attempts that died before the last one, if all of their output is in the
/// mirror. An agent that cannot be called is asked in a later pass ([`free_rest`]).
pub(crate) async fn free_earlier(inner: &Arc<Inner>, record: &Record) {
    if faults::bug("earlier_spools_stay") {
        return;
    }
    let elsewhere = record.detail.dead().filter(|dead| dead.died_complete() && dead.at.agent_id != record.agent_id());
    let unanswered = ask_all(inner, record.run, elsewhere.map(AttemptRecord::kept).collect()).await;
    inner.unfreed.add(record.run, unanswered);
}

/// Asks the agents to delete what a removed run left with them: the spools of its dead attempts, also where their output
/// was not whole in the mirror (it was the only copy for as long as the record), and its own, if it was still `held`
/// because its agent was silent. An agent that cannot be called is asked in a later pass ([`free_rest`]), or when it
/// registers again ([`super::shown`], [`super::left`]).
pub(crate) async fn free_removed(inner: &Arc<Inner>, run: RunId, own: OwnSpool) -> Result<(), LedgerError> {
    let held = own == OwnSpool::Held && !faults::bug("spools_of_silent_agents_stay");
    // Most runs have one attempt, whose agent was asked before the record went.
    let left = |removed: &Removed| held || removed.kept.len() > 1;
    if let Some(removed) = inner.ledger.removed(run).await?.filter(left) {
        let unanswered = ask_all(inner, run, removed.kept).await;
        inner.unfreed.add(run, unanswered);
    }
    Ok(())
}

/// Asks an agent to delete what a dead attempt left with it, for room there, and notes in the record of an ended run what
/// was the only copy. `false` when the agent keeps it or did not answer.
pub(crate) async fn free_dead_for_room(
    inner: &Arc<Inner>,
    record: &Record,
    dead: &AttemptRecord,
) -> Result<bool, LedgerError> {
    if ask(inner, record.run, &dead.kept()).await != Freed::Gone {
        return Ok(false);
    }
    if !dead.died_complete() {
        let at = rfc3339(inner.wall_clock.now_ms()).unwrap_or_default();
        let (host, number, why) = (&dead.at.host, dead.number, Reason::HostRoom);
        let words = format!(
            "what attempt {number} left on {host} was released {why} at {at}; it was the only copy of a part of its output"
        );
        tracing::warn!(run = %record.run, words, "a spool that was the only copy is gone");
        inner.ledger.earlier_spool_gone(record.run, words).await?;
    }
    Ok(true)
}

/// Asks again for what could not be asked for, as far as the agents are connected. One that does not answer is asked for no
/// more of it in this pass, which would wait for it each time.
pub(crate) async fn free_rest(inner: &Arc<Inner>) {
    let connected: Vec<String> = inner.fleet.connected_agents().into_iter().map(|(agent, _)| agent).collect();
    let mut silent = BTreeSet::new();
    for (run, spool) in inner.unfreed.take_of(&connected) {
        let skip = silent.contains(&spool.agent_id) && !faults::bug("silent_agents_asked_on");
        let unanswered = if skip { vec![spool] } else { ask_all(inner, run, vec![spool]).await };
        silent.extend(unanswered.iter().map(|spool| spool.agent_id.clone()));
        inner.unfreed.add(run, unanswered);
    }
}

/// Asks agents to delete spools. Returns those whose agents did not answer.
async fn ask_all(inner: &Arc<Inner>, run: RunId, spools: Vec<HeldSpool>) -> Vec<HeldSpool> {
    let mut unanswered = Vec::new();
    for spool in spools {
        if let Freed::Unanswered(problem) = ask(inner, run, &spool).await {
            tracing::debug!(%run, agent = spool.agent_id, problem, "a spool stays for now");
            unanswered.push(spool);
        }
    }
    unanswered
}

/// Asks an agent to delete a spool, with the run's files.
async fn ask(inner: &Arc<Inner>, run: RunId, spool: &HeldSpool) -> Freed {
    let connected = inner.fleet.connected_agents();
    let Some((agent, connection)) = connected.iter().find(|(id, _)| *id == spool.agent_id) else {
        return Freed::Unanswered("it is not connected".to_owned());
    };
    let asked = connection.forget(request(run, spool.clone(), Files::Go));
    match tokio::time::timeout(inner.options.call_timeout, asked).await {
        Ok(Ok(reply)) if !reply.forgotten => {
            let problem = visible::line(&reply.problem).into_owned();
            tracing::warn!(%run, %agent, problem, "the agent keeps a spool");
            Freed::Refused(problem)
        }
        Ok(Ok(_)) => Freed::Gone,
        Ok(Err(error)) if error.failure == Failure::NotFound => Freed::Gone,
        Ok(Err(error)) => Freed::Unanswered(error.words),
        Err(_) => Freed::Unanswered("it does not answer".to_owned()),
    }
}
