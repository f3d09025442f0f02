//! The model that looks on: what it knows is in the ledger and in the settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use longhaul_gateway::{
    ledger::RunStore,
    model::{Principal, Record},
    options::quotas::{Holder, QuotaRules},
};
use longhaul_proto::{
    api::{Hosts, QueueView, QuotaKind},
    ids::RunId,
    state::RunState,
};

use super::{
    super::{sim::short, world::root},
    HOSTS, LOOK, Lab, PATIENCE, RETURNING, SEATS,
    turns::Turns,
};

/// What the model found at one look.
struct Look {
    hosts: Hosts,
    /// Runs that wait, and runs that may have a Stata, by the ledger.
    waiting: Vec<Record>,
    holding: Vec<Record>,
}

impl Look {
    fn held(&self, rules: &QuotaRules, holder: &Holder) -> u64 {
        let counts = |record: &&Record| rules.shares(&record.principal).any(|share| share.holder == *holder);
        self.holding.iter().filter(counts).count() as u64
    }

    /// Whether nothing stands in the way of a run of this principal.
    fn free(&self, rules: &QuotaRules, principal: &Principal) -> bool {
        let room = (0..HOSTS).any(|n| self.on(&format!("stata{n}")) < u64::from(SEATS.1));
        let within = rules.shares(principal).all(|share| {
            let held = self.held(rules, &share.holder);
            [share.rule.seats("lab"), share.rule.limit(QuotaKind::Running)]
                .into_iter()
                .flatten()
                .all(|most| held < most)
        });
        self.holding.len() < SEATS.0 as usize && room && within
    }

    /// The quotas that are exceeded.
    fn exceeded(&self, rules: &QuotaRules) -> BTreeSet<String> {
        let shares = self.holding.iter().flat_map(|record| rules.shares(&record.principal));
        let over = shares.filter_map(|share| {
            let held = self.held(rules, &share.holder);
            let limits = [share.rule.seats("lab"), share.rule.limit(QuotaKind::Running)];
            let limit = limits.into_iter().flatten().find(|most| held > *most)?;
            Some(format!("{} has more than its quota: {held} of {limit}", share.holder))
        });
        over.collect()
    }

    fn on(&self, host: &str) -> u64 {
        self.holding.iter().filter(|record| record.host() == host).count() as u64
    }

    /// What is wrong with a sentence, if anything is.
    fn sentence(&self, rules: &QuotaRules, record: &Record, said: &str) -> Option<String> {
        let (_, why) = said.split_once(": ")?;
        let numbers = |words: &str| -> Vec<u64> {
            words.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
        };
        let check = |used: u64, limit: u64, said: &[u64]| {
            let so = said.len() >= 2 && said[..2] == [used, limit] && used >= limit;
            (!so).then(|| format!("`{why}`, and it is {used} of {limit}"))
        };
        if let Some(rest) = why.strip_prefix("waiting for a seat of pool lab: ") {
            return check(self.holding.len() as u64, SEATS.0.into(), &numbers(rest));
        }
        if let Some((host, rest)) = why.strip_prefix("waiting for room on ").and_then(|rest| rest.split_once(": ")) {
            return check(self.on(host), SEATS.1.into(), &numbers(rest));
        }
        let Some((whose, rest)) = why.split_once(" has ") else { return Some(format!("`{said}` is no reason")) };
        let Some(share) = rules.shares(&record.principal).find(|share| share.holder.to_string() == whose) else {
            return Some(format!("`{why}` is about a quota that does not bind it"));
        };
        let limit = if rest.contains("seats of pool lab") {
            share.rule.seats("lab")
        } else {
            share.rule.limit(QuotaKind::Running)
        };
        check(self.held(rules, &share.holder), limit.unwrap_or(u64::MAX), &numbers(rest))
    }
}

/// See the module.
pub(super) struct Model {
    lab: Arc<Lab>,
    /// How often in a row something was not as it should be.
    odd: BTreeMap<String, u32>,
    /// What was waiting at the last look, each with its place and what it waits for.
    before: BTreeMap<RunId, (u32, String)>,
    turns: Turns,
    /// What was looked at, so that a model that sees nothing does not pass.
    seen: BTreeSet<&'static str>,
}

impl Model {
    pub(super) fn new(lab: Arc<Lab>) -> Self {
        Self { lab, odd: BTreeMap::new(), before: BTreeMap::new(), turns: Turns::default(), seen: BTreeSet::new() }
    }

