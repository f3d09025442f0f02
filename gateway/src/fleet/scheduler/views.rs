//! Hosts and pools as people are shown them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use longhaul_proto::{
    api::{ForeignView, HostView, LicenceView, LimitsView, PoolView},
    clock::rfc3339,
    faults,
    licence::{self, Licence},
    wire,
};

use super::{Agent, Scheduler, command::Candidate, pool_name};
use crate::{
    fleet::{
        drain,
        placement::{self, Host, Open, Pool, Situation},
    },
    model::{Need, Principal, QueueReason},
};

fn terms(licence: &Licence, now_ms: i64) -> LicenceView {
    LicenceView {
        words: licence.words(),
        seats: licence.seats(),
        cores: licence.cores.unwrap_or(1),
        ends: licence.ends().map(|ends| ends.to_string()),
        days_left: licence.days_left(now_ms),
    }
}

/// What a person should know of a host's licence: that it ends soon, or has fewer seats than its pool was given.
fn licence_note(licence: &Licence, info: &wire::AgentInfo, now_ms: i64) -> Option<String> {
    let more = licence.seats().filter(|seats| *seats < info.pool_seats).map(|seats| {
        format!(
            "its pool has {} seats (`seats`), and its Stata licence says {seats}: whether several runs may share one is in \
             your licence's terms",
            info.pool_seats
        )
    });
    let notes: Vec<String> = licence.warning(now_ms).into_iter().chain(more).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// One agent alone, with room for one more run.
struct Alone<'a> {
    away: Option<&'a QueueReason>,
}

impl Situation for Alone<'_> {
    fn is_away(&self, _: &Host) -> bool {
        self.away.is_some()
    }
    fn away(&self, _: &Host) -> QueueReason {
        self.away.cloned().unwrap_or_default()
    }
    fn has_seat(&self, _: &str) -> bool {
        true
    }
    fn taken(&self, _: &str) -> Pool {
        Pool::default()
    }
}

impl Scheduler {
    /// Agents and pools, for people.
    pub(super) fn views(&self) -> (Vec<HostView>, Vec<PoolView>) {
        let now = self.now();
        let named = self.table.agents.values().filter(|a| !a.info.name.is_empty());
        let mut hosts: Vec<HostView> = named.map(|agent| self.view(agent, now)).collect();
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        (hosts, self.pool_views(now))
    }

    /// Schedulable agents that match a need, with their connections.
    pub(super) fn candidates(&self, principal: &Principal, need: &Need) -> Vec<Candidate> {
        let now = self.now();
        let alone = |agent: &Agent| {
            // A drained one may still inspect a path: a run that fits no other host is to wait for it.
            let away = self.table.trouble(agent, now);
            let host = Host { limit: 1, open: Open::No, ..self.host(agent, 0) };
            placement::choose(principal, need, std::iter::once(&host), &Alone { away: away.as_ref() }).is_ok()
        };
        let fit = self.table.agents.values().filter(|agent| alone(agent));
        fit.filter_map(|a| Some((a.info.agent_id.clone(), a.info.name.clone(), a.connection.clone()?))).collect()
    }

    fn view(&self, agent: &Agent, now: Duration) -> HostView {
        let info = &agent.info;
        let silent = agent.last_seen.silent(now);
        let is_heard = agent.here && silent <= self.table.silent_after;
        let seats = self.seats.of_agent(&info.agent_id);
        let state = match () {
            () if !is_heard => "silent",
            () if agent.connection.is_none() => "unreachable",
            () if self.table.drains.contains_key(&info.name) => "draining",
            () if !info.problem.is_empty() => "idle",
            () => "up",
        };
        let engine = |e: &wire::Engine| {
            let words = [&e.kind, &e.edition, &e.version].into_iter().filter(|w| !w.is_empty());
            let words = words.map(String::as_str).collect::<Vec<_>>().join(" ");
            if e.program.is_empty() { words } else { format!("{words} ({})", e.program) }
        };
        let now_ms = self.fleet.0.deps.clock.unix_ms();
        let last_seen =
            if agent.here { silent.as_secs_f64() } else { (now_ms - agent.last_seen.seen_ms()).max(0) as f64 / 1000.0 };
        let allowed = self.allowed(info);
        let licence = licence::read(&info.licence).filter(|_| !faults::bug("licence_end_untold"));
        let notes = [allowed.note(&info.name), licence.as_ref().and_then(|l| licence_note(l, info, now_ms))];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        HostView {
            serves: allowed.names(),
            note: (!notes.is_empty()).then(|| notes.join("; ")),
            name: info.name.clone(),
            state: state.to_owned(),
            problem: self.table.away(agent, now).map(|why| why.words),
            last_seen,
            advertise: info.advertise.clone(),
            os_user: info.os_user.clone(),
            hostname: info.hostname.clone(),
            cores: info.cores,
            version: info.version.clone(),
            engines: info.engines.iter().map(engine).collect(),
            pool: pool_name(info),
            host_limit: info.host_limit,
            running: if is_heard { seats.all } else { seats.confirmed },
            labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            roots: info.roots.clone(),
            free_bytes: agent.last_seen.free_bytes(),
            licence: (!info.licence.is_empty()).then(|| info.licence.clone()),
            licence_terms: licence.map(|licence| terms(&licence, now_ms)),
            draining: self.table.drains.get(&info.name).map(drain::view),
            since: (agent.here && agent.since_ms > 0).then(|| rfc3339(agent.since_ms)).flatten(),
            limits: info.limits.as_ref().map(LimitsView::of),
            foreign: if is_heard { self.foreign(agent) } else { Vec::new() },
            ..HostView::default()
        }
    }

