//! Whole-system tests: the real programs as real processes, examined only from outside.
//!
//! A [`Lab`](lab::Lab) is one temporary folder with everything a test needs in it: data folders, do-files, logs of the
//! daemons. [`Daemon`](daemon::Daemon)s are started with port 0 and are ready when they report so; they can be stopped,
//! killed and started again. When the lab is dropped, it kills every process that has its folder in its command line or
//! working directory (supervisors and engines outlive their agents on purpose, so nothing else would end them), and
//! when the test failed, it prints the daemons' logs.
//!
//! A part of a test that needs something the machine may lack goes through [`need`]: it prints `skipped: NAME` and why,
//! and `LONGHAUL_REQUIRE=NAME,…` (or `all`) turns that into a failure.
//!
//! Tests wait for conditions ([`wait`]), never for a fixed time.

// This library is test code: a failed step here is a failed test, and a panic reports it best.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

pub mod api;
pub mod bench;
pub mod chaos;
pub mod collector;
pub mod conformance;
pub mod daemon;
pub mod debian;
pub mod described;
pub mod do_files;
mod failures;
pub mod http;
pub mod lab;
pub mod ledger;
pub mod mcp;
pub mod mount;
pub mod need;
pub mod picture;
pub mod port;
pub mod processes;
pub mod pty;
pub mod relay;
pub mod sse;
pub mod trust;
pub mod wait;

/// A lab for the program that cargo built beside the test.
#[macro_export]
macro_rules! lab {
    () => {
        $crate::lab::Lab::new(env!("CARGO_BIN_EXE_longhaul-under-test"))
    };
}
