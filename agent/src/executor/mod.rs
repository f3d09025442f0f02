//! Executors start planned attempts and prove what became of them; `local` does it with processes of this host.
//!
//! Starting planned attempts, and finding out afterwards what became of them, whatever carries them out: processes of
//! this host ([`Local`]) or a batch system.
//!
//! **Only proof frees an attempt.** That it is over, or never began, is a [`Proof`], which an executor alone can give
//! and which holds off everything that could still start or write while it is held. An executor's silence, a job
//! that it has forgotten, and a job number that was given out again prove nothing: those are [`Probe::Unknown`].
//!
//! Markers in the spool decide, not what an executor remembers: what it calls a job is kept there ([`JobHandle`]) before
//! the start is acknowledged, and a handle that a crash lost costs a search and no second start. Locks, boot ids and
//! process ids are known below [`local`] only.
//!
//! A new executor passes the suite in `tests/tests/system/executors.rs`.

pub mod local;
mod proof;

use std::{future::Future, io, pin::Pin};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{
    os::Means,
    spool::{CancelMode, Spool},
};

pub use local::{Local, own_program};
pub use proof::{Grounds, Proof};

/// One attempt that is laid out in its spool.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its run's folder.
    pub spool: Spool,
    /// Its number.
    pub attempt: u32,
}

/// What an executor calls a job that it accepted. Opaque to all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHandle {
    executor: String,
    reference: String,
}

impl JobHandle {
    /// The handle of a job, by the executor of this name.
    pub fn new(executor: &str, reference: String) -> Self {
        Self { executor: executor.to_owned(), reference }
    }

    /// The executor that gave it.
    pub fn executor(&self) -> &str {
        &self.executor
    }

    /// What that executor wrote into it.
    pub fn reference(&self) -> &str {
        &self.reference
    }
}

/// Resolves when it is worth asking for a job again. A hint: it proves nothing.
pub type Hint = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A job that was accepted.
pub struct Accepted {
    /// To ask for it later.
    pub handle: JobHandle,
    /// Resolves when the job is probably over; `None` = nothing tells of that.
    pub over: Option<Hint>,
}

/// What is known of a job.
#[derive(Debug)]
pub enum Probe {
    /// It waits to begin; why, in words for people.
    Pending(String),
    /// It goes on.
    Alive(Supervision),
    /// It is over, or never began, and that is certain.
    Gone(Proof),
    /// Nothing is certain; why, in words for people.
    Unknown(String),
}

/// Whether something waits for the end of a job that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervision {
    /// Its end will be recorded.
    Attended,
    /// What was to record its end is gone; another [`Executor::start`] puts a successor there.
    Orphaned,
}

/// What a job that goes on uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Processor time so far, milliseconds.
    pub cpu_ms: u64,
}

/// What the handles of an executor must outlive to be found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleLoss {
    /// Its jobs outlive this host: a handle is made durable.
    MustSurviveTheHost,
    /// Its jobs end with this host: a handle need only survive the agent.
    EndsWithTheHost,
}

/// A way to carry out attempts. Every call may come again after a restart of the agent, for jobs from before it, and with
/// no handle where a crash lost it. A call may take seconds and is awaited where other commands need not wait for it.
pub trait Executor: Send + Sync {
    /// What must not lose its handles.
    fn handle_loss(&self) -> HandleLoss {
        HandleLoss::MustSurviveTheHost
    }

    /// What [`Executor::start`] wants to find in the spool, made durable together with the request, so that the start
    /// need not wait for the disk again. Empty = nothing.
    fn ready_mark(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Hands over jobs whose plans are in their spools; one answer for each, in their order. Repeated for the same attempt
    /// it returns the job that there is, or puts a successor to one that is orphaned, and never starts it a second time.
    fn start<'a>(&'a self, jobs: &'a [Job]) -> BoxFuture<'a, Vec<io::Result<Accepted>>>;

    /// What is known of a job now.
    fn probe<'a>(&'a self, job: &'a Job, handle: Option<&'a JobHandle>) -> BoxFuture<'a, Probe>;

    /// Passes on a request to end a job, which is in its spool already. May be lost; it is repeated while the job waits.
    ///
    /// # Errors
    /// When it was not passed on.
    fn end<'a>(
        &'a self,
        job: &'a Job,
        handle: Option<&'a JobHandle>,
        mode: CancelMode,
    ) -> BoxFuture<'a, io::Result<()>>;

    /// What keeps its jobs to their limits.
    fn means(&self) -> Means {
        Means::default()
    }

    /// What a job uses; `None` = not known.
    fn activity<'a>(&'a self, job: &'a Job, handle: Option<&'a JobHandle>) -> BoxFuture<'a, Option<Usage>>;
}
