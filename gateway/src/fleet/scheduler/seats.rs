//! Leases as the scheduler counts them. The counts of each agent and pool change as seats come and go, so that no
//! decision goes through all leases.
//!
//! A principal's lease counts. One without a principal has only its agent's word: it counts while that agent's
//! heartbeats arrive.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_proto::{faults, ids::RunId};

use crate::{
    fleet::{lease::Serial, placement::Holder},
    model::{Placement, Principal},
};

type Key = (RunId, Serial);

/// All leases.
#[derive(Debug, Default)]
pub(super) struct Seats {
    leases: BTreeMap<Key, Taken>,
    agents: HashMap<String, Count>,
    pools: HashMap<String, Held>,
    /// Seats that processes take which no Longhaul started, by agent, with the pool; none of them is a lease.
    foreign: BTreeMap<String, (String, u32)>,
}

/// A lease.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) principal: Principal,
    pub(super) at: Placement,
    /// It counts whether or not its agent is seen.
    confirmed: bool,
}

/// How many leases an agent has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) all: u32,
    pub(super) confirmed: u32,
}

/// The leases of a pool.
#[derive(Debug, Default)]
struct Held {
    confirmed: u32,
    /// The others, by agent.
    unconfirmed: BTreeMap<String, u32>,
    leases: BTreeSet<Key>,
}

impl Taken {
    /// Names the holder of the seat to the principal of a waiting run: other principals' runs are not named.
    pub(super) fn holder(&self, run: RunId, asker: &Principal) -> Holder {
        let (own, host) = (Some(run).filter(|_| self.principal == *asker), &self.at.host);
        let words = if own.is_some() || faults::bug("others_runs_named") {
            format!("run {} on {host}", run.short())
        } else {
            format!("another principal's run on {host}")
        };
        Holder { own, words }
    }

    fn count(&self, count: &mut Count, held: &mut Held) {
        count.all += 1;
        if self.confirmed {
            count.confirmed += 1;
            held.confirmed += 1;
        } else {
            *held.unconfirmed.entry(self.at.agent_id.clone()).or_default() += 1;
        }
    }

    fn discount(&self, count: &mut Count, held: &mut Held) {
        count.all = count.all.saturating_sub(1);
        if self.confirmed {
            count.confirmed = count.confirmed.saturating_sub(1);
            held.confirmed = held.confirmed.saturating_sub(1);
        } else if let Some(n) = held.unconfirmed.get_mut(&self.at.agent_id) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                held.unconfirmed.remove(&self.at.agent_id);
            }
        }
    }
}

impl Seats {
    /// Counts a lease.
    pub(super) fn take(&mut self, run: RunId, serial: Serial, principal: &Principal, at: &Placement) {
        self.give_back(run, serial);
        let confirmed = !principal.is_none() || faults::bug("invented_seats");
        let taken = Taken { principal: principal.clone(), at: at.clone(), confirmed };
        let held = self.pools.entry(at.pool.clone()).or_default();
        taken.count(self.agents.entry(at.agent_id.clone()).or_default(), held);
        held.leases.insert((run, serial));
        self.leases.insert((run, serial), taken);
    }

    /// A lease is over; returns whose and where it was.
    pub(super) fn give_back(&mut self, run: RunId, serial: Serial) -> Option<(Principal, Placement)> {
        let taken = self.leases.remove(&(run, serial))?;
        if let (Some(count), Some(held)) = (self.agents.get_mut(&taken.at.agent_id), self.pools.get_mut(&taken.at.pool))
        {
            taken.discount(count, held);
            held.leases.remove(&(run, serial));
            if count.all == 0 {
                self.agents.remove(&taken.at.agent_id);
            }
            if held.leases.is_empty() {
                self.pools.remove(&taken.at.pool);
            }
        }
        Some((taken.principal, taken.at))
    }

