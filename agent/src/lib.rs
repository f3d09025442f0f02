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
//! [`spool`] is the only truth about every run; [`supervisor`] is a process of its own and shares only that folder with
//! the agent; [`stata`] knows Stata and nothing else. Ending the agent, in whatever way, ends no run.

mod banner_cache;
mod engine;
mod entered;
mod env;
pub mod executor;
mod finish;
pub mod follow;
mod identity;
mod incoming;
mod limits;
mod live;
pub mod os;
mod pins;
mod prepare;
mod register;
pub mod runs;
mod service;
#[cfg(feature = "faults")]
pub mod simulation;
mod source;
pub mod spool;
mod start;
pub mod stata;
pub mod supervisor;
mod verdict;

pub use engine::{Choice, Engine, STANDIN_NOTE};
pub use identity::{Label, Serve};
pub use limits::MinFree;
pub use source::Places;
pub use start::{Agent, Deps, Options, StartError, start};
