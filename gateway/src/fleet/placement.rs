//! Which agent a run goes to, or why none can take it, in words. A pure function of its arguments.
//!
//! A look at a host allocates nothing but, where there are quotas, the names of whose they are: words are made once, for the
//! one reason that is reported.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use longhaul_proto::{MAX_CODE_API, ids::RunId, risk::Confirm, words};

use super::{allowed_principals::AllowedPrincipals, last_seen::LastSeen};
use crate::model::{Need, Principal, QueueReason, WaitsFor};

/// An agent as placement sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) engines: Vec<String>,
    pub(crate) pool: String,
    pub(crate) limit: u32,
    pub(crate) running: u32,
    /// Whether it takes code that is more than goes within a request.
    pub(crate) takes_blobs: bool,
    /// The largest limit on running that its pool allows.
    pub(crate) longest: Option<Duration>,
    /// The risky commands that it wants a person to agree to.
    pub(crate) confirm: Confirm,
    /// Whose runs it takes.
    pub(crate) allowed: AllowedPrincipals,
    /// Whether it takes runs at all.
    pub(crate) open: Open,
}

/// Whether a host takes runs.
#[derive(Clone, Debug, Default)]
pub(crate) enum Open {
    /// Not now.
    #[default]
    No,
    /// While its heartbeats arrive.
    WhileSeen(Arc<LastSeen>),
}

/// What is asked about hosts and pools at the time of a look.
pub(crate) trait Situation {
    /// Whether a host takes no runs now, whosever they are.
    fn is_away(&self, host: &Host) -> bool;

    /// Why, in words that begin with its name.
    fn away(&self, host: &Host) -> QueueReason;

    /// Whether the principal's quota leaves it another seat of a pool.
    fn has_quota(&self, _: &str) -> bool {
        true
    }

    /// Why it does not.
    fn quota(&self, _: &str) -> Option<QueueReason> {
        None
    }

    /// Whether a pool has a free seat.
    fn has_seat(&self, pool: &str) -> bool;

    /// The seats of a pool that has none free, for the principal of the run.
    fn taken(&self, pool: &str) -> Pool;
}

/// A licence whose seats are all taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) seats: u32,
    pub(crate) in_use: u32,
    /// Some of those that hold the seats.
    pub(crate) named: Vec<Holder>,
    /// Set when all holders are on silent agents: which, and what frees the seats.
    pub(crate) silent: Option<String>,
}

/// Who holds a seat, as far as the principal that asks may know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holder {
    /// The run, if it is the principal's own.
    pub(crate) own: Option<RunId>,
    /// `run 7f3a9c21 on stata1`.
    pub(crate) words: String,
}

/// Most holders of a pool's seats that a reason names.
pub(crate) const NAMED: usize = 3;

/// How near a run is to being placed; the nearest reason is reported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    NoMatch,
    NotPermitted,
    NotServed,
    Asks,
    Unfit,
    TooOld,
    TooLong,
    Away,
    Quota,
    HostFull,
    PoolFull,
}

/// Picks the agent for a run: the least loaded of those that match and have room. `hosts` come in the order of names.
///
/// # Errors
/// Why no agent can take it, for the run's owner.
pub(crate) fn choose<'h>(
    principal: &Principal,
    need: &Need,
    hosts: impl Iterator<Item = &'h Host>,
    situation: &impl Situation,
) -> Result<&'h Host, QueueReason> {
    let mut nearest: Option<(Obstacle, &Host)> = None;
    let mut best: Option<&Host> = None;
    for host in hosts {
        // With one that can take it, no reason is asked for: then those with a heavier load do not matter.
        if best.is_some_and(|best| load(best) <= load(host)) {
            continue;
        }
        match obstacle(principal, need, host, situation) {
            None => best = Some(host),
            Some(near) if nearest.is_none_or(|(n, _)| near > n) => nearest = Some((near, host)),
            Some(_) => {}
        }
    }
    match (best, nearest) {
        (Some(host), _) => Ok(host),
        (None, Some((near, host))) => Err(reason(near, principal, need, host, situation)),
        (None, None) => Err(QueueReason::lasting("no agent is connected".to_owned())),
    }
}

/// In use: thousandths of its limit, then number of runs, then name.
fn load(host: &Host) -> (u32, u32, &str) {
    (host.running.saturating_mul(1000) / host.limit.max(1), host.running, &host.name)
}

