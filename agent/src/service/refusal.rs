//! Refusals as gRPC statuses. Every refusal of a `Run` that is not `INTERNAL` or `UNAVAILABLE` left no attempt behind;
//! the caller still calls `Revoke` before it places the run again.

use std::io;

use longhaul_proto::words;
use tonic::Status;

use crate::runs::Refused;

pub(super) fn status(refused: Refused) -> Status {
    let words = words::chain(&refused);
    match refused {
        Refused::Older { .. } | Refused::Revoked(_) | Refused::Started(_) | Refused::Freed | Refused::NoEngine(_) => {
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
