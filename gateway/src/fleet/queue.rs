//! The queue: by priority and then FIFO within a principal, round-robin between principals.
//!
//! Runs of one principal with the same need form one line, and only the head of a line is ever examined: ten thousand
//! queued runs cost as much as the handful of lines that they form.
//!
//! A priority counts among the runs of its own principal. One that an operator gave counts between principals, too: such a
//! run comes before those of all others, or after them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
};

use longhaul_proto::{api::Priority, faults, ids::RunId};

use crate::model::{Need, Principal, Urgency};

/// The place of a run by its priority: the smaller comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    between: Reverse<Priority>,
    own: Reverse<Priority>,
}

impl Rank {
    /// That of a run.
    pub(crate) fn of(urgency: &Urgency) -> Self {
        let between = if urgency.between_principals { urgency.priority } else { Priority::Normal };
        Self { between: Reverse(between), own: Reverse(urgency.priority) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    lines: BTreeMap<(Principal, Need), BTreeSet<(Rank, RunId)>>,
    of: HashMap<RunId, ((Principal, Need), Rank)>,
    /// All runs of each principal.
    own: HashMap<Principal, BTreeSet<(Rank, RunId)>>,
    /// When each principal last got a lease, counted in grants.
    served: HashMap<Principal, u64>,
    grants: u64,
}

impl Queue {
    /// Adds a run. Its id says when it came.
    pub(crate) fn push(&mut self, run: RunId, principal: &Principal, need: Need, rank: Rank) {
        let line = (principal.clone(), need);
        self.of.insert(run, (line.clone(), rank));
        self.lines.entry(line).or_default().insert((rank, run));
        self.own.entry(principal.clone()).or_default().insert((rank, run));
    }

    /// Removes a run; `false` when it was not queued.
    pub(crate) fn remove(&mut self, run: RunId) -> bool {
        let Some((line, rank)) = self.of.remove(&run) else { return false };
        if let Some(runs) = self.lines.get_mut(&line) {
            runs.remove(&(rank, run));
            if runs.is_empty() {
                self.lines.remove(&line);
            }
        }
        if let Some(runs) = self.own.get_mut(&line.0) {
            runs.remove(&(rank, run));
            if runs.is_empty() {
                self.own.remove(&line.0);
            }
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// The principal of a queued run, and what it requires.
    pub(crate) fn line_of(&self, run: RunId) -> Option<&(Principal, Need)> {
        self.of.get(&run).map(|(line, _)| line)
    }

    /// The next run that can be placed, with `place`'s answer for it; [`Queue::grant`] takes it out.
    pub(crate) fn next<T>(&self, mut place: impl FnMut(&Principal, &Need) -> Option<T>) -> Option<(RunId, T)> {
        let mut best: Option<(Turn, T)> = None;
        for ((principal, need), runs) in &self.lines {
            let Some(head) = runs.first().copied() else { continue };
            let turn = Turn::of(head, self.served(principal));
            if best.as_ref().is_some_and(|(first, _)| *first <= turn) {
                continue;
            }
            if let Some(at) = place(principal, need) {
                best = Some((turn, at));
            }
        }
        best.map(|(turn, at)| (turn.run, at))
    }

    fn served(&self, principal: &Principal) -> u64 {
        self.served.get(principal).copied().unwrap_or(0)
    }

    /// The order in which runs have their turns if each can be placed when it is asked for: the first `most` of them, each
    /// with its line.
    pub(crate) fn order(&self, most: usize) -> Vec<(RunId, &(Principal, Need))> {
        let mut rest: HashMap<&Principal, _> = HashMap::new();
        let mut heads = BinaryHeap::new();
        for (principal, runs) in &self.own {
            let mut runs = runs.iter().copied();
            if let Some(head) = runs.next() {
                heads.push(Reverse((Turn::of(head, self.served(principal)), principal)));
                rest.insert(principal, runs);
            }
        }
        let (mut order, mut grants) = (Vec::with_capacity(most.min(self.len())), self.grants);
        while let Some(Reverse((turn, principal))) = heads.pop() {
            order.extend(self.line_of(turn.run).map(|line| (turn.run, line)));
            if order.len() >= most {
                break;
            }
            grants += 1;
            let served = if faults::bug("no_turns") { self.served(principal) } else { grants };
            if let Some(next) = rest.get_mut(principal).and_then(Iterator::next) {
                heads.push(Reverse((Turn::of(next, served), principal)));
            }
        }
        order
    }

    /// Takes a run out that gets its lease: its principal's next turn comes after those of the others.
    pub(crate) fn grant(&mut self, run: RunId, principal: &Principal) {
        self.remove(run);
        self.grants += 1;
        if !faults::bug("no_turns") {
            self.served.insert(principal.clone(), self.grants);
        }
    }

    /// The principal and the need of a queued run that is the next of its line.
    pub(crate) fn heads_line(&self, run: RunId) -> Option<&(Principal, Need)> {
        let (line, rank) = self.of.get(&run)?;
        Some(line).filter(|line| self.lines.get(*line).and_then(BTreeSet::first) == Some(&(*rank, run)))
    }

    /// All queued runs, line by line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &(Principal, Need)> {
        self.lines.keys()
    }
}

/// When a run has its turn, by what comes before: the priority that an operator gave, the turns that its principal had, its
/// own priority, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    between: Reverse<Priority>,
    served: u64,
    own: Reverse<Priority>,
    run: RunId,
}

impl Turn {
    fn of((rank, run): (Rank, RunId), served: u64) -> Self {
        Self { between: rank.between, served, own: rank.own, run }
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
            queue.push(runs[at], &Principal::local(*who), Need::default(), Rank::default());
        }
        let said: Vec<RunId> = queue.order(9).into_iter().map(|(run, _)| run).collect();
        let mut order = Vec::new();
        while let Some(run) = take(&mut queue, |_| true) {
            order.push(runs.iter().position(|r| *r == run).unwrap());
        }
        assert_eq!(order, [0, 3, 1, 5, 2, 4]);
        assert_eq!(said, order.iter().map(|at| runs[*at]).collect::<Vec<_>>());
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_priority_counts_among_ones_own_and_an_operators_between_principals() {
        let ids = Ids::system();
        let runs: Vec<RunId> = (0..6).map(|_| ids.run()).collect();
        let mut queue = Queue::default();
        let rank =
            |priority, between_principals| Rank::of(&Urgency { priority, between_principals, ..Urgency::default() });
        let (low, normal) = (rank(Priority::Low, false), Rank::default());
        let (high, first) = (rank(Priority::High, false), rank(Priority::High, true));
        let all = [("ann", low), ("ann", normal), ("ann", high), ("bob", normal), ("bob", first), ("eve", normal)];
        for (at, (who, rank)) in all.into_iter().enumerate() {
            queue.push(runs[at], &Principal::local(who), Need::default(), rank);
        }
        let said: Vec<RunId> = queue.order(9).into_iter().map(|(run, _)| run).collect();
        let order: Vec<RunId> = std::iter::from_fn(|| take(&mut queue, |_| true)).collect();
        assert_eq!((order.clone(), said), ([4, 2, 5, 3, 1, 0].map(|at| runs[at]).to_vec(), order));
    }

    #[test]
    fn one_subject_of_two_issuers_takes_turns() {
        let ids = Ids::system();
        let runs: Vec<RunId> = (0..4).map(|_| ids.run()).collect();
        let mut queue = Queue::default();
        let (here, there) = (Principal::local("ann"), Principal::new("idp", "ann"));
        for (run, who) in runs.iter().zip([&here, &here, &here, &there]) {
            queue.push(*run, who, Need::default(), Rank::default());
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
        queue.push(first, &Principal::local("ann"), picky, Rank::default());
        queue.push(second, &Principal::local("ann"), Need::default(), Rank::default());
        assert!(queue.heads_line(first).is_some() && queue.heads_line(second).is_some());
        let anywhere = |need: &Need| need.host.is_empty();
        assert_eq!(take(&mut queue, anywhere), Some(second));
        assert_eq!(take(&mut queue, anywhere), None);
        assert!(queue.remove(first));
        assert!(!queue.remove(first));
    }
}
