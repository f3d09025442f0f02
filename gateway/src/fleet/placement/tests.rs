//! Which agent gets a run.

use std::collections::{BTreeSet, HashMap};

use super::*;

/// Hosts, those of them that are away, and pools.
#[derive(Clone, Default)]
struct Lab {
    hosts: Vec<Host>,
    away: HashMap<String, QueueReason>,
    pools: HashMap<String, Pool>,
}

impl Lab {
    fn new(hosts: &[Host], pools: &HashMap<String, Pool>) -> Self {
        Self { hosts: hosts.to_vec(), away: HashMap::new(), pools: pools.clone() }
    }

    fn away(mut self, host: &str, why: QueueReason) -> Self {
        self.away.insert(host.to_owned(), why);
        self
    }

    fn silent(self, host: &str) -> Self {
        self.away(host, QueueReason::lasting(format!("agent {host} is silent for 12 s")))
    }

    fn choose(&self, who: &str, need: &Need) -> Result<&str, QueueReason> {
        choose(&Principal::local(who), need, self.hosts.iter(), self).map(|host| host.name.as_str())
    }
}

impl Situation for Lab {
    fn is_away(&self, host: &Host) -> bool {
        self.away.contains_key(&host.name)
    }
    fn away(&self, host: &Host) -> QueueReason {
        self.away[&host.name].clone()
    }
    fn has_seat(&self, pool: &str) -> bool {
        self.pools.get(pool).is_none_or(|pool| pool.in_use < pool.seats)
    }
    fn taken(&self, pool: &str) -> Pool {
        self.pools[pool].clone()
    }
}

fn host(name: &str, pool: &str, running: u32, limit: u32) -> Host {
    Host {
        id: format!("id-{name}"),
        name: name.to_owned(),
        labels: BTreeMap::from([("site".to_owned(), name.to_owned())]),
        engines: vec!["stata".to_owned()],
        pool: pool.to_owned(),
        limit,
        running,
        ..Host::default()
    }
}

fn pools(all: &[(&str, u32, &[&str])]) -> HashMap<String, Pool> {
    let pool = |seats: u32, holders: &[&str]| Pool {
        seats,
        in_use: u32::try_from(holders.len()).unwrap(),
        named: holders.iter().take(NAMED).map(|h| Holder { own: None, words: (*h).to_owned() }).collect(),
        silent: None,
    };
    all.iter().map(|(name, seats, holders)| ((*name).to_owned(), pool(*seats, holders))).collect()
}

