//! Refusals as gRPC statuses. Every refusal of a `Run` that is not `INTERNAL` or `UNAVAILABLE` left no attempt behind;
//! the caller still calls `Revoke` before it places the run again.

use std::{error::Error, io};

use tonic::Status;

use crate::runs::Refused;

/// An error with its causes, in one line.
pub(crate) fn text(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

pub(super) fn status(refused: Refused) -> Status {
    let words = text(&refused);
    match refused {
        Refused::Older { .. } | Refused::Revoked(_) | Refused::Begun(_) | Refused::LetGo | Refused::NoEngine(_) => {
            Status::failed_precondition(words)
        }
        Refused::NoRoom(_) => Status::resource_exhausted(words),
        Refused::Io(_) => Status::internal(words),
        Refused::Stopping => Status::unavailable(words),
    }
}

pub(super) fn io(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::Interrupted => Status::unavailable(error.to_string()),
        _ => Status::internal(format!("the spool failed: {error}")),
    }
}
