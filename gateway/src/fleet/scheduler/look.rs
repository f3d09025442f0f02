//! Hosts and pools at one moment, for one decision: which host takes a run, or why none does.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use longhaul_proto::ids::RunId;

use super::{
    roster::Roster,
    seats::{Seats, Taken},
    shares::Shares,
};
use crate::{
    fleet::{
        placement::{self, Holder, Host, NAMED, Open, Pool, Situation},
        snapshot::FleetSnapshot,
    },
    model::{ContactState, Need, Principal, QueueReason},
    options::quotas::QuotaRules,
};

/// Hosts and pools now, as far as one principal may know them.
#[derive(Clone, Copy)]
pub(super) struct Look<'s> {
    pub(super) table: &'s FleetSnapshot,
    pub(super) roster: &'s Roster,
    pub(super) seats: &'s Seats,
    /// What principals hold, and may hold.
    pub(super) shares: &'s Shares,
    pub(super) quotas: &'s QuotaRules,
    /// Seats by pool, from the configuration.
    pub(super) configured: &'s BTreeMap<String, u32>,
    /// The principal.
    pub(super) asker: &'s Principal,
    pub(super) now: Duration,
}

impl<'s> Look<'s> {
    /// Picks the host for a run of the principal.
    ///
    /// # Errors
    /// Why no host can take it.
    pub(super) fn choose(&self, need: &Need) -> Result<&'s Host, QueueReason> {
        placement::choose(self.asker, need, self.roster.hosts(), self)
    }

    fn is_heard(&self, agent_id: &str) -> bool {
        self.table.silent_for(agent_id, self.now).is_none()
    }

    /// The seats of a pool: from the configuration, else the smallest number that its agents report; `None` = none
    /// reports it, and no run holds a seat of it.
    pub(super) fn seats_of(&self, pool: &str) -> Option<u32> {
        let unreported = || (self.seats.in_use(pool, |_| true) > 0).then_some(1);
        self.configured.get(pool).copied().or_else(|| self.roster.seats(pool)).or_else(unreported)
    }

    /// The seats of a pool that are taken.
    pub(super) fn in_use(&self, pool: &str) -> u32 {
        self.seats.in_use(pool, |agent_id| self.is_heard(agent_id))
    }

    /// Set when all holders of a pool's seats are on silent agents: otherwise the seats come free by themselves.
    fn silence(&self, pool: &str) -> Option<String> {
        if self.seats.foreign(pool, |agent_id| self.is_heard(agent_id)).next().is_some() {
            return None;
        }
        self.all_silent(self.seats.holders(pool, |agent_id| self.is_heard(agent_id)))
    }

    /// Set when the agents of all these runs are silent: one of them, and what frees its seat.
    fn all_silent<'t>(&self, holders: impl Iterator<Item = (RunId, &'t Taken)>) -> Option<String> {
        let (mut silent, mut last) = (HashSet::new(), None);
        for (run, taken) in holders {
            let agent_id = taken.at.agent_id.as_str();
            if !silent.contains(agent_id) {
                self.silence_of(run, taken)?;
                silent.insert(agent_id);
            }
            last = Some((run, taken));
        }
        last.and_then(|(run, taken)| self.silence_of(run, taken))
    }

    /// Says that the agent of a run that holds a seat is silent, and what frees the seat.
    fn silence_of(&self, run: RunId, taken: &Taken) -> Option<String> {
        let contact = self.table.contact(&taken.at.agent_id, self.now).filter(|c| c.state != ContactState::Awaited)?;
        if contact.state == ContactState::Unreachable {
            // Its heartbeats arrive, so the run may well be alive there.
            let words = contact.words;
            return Some(format!("{words}; its seat comes free when the agent is reached again and the run has ended"));
        }
        // Another principal's run is not named; an operator finds it on that host.
        let run = if taken.principal == *self.asker { run.short() } else { "RUN".to_owned() };
        Some(format!(
            "{}; its seat comes free when the agent returns and the run has ended, or when an operator says that it never \
             will (`longhaul declare-dead {run}`)",
            contact.words
        ))
    }
}

impl Situation for Look<'_> {
    fn is_away(&self, host: &Host) -> bool {
        match &host.open {
            Open::No => true,
            Open::WhileSeen(last_seen) => last_seen.silent(self.now) > self.table.silent_after,
        }
    }

    fn away(&self, host: &Host) -> QueueReason {
        let agent = self.table.agents.get(&*host.id);
        agent.and_then(|agent| self.table.away(agent, self.now)).unwrap_or_default()
    }

    fn quota(&self, pool: &str) -> Option<QueueReason> {
        let full = self.shares.exhausted(self.quotas, self.asker, pool)?;
        let holders = || self.seats.leases().filter(|(_, taken)| full.counts(self.quotas, taken));
        let why = match self.all_silent(holders()) {
            Some(silent) => QueueReason::lasting(format!("{}; {silent}", full.words())),
            None => QueueReason::passing(full.words()),
        };
        let own = holders().filter(|(_, taken)| taken.principal == *self.asker).map(|(run, _)| run).take(NAMED);
        Some(why.behind(own.collect()).of(full.waits_for()))
    }

    fn has_quota(&self, pool: &str) -> bool {
        self.shares.exhausted(self.quotas, self.asker, pool).is_none()
    }

    fn has_seat(&self, pool: &str) -> bool {
        self.seats_of(pool).is_none_or(|seats| self.in_use(pool) < seats)
    }

    fn taken(&self, pool: &str) -> Pool {
        let leases = self.seats.holders(pool, |agent_id| self.is_heard(agent_id));
        let foreign = self.seats.foreign(pool, |agent_id| self.is_heard(agent_id)).map(|(agent_id, n)| {
            let host = self.table.agents.get(agent_id).map_or(agent_id, |agent| agent.info.name.as_str());
            Holder { own: None, words: format!("{n} Stata outside Longhaul on {host}") }
        });
        let named = leases.map(|(run, taken)| taken.holder(run, self.asker)).take(NAMED).chain(foreign);
        Pool {
            seats: self.seats_of(pool).unwrap_or_default(),
            in_use: self.in_use(pool),
            named: named.collect(),
            silent: self.silence(pool),
        }
    }
}
