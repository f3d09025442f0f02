//! Hosts and pools as people are shown them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longhaul_proto::{
    api::{HostView, PoolView},
    wire,
};

use super::{Agent, Scheduler, pool_name};
use crate::{
    fleet::{drain, placement::Pool},
    model::Principal,
};

impl Scheduler {
    pub(in crate::fleet) fn views(
        &self,
        now: Duration,
        silent_after: Duration,
        now_ms: i64,
    ) -> (Vec<HostView>, Vec<PoolView>) {
        let mut hosts: Vec<HostView> = self
            .agents
            .values()
            .filter(|a| !a.info.name.is_empty())
            .map(|a| self.view(a, now, silent_after, now_ms))
            .collect();
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut pools: Vec<PoolView> = self
            .pools(&Principal::default(), now, silent_after)
            .into_iter()
            .map(|(name, pool)| self.pool_view(name, &pool))
            .collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        (hosts, pools)
    }

    pub(in crate::fleet) fn view(&self, agent: &Agent, now: Duration, silent_after: Duration, now_ms: i64) -> HostView {
        let info = &agent.info;
        let silent = now.saturating_sub(agent.heard);
        let state = match () {
            () if !agent.here || silent > silent_after => "silent",
            () if agent.connection.get().is_none() => "unreachable",
            () if self.drains.contains_key(&info.name) => "draining",
            () if !info.problem.is_empty() => "idle",
            () => "up",
        };
        let engine = |e: &wire::Engine| {
            let words = [&e.kind, &e.edition, &e.version].into_iter().filter(|w| !w.is_empty());
            let words = words.map(String::as_str).collect::<Vec<_>>().join(" ");
            if e.program.is_empty() { words } else { format!("{words} ({})", e.program) }
        };
        let last_seen = if agent.here { silent.as_secs_f64() } else { (now_ms - agent.seen_ms).max(0) as f64 / 1000.0 };
        let serves = self.serves(info);
        HostView {
            serves: serves.names(),
            note: serves.note(&info.name),
            name: info.name.clone(),
            state: state.to_owned(),
            problem: self.away(agent, now, silent_after).map(|why| why.words),
            last_seen,
            advertise: info.advertise.clone(),
            os_user: info.os_user.clone(),
            hostname: info.hostname.clone(),
            cores: info.cores,
            version: info.version.clone(),
            engines: info.engines.iter().map(engine).collect(),
            pool: pool_name(info),
            host_limit: info.host_limit,
            running: self.host(agent, now, silent_after).running,
            labels: info.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            roots: info.roots.clone(),
            free_bytes: info.free_bytes,
            licence: (!info.licence.is_empty()).then(|| info.licence.clone()),
            draining: self.drains.get(&info.name).map(drain::view),
        }
    }

    pub(in crate::fleet) fn pool_view(&self, name: String, pool: &Pool) -> PoolView {
        let sharing = self.agents.values().filter(|a| a.here && pool_name(&a.info) == name);
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
