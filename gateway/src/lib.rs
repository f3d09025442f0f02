//! Longhaul's gateway: the one place that clients talk to. It owns every run's record and the copy of its output.
//!
//! ```text
//!   http, mcp, api            what clients talk to: requests in, answers out; `frontend` is what they share
//!          |
//!        auth                 who asks
//!          |
//!        runs                 the state machine: one task per unfinished run
//!          |
//!        fleet                agents, queue and leases
//!       /     \
//! ledger, blobs  mirror        the durable record, and files by their content | the copy of the output
//!       \     /
//!        model                the values that they share
//! ```
//! Arrows go down only; a test (`tests/tests/system/architecture.rs`) holds them.
//!
//! [`start`] opens the data folder (and holds its lock), the ledger and the mirror, takes up every unfinished run, and
//! serves until [`Gateway::shutdown`]. A gateway that dies at any moment comes back to the same runs: it answers
//! nothing before it is on disk.

pub mod api;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod blobs;
pub mod ca;
mod draw;
pub mod fleet;
pub mod frontend;
pub mod http;
pub mod key_store;
pub mod ledger;
pub mod limits;
pub mod mcp;
pub mod metrics;
pub mod mirror;
pub mod model;
pub mod notify;
pub mod options;
pub mod problem;
pub mod runs;
#[cfg(feature = "faults")]
pub mod simulation;
mod start;
mod wall_clock;

use longhaul_proto::{clock::Clock, ids::Ids, tasks::Tasks};

pub use draw::{DRAW, draw_main};
pub use options::Options;
pub use runs::{READ_DATA, asked_of_child};
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
