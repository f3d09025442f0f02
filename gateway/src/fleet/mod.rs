//! Agents.

mod service;

pub use service::FleetService;
