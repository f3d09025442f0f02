//! Longhaul's agent: runs do-files on a Stata host, under supervisors that outlive it.
//!
//! ```text
//! gateway --Run, Follow, Cancel, Revoke, Forget--> service --> runs (one owner task each)
//!         <--Hello, Register, Heartbeat----------- register     |          |
//!                                                             executor   follow --> bytes by offset
//!                                                               |
//!                                                           supervisor --> Stata, in the spool
//! ```
//!
//! [`spool`] is the only truth about every run; its [`supervisor`] is a process of its own and shares only that folder with
//! the agent; [`stata`] knows Stata and nothing else. Ending the agent, in whatever way, ends no run.
//!
//! Modules use each other one way:
//!
//! ```text
//! start -> register, service -> provenance, data, draw, identity -> runs -> help -> prepare, outcome, executor, metrics -> follow -> spool -> os
//!                                                      (these and follow) -> stata
//! ```

mod data;
pub mod draw;
pub mod executor;
pub mod follow;
mod help;
mod identity;
pub mod metrics;
pub mod os;
mod outcome;
mod prepare;
mod provenance;
mod register;
pub mod runs;
mod service;
#[cfg(feature = "faults")]
pub mod simulation;
pub mod spool;
mod start;
pub mod stata;

pub use data::child::main as read_data;
pub use executor::local::supervisor;
pub use identity::{Label, Serve};
pub use prepare::{Choice, Engine, EngineKind, Places, STANDIN_NOTE};
pub use spool::{MinFree, RunLimits, free_space};
pub use start::{Agent, Deps, Options, StartError, start};
