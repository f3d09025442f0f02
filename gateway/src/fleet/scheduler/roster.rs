//! The hosts as placement sees them, and the seats that they report for their pools. It is brought up to date host by
//! host, as they change, and is in the order of names: equal choices are always made alike.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::fleet::placement::Host;

/// All hosts that have a name.
#[derive(Debug, Default)]
pub(super) struct Roster {
    hosts: BTreeMap<Rank, Host>,
    /// By agent.
    known: HashMap<String, Known>,
    /// How many agents report which number of seats, by pool.
    pools: HashMap<String, BTreeMap<u32, u32>>,
}

/// The order of hosts: name and id.
type Rank = Arc<(String, String)>;

/// What is known of one agent.
#[derive(Debug)]
struct Known {
    rank: Rank,
    reports: Option<Report>,
}

/// The seats that an agent reports for its pool.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) pool: String,
    pub(super) seats: u32,
}

impl Roster {
    /// An agent as it is now; `reports` = what it reports counts.
    pub(super) fn put(&mut self, host: Host, reports: Option<Report>) {
        self.remove(&host.id);
        if let Some(Report { pool, seats }) = &reports {
            *self.pools.entry(pool.clone()).or_default().entry(*seats).or_default() += 1;
        }
        let rank = Rank::new((host.name.clone(), host.id.clone()));
        self.known.insert(host.id.clone(), Known { rank: rank.clone(), reports });
        if !host.name.is_empty() {
            self.hosts.insert(rank, host);
        }
    }

    /// An agent is forgotten.
    pub(super) fn remove(&mut self, agent_id: &str) {
        let Some(Known { rank, reports }) = self.known.remove(agent_id) else { return };
        self.hosts.remove(&rank);
        let Some(Report { pool, seats }) = reports else { return };
        let Some(reported) = self.pools.get_mut(&pool) else { return };
        if let Some(agents) = reported.get_mut(&seats) {
            *agents -= 1;
            if *agents == 0 {
                reported.remove(&seats);
            }
        }
        if reported.is_empty() {
            self.pools.remove(&pool);
        }
    }

    /// Sets how many runs an agent has.
    pub(super) fn set_running(&mut self, agent_id: &str, running: u32) {
        let host = self.known.get(agent_id).and_then(|known| self.hosts.get_mut(&known.rank));
        if let Some(host) = host {
            host.running = running;
        }
    }

    /// The hosts, in their order.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The smallest number of seats that agents report for a pool.
    pub(super) fn seats(&self, pool: &str) -> Option<u32> {
        self.pools.get(pool)?.keys().next().copied()
    }

    /// The pools that agents report.
    pub(super) fn pools(&self) -> impl Iterator<Item = &String> {
        self.pools.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_report_counts_and_names_give_the_order() {
        let mut roster = Roster::default();
        let put = |roster: &mut Roster, id: &str, name: &str, seats: Option<u32>| {
            let host = Host { id: id.to_owned(), name: name.to_owned(), ..Host::default() };
            roster.put(host, seats.map(|seats| Report { pool: "lab".to_owned(), seats }));
        };
        put(&mut roster, "1", "b", Some(4));
        put(&mut roster, "2", "a", Some(2));
        put(&mut roster, "3", "", Some(3));
        let names = |roster: &Roster| roster.hosts().map(|host| host.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&roster), roster.seats("lab")), (vec!["a".to_owned(), "b".to_owned()], Some(2)));
        roster.set_running("1", 7);
        assert_eq!(roster.hosts().map(|host| host.running).collect::<Vec<_>>(), [0, 7]);
        put(&mut roster, "2", "c", None);
        assert_eq!((names(&roster), roster.seats("lab")), (vec!["b".to_owned(), "c".to_owned()], Some(3)));
        for id in ["1", "2", "3", "4"] {
            roster.remove(id);
        }
        assert!(roster.is_empty() && roster.seats("lab").is_none() && roster.pools().next().is_none());
    }
}
