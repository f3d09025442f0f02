//! The protocol: its generated code is fresh, and it only grows.
#![allow(clippy::expect_used)] // a helper that fails is a test that fails

mod compatible;
mod freshness;
