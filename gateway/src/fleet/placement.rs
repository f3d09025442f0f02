//! Which agent a run goes to, or why none can take it, in words. A pure function of its arguments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_proto::ids::RunId;

use crate::model::{Need, Principal, QueueReason, Typed};

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
    /// Why it takes no runs now, in words that begin with its name.
    pub(crate) away: Option<QueueReason>,
    /// Whose runs it takes.
    pub(crate) serves: Serves,
}

/// Whose runs an agent takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Serves {
    /// Those of all principals.
    #[default]
    Everybody,
    /// Those of the principals named in the agent's `--serve`.
    Told(Vec<Principal>),
    /// A name in the agent's `--serve` may mean several principals: none, until that is mended. The candidates, in
    /// words.
    Unclear(String),
    /// The agent has neither `--serve` nor `--serve-all`, and there are several principals: those of the first
    /// operator.
    First(Principal),
}

fn joined(names: &[Principal], separator: &str) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

impl Serves {
    /// What an agent's `--serve` means, where these principals are known.
    pub(crate) fn told(names: &[String], known: &BTreeSet<Principal>) -> Self {
        match names.iter().map(|name| Typed::read(name).among(known)).collect() {
            Ok(named) => Self::Told(named),
            Err(ambiguous) => Self::Unclear(ambiguous.to_string()),
        }
    }

    /// Why it refuses the runs of this principal and what to do; `None` = it takes them.
    fn refusal(&self, host: &str, principal: &Principal) -> Option<String> {
        match self {
            Self::Everybody => None,
            Self::Told(names) if names.contains(principal) => None,
            Self::First(name) if name == principal => None,
            Self::Told(names) => Some(format!(
                "agent {host} takes the runs of {} only: ask its owner to start it with --serve {},{principal}, or cancel \
                 this run and submit it elsewhere",
                joined(names, ", "),
                joined(names, ",")
            )),
            Self::First(_) | Self::Unclear(_) => Some(self.note(host).unwrap_or_default()),
        }
    }

    /// What a person should know of an agent whose `--serve` is missing or unclear.
    pub(crate) fn note(&self, host: &str) -> Option<String> {
        let name = match self {
            Self::Everybody | Self::Told(_) => return None,
            Self::Unclear(words) => return Some(format!("agent {host} takes no runs: in its --serve, {words}")),
            Self::First(name) => name,
        };
        Some(format!(
            "agent {host} takes the runs of {name} only, since this gateway has several principals and the agent was not told \
             whom to serve: start it with --serve NAME,... or --serve-all"
        ))
    }

    /// The names, if it does not serve everybody.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::Everybody => None,
            Self::Told(names) => Some(names.iter().map(ToString::to_string).collect()),
            Self::First(name) => Some(vec![name.to_string()]),
            Self::Unclear(_) => Some(Vec::new()),
        }
    }
}

/// A licence as placement sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) seats: u32,
    /// Who holds the seats.
    pub(crate) holders: Vec<Holder>,
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
const NAMED: usize = 3;

/// How near a run is to being placed; the nearest reason is reported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    NoMatch,
    NotServed,
    Unfit,
    Away,
    HostFull,
    PoolFull,
}

/// Picks the agent for a run, as an index into `hosts`: the least loaded of those that match and have room.
///
/// # Errors
/// Why no agent can take it, for the run's owner.
pub(crate) fn choose(
    principal: &Principal,
    need: &Need,
    hosts: &[Host],
    pools: &HashMap<String, Pool>,
) -> Result<usize, QueueReason> {
    let mut nearest: Option<(Obstacle, QueueReason)> = None;
    let mut best: Option<usize> = None;
    for (at, host) in hosts.iter().enumerate() {
        match obstacle(principal, need, host, pools) {
            None => {
                let better = best.is_none_or(|b| load(host) < load(&hosts[b]));
                best = if better { Some(at) } else { best };
            }
            Some((near, why)) => {
                if nearest.as_ref().is_none_or(|(n, _)| near > *n) {
                    nearest = Some((near, why));
                }
            }
        }
    }
    match (best, nearest) {
        (Some(at), _) => Ok(at),
        (None, Some((Obstacle::NoMatch, _))) => Err(QueueReason::lasting(no_match(need))),
        (None, Some((_, why))) => Err(why),
        (None, None) => {
            Err(QueueReason::lasting("no agent is connected: start one with `longhaul agent --gateway URL`".to_owned()))
        }
    }
}

