//! The record that a submission makes.

use longhaul_proto::{
    api::Retry,
    ids::RunId,
    visible,
    wire::{self, submission::Source},
};

use super::confirm;
use crate::model::{Asked, Need, Principal, Record, TRACE_STATE};

/// The record of a new run.
pub(crate) fn new_record(run: RunId, submission: &wire::Submission, source: String, need: Need, code: &str) -> Record {
    let path = match &submission.source {
        Some(Source::Path(path)) => Some(path.clone()),
        _ => None,
    };
    let found_sha256 = match &submission.source {
        Some(Source::Bundle(_)) => String::new(),
        Some(Source::Stored(stored)) if !stored.entry.is_empty() => String::new(),
        _ => code.to_owned(),
    };
    let trace = submission.trace.clone().unwrap_or_default();
    let short = trace.tracestate.len() <= TRACE_STATE;
    let (risks, confirmed) = confirm::of_submission(submission);
    Record::queued(
        run,
        Principal::new(&*submission.principal_issuer, &*submission.principal),
        submission.created_at_ms,
        Asked {
            source,
            name: visible::line(&submission.name).into_owned(),
            note: visible::line(&submission.note).into_owned(),
            file_name: visible::line(&submission.file_name).into_owned(),
            args: submission.args.clone(),
            need,
            path,
            working_dir: submission.working_dir.clone(),
            required_sha256: submission.code_sha256.clone(),
            found_sha256,
            client: submission.client.clone(),
            timeout_ms: submission.timeout_ms,
            queue_timeout_ms: submission.queue_timeout_ms,
            traceparent: trace.traceparent,
            tracestate: if short { trace.tracestate } else { String::new() },
            retry: Retry::from_wire(submission.retry),
            cores: submission.cores,
            risks,
            confirmed,
            ..Asked::default()
        },
    )
}
