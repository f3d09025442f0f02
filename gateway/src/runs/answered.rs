//! Whether an earlier run answers a request, before anything says that a run was asked for.

use std::sync::Arc;

use longhaul_proto::{faults, wire};

use super::{Accepted, Inner, SubmitError, joining};
use crate::ledger::{Inserted, NewRun};

/// The earlier run that answers. It is looked for before there is a line of who did what that a run was asked for.
pub(super) async fn answered(inner: &Arc<Inner>, new: &mut NewRun) -> Result<Option<Accepted>, SubmitError> {
    let any = new.dedupe.join_since_ms.is_some() || !new.submission.key.is_empty();
    if !any || !inner.audit.is_on() || faults::bug("joined_after_its_line") {
        return Ok(None);
    }
    let submission = wire::Submission { key: new.submission.key.clone(), ..wire::Submission::default() };
    let mut look = NewRun { submission, blobs: Vec::new(), ..new.clone() };
    look.dedupe.only_join = true;
    loop {
        match inner.ledger.insert(look.clone()).await {
            Ok(Inserted::Joined(run, why)) if run != new.record.run => {
                match joining::decide(inner, new, run, why).await? {
                    joining::Verdict::Join(accepted) => return Ok(Some(accepted)),
                    joining::Verdict::GoOn => {
                        new.dedupe.not.push(run);
                        look.dedupe.not.push(run);
                    }
                }
            }
            // Whatever keeps it from being recorded is told by the one that records it.
            _ => return Ok(None),
        }
    }
}
