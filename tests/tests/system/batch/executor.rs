//! An executor that hands attempts to a batch system. Identity is the name `RUN/ATTEMPT`; the system's number is an
//! attribute that may lie.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use longhaul_agent::{
    executor::{Accepted, Executor, Grounds, Job, JobHandle, Probe, Proof, Supervision, Usage},
    spool::{CancelMode, Exit},
};
use longhaul_proto::faults;
use tokio::time::Instant;

use super::{Answer, BatchSystem, State, tickets};

/// The name in this executor's handles.
pub(crate) const NAME: &str = "batch";
/// How long the controller may not know a job that it has taken before the job is given up: longer than it takes to save
/// what it knows.
const GRACE: Duration = Duration::from_secs(3);
/// What is asked of a controller that does not answer ends after so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module. Another one after a restart of the agent knows nothing of what this one knew.
pub(crate) struct BatchExecutor {
    system: BatchSystem,
    /// Since when the controller has not known a job.
    missing: Arc<Mutex<BTreeMap<String, Instant>>>,
}

fn name(job: &Job) -> String {
    format!("{}/{}", job.spool.run(), job.attempt)
}

impl BatchExecutor {
    pub(crate) fn new(system: BatchSystem) -> Self {
        Self { system, missing: Arc::default() }
    }

    async fn answer(&self) -> io::Result<()> {
        match self.system.0.weather.answer() {
            Answer::After(time) => {
                if !time.is_zero() {
                    tokio::time::sleep(time).await;
                }
                Ok(())
            }
            Answer::Never => {
                tokio::time::sleep(PATIENCE).await;
                Err(io::Error::new(io::ErrorKind::TimedOut, "the batch system does not answer"))
            }
        }
    }

    async fn submit(&self, job: &Job) -> io::Result<Accepted> {
        let name = name(job);
        let accepted = |id: u64| Accepted { handle: JobHandle::new(NAME, format!("{id} {name}")), over: None };
        let found = tickets::read(&job.spool)?;
        let known = self.system.find(&name);
        if !faults::bug("batch_submits_blindly") {
            if let Some((id, State::Queued | State::Running)) = known {
                return self.answer().await.map(|()| accepted(id));
            }
            let still_open = found.open.filter(|_| !faults::bug("batch_given_up_unrevoked"));
            if found.begun || still_open.is_some_and(|open| !tickets::revoke(&job.spool, open).unwrap_or(false)) {
                return Err(io::Error::other("the job has begun, and nothing takes it over"));
            }
        }
        let ticket = found.last + 1;
        tickets::lay(&job.spool, ticket)?;
        let id = self.system.submit(&name, ticket, &job.spool);
        // Where no answer comes the job was taken all the same: its name finds it.
        self.answer().await.map(|()| accepted(id))
    }

    async fn look(&self, job: &Job, handle: Option<&JobHandle>) -> io::Result<Probe> {
        let name = name(job);
        if job.spool.read::<Exit>(&job.spool.exit()).ok().flatten().is_some() {
            return Ok(Probe::Gone(Proof::new(Grounds::Recorded, "its end is recorded", ())));
        }
        if let Some(handle) = handle.filter(|handle| handle.executor() != NAME) {
            return Ok(Probe::Unknown(format!("it was handed to the executor {:?}", handle.executor())));
        }
        self.answer().await?;
        let state = self.system.find(&name).map(|(_, state)| state);
        let state = if faults::bug("batch_number_believed") { self.by_number(handle).or(state) } else { state };
        if state.is_some() {
            self.missing.lock().unwrap().remove(&name);
        }
        match state {
            Some(State::Queued) => Ok(Probe::Pending("waiting at the batch system: Licenses".to_owned())),
            Some(State::Running) => Ok(Probe::Alive(Supervision::Attended)),
            Some(State::Ended) => ended(job),
            None => self.missing(job, name),
        }
    }

    fn by_number(&self, handle: Option<&JobHandle>) -> Option<State> {
        let (id, _) = handle?.reference().split_once(' ')?;
        self.system.controller().jobs.get(&id.parse().ok()?).map(|entry| entry.state)
    }

    /// The controller does not know the job.
    fn missing(&self, job: &Job, name: String) -> io::Result<Probe> {
        let found = tickets::read(&job.spool)?;
        let Some(open) = found.open else {
            if found.begun && !faults::bug("batch_forgotten_is_dead") {
                return Ok(Probe::Unknown("the batch system does not know the job any more, and it has begun".into()));
            }
            return Ok(never_began());
        };
        let since = *self.missing.lock().unwrap().entry(name).or_insert_with(Instant::now);
        if since.elapsed() < GRACE {
            return Ok(Probe::Unknown("the batch system does not know the job yet, or not any more".to_owned()));
        }
        give_up(job, open)
    }
}

/// The controller says that the job has ended, and there is no record of its end.
fn ended(job: &Job) -> io::Result<Probe> {
    // The record may have been written since.
    if job.spool.read::<Exit>(&job.spool.exit()).ok().flatten().is_some() {
        return Ok(Probe::Gone(Proof::new(Grounds::Recorded, "its end is recorded", ())));
    }
    let found = tickets::read(&job.spool)?;
    match found.open {
        _ if found.begun => Ok(Probe::Gone(Proof::new(Grounds::Lost, "the batch system has ended the job", ()))),
        Some(open) => give_up(job, open),
        None => Ok(never_began()),
    }
}

fn give_up(job: &Job, open: u32) -> io::Result<Probe> {
    if faults::bug("batch_given_up_unrevoked") || tickets::revoke(&job.spool, open)? {
        return Ok(never_began());
    }
    Ok(Probe::Unknown("the job has begun meanwhile".to_owned()))
}

fn never_began() -> Probe {
    Probe::Gone(Proof::new(Grounds::NeverBegan, "the batch system lost the job twice before it began", ()))
}

impl Executor for BatchExecutor {
    fn start<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Vec<io::Result<Accepted>>> {
        Box::pin(async move {
            let mut accepted = Vec::with_capacity(jobs.len());
            for job in jobs {
                accepted.push(self.submit(job).await);
            }
            accepted
        })
    }

    fn probe<'a>(&'a self, job: &'a Job, handle: Option<&'a JobHandle>) -> BoxFuture<'a, Probe> {
        Box::pin(async move { self.look(job, handle).await.unwrap_or_else(|error| Probe::Unknown(error.to_string())) })
    }

    /// A job that runs looks for requests by itself; one that waits is taken out of the queue.
    fn end<'a>(&'a self, job: &'a Job, _: Option<&'a JobHandle>, _: CancelMode) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            self.answer().await?;
            self.system.cancel(&name(job));
            Ok(())
        })
    }

    fn activity<'a>(&'a self, _: &'a Job, _: Option<&'a JobHandle>) -> BoxFuture<'a, Option<Usage>> {
        Box::pin(async { None })
    }
}
