//! The ticket of a submission: `job-N.ticket` in the spool, renamed once, to `job-N.begun` by the job or to
//! `job-N.revoked` by an agent that gives it up. So it begins at most once, and never after it was given up.

use std::{fs, io, path::PathBuf};

use longhaul_agent::spool::Spool;
use longhaul_proto::durable;

/// What the tickets of an attempt show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tickets {
    /// Submissions so far.
    pub(super) last: u32,
    /// One that may still begin.
    pub(super) open: Option<u32>,
    /// One has begun.
    pub(super) begun: bool,
}

fn path(spool: &Spool, ticket: u32, what: &str) -> PathBuf {
    spool.control_folder().join(format!("job-{ticket}.{what}"))
}

pub(super) fn read(spool: &Spool) -> io::Result<Tickets> {
    let mut found = Tickets::default();
    for entry in fs::read_dir(spool.control_folder())? {
        let name = entry?.file_name();
        let Some((number, what)) = name.to_str().and_then(|name| name.strip_prefix("job-")?.split_once('.')) else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        found.last = found.last.max(number);
        match what {
            "ticket" => found.open = Some(number),
            "begun" => found.begun = true,
            _ => {}
        }
    }
    Ok(found)
}

/// Lays out a ticket, durably, before its job is submitted.
pub(super) fn lay(spool: &Spool, ticket: u32) -> io::Result<()> {
    durable::create_exclusive(&path(spool, ticket, "ticket"), b"").map(|_| ())
}

/// The job's first act. `false` = it was given up, and must not begin.
pub(super) fn begin(spool: &Spool, ticket: u32) -> bool {
    fs::rename(path(spool, ticket, "ticket"), path(spool, ticket, "begun")).is_ok()
}

/// Gives a submission up. `false` = it has begun.
pub(super) fn revoke(spool: &Spool, ticket: u32) -> io::Result<bool> {
    match durable::rename(&path(spool, ticket, "ticket"), &path(spool, ticket, "revoked")) {
        Ok(()) => durable::sync_folder(spool.control_folder()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
