//! The owner of every run's state machine. Nobody else changes a state.
//!
//! ```text
//!                      cancel, queue_timeout
//!            +-----------------------------------------> cancelled, timed_out
//!            |
//!  submit -> queued --a seat, attempt N+1--> starting --first log byte--> running --> succeeded | failed | errored
//!              ^                                |  |                         |         | timed_out | cancelled
//!              +-- proof that N never began ----+  +-------- the end --------+
//!                                               |                            |
//!                                               +----> lost <----------------+   an operator's word, or the horizon
//!                                                       +--> any end, once, from the spool's own record
//! ```
//!
//! - [`check`] turns a request into a submission, or says what is wrong with it;
//! - [`submit`] answers with an earlier run where one answers, and otherwise makes the record and then the run;
//! - [`keeper`] is the story of one unfinished run: one task that owns it from its record to its end;
//! - [`view`] is what others see of it, published on a `watch` that never makes the keeper wait.

pub(crate) mod check;
mod error;

use std::sync::Arc;

use bytes::Bytes;
use longhaul_proto::{
    api::{CancelMode, Hosts, RunList, RunView, SubmitRequest, Submitted},
    ids::RunId,
    state::RunState,
    wire,
};
use tokio::sync::watch;

use crate::auth::principal::Principal;

pub use error::{ControlError, FindError, ReadError, SubmitError};

/// A parsed request with what its transport knows.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What is asked for.
    pub submit: SubmitRequest,
    /// The caller's trace; empty = none, and the run gets a root of its own.
    pub trace: wire::TraceContext,
    /// Largest code or bundle by this transport, bytes.
    pub max_code: usize,
}

/// Which runs to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListFilter {
    /// At most so many (1..=500).
    pub limit: u32,
    /// Older than this run.
    pub before: Option<RunId>,
    /// In one state.
    pub state: Option<RunState>,
}

/// Which output of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Stata's batch log.
    Log,
    /// Standard output and error.
    Console,
}

/// Some bytes of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// The bytes from the asked offset.
    pub bytes: Bytes,
    /// Where the next read begins.
    pub next: u64,
    /// The run has ended and nothing follows these bytes.
    pub complete: bool,
}

/// Most bytes of one [`Runs::read`].
pub const MAX_READ: usize = 256 * 1024;

/// The handle on all runs. Cheap to clone; every method may be dropped half-way without harm.
#[derive(Clone)]
pub struct Runs(Arc<Inner>);

struct Inner;

impl Runs {
    /// Records a run, durable before it answers, or answers with the run that this request already made.
    ///
    /// # Errors
    /// See [`SubmitError`]; no error leaves a run behind.
    pub async fn submit(&self, _who: &Principal, _request: Request) -> Result<Submitted, SubmitError> {
        Err(SubmitError::Stopping)
    }

    /// The run of a full or short name.
    ///
    /// # Errors
    /// Unknown (also for another principal's run), ambiguous, or the ledger could not be read.
    pub async fn find(&self, _who: &Principal, name: &str) -> Result<RunId, FindError> {
        Err(FindError::Unknown(name.to_owned()))
    }

    /// Everything about a run.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn get(&self, _who: &Principal, run: RunId) -> Result<RunView, FindError> {
        Err(FindError::Unknown(run.to_string()))
    }

    /// A page of runs, newest first; everybody's with scope `operate`.
    ///
    /// # Errors
    /// When the ledger could not be read.
    pub async fn list(&self, _who: &Principal, _filter: ListFilter) -> Result<RunList, FindError> {
        Err(FindError::Unknown(String::new()))
    }

    /// A view that follows the run. Of an ended run the value is final and `changed()` answers with an error.
    ///
    /// # Errors
    /// As [`Runs::find`].
    pub async fn watch(&self, _who: &Principal, run: RunId) -> Result<watch::Receiver<Arc<RunView>>, FindError> {
        Err(FindError::Unknown(run.to_string()))
    }

    /// Makes the wish to end a run durable and starts to act on it. Asking again is harmless, and may be harder.
    ///
    /// # Errors
    /// See [`ControlError`]. Cancelling an ended run answers with its view.
    pub async fn cancel(&self, _who: &Principal, _run: RunId, _mode: CancelMode) -> Result<RunView, ControlError> {
        Err(ControlError::Stopping)
    }

    /// An operator's word that the agent of a run will never come back: the run is `lost`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub async fn declare_dead(&self, _who: &Principal, _run: RunId) -> Result<RunView, ControlError> {
        Err(ControlError::Stopping)
    }

    /// At most `max` (and [`MAX_READ`]) bytes of an output, from the mirror.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        _who: &Principal,
        run: RunId,
        _stream: Stream,
        _offset: u64,
        _max: usize,
    ) -> Result<OutputChunk, ReadError> {
        Err(FindError::Unknown(run.to_string()).into())
    }

    /// The result of this run reached its caller.
    pub async fn delivered(&self, _run: RunId) {}

    /// Agents, pools, and the caller's waiting runs.
    pub fn hosts(&self, _who: &Principal) -> Hosts {
        Hosts::default()
    }

    /// Whether the gateway can take work.
    ///
    /// # Errors
    /// With what is wrong.
    pub async fn ready(&self) -> Result<(), String> {
        let _ = &self.0;
        Ok(())
    }
}