    fn foreign(&self, agent: &Agent) -> Vec<ForeignView> {
        let pool = pool_name(&agent.info);
        let takes_seats = self.seats.foreign(&pool, |_| true).any(|(agent_id, _)| agent_id == agent.info.agent_id);
        let view = |foreign: &wire::ForeignStata| ForeignView {
            user: Some(foreign.user.clone()),
            processes: foreign.processes,
            since: (foreign.since_ms > 0).then(|| rfc3339(foreign.since_ms)).flatten(),
            takes_seats,
        };
        agent.last_seen.foreign().iter().map(view).collect()
    }

    /// All pools that agents report or runs hold seats of, in the order of names.
    fn pool_views(&self, now: Duration) -> Vec<PoolView> {
        let nobody = Principal::default();
        let look = self.look(&nobody, now);
        let mut sharing = self.sharing();
        let used = self.seats.pools().filter(|pool| look.in_use(pool) > 0);
        let names: BTreeSet<&String> = self.roster.pools().chain(used).collect();
        let mut view = |name: &String| {
            let told = sharing.remove(name).unwrap_or_default();
            let seats = look.seats_of(name).unwrap_or_default();
            let note = self.pool_note(name, &told);
            PoolView { name: name.clone(), seats, in_use: look.in_use(name), hosts: told.into_keys().collect(), note }
        };
        names.into_iter().map(&mut view).collect()
    }

    /// What the agents that are here were told of the seats of their pools, by pool and host.
    fn sharing(&self) -> HashMap<String, BTreeMap<String, u32>> {
        let mut sharing: HashMap<String, BTreeMap<String, u32>> = HashMap::new();
        for info in self.table.agents.values().filter(|a| a.here).map(|a| &a.info) {
            sharing.entry(pool_name(info)).or_default().insert(info.name.clone(), info.pool_seats.max(1));
        }
        sharing
    }

    /// Logs once that the hosts of a pool were told different numbers of seats, and once that they agree again.
    pub(super) fn note_pools(&mut self) {
        let sharing = self.sharing();
        let odd: BTreeMap<String, String> =
            sharing.iter().filter_map(|(pool, told)| Some((pool.clone(), self.pool_note(pool, told)?))).collect();
        for (pool, note) in &odd {
            if self.odd_pools.get(pool) != Some(note) {
                tracing::warn!(
                    pool,
                    "the pool's seats are in doubt: {note}; set them once for all in `pools` of the gateway"
                );
            }
        }
        for pool in self.odd_pools.keys().filter(|pool| !odd.contains_key(*pool)) {
            tracing::info!(pool, "the hosts of the pool agree on its seats again");
        }
        self.odd_pools = odd;
    }

    /// What is odd about the seats that the hosts of a pool report.
    fn pool_note(&self, name: &str, told: &BTreeMap<String, u32>) -> Option<String> {
        let differ = told.values().collect::<BTreeSet<_>>().len() > 1;
        if self.configured.contains_key(name) || !differ {
            return None;
        }
        let told = told.iter().map(|(host, seats)| format!("{host}: {seats}")).collect::<Vec<_>>().join(", ");
        Some(format!("its hosts were told different numbers of seats ({told}); the smallest counts"))
    }
}
