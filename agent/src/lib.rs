//! Longhaul's agent.

pub mod stata;
