//! A batch system in memory, and an executor on it: another shape than processes of this host. Jobs wait in a queue, the
//! controller forgets some and gives their numbers out again, jobs that it forgot may begin all the same, and answers
//! come late or not at all.
//!
//! A job begins by renaming the ticket that was laid into the spool for it: whoever renames a ticket first, the job or an
//! agent that gives it up, decides whether it begins (see [`tickets`]).

mod executor;
mod tickets;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::BoxFuture;
use longhaul_agent::spool::Spool;
use longhaul_proto::tasks::Tasks;
use tokio_util::sync::CancellationToken;

pub(crate) use executor::BatchExecutor;

/// What a job does on its node once it has begun. The token fires when the batch system kills it; nothing of it lives when
/// the future is done.
pub(crate) type Body = Arc<dyn Fn(Spool, CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>;

/// How the controller answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// After so long.
    After(Duration),
    /// Not at all; what was asked for may have been done.
    Never,
}

/// What becomes of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It begins after so long in the queue.
    Begins(Duration),
    /// The controller forgets it at once and gives its number out again.
    Forgotten,
    /// The same, and it begins after so long all the same.
    Ghost(Duration),
    /// The controller forgets it when it has begun, after so long in the queue.
    ForgottenLater(Duration),
}

/// What befalls a batch system.
pub(crate) trait Weather: Send + Sync {
    fn answer(&self) -> Answer;
    fn fate(&self, run: &str) -> Fate;
}

/// A job as the controller has it.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    /// Of the submission.
    ticket: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Running,
    Ended,
}

#[derive(Default)]
struct Controller {
    next: u64,
    jobs: BTreeMap<u64, Entry>,
    /// Jobs on their nodes, known to the controller or not.
    nodes: BTreeMap<String, CancellationToken>,
}

struct Inner {
    controller: Mutex<Controller>,
    weather: Box<dyn Weather>,
    body: Body,
    tasks: Tasks,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct BatchSystem(Arc<Inner>);

impl BatchSystem {
    pub(crate) fn new(weather: impl Weather + 'static, body: Body, tasks: Tasks) -> Self {
        let inner = Inner { controller: Mutex::default(), weather: Box::new(weather), body, tasks };
        Self(Arc::new(inner))
    }

    fn controller(&self) -> MutexGuard<'_, Controller> {
        self.0.controller.lock().unwrap()
    }

    /// Kills one job that the controller knows, and everything in it.
    pub(crate) fn kill_one(&self) {
        let controller = self.controller();
        let mut running = controller.jobs.values().filter(|entry| entry.state == State::Running);
        if let Some(kill) = running.find_map(|entry| controller.nodes.get(&entry.name)) {
            kill.cancel();
        }
    }

    /// Takes a job into the queue. Its number may be one that a forgotten job had.
    fn submit(&self, name: &str, ticket: u32, spool: &Spool) -> u64 {
        let fate = self.0.weather.fate(name);
        let id = {
            let mut controller = self.controller();
            let id = controller.next;
            if !matches!(fate, Fate::Forgotten | Fate::Ghost(_)) {
                controller.next += 1;
                controller.jobs.insert(id, Entry { name: name.to_owned(), ticket, state: State::Queued });
            }
            id
        };
        let wait = match fate {
            Fate::Forgotten => return id,
            Fate::Begins(wait) | Fate::Ghost(wait) | Fate::ForgottenLater(wait) => wait,
        };
        let (system, name, spool) = (self.clone(), name.to_owned(), spool.clone());
        self.0.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            system.begin(id, &name, ticket, spool, fate).await;
        });
        id
    }

    /// What the node does with a job.
    async fn begin(&self, id: u64, name: &str, ticket: u32, spool: Spool, fate: Fate) {
        // One that was taken out of the queue does not begin.
        let ours = |entry: &Entry| entry.name == name && entry.ticket == ticket;
        if self.controller().jobs.get(&id).is_some_and(|entry| ours(entry) && entry.state == State::Ended) {
            return;
        }
        let set = |state| {
            if let Some(entry) = self.controller().jobs.get_mut(&id).filter(|entry| ours(entry)) {
                entry.state = state;
            }
        };
        set(State::Running);
        if tickets::begin(&spool, ticket) {
            let kill = CancellationToken::new();
            self.controller().nodes.insert(name.to_owned(), kill.clone());
            let done = (self.0.body)(spool, kill);
            if matches!(fate, Fate::ForgottenLater(_)) {
                let mut controller = self.controller();
                if controller.jobs.get(&id).is_some_and(ours) {
                    controller.jobs.remove(&id);
                    controller.next = id;
                }
            }
            done.await;
            self.controller().nodes.remove(name);
        }
        set(State::Ended);
    }

    /// The job of this name that counts: one that has not ended before one that has.
    fn find(&self, name: &str) -> Option<(u64, State)> {
        let controller = self.controller();
        let all = controller.jobs.iter().filter(|(_, entry)| entry.name == name);
        all.map(|(id, entry)| (*id, entry.state)).min_by_key(|(id, state)| (*state == State::Ended, *id))
    }

    /// Takes a job out of the queue.
    fn cancel(&self, name: &str) {
        for entry in self.controller().jobs.values_mut().filter(|entry| entry.name == name) {
            if entry.state == State::Queued {
                entry.state = State::Ended;
            }
        }
    }
}
