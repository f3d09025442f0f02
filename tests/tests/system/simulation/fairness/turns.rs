//! The turns of those who wait for a seat at the same time.

use std::collections::{BTreeMap, BTreeSet};

/// How many seats principals have had since they wait for one without a pause.
#[derive(Default)]
pub(super) struct Turns {
    /// By principal: at which look its wait began, and its turns since, each with its look.
    since: BTreeMap<String, (u64, Vec<u64>)>,
    looks: u64,
    /// The most turns that one had in such a wait.
    pub(super) most: usize,
}

impl Turns {
    /// Takes what a look has seen: whose runs have started since the last one, and who waits now. Says what is uneven.
    pub(super) fn look(&mut self, starts: &[String], waiting: &BTreeSet<String>) -> Option<String> {
        self.looks += 1;
        let looks = self.looks;
        self.since.retain(|whose, _| waiting.contains(whose));
        for whose in waiting {
            let (_, turns) = self.since.entry(whose.clone()).or_insert((looks, Vec::new()));
            turns.extend(starts.iter().filter(|start| *start == whose).map(|_| looks));
            self.most = self.most.max(turns.len());
        }
        // Of two that both wait since a look, one may be a turn ahead, and the look may have come between two turns.
        let of = |turns: &[u64], since: u64| turns.iter().filter(|at| **at > since).count();
        let all: Vec<_> = self.since.iter().collect();
        all.iter().find_map(|(one, (began, turns))| {
            all.iter().find_map(|(other, (also, theirs))| {
                let since = *began.max(also);
                let (mine, theirs) = (of(turns, since), of(theirs, since));
                (mine > theirs + 2)
                    .then(|| format!("{one} had {mine} turns while {other}, who waited too, had {theirs}"))
            })
        })
    }
}
