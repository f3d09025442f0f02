//! Refusals as gRPC statuses. Every refusal of a `Run` that is not `INTERNAL` or `UNAVAILABLE` left no attempt behind;
//! the caller still calls `Revoke` before it places the run again.

use std::io;

use longhaul_proto::words;
use tonic::Status;

use crate::runs::{NotTaken, Refused};

pub(super) fn status(refused: Refused) -> Status {
    let words = words::chain(&refused);
    match refused {
        Refused::Older { .. }
        | Refused::Revoked(_)
        | Refused::Started(_)
        | Refused::Freed
        | Refused::NoEngine(_)
        | Refused::NoBlobs(_) => Status::failed_precondition(words),
        Refused::NoRoom(_) => Status::resource_exhausted(words),
        Refused::Io(_) => Status::internal(words),
        Refused::Stopping => Status::unavailable(words),
    }
}

/// Files of a run's code that were not taken.
pub(super) fn not_taken(error: &NotTaken) -> Status {
    let words = words::chain(error);
    match error {
        NotTaken::NoRoom(_) => Status::resource_exhausted(words),
        NotTaken::Offset(_) => Status::aborted(words),
        NotTaken::Superseded => Status::unavailable(words),
        NotTaken::Differs { .. } => Status::data_loss(words),
        NotTaken::TooLong | NotTaken::Nameless => Status::invalid_argument(words),
        NotTaken::Io(_) => Status::internal(words),
    }
}

pub(super) fn io(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::Interrupted => Status::unavailable(error.to_string()),
        _ => Status::internal(format!("the spool failed: {error}")),
    }
}

/// What is in a run's folder cannot be read, which says nothing of other runs.
pub(super) fn unreadable(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::Interrupted => io(error),
        _ => Status::data_loss(format!("it cannot be read in the run's spool: {error}")),
    }
}
