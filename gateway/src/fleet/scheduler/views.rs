//! Hosts and pools as people are shown them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use longhaul_proto::{
    api::{HostView, PoolView},
    wire,
};

use super::{Agent, Scheduler, command::Candidate, pool_name};
use crate::{
    fleet::{
        drain,
        placement::{self, Host, Pool},
    },
    model::{Need, Principal},
};

impl Scheduler {
    /// Agents and pools, for people.
    pub(super) fn views(&self) -> (Vec<HostView>, Vec<PoolView>) {
        let now = self.now();
        let running = self.running(now);
        let of = |agent: &Agent| running.get(agent.info.agent_id.as_str()).copied().unwrap_or_default();
        let named = self.table.agents.values().filter(|a| !a.info.name.is_empty());
        let mut hosts: Vec<HostView> = named.map(|agent| self.view(agent, of(agent), now)).collect();
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let pools = self.pools(&Principal::default(), now).into_iter();
        let mut pools: Vec<PoolView> = pools.map(|(name, pool)| self.pool_view(name, &pool)).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        (hosts, pools)
    }

    /// Schedulable agents that match a need, with their connections.
    pub(super) fn candidates(&self, principal: &Principal, need: &Need) -> Vec<Candidate> {
        let (now, roomy) = (self.now(), HashMap::new());
        let alone = |agent: &Agent| {
            // A drained one may still inspect a path: a run that fits no other host is to wait for it.
            let away = self.table.trouble(agent, now);
            let host = Host { limit: 1, away, ..self.host(agent, 0, now) };
            placement::choose(principal, need, &[host], &roomy).is_ok()
        };
        let fit = self.table.agents.values().filter(|agent| alone(agent));
        fit.filter_map(|a| Some((a.info.agent_id.clone(), a.info.name.clone(), a.connection.clone()?))).collect()
    }

    fn view(&self, agent: &Agent, running: u32, now: Duration) -> HostView {
        let info = &agent.info;
        let silent = now.saturating_sub(agent.heard);
        let state = match () {
            () if !agent.here || silent > self.table.silent_after => "silent",
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
        let last_seen = if agent.here { silent.as_secs_f64() } else { (now_ms - agent.seen_ms).max(0) as f64 / 1000.0 };
        let serves = self.serves(info);
        HostView {
            serves: serves.names(),
            note: serves.note(&info.name),
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
            running,
            labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            roots: info.roots.clone(),
            free_bytes: info.free_bytes,
            licence: (!info.licence.is_empty()).then(|| info.licence.clone()),
            draining: self.table.drains.get(&info.name).map(drain::view),
        }
    }

    fn pool_view(&self, name: String, pool: &Pool) -> PoolView {
        let sharing = self.table.agents.values().filter(|a| a.here && pool_name(&a.info) == name);
        let told: BTreeMap<String, u32> = sharing.map(|a| (a.info.name.clone(), a.info.pool_seats.max(1))).collect();
        let differ = told.values().collect::<BTreeSet<_>>().len() > 1;
        let note = match (self.configured.get(&name), differ) {
            (None, true) => {
                let told = told.iter().map(|(host, seats)| format!("{host}: {seats}")).collect::<Vec<_>>().join(", ");
                Some(format!("its hosts were told different numbers of seats ({told}); the smallest counts"))
            }
            _ => None,
        };
        let in_use = u32::try_from(pool.holders.len()).unwrap_or(u32::MAX);
        PoolView { name, seats: pool.seats, in_use, hosts: told.into_keys().collect(), note }
    }
}
