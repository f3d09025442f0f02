//! How many files this process may open.
//!
//! A daemon raises its soft limit to the hard one when it starts: service managers and shells leave it at 1,024 for the
//! sake of programs that use `select`. A run may start such programs, so a run gets the limit that was there before.

use std::{io, sync::OnceLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::faults;

/// The variable that tells a supervisor the soft limit of its runs.
pub const VARIABLE: &str = "LONGHAUL_RUN_FILES";

/// The soft limit before it was raised; `None` inside = there was none.
static BEFORE: OnceLock<Option<u64>> = OnceLock::new();

/// Raises the soft limit to the hard one. One call is enough; a system that refuses leaves it as it is.
///
/// # Errors
/// The system's error.
pub fn raise() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    BEFORE.get_or_init(|| limit.current);
    if faults::bug("connections_unbounded") || limit.current == limit.maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// The soft limit now; `u64::MAX` = none.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The variable for a supervisor, when the limit was raised in this process.
pub fn inherited() -> Option<(&'static str, String)> {
    Some((VARIABLE, (*BEFORE.get()?)?.to_string()))
}

/// Lowers the soft limit to the value of [`VARIABLE`], for the programs that this process starts.
pub fn lower(variable: Option<&str>) {
    let Some(soft) = variable.and_then(|text| text.parse().ok()).filter(|_| !faults::bug("runs_get_all_files")) else {
        return;
    };
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now > soft) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: limit.maximum });
    }
}
