//! What happens to unfinished runs, told as it happens to those who follow all of theirs.
//!
//! The channel is bounded and sending never waits: who is more than [`BACKLOG`] pieces of news behind has lost some, finds that
//! out at its next look, and begins again from the ledger, which has every step.

use std::sync::Arc;

use longhaul_proto::{ids::RunId, state::RunState};
use tokio::sync::broadcast;

use super::{FindError, Runs, reads::may};
use crate::{
    audit::{Event, Kind},
    ledger::{StepCursor, StepRow},
    model::{Attempt, ContactState, Identity, Progress, RunSnapshot, Scope},
};

/// News that may wait for one follower.
pub(crate) const BACKLOG: usize = 1024;

/// Steps that are read at once.
const STEPS: u32 = 200;

/// Something happened to a run.
#[derive(Clone, Debug)]
pub(crate) struct News {
    /// The run as it is since then.
    pub(crate) run: Arc<RunSnapshot>,
    /// It made a step, which the ledger has.
    pub(crate) stepped: bool,
}

/// Where news is told.
#[derive(Clone, Debug)]
pub(crate) struct Feed(broadcast::Sender<News>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

/// The parts of a run whose change is news, besides its step.
#[derive(PartialEq)]
struct Told<'a> {
    waiting: Option<std::borrow::Cow<'a, str>>,
    progress: Option<&'a Progress>,
    cancelling: bool,
    contact: Option<ContactState>,
}

impl<'a> Told<'a> {
    fn of(run: &'a RunSnapshot) -> Self {
        Self {
            waiting: run.waiting.as_ref().map(|wait| wait.words()),
            progress: run.progress.as_ref(),
            cancelling: run.cancel.is_some(),
            contact: run.contact.as_ref().map(|contact| contact.state),
        }
    }
}

fn step(run: &RunSnapshot) -> (RunState, Option<Attempt>) {
    (run.state, run.attempt)
}

impl Feed {
    /// Tells what is new of a run since it was as `before`, if there are followers. `None` = it is a new run.
    pub(crate) fn tell(&self, before: Option<&RunSnapshot>, now: &Arc<RunSnapshot>) {
        // Output is published piece by piece: without followers nothing is compared.
        if self.0.receiver_count() == 0 {
            return;
        }
        let stepped = before.is_none_or(|before| step(before) != step(now));
        if stepped || before.is_some_and(|before| Told::of(before) != Told::of(now)) {
            // An error means that the last follower has just left.
            let _ = self.0.send(News { run: now.clone(), stepped });
        }
    }

    /// All news from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<News> {
        self.0.subscribe()
    }
}

/// Some steps that a follower may see.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// The steps, in order.
    pub(crate) steps: Vec<StepRow>,
    /// From where the next read goes on.
    pub(crate) next: StepCursor,
    /// There are more.
    pub(crate) more: bool,
}

impl Runs {
    /// News of all runs from now on, the caller's or not: [`Runs::sees`] says which are.
    pub(crate) fn follow_all(&self, who: &Identity) -> broadcast::Receiver<News> {
        if who.scopes.may(Scope::ReadAll) && who.origin.request().is_some() {
            self.0.audit.note(Event::of(Kind::Read, who).with("what", "events"));
        }
        self.0.registry.feed().follow()
    }

    /// Whether the caller may see this run.
    pub(crate) fn sees(&self, who: &Identity, run: &RunSnapshot) -> bool {
        may(who, &run.principal)
    }

    /// Whether a run has not ended, as far as its task has told.
    pub(crate) fn goes_on(&self, run: RunId) -> bool {
        self.0.registry.get(run).is_some_and(|active| !active.snapshot.borrow().state.is_end())
    }

    /// The place of the latest step of all runs.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) async fn latest_step(&self) -> Result<StepCursor, FindError> {
        self.0.ledger.latest_step().await.map_err(FindError::Ledger)
    }

    /// The steps of the caller's runs after a place, as many as are found among the next [`STEPS`] of all runs.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) async fn steps_since(&self, who: &Identity, after: StepCursor) -> Result<Steps, FindError> {
        let mut steps = self.0.ledger.steps_since(after, STEPS).await.map_err(FindError::Ledger)?;
        let more = steps.len() >= STEPS as usize;
        let next = steps.last().map_or(after, StepRow::cursor);
        steps.retain(|step| may(who, &step.principal));
        Ok(Steps { steps, next, more })
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::state::Cause;
    use tokio::sync::broadcast::error::{RecvError, TryRecvError};

    use super::*;
    use crate::{model::Record, runs::snapshot::recorded};

    fn run(state: RunState) -> Arc<RunSnapshot> {
        let id = "01a20414-49e1-74ff-9b78-91133be83fb6".parse().unwrap();
        let record = Record::queued(id, crate::model::Principal::local("ann"), 1, crate::model::Asked::default());
        Arc::new(RunSnapshot { state, cause: Cause::Submitted, ..recorded(&record) })
    }

    #[tokio::test]
    async fn only_news_is_told_and_who_is_far_behind_loses_some() {
        let feed = Feed::default();
        let (queued, running) = (run(RunState::Queued), run(RunState::Running));
        feed.tell(None, &queued);
        let mut follower = feed.follow();
        assert_eq!(follower.try_recv().unwrap_err(), TryRecvError::Empty, "what came before is not told");
        feed.tell(None, &queued);
        feed.tell(Some(&queued), &running);
        let longer = Arc::new(RunSnapshot { log_len: 70_000, ..(*running).clone() });
        feed.tell(Some(&running), &longer);
        let progress = Some(Progress { percent: Some(40.0), text: "4 of 10".to_owned() });
        let further = Arc::new(RunSnapshot { progress, ..(*longer).clone() });
        feed.tell(Some(&longer), &further);
        let told: Vec<_> = [(); 3].map(|()| follower.try_recv().unwrap()).into();
        assert!(told[0].stepped && told[1].stepped && !told[2].stepped, "{told:?}");
        assert_eq!(follower.try_recv().unwrap_err(), TryRecvError::Empty, "more output alone is no news");
        for _ in 0..=BACKLOG {
            feed.tell(None, &queued);
        }
        assert_eq!(follower.recv().await.unwrap_err(), RecvError::Lagged(1));
    }
}
