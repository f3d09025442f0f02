//! The queue: FIFO within a principal, round-robin between principals.
//!
//! Runs of one principal with the same need form one line, and only the head of a line is ever examined: ten thousand
//! queued runs cost as much as the handful of lines that they form.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_proto::ids::RunId;

use crate::model::Need;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    lines: BTreeMap<(String, Need), BTreeSet<RunId>>,
    of: HashMap<RunId, (String, Need)>,
    /// When each principal last got a lease, counted in grants.
    served: HashMap<String, u64>,
    grants: u64,
}

impl Queue {
    /// Adds a run. Its id says when it came.
    pub(crate) fn push(&mut self, run: RunId, principal: &str, need: Need) {
        let line = (principal.to_owned(), need);
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
    pub(crate) fn line_of(&self, run: RunId) -> Option<&(String, Need)> {
        self.of.get(&run)
    }

    /// Takes out the next run that can be placed, together with `place`'s answer for it.
    pub(crate) fn take<T>(&mut self, mut place: impl FnMut(&str, &Need) -> Option<T>) -> Option<(RunId, T)> {
        let mut best: Option<(u64, RunId, String, T)> = None;
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
        self.served.insert(principal, self.grants);
        Some((run, at))
    }

    /// All queued runs, line by line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&(String, Need), &BTreeSet<RunId>)> {
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
            queue.push(runs[at], who, Need::default());
        }
        let mut order = Vec::new();
        while let Some((run, ())) = queue.take(|_, _| Some(())) {
            order.push(runs.iter().position(|r| *r == run).unwrap());
        }
        assert_eq!(order, [0, 3, 1, 5, 2, 4]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_head_that_cannot_be_placed_blocks_nobody() {
        let ids = Ids::system();
        let (first, second) = (ids.run(), ids.run());
        let mut queue = Queue::default();
        let picky = Need { host: "away".to_owned(), ..Need::default() };
        queue.push(first, "ann", picky);
        queue.push(second, "ann", Need::default());
        let place = |_: &str, need: &Need| need.host.is_empty().then_some(());
        assert_eq!(queue.take(place), Some((second, ())));
        assert_eq!(queue.take(place), None);
        assert!(queue.remove(first));
        assert!(!queue.remove(first));
    }
}
