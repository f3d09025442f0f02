//! The kind of an end that is no success, for the record.

use longhaul_proto::{
    error_kind::{ErrorKind, Facts},
    faults,
    state::{Cause, RunState},
};

use super::verdict::Verdict;
use crate::spool::{Diagnosis, Ending};

/// What was found of an end, with its kind; `None` for a success.
pub(super) fn of(verdict: &Verdict, ending: Option<&Ending>, command: &str, found: Diagnosis) -> Option<Diagnosis> {
    if verdict.state == RunState::Succeeded || faults::bug("ends_without_diagnosis") {
        return None;
    }
    let facts = Facts {
        state: verdict.state,
        cause: verdict.cause,
        rc: verdict.rc,
        message: &verdict.message,
        command,
        host: "",
        working_dir: "",
    };
    // The run's own limit, and not a disk, is what the supervisor measures.
    let own_limit = verdict.cause == Cause::SpoolFull && ending.is_some_and(|ending| ending.cause == Cause::SpoolFull);
    let kind = if own_limit { Some(ErrorKind::OutputTooLarge) } else { ErrorKind::of(&facts) };
    Some(Diagnosis { kind: kind.map(|kind| kind.to_string()).unwrap_or_default(), ..found })
}
