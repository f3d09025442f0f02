//! Why a run waits in the queue.

use longhaul_proto::{ids::RunId, words};

/// Why a run waits in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueReason {
    /// In words, for the run's owner.
    pub words: String,
    /// Nothing that is going on will change it: a person must act.
    pub no_end: bool,
    /// Runs of the same principal that the words name as holders of the seats.
    pub behind: Vec<RunId>,
    /// What it waits for, if others may wait for the same.
    pub waits_for: Option<Box<WaitsFor>>,
    /// Its place among those.
    pub place: Option<Box<Place>>,
}

/// What several runs may wait for. Who waits for the same is in one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitsFor {
    /// A seat of this pool.
    Seat(String),
    /// Room on this host.
    Room(String),
    /// The quota of this holder to have room again: of seats in a pool, or of runs (an empty pool).
    Quota(String, String),
    /// Their turn.
    Turn,
}

/// A place among the runs that wait for the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub number: u32,
    /// The run before it.
    pub after: Option<RunId>,
    /// The principal of that run, if it is another one.
    pub of_another: Option<String>,
}

impl QueueReason {
    /// A reason that passes by itself: runs end, agents that were just connected return.
    pub fn passing(words: String) -> Self {
        Self { words, ..Self::default() }
    }

    /// A reason that does not pass by itself.
    pub fn lasting(words: String) -> Self {
        Self { words, no_end: true, ..Self::default() }
    }

    /// The same reason, which names these runs.
    pub fn behind(self, behind: Vec<RunId>) -> Self {
        Self { behind, ..self }
    }

    /// The same reason, for which others may wait.
    #[must_use]
    pub fn of(self, waits_for: WaitsFor) -> Self {
        Self { waits_for: Some(Box::new(waits_for)), ..self }
    }

    /// Place and reason. Who another principal is that comes before is told only to those who may see all runs.
    pub fn told(&self, to_all_seeing: bool) -> String {
        match &self.place {
            Some(place) => format!("{}: {}", place.words(to_all_seeing), self.words),
            None => self.words.clone(),
        }
    }
}

impl Place {
    fn words(&self, named: bool) -> String {
        let number = words::ordinal(self.number);
        match (&self.after, &self.of_another) {
            (None, _) => number,
            (Some(run), None) => format!("{number}, after run {}", run.short()),
            (Some(run), Some(whose)) if named => format!("{number}, after run {} of {whose}", run.short()),
            (Some(_), Some(_)) => format!("{number}, after another principal's run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;

    use super::*;

    #[test]
    fn another_principal_is_named_only_to_those_who_see_all_runs() {
        let run = Ids::system().run();
        let place = Place { number: 2, after: Some(run), of_another: Some("bob".to_owned()) };
        let why = QueueReason { place: Some(Box::new(place)), ..QueueReason::passing("waiting".to_owned()) };
        assert_eq!(why.told(false), "2nd, after another principal's run: waiting");
        assert_eq!(why.told(true), format!("2nd, after run {} of bob: waiting", run.short()));
    }
}