/// In use: thousandths of its limit, then number of runs, then name.
fn load(host: &Host) -> (u32, u32, &str) {
    (host.running.saturating_mul(1000) / host.limit.max(1), host.running, &host.name)
}

fn obstacle(
    principal: &Principal,
    need: &Need,
    host: &Host,
    pools: &HashMap<String, Pool>,
) -> Option<(Obstacle, QueueReason)> {
    let named = need.host.is_empty() || need.host == host.name;
    let labelled = need.labels.iter().all(|(k, v)| host.labels.get(k) == Some(v));
    if !named || !labelled {
        return Some((Obstacle::NoMatch, QueueReason::default()));
    }
    if let Some(why) = host.serves.refusal(&host.name, principal) {
        return Some((Obstacle::NotServed, QueueReason::lasting(why)));
    }
    let full = pool_full(host, pools);
    if let Some(away) = &host.away {
        // If runs on silent agents hold the seats, that reason says more: it names what frees them.
        let held = full.filter(|why| why.no_end && away.no_end);
        return Some((Obstacle::Away, held.unwrap_or_else(|| away.clone())));
    }
    let able = if need.engine.is_empty() { !host.engines.is_empty() } else { host.engines.contains(&need.engine) };
    if !able {
        return Some((Obstacle::NoMatch, QueueReason::default()));
    }
    if host.limit == 0 {
        return Some((Obstacle::Away, QueueReason::lasting(format!("agent {} is set to start no runs", host.name))));
    }
    if let Some(why) = need.unfit.get(&host.id) {
        return Some((Obstacle::Unfit, QueueReason::lasting(format!("agent {} cannot run it: {why}", host.name))));
    }
    if let Some(why) = full {
        return Some((Obstacle::PoolFull, why));
    }
    if host.running >= host.limit {
        let why = format!("waiting for room on {}: {} of {} runs there", host.name, host.running, host.limit);
        return Some((Obstacle::HostFull, QueueReason::passing(why)));
    }
    None
}