    /// Looks on until that is set.
    pub(super) async fn watch(mut self, over: Arc<Mutex<bool>>) {
        while !*over.lock().unwrap() {
            tokio::time::sleep(LOOK).await;
            let gateway = self.lab.gateway.lock().unwrap().clone();
            let up = self.lab.sim.clock().monotonic().saturating_sub(*self.lab.started.lock().unwrap());
            let Some(gateway) = gateway.filter(|_| up > RETURNING) else {
                (self.odd, self.before, self.turns) = (BTreeMap::new(), BTreeMap::new(), Turns::default());
                continue;
            };
            let hosts = gateway.runs.hosts(&root()).await;
            let all = self.lab.ledger.model.unfinished().await.unwrap();
            let told = |record: &Record| self.lab.sim.story(record.run, |story| story.end_told.is_some());
            let (waiting, rest): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|record| record.state == RunState::Queued);
            let holding = rest.into_iter().filter(|record| !told(record)).collect();
            self.judge(&Look { hosts, waiting, holding });
        }
        if self.lab.sim.went_wrong("") {
            return;
        }
        for kind in ["seat", "own quota", "quota of a group", "two turns"] {
            if !self.seen.contains(kind) {
                self.lab.sim.wrong(format_args!("nothing was seen of this: {kind}"));
            }
        }
    }

    fn judge(&mut self, look: &Look) {
        let rules = self.lab.rules.clone();
        let mut odd = look.exceeded(&rules);
        let said: BTreeMap<RunId, &QueueView> = look.hosts.queue.iter().map(|view| (view.run_id, view)).collect();
        for record in &look.waiting {
            let run = short(record.run);
            if look.free(&rules, &record.principal) {
                odd.insert(format!("run {run} of {} waits, and its share and a seat are free", record.principal));
            }
            match said.get(&record.run) {
                None => drop(odd.insert(format!("run {run} waits and is told nothing"))),
                Some(view) => {
                    let wrong = look.sentence(&rules, record, &view.waiting);
                    odd.extend(wrong.map(|wrong| format!("run {run} of {} is told {wrong}", record.principal)));
                }
            }
        }
        let now = self.places(look, &mut odd);
        self.first_is_next(look, &now);
        // What is found a third time in a row.
        self.odd.retain(|words, _| odd.contains(words));
        for words in odd {
            let times = self.odd.entry(words.clone()).or_default();
            *times += 1;
            if *times == PATIENCE {
                self.lab.sim.wrong(words);
            }
        }
        self.before = now;
    }

    /// Each place is there once, from the first on, and each names the run before it.
    fn places(&mut self, look: &Look, odd: &mut BTreeSet<String>) -> BTreeMap<RunId, (u32, String)> {
        let mut all: BTreeMap<String, BTreeMap<u32, (RunId, String)>> = BTreeMap::new();
        let mut now = BTreeMap::new();
        for view in &look.hosts.queue {
            let (Some(place), Some((_, why))) = (view.place, view.waiting.split_once(": ")) else { continue };
            let what = if why.starts_with("waiting for") {
                why.split(':').next().unwrap_or_default().to_owned()
            } else {
                why.split(" has ").next().unwrap_or_default().to_owned() + " " + &why.contains("seats of").to_string()
            };
            self.seen.insert(match why {
                _ if why.starts_with("waiting for a seat") => "seat",
                _ if why.starts_with("group econ") => "quota of a group",
                _ if why.contains("(quota `seats`)") => "own quota",
                _ => "other",
            });
            if let Some(other) = all.entry(what.clone()).or_default().insert(place, (view.run_id, view.waiting.clone()))
            {
                odd.insert(format!(
                    "two runs are at place {place} for {what}: {} and {}",
                    short(other.0),
                    short(view.run_id)
                ));
            }
            now.insert(view.run_id, (place, what));
        }
        for (what, line) in &all {
            for (at, (place, (run, words))) in (1..).zip(line) {
                if *place != at {
                    odd.insert(format!(
                        "run {} is told that it is at place {place} for {what}, and it is at {at}",
                        short(run)
                    ));
                }
                let before = at.checked_sub(1).and_then(|before| line.get(&before)).map(|(run, _)| run.short());
                if before.is_some_and(|before| !words.contains(&format!("after run {before}"))) {
                    odd.insert(format!("run {} is told `{words}`, and another one is before it", short(run)));
                }
            }
        }
        now
    }

    /// Where one run alone has started since the last look, and none has come, it was the first of those that waited for the
    /// same.
    fn first_is_next(&mut self, look: &Look, now: &BTreeMap<RunId, (u32, String)>) {
        let holding: BTreeMap<RunId, String> =
            look.holding.iter().map(|record| (record.run, record.principal.to_string())).collect();
        let started: Vec<&RunId> = self.before.keys().filter(|run| !now.contains_key(run)).collect();
        let came = now.keys().any(|run| !self.before.contains_key(run));
        if let ([run], false) = (started.as_slice(), came)
            && let Some((place, what)) = self.before.get(*run)
            && holding.contains_key(*run)
            && *place != 1
        {
            let words = format!("run {} was at place {place} for {what}, and was the next to start", short(*run));
            self.lab.sim.wrong(words);
        }
        let owner = |run: &RunId| holding.get(run).cloned();
        let starts: Vec<String> = started.into_iter().filter_map(owner).collect();
        let waiting: BTreeSet<String> = look
            .waiting
            .iter()
            .filter(|record| now.get(&record.run).is_some_and(|(_, what)| what.starts_with("waiting for")))
            .map(|record| record.principal.to_string())
            .collect();
        if let Some(wrong) = self.turns.look(&starts, &waiting) {
            self.lab.sim.wrong(wrong);
        }
        if self.turns.most >= 2 {
            self.seen.insert("two turns");
        }
    }
}
