//! Longhaul's gateway: the one place that clients talk to, and the owner of every run's record and output.
//!
//! ```text
//!   http, mcp, api, auth      the face: requests in, answers out; knows no agent and no database
//!          |
//!        runs                 the owner of the state machine: one keeper task per unfinished run
//!       /  |  \
//!  ledger fleet mirror        what must not be forgotten | who runs it | what it printed
//! ```
//!
//! [`start`] opens the data folder (and holds its lock), the ledger and the mirror, takes up every unfinished run, and
//! serves until [`Gateway::shutdown`]. A gateway that dies at any moment comes back to the same runs: nothing is
//! answered before it is on disk.

pub mod api;
pub mod auth;
pub mod fleet;
pub mod http;
pub mod ledger;
pub mod mcp;
pub mod metrics;
pub mod mirror;
pub mod options;
pub mod runs;
#[cfg(feature = "faults")]
pub mod simulation;
mod start;
mod upkeep;
mod wall;

use std::sync::Arc;

use longhaul_proto::{clock::Clock, ids::Ids, tasks::Tasks};

pub use options::Options;
pub use start::{GATEWAY_KEY, Gateway, StartError, start, start_with};

/// What is passed in, so that tests can replay it.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Time.
    pub clock: Clock,
    /// New names.
    pub ids: Ids,
    /// Spawning.
    pub tasks: Tasks,
}

/// What the face of the gateway works with. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    /// Settings.
    pub options: Arc<Options>,
    /// The runs.
    pub runs: runs::Runs,
    /// The record; the face uses its tokens.
    pub ledger: Arc<dyn ledger::Ledger>,
    /// Numbers.
    pub metrics: Arc<metrics::Metrics>,
    /// What task handles are made and checked with.
    pub task_key: auth::handles::TaskKey,
    /// Time, names and spawning.
    pub deps: Deps,
    /// Where it listens.
    pub addr: std::net::SocketAddr,
    /// What clients and agents are told to use, such as `http://127.0.0.1:4747`.
    pub url: String,
    /// Name of this start of the gateway.
    pub incarnation: String,
    /// Fires when connections that are still open at a stop are dropped: their readers stall.
    pub hang_up: tokio_util::sync::CancellationToken,
}
