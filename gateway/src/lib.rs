//! Longhaul's gateway: the one place that clients talk to. It owns every run's record and the copy of its output.
//!
//! ```text
//!   http, mcp, api, auth      what clients talk to: requests in, answers out; knows no agent and no database
//!          |
//!        runs                 the state machine: one task per unfinished run
//!       /  |  \
//!  ledger fleet mirror        the durable record | agents, queue and leases | the copy of the output
//! ```
//!
//! [`start`] opens the data folder (and holds its lock), the ledger and the mirror, takes up every unfinished run, and
//! serves until [`Gateway::shutdown`]. A gateway that dies at any moment comes back to the same runs: it answers
//! nothing before it is on disk.

pub mod api;
pub mod auth;
pub mod fleet;
pub mod http;
pub mod ledger;
pub mod mcp;
pub mod metrics;
pub mod mirror;
pub mod model;
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
    /// The clock.
    pub clock: Clock,
    /// New ids.
    pub ids: Ids,
    /// Spawning.
    pub tasks: Tasks,
}

/// What the HTTP and MCP layers work with. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    /// Settings.
    pub options: Arc<Options>,
    /// The runs.
    pub runs: runs::Runs,
    /// The ledger; these layers use its tokens.
    pub ledger: Arc<dyn ledger::Ledger>,
    /// The metrics.
    pub metrics: Arc<metrics::Metrics>,
    /// The key that task handles are made and checked with.
    pub task_key: auth::handles::TaskKey,
    /// Clock, ids and spawning.
    pub deps: Deps,
    /// The address on which it listens.
    pub addr: std::net::SocketAddr,
    /// The URL that clients and agents use, such as `http://127.0.0.1:4747`.
    pub url: String,
    /// Id of this start of the gateway.
    pub incarnation: String,
    /// Fires when a stop drops the connections that are still open because their readers stall.
    pub hang_up: tokio_util::sync::CancellationToken,
}
