//! The stand-in as a process: its language, its manners at the process boundary, and its log beside real ones.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod cases;
mod corpus;
mod language;
mod logs;
mod plots;
mod process;
mod replications;
mod results;
mod settings;
mod shapes;
mod support;
mod tables;
