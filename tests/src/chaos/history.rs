//! What all clients observed and did, in order, and the violations found at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{api::RunView, clock::Clock, ids::RunId, state::RunState};

/// The history of one trial. Cheap to clone.
#[derive(Clone)]
pub struct History {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    lines: Vec<String>,
    wrong: Vec<String>,
    acked: BTreeMap<String, RunId>,
    ends: BTreeMap<RunId, RunView>,
    cancelled: BTreeSet<RunId>,
    answers: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { clock: Clock::system(), inner: Arc::default() }
    }
}

impl History {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records an event.
    pub fn note(&self, what: impl std::fmt::Display) {
        let at = self.clock.monotonic().as_millis();
        self.with(|h| h.lines.push(format!("{at:>6} ms  {what}")));
    }

    /// Records a violation.
    pub fn wrong(&self, what: impl std::fmt::Display) {
        self.note(format!("WRONG: {what}"));
        self.with(|h| h.wrong.push(what.to_string()));
    }

    /// The gateway answered that this submission is this run.
    pub fn acked(&self, name: &str, run: RunId) {
        self.note(format!("{name} is {run}"));
        let before = self.with(|h| h.acked.insert(name.to_owned(), run));
        if let Some(before) = before.filter(|b| *b != run) {
            self.wrong(format!("{name} was acknowledged as {before} and then as {run}"));
        }
    }

    /// The gateway answered a request to end a run.
    pub fn cancel_acked(&self, run: RunId) {
        self.note(format!("the end of {run} is asked for"));
        self.with(|h| h.cancelled.insert(run));
    }

    /// The runs whose end was asked for, and that was acknowledged.
    pub fn cancelled(&self) -> BTreeSet<RunId> {
        self.with(|h| h.cancelled.clone())
    }

    /// A client saw an answer by MCP.
    pub fn answered(&self) {
        self.with(|h| h.answers += 1);
    }

    /// How many answers by MCP clients saw.
    pub fn answers(&self) -> usize {
        self.with(|h| h.answers)
    }

    /// All runs that were acknowledged, by name.
    pub fn runs(&self) -> BTreeMap<String, RunId> {
        self.with(|h| h.acked.clone())
    }

    /// The run of a name.
    pub fn run(&self, name: &str) -> Option<RunId> {
        self.with(|h| h.acked.get(name).copied())
    }

    /// The end of a run that a client has observed by now; to be read before the next look at the run.
    pub fn end(&self, run: RunId) -> Option<RunView> {
        self.with(|h| h.ends.get(&run).cloned())
    }

    /// A client observed a run in this state, having started to look when `before` was its known end: what has ended
    /// stays as it is; `lost` may be corrected, once. Where the ledger was restored, an end may be forgotten, but no
    /// other end may follow.
    pub fn saw(&self, name: &str, view: &RunView, before: Option<RunView>, may_forget: bool) {
        let end = |v: &RunView| (v.state, v.cause, v.rc, v.attempt);
        if view.state.is_end() {
            self.with(|h| h.ends.insert(view.run_id, view.clone()));
        } else if may_forget {
            return;
        }
        match before {
            Some(before) if before.state != RunState::Lost && end(&before) != end(view) => {
                self.wrong(format!("{name} had ended as {:?} and is now {:?}", end(&before), end(view)));
            }
            Some(before) if before.state == RunState::Lost && !view.state.is_end() => {
                self.wrong(format!("{name} was lost and is now {}", view.state));
            }
            _ => {}
        }
    }

    /// The violations so far.
    pub fn violations(&self) -> Vec<String> {
        self.with(|h| h.wrong.clone())
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        self.with(|h| h.lines.join("\n"))
    }
}
