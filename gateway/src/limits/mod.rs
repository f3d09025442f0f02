//! Bounds on what clients may hold: connections, requests, streams.
//!
//! What clients may hold of this gateway: connections and requests of the port ([`incoming`]), open streams and calls of
//! each principal ([`quotas`]).

pub mod incoming;
pub mod quotas;
