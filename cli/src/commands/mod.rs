//! One module per command, or per few that are alike.

pub(crate) mod agents;
pub(crate) mod daemons;
pub(crate) mod do_files;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod judge;
pub(crate) mod log;
pub(crate) mod run;
pub(crate) mod simple;
pub(crate) mod tokens;
