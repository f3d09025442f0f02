//! Whole-system tests whose clocks others set, in fractions of a second: the official conformance suite waits half a
//! second for an answer. Cargo runs one test program after the other, so nothing else of ours runs beside these.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a helper that fails is a test that fails

mod conformance;
