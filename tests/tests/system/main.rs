//! The whole system from outside: the real programs, real sockets and processes, real clients; beside them what needs no
//! process of its own: properties, the simulation, simulated crashes, and the layers of the source.
//!
//! One program for all of them: it is linked once, and what only waits overlaps with what computes. Every test has a
//! folder, ports and processes of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a helper that fails is a test that fails

mod answers;
mod architecture;
mod as_a_program;
mod audit;
mod batch;
mod behind_nginx;
mod blobs;
mod careful;
mod chance;
mod chaos;
mod client_tls;
mod clients;
mod conformance;
mod connections;
mod cores;
mod crash;
mod daemon_logs;
mod data_files;
mod disk;
mod do_files;
mod egress;
mod ending;
mod engines;
mod envelope;
mod errors;
mod executors;
mod files;
mod foreign;
mod gathering;
mod graphs;
mod grpc;
mod help;
mod input;
mod joining;
mod large_code;
mod learnt;
mod licence;
mod limits;
mod limits_of_runs;
mod mcp;
mod network;
mod operate;
mod operators;
mod output;
mod packages;
mod path_map;
mod paths;
mod placement;
mod places;
mod probe;
mod prompts;
mod properties;
mod ready;
mod record;
mod recorded;
mod records;
mod recovery;
mod registration;
mod restore;
mod results;
mod risks;
mod run;
mod scopes;
mod screen;
mod service_manager;
mod shown;
mod simulation;
mod slow_clients;
mod stalled;
mod startup;
mod supply_chain;
mod tasks;
mod tokens;
mod traces;
mod trust;
mod upgrade;
mod view;
mod waits;
mod wakeups;