/// Why the host's pool has no free seat; `None` = it has one.
fn pool_full(host: &Host, pools: &HashMap<String, Pool>) -> Option<QueueReason> {
    let pool = pools.get(&host.pool).filter(|pool| pool.holders.len() >= pool.seats as usize)?;
    let (used, seats) = (pool.holders.len(), pool.seats);
    let named = &pool.holders[..used.min(NAMED)];
    let holders = named.iter().map(|holder| holder.words.as_str()).collect::<Vec<_>>().join(", ");
    let more = if used > NAMED { ", …" } else { "" };
    let why = format!("waiting for a seat of pool {}: {used} of {seats} in use by {holders}{more}", host.pool);
    let reason = match &pool.silent {
        Some(silent) => QueueReason::lasting(format!("{why}; {silent}")),
        None => QueueReason::passing(why),
    };
    Some(reason.behind(named.iter().filter_map(|holder| holder.own).collect()))
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
mod tests {
    use super::*;

    fn host(name: &str, pool: &str, running: u32, limit: u32) -> Host {
        Host {
            id: format!("id-{name}"),
            name: name.to_owned(),
            labels: BTreeMap::from([("site".to_owned(), name.to_owned())]),
            engines: vec!["stata".to_owned()],
            pool: pool.to_owned(),
            limit,
            running,
            away: None,
            serves: Serves::Everybody,
        }
    }

    fn away(host: Host) -> Host {
        Host { away: Some(QueueReason::lasting(format!("agent {} is silent for 12 s", host.name))), ..host }
    }

    fn pools(all: &[(&str, u32, &[&str])]) -> HashMap<String, Pool> {
        let pool = |seats: u32, holders: &[&str]| Pool {
            seats,
            holders: holders.iter().map(|h| Holder { own: None, words: (*h).to_owned() }).collect(),
            silent: None,
        };
        all.iter().map(|(name, seats, holders)| ((*name).to_owned(), pool(*seats, holders))).collect()
    }

    fn need(host: &str, labels: &[(&str, &str)], engine: &str, unfit: &[&str]) -> Need {
        Need {
            host: host.to_owned(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            engine: engine.to_owned(),
            unfit: unfit.iter().map(|u| ((*u).to_owned(), "no such file".to_owned())).collect(),
        }
    }

    #[test]
    fn an_agent_or_a_reason() {
        #[track_caller]
        fn check(need: &Need, hosts: &[Host], pools: &HashMap<String, Pool>, want: Result<&str, &str>) {
            let found = choose(&Principal::local("ann"), need, hosts, pools).map(|at| hosts[at].name.as_str());
            assert_eq!(found.map_err(|why| why.words), want.map_err(str::to_owned));
        }
        let free = pools(&[("lab", 2, &["run aaaaaaaa on a"]), ("own", 1, &[])]);
        let full = pools(&[("lab", 1, &["run 7f3a9c21 on stata1"]), ("own", 1, &[])]);
        let any = Need::default();
        check(&any, &[], &free, Err("no agent is connected: start one with `longhaul agent --gateway URL`"));
        check(&any, &[host("a", "lab", 1, 2), host("b", "lab", 0, 2)], &free, Ok("b"));
        check(&any, &[host("a", "lab", 2, 8), host("b", "lab", 1, 2)], &free, Ok("a"));
        check(&any, &[host("b", "lab", 0, 1), host("a", "lab", 0, 1)], &free, Ok("a"));
        check(
            &any,
            &[host("a", "lab", 0, 1)],
            &full,
            Err("waiting for a seat of pool lab: 1 of 1 in use by run 7f3a9c21 on stata1"),
        );
        check(&any, &[host("a", "lab", 0, 1), host("b", "own", 0, 1)], &full, Ok("b"));
        check(&any, &[host("a", "lab", 1, 1)], &free, Err("waiting for room on a: 1 of 1 runs there"));
        check(&any, &[host("a", "lab", 0, 0)], &free, Err("agent a is set to start no runs"));
        check(&any, &[away(host("a", "lab", 0, 1))], &free, Err("agent a is silent for 12 s"));
        check(
            &any,
            &[away(host("a", "lab", 0, 1)), host("b", "lab", 0, 1)],
            &full,
            Err("waiting for a seat of pool lab: 1 of 1 in use by run 7f3a9c21 on stata1"),
        );
        check(&need("b", &[], "", &[]), &[host("a", "lab", 0, 1), host("b", "lab", 1, 8)], &free, Ok("b"));
        check(
            &need("c", &[("gpu", "1")], "standin", &[]),
            &[host("a", "lab", 0, 1)],
            &free,
            Err(
                "no connected agent is named c and carries label gpu=1 and has engine standin: start one, or cancel this run and submit it otherwise",
            ),
        );
        check(&need("", &[("site", "b")], "", &[]), &[host("a", "lab", 0, 1), host("b", "lab", 0, 1)], &free, Ok("b"));
        check(
            &need("", &[], "", &["id-a"]),
            &[host("a", "lab", 0, 1)],
            &free,
            Err("agent a cannot run it: no such file"),
        );
        check(
            &any,
            &[Host { engines: vec![], ..host("a", "lab", 0, 1) }],
            &free,
            Err("no connected agent has an engine: start one, or cancel this run and submit it otherwise"),
        );
        check(
            &need("", &[], "stata", &[]),
            &[Host { engines: vec!["standin".to_owned()], ..host("a", "lab", 0, 1) }],
            &free,
            Err("no connected agent has engine stata: start one, or cancel this run and submit it otherwise"),
        );
    }

    #[test]
    fn what_passes_by_itself_and_what_does_not() {
        let no_end = |hosts: &[Host], pools: &HashMap<String, Pool>| {
            choose(&Principal::local("ann"), &Need::default(), hosts, pools).unwrap_err().no_end
        };
        let full = pools(&[("lab", 1, &["7f3a9c21 on stata1"])]);
        let one = [host("a", "lab", 0, 1)];
        assert!(!no_end(&one, &full), "the run that has the seat ends");
        assert!(!no_end(&[host("a", "own", 1, 1)], &full), "and so do those on a host");
        let mut silent = full.clone();
        silent.get_mut("lab").unwrap().silent = Some("agent stata1 is silent for 76 s".to_owned());
        assert!(no_end(&one, &silent), "but not where nobody hears of it");
        assert!(no_end(&[], &full));
        assert!(no_end(&[away(host("a", "lab", 0, 1))], &full));
        let dialled =
            Host { away: Some(QueueReason::passing("agent a is being dialled".to_owned())), ..host("a", "lab", 0, 1) };
        assert!(!no_end(&[dialled], &full));
    }

    #[test]
    fn whose_runs_an_agent_takes() {
        let serving = |name: &str, serves: Serves| Host { serves, ..host(name, "lab", 0, 1) };
        let told = |names: &[&str]| Serves::Told(names.iter().map(|n| Principal::local(*n)).collect());
        let free = pools(&[("lab", 4, &[])]);
        let place = |who: &str, hosts: &[Host]| {
            choose(&Principal::local(who), &Need::default(), hosts, &free).map_err(|why| why.words)
        };
        let hosts = [
            serving("a", told(&["ann"])),
            serving("b", told(&["ann", "bob"])),
            serving("c", Serves::First(Principal::local("ann"))),
        ];
        assert_eq!(place("bob", &hosts), Ok(1));
        assert_eq!(place("ann", &hosts), Ok(0));
        let why = place("carol", &hosts[..1]).unwrap_err();
        assert!(why.starts_with("agent a takes the runs of ann only") && why.contains("--serve ann,carol"), "{why}");
        let why = place("bob", &hosts[2..]).unwrap_err();
        assert!(why.starts_with("agent c takes the runs of ann only, since this gateway has several"), "{why}");
        // A name that may mean several is served when it is written out.
        let known = BTreeSet::from([Principal::local("ann"), Principal::new("idp", "ann"), Principal::local("bob")]);
        let told = |names: &[&str]| Serves::told(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), &known);
        let why = place("bob", &[serving("d", told(&["bob", "ann"]))]).unwrap_err();
        assert!(why.contains("takes no runs: in its --serve, `ann` may mean idp:ann or local:ann"), "{why}");
        assert_eq!(place("ann", &[serving("d", told(&["local:ann"]))]), Ok(0));
        assert!(place("ann", &[serving("d", told(&["idp:ann"]))]).is_err());
        assert_eq!(place("bob", &[serving("d", told(&["bob"]))]), Ok(0));
        // An agent that would take the run and is busy is the nearer reason.
        let busy = Host { running: 1, ..serving("b", Serves::Everybody) };
        assert_eq!(place("bob", &[hosts[0].clone(), busy]), Err("waiting for room on b: 1 of 1 runs there".to_owned()));
        // When the request names a host, only that host's reason is reported.
        let need = need("c", &[], "", &[]);
        assert!(choose(&Principal::local("bob"), &need, &hosts, &free).unwrap_err().words.starts_with("agent c takes"));
    }
}
