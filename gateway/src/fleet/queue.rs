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

    /// Takes out the next run that can be placed, with its principal and `place`'s answer for it.
    pub(crate) fn take<T>(
        &mut self,
        mut place: impl FnMut(&Principal, &Need) -> Option<T>,
    ) -> Option<((RunId, Principal), T)> {
        let mut best: Option<(u64, RunId, Principal, T)> = None;
        for ((principal, need), runs) in &self.lines {
            let Some(head) = runs.first().copied() else { continue };
            let served = self.served.get(principal).copied().unwrap_or(0);
            if best.as_ref().is_some_and(|(s, run, _, _)| (*s, *run) <= (served, head)) {
                continue;
            }
            if let Some(at) = place(principal, need) {
                best = Some((served, head, principal.clone(), at));
            }
        }
        let (_, run, principal, at) = best?;
        self.remove(run);
        self.grants += 1;
        self.served.insert(principal.clone(), self.grants);
        Some(((run, principal), at))
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

    #[test]
    fn in_turn_between_principals_and_in_order_within_one() {
        let ids = Ids::system();
        let runs: Vec<RunId> = (0..6).map(|_| ids.run()).collect();
        let mut queue = Queue::default();
        for (at, who) in ["ann", "ann", "ann", "bob", "ann", "bob"].iter().enumerate() {
            queue.push(runs[at], &Principal::local(*who), Need::default());
        }
        let mut order = Vec::new();
        while let Some(((run, _), ())) = queue.take(|_, _| Some(())) {
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
        let order: Vec<_> = std::iter::from_fn(|| queue.take(|_, _| Some(()))).map(|((run, _), ())| run).collect();
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
        let place = |_: &Principal, need: &Need| need.host.is_empty().then_some(());
        assert_eq!(queue.take(place).map(|((run, _), ())| run), Some(second));
        assert_eq!(queue.take(place), None);
        assert!(queue.remove(first));
        assert!(!queue.remove(first));
    }
}
