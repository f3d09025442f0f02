//! How a planned run is started and what can be asked of it afterwards. Runs are local supervised processes today; a
//! batch system would be another [`Executor`]. The markers in the spool decide, never what an executor remembers.
//!
//! All calls block briefly at most (files, one spawn); callers in async code use a blocking thread.

mod local;

use std::{future::Future, io, pin::Pin};

use crate::spool::{CancelRecord, Spool};

pub use local::{Local, own_program};

/// Resolves when the started process is gone, for whatever reason.
pub type Gone = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A way to start runs. Every method may be called again after a restart of the agent, for runs started before it.
pub trait Executor: Send + Sync {
    /// Starts a supervisor for the plan in the spool. Called again for the same run it continues the run and never
    /// starts it a second time.
    ///
    /// # Errors
    /// When nothing could be started.
    fn start(&self, spool: &Spool) -> io::Result<Gone>;

    /// Whether a supervisor carries out the plan now.
    ///
    /// # Errors
    /// Any failure of the file system.
    fn alive(&self, spool: &Spool) -> io::Result<bool>;

    /// Records the request to end the run, durably, and signals it. A stronger mode replaces a weaker one.
    ///
    /// # Errors
    /// When the request could not be recorded.
    fn cancel(&self, spool: &Spool, request: &CancelRecord) -> io::Result<()>;
}
