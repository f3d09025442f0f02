//! The queue: FIFO within a principal, round-robin between principals.
//!
//! Runs of one principal with the same need form one line, and only the head of a line is ever examined: ten thousand
//! queued runs cost as much as the handful of lines that they form.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_proto::ids::RunId;

use crate::model::{Need, Principal};

#[derive(Debug, Default)]
pub(crate) struct Queue {
    lines: BTreeMap<(Principal, Need), BTreeSet<RunId>>,
    of: HashMap<RunId, (Principal, Need)>,
    /// When each principal last got a lease, counted in grants.
    served: HashMap<Principal, u64>,
    grants: u64,
}

impl Queue {
    /// Adds a run. Its id says when it came.
    pub(crate) fn push(&mut self, run: RunId, principal: &Principal, need: Need) {
        let line = (principal.clone(), need);
        self.of.insert(run, line.clone());
        self.lines.entry(line).or_default().insert(run);
    }

    /// Removes a run; `false` when it was not queued.
    pub(crate) fn remove(&mut self, run: RunId) -> bool {
        let Some(line) = self.of.remove(&run) else { return false };
        if let Some(runs) = self.lines.get_mut(&line) {
            runs.remove(&run);
            if runs.is_empty() {
                self.lines.remove(&line);
            }
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// The principal of a queued run, and what it requires.
    pub(crate) fn line_of(&self, run: RunId) -> Option<&(Principal, Need)> {
        self.of.get(&run)
    }

    /// The next run that can be placed, with `place`'s answer for it; [`Queue::grant`] takes it out.
    pub(crate) fn next<T>(&self, mut place: impl FnMut(&Principal, &Need) -> Option<T>) -> Option<(RunId, T)> {
        let mut best: Option<(u64, RunId, T)> = None;
        for ((principal, need), runs) in &self.lines {
            let Some(head) = runs.first().copied() else { continue };
            let served = self.served.get(principal).copied().unwrap_or(0);
            if best.as_ref().is_some_and(|(s, run, _)| (*s, *run) <= (served, head)) {
                continue;
            }
            if let Some(at) = place(principal, need) {
                best = Some((served, head, at));
            }
        }
        best.map(|(_, run, at)| (run, at))
    }

    /// Takes a run out that gets its lease: its principal's next turn comes after those of the others.
    pub(crate) fn grant(&mut self, run: RunId, principal: &Principal) {
        self.remove(run);
        self.grants += 1;
        self.served.insert(principal.clone(), self.grants);
    }

    /// The principal and the need of a queued run that is the next of its line.
    pub(crate) fn heads_line(&self, run: RunId) -> Option<&(Principal, Need)> {
        let line = self.of.get(&run)?;
        Some(line).filter(|line| self.lines.get(*line).and_then(BTreeSet::first) == Some(&run))
    }

    /// All queued runs, line by line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&(Principal, Need), &BTreeSet<RunId>)> {
        self.lines.iter()
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;

    use super::*;

    /// Takes out the next run that can be placed.
    fn take(queue: &mut Queue, so: impl Fn(&Need) -> bool) -> Option<RunId> {
        let (run, principal) = queue.next(|principal, need| so(need).then(|| principal.clone()))?;
        queue.grant(run, &principal);
        Some(run)
    }

    #[test]
    fn in_turn_between_principals_and_in_order_within_one() {
        let ids = Ids::system();
        let runs: Vec<RunId> = (0..6).map(|_| ids.run()).collect();
        let mut queue = Queue::default();
        for (at, who) in ["ann", "ann", "ann", "bob", "ann", "bob"].iter().enumerate() {
            queue.push(runs[at], &Principal::local(*who), Need::default());
        }
        let mut order = Vec::new();
        while let Some(run) = take(&mut queue, |_| true) {
            order.push(runs.iter().position(|r| *r == run).unwrap());
        }
        assert_eq!(order, [0, 3, 1, 5, 2, 4]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn one_subject_of_two_issuers_takes_turns() {
        let ids = Ids::system();
        let runs: Vec<RunId> = (0..4).map(|_| ids.run()).collect();
        let mut queue = Queue::default();
        let (here, there) = (Principal::local("ann"), Principal::new("idp", "ann"));
        for (run, who) in runs.iter().zip([&here, &here, &here, &there]) {
            queue.push(*run, who, Need::default());
        }
        let order: Vec<_> = std::iter::from_fn(|| take(&mut queue, |_| true)).collect();
        assert_eq!(order, [runs[0], runs[3], runs[1], runs[2]]);
    }

    #[test]
    fn a_head_that_cannot_be_placed_blocks_nobody() {
        let ids = Ids::system();
        let (first, second) = (ids.run(), ids.run());
        let mut queue = Queue::default();
        let picky = Need { host: "away".to_owned(), ..Need::default() };
        queue.push(first, &Principal::local("ann"), picky);
        queue.push(second, &Principal::local("ann"), Need::default());
        assert!(queue.heads_line(first).is_some() && queue.heads_line(second).is_some());
        let anywhere = |need: &Need| need.host.is_empty();
        assert_eq!(take(&mut queue, anywhere), Some(second));
        assert_eq!(take(&mut queue, anywhere), None);
        assert!(queue.remove(first));
        assert!(!queue.remove(first));
    }
}