fn obstacle(principal: &Principal, need: &Need, host: &Host, situation: &impl Situation) -> Option<Obstacle> {
    let able = || if need.engine.is_empty() { !host.engines.is_empty() } else { host.engines.contains(&need.engine) };
    match () {
        () if !need.asks_for(&host.name, |key| host.labels.get(key)) => Some(Obstacle::NoMatch),
        () if !need.permits(&host.name, &host.pool) => Some(Obstacle::NotPermitted),
        () if !host.allowed.takes(principal) => Some(Obstacle::NotServed),
        () if host.confirm.asks_for_kind(&need.unconfirmed) => Some(Obstacle::Asks),
        () if situation.is_away(host) => Some(Obstacle::Away),
        () if !able() => Some(Obstacle::NoMatch),
        () if host.limit == 0 => Some(Obstacle::Away),
        () if need.unfit.contains_key(&host.id) => Some(Obstacle::Unfit),
        () if need.large_code && !host.takes_blobs => Some(Obstacle::TooOld),
        () if too_long(need, host).is_some() => Some(Obstacle::TooLong),
        () if !situation.has_quota(&host.pool) => Some(Obstacle::Quota),
        () if !situation.has_seat(&host.pool) => Some(Obstacle::PoolFull),
        () if host.running >= host.limit => Some(Obstacle::HostFull),
        () => None,
    }
}

/// The largest limit of the host's pool, where the run asks for more.
fn too_long(need: &Need, host: &Host) -> Option<Duration> {
    host.longest.filter(|longest| u128::from(need.timeout_ms) > longest.as_millis())
}

/// The obstacle in words.
fn reason(near: Obstacle, principal: &Principal, need: &Need, host: &Host, situation: &impl Situation) -> QueueReason {
    let name = &host.name;
    match near {
        Obstacle::NoMatch => QueueReason::lasting(no_match(need)),
        Obstacle::NotPermitted => QueueReason::lasting(format!(
            "the token that it was submitted with is limited to {}, and no agent there can take it: cancel this run, or ask \
             the operator for another token",
            need.limits()
        )),
        Obstacle::NotServed => QueueReason::lasting(host.allowed.refusal(name, principal)),
        Obstacle::Asks => QueueReason::lasting(format!(
            "agent {name} wants a person to agree to what this run does ({}), and no other agent is there that takes it without: \
             cancel it, and submit it again with confirm: true (in a terminal --confirm) once a person has agreed",
            need.unconfirmed.join(", ")
        )),
        Obstacle::Unfit => {
            let why = need.unfit.get(&host.id).map(String::as_str).unwrap_or_default();
            QueueReason::lasting(format!("agent {name} cannot run it: {why}"))
        }
        Obstacle::TooOld => QueueReason::lasting(format!(
            "agent {name} cannot run it: its version takes at most {} MiB of code; install a newer one there",
            MAX_CODE_API >> 20
        )),
        Obstacle::TooLong => QueueReason::lasting(format!(
            "it asks for a timeout of {}, and pool {} allows at most {}: cancel it and submit it with a shorter one",
            words::whole_duration(Duration::from_millis(need.timeout_ms)),
            host.pool,
            words::whole_duration(too_long(need, host).unwrap_or_default())
        )),
        Obstacle::Quota => situation.quota(&host.pool).unwrap_or_default(),
        Obstacle::Away if situation.is_away(host) => {
            let away = situation.away(host);
            // If runs on silent agents hold the seats, that reason says more: it names what frees them.
            let held = (away.no_end && !situation.has_seat(&host.pool)).then(|| no_seat(host, situation));
            held.filter(|why| why.no_end).unwrap_or(away)
        }
        Obstacle::Away => QueueReason::lasting(format!("agent {name} is set to start no runs")),
        Obstacle::HostFull => {
            let why = format!("waiting for room on {name}: {} of {} runs there", host.running, host.limit);
            QueueReason::passing(why).of(WaitsFor::Room(name.clone()))
        }
        Obstacle::PoolFull => no_seat(host, situation),
    }
}

/// Why the host's pool, which is full, has no free seat.
fn no_seat(host: &Host, situation: &impl Situation) -> QueueReason {
    let Pool { seats, in_use, named, silent } = situation.taken(&host.pool);
    let holders = named.iter().map(|holder| holder.words.as_str()).collect::<Vec<_>>().join(", ");
    let more = if in_use as usize > named.len() { ", …" } else { "" };
    let why = format!("waiting for a seat of pool {}: {in_use} of {seats} in use by {holders}{more}", host.pool);
    let reason = match silent {
        Some(silent) => QueueReason::lasting(format!("{why}; {silent}")),
        None => QueueReason::passing(why),
    };
    let behind = named.iter().filter_map(|holder| holder.own).collect();
    reason.behind(behind).of(WaitsFor::Seat(host.pool.clone()))
}

fn no_match(need: &Need) -> String {
    let mut wants = Vec::new();
    if !need.host.is_empty() {
        wants.push(format!("is named {}", need.host));
    }
    wants.extend(need.labels.iter().map(|(k, v)| format!("carries label {k}={v}")));
    if !need.engine.is_empty() {
        wants.push(format!("has engine {}", need.engine));
    }
    if wants.is_empty() {
        wants.push("has an engine".to_owned());
    }
    format!("no connected agent {}: start one, or cancel this run and submit it otherwise", wants.join(" and "))
}

#[cfg(test)]
mod tests;