fn need(host: &str, labels: &[(&str, &str)], engine: &str, unfit: &[&str]) -> Need {
    Need {
        host: host.to_owned(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        engine: engine.to_owned(),
        large_code: false,
        timeout_ms: 0,
        only_hosts: Vec::new(),
        only_pools: Vec::new(),
        only_roots: Vec::new(),
        unconfirmed: Vec::new(),
        unfit: unfit.iter().map(|u| ((*u).to_owned(), "no such file".to_owned())).collect(),
    }
}

#[test]
fn an_agent_or_a_reason() {
    #[track_caller]
    fn check(need: &Need, hosts: &[Host], pools: &HashMap<String, Pool>, want: Result<&str, &str>) {
        check_in(&Lab::new(hosts, pools), need, want);
    }
    #[track_caller]
    fn check_in(lab: &Lab, need: &Need, want: Result<&str, &str>) {
        assert_eq!(lab.choose("ann", need).map_err(|why| why.words), want.map_err(str::to_owned));
    }
    let free = pools(&[("lab", 2, &["run aaaaaaaa on a"]), ("own", 1, &[])]);
    let full = pools(&[("lab", 1, &["run 7f3a9c21 on stata1"]), ("own", 1, &[])]);
    let any = Need::default();
    let large = Need { large_code: true, ..Need::default() };
    let newer = Host { takes_blobs: true, ..host("b", "lab", 5, 9) };
    check(&large, &[host("a", "lab", 0, 1), newer], &HashMap::new(), Ok("b"));
    let why = "agent a cannot run it: its version takes at most 32 MiB of code; install a newer one there";
    check(&large, &[host("a", "lab", 0, 1)], &HashMap::new(), Err(why));
    check(&any, &[], &free, Err("no agent is connected"));
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
    let lab = Lab::new(&[host("a", "lab", 0, 1)], &free).silent("a");
    check_in(&lab, &any, Err("agent a is silent for 12 s"));
    let lab = Lab::new(&[host("a", "lab", 0, 1), host("b", "lab", 0, 1)], &full).silent("a");
    check_in(&lab, &any, Err("waiting for a seat of pool lab: 1 of 1 in use by run 7f3a9c21 on stata1"));
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
    check(&need("", &[], "", &["id-a"]), &[host("a", "lab", 0, 1)], &free, Err("agent a cannot run it: no such file"));
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
fn of_many_holders_some_are_named() {
    let crowd = pools(&[("lab", 4, &["run 1 on a", "run 2 on a", "run 3 on b", "run 4 on b"])]);
    let why = Lab::new(&[host("a", "lab", 0, 9)], &crowd).choose("ann", &Need::default()).unwrap_err().words;
    let want = "waiting for a seat of pool lab: 4 of 4 in use by run 1 on a, run 2 on a, run 3 on b, …";
    assert_eq!(why, want);
}

#[test]
fn what_passes_by_itself_and_what_does_not() {
    let no_end = |lab: &Lab| lab.choose("ann", &Need::default()).unwrap_err().no_end;
    let full = pools(&[("lab", 1, &["7f3a9c21 on stata1"])]);
    let lab = |hosts: &[Host]| Lab::new(hosts, &full);
    let one = [host("a", "lab", 0, 1)];
    assert!(!no_end(&lab(&one)), "the run that has the seat ends");
    assert!(!no_end(&lab(&[host("a", "own", 1, 1)])), "and so do those on a host");
    let mut silent = lab(&one);
    silent.pools.get_mut("lab").unwrap().silent = Some("agent stata1 is silent for 76 s".to_owned());
    assert!(no_end(&silent), "but not where nobody hears of it");
    assert!(no_end(&lab(&[])));
    assert!(no_end(&lab(&one).silent("a")));
    let dialled = lab(&one).away("a", QueueReason::passing("agent a is being dialled".to_owned()));
    assert!(!no_end(&dialled));
}

#[test]
fn whose_runs_an_agent_takes() {
    let serving = |name: &str, allowed: AllowedPrincipals| Host { allowed, ..host(name, "lab", 0, 1) };
    let told = |names: &[&str]| AllowedPrincipals::Told(names.iter().map(|n| Principal::local(*n)).collect());
    let free = pools(&[("lab", 4, &[])]);
    let place = |who: &str, hosts: &[Host]| {
        let lab = Lab::new(hosts, &free);
        lab.choose(who, &Need::default()).map(str::to_owned).map_err(|why| why.words)
    };
    let takes = |name: &str| Ok(name.to_owned());
    let hosts = [
        serving("a", told(&["ann"])),
        serving("b", told(&["ann", "bob"])),
        serving("c", AllowedPrincipals::First(Principal::local("ann"))),
    ];
    assert_eq!(place("bob", &hosts), takes("b"));
    assert_eq!(place("ann", &hosts), takes("a"));
    let why = place("carol", &hosts[..1]).unwrap_err();
    assert!(why.starts_with("agent a takes the runs of ann only") && why.contains("--serve ann,carol"), "{why}");
    let why = place("bob", &hosts[2..]).unwrap_err();
    assert!(why.starts_with("agent c takes the runs of ann only, since this gateway has several"), "{why}");
    // A name that may mean several is served when it is written out.
    let known = BTreeSet::from([Principal::local("ann"), Principal::new("idp", "ann"), Principal::local("bob")]);
    let told =
        |names: &[&str]| AllowedPrincipals::told(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), &known);
    let why = place("bob", &[serving("d", told(&["bob", "ann"]))]).unwrap_err();
    assert!(why.contains("takes no runs: in its --serve, `ann` may mean idp:ann or local:ann"), "{why}");
    assert_eq!(place("ann", &[serving("d", told(&["local:ann"]))]), takes("d"));
    assert!(place("ann", &[serving("d", told(&["idp:ann"]))]).is_err());
    assert_eq!(place("bob", &[serving("d", told(&["bob"]))]), takes("d"));
    // An agent that would take the run and is busy is the nearer reason.
    let busy = Host { running: 1, ..serving("b", AllowedPrincipals::Everybody) };
    assert_eq!(place("bob", &[hosts[0].clone(), busy]), Err("waiting for room on b: 1 of 1 runs there".to_owned()));
    // When the request names a host, only that host's reason is reported.
    let need = need("c", &[], "", &[]);
    let why = Lab::new(&hosts, &free).choose("bob", &need).unwrap_err().words;
    assert!(why.starts_with("agent c takes"), "{why}");
}

#[test]
fn a_host_that_asks_takes_what_a_person_agreed_to() {
    let asks = Host { confirm: "erase".parse().unwrap(), ..host("a", "lab", 0, 1) };
    let lab = Lab::new(&[asks], &pools(&[("lab", 4, &[])]));
    let place = |kinds: &[&str]| {
        let unconfirmed = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        lab.choose("ann", &Need { unconfirmed, ..Need::default() }).map(str::to_owned).map_err(|why| why.words)
    };
    assert_eq!(place(&[]), Ok("a".to_owned()));
    assert_eq!(place(&["shell"]), Ok("a".to_owned()), "it does not ask for this");
    let why = place(&["erase", "shell"]).unwrap_err();
    assert!(why.contains("wants a person to agree") && why.contains("confirm: true"), "{why}");
}