    /// The leases of a run.
    pub(super) fn of_run(&self, run: RunId) -> Vec<(Serial, Placement)> {
        let its = self.leases.range((run, 0)..=(run, Serial::MAX));
        its.map(|((_, serial), taken)| (*serial, taken.at.clone())).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// How many leases an agent has.
    pub(super) fn of_agent(&self, agent_id: &str) -> Count {
        self.agents.get(agent_id).copied().unwrap_or_default()
    }

    /// The seats of a pool that count now; `is_heard` says whether an agent's heartbeats arrive.
    pub(super) fn in_use(&self, pool: &str, is_heard: impl Fn(&str) -> bool) -> u32 {
        let foreign = self.foreign(pool, &is_heard).map(|(_, n)| n).fold(0, u32::saturating_add);
        let Some(held) = self.pools.get(pool) else { return foreign };
        let unconfirmed = held.unconfirmed.iter().filter(|(agent_id, _)| is_heard(agent_id));
        held.confirmed.saturating_add(unconfirmed.map(|(_, n)| n).sum::<u32>()).saturating_add(foreign)
    }

    /// Sets how many seats an agent's host gives to processes that no Longhaul started; `true` = fewer than before.
    pub(super) fn set_foreign(&mut self, agent_id: &str, pool: &str, seats: u32) -> bool {
        let before = match seats {
            0 => self.foreign.remove(agent_id),
            seats => self.foreign.insert(agent_id.to_owned(), (pool.to_owned(), seats)),
        };
        before.is_some_and(|(its, n)| n > seats || its != pool)
    }

    /// The seats of a pool that such processes take, by agent, where its heartbeats arrive: there is only its word.
    pub(super) fn foreign(&self, pool: &str, is_heard: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, u32)> {
        let its = self.foreign.iter().filter(move |(agent_id, (its, _))| its == pool && is_heard(agent_id));
        its.map(|(agent_id, (_, n))| (agent_id.as_str(), *n))
    }

    /// The leases of a pool that count now, in the order of their runs.
    pub(super) fn holders(&self, pool: &str, is_heard: impl Fn(&str) -> bool) -> impl Iterator<Item = (RunId, &Taken)> {
        let keys = self.pools.get(pool).into_iter().flat_map(|held| &held.leases);
        let taken = keys.filter_map(|key| Some((key.0, self.leases.get(key)?)));
        taken.filter(move |(_, taken)| taken.confirmed || is_heard(&taken.at.agent_id))
    }

    /// All leases, in the order of their runs.
    pub(super) fn leases(&self) -> impl Iterator<Item = (RunId, &Taken)> {
        self.leases.iter().map(|((run, _), taken)| (*run, taken))
    }

    /// The pools with leases.
    pub(super) fn pools(&self) -> impl Iterator<Item = &String> {
        self.pools.keys()
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;

    use super::*;

    #[test]
    fn what_counts() {
        let (ids, mut seats) = (Ids::system(), Seats::default());
        let at = |agent: &str| Placement { agent_id: agent.into(), host: agent.into(), pool: "lab".into() };
        let (ann, nobody) = (Principal::local("ann"), Principal::default());
        let (first, second, third) = (ids.run(), ids.run(), ids.run());
        seats.take(first, 1, &ann, &at("a"));
        seats.take(second, 2, &nobody, &at("a"));
        seats.take(third, 3, &nobody, &at("b"));
        seats.take(first, 4, &ann, &at("b"));
        let in_use = |seats: &Seats, heard: &[&str]| seats.in_use("lab", |agent| heard.contains(&agent));
        assert_eq!((seats.len(), seats.of_agent("a").all, seats.of_agent("b").confirmed), (4, 2, 1));
        assert_eq!(in_use(&seats, &["a", "b"]), 4);
        assert_eq!(in_use(&seats, &["b"]), 3, "an agent's word alone, and it is silent");
        assert_eq!(in_use(&seats, &[]), 2);
        let holders: Vec<RunId> = seats.holders("lab", |agent| agent == "b").map(|(run, _)| run).collect();
        assert_eq!(holders, [first, first, third]);
        for (serial, at) in seats.of_run(second) {
            seats.take(second, serial, &ann, &at);
        }
        assert_eq!(in_use(&seats, &[]), 3);
        // Twice the same is one.
        seats.take(first, 1, &ann, &at("b"));
        assert_eq!((seats.of_agent("a").all, seats.of_agent("b").all, in_use(&seats, &[])), (1, 3, 3));
        for (run, serial) in [(first, 1), (second, 2), (third, 3), (first, 4)] {
            assert!(seats.give_back(run, serial).is_some());
            assert!(seats.give_back(run, serial).is_none());
        }
        assert_eq!((seats.len(), seats.of_agent("b").all, in_use(&seats, &["a", "b"])), (0, 0, 0));
        assert!(seats.pools().next().is_none() && seats.agents.is_empty());
    }
}
