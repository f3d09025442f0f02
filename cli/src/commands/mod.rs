//! One module per command, or per few that are alike.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod background;
pub(crate) mod daemons;
pub(crate) mod data_file;
pub(crate) mod demo;
pub(crate) mod do_files;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod files;
mod greeting;
pub(crate) mod judge;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod own;
pub(crate) mod packages;
mod probe;
pub(crate) mod results;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod simple;
pub(crate) mod stata;
pub(crate) mod stata_help;
pub(crate) mod tokens;
