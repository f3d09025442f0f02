//! One line of the log for what operators are asked about: who submitted, started, ended and asked to end which run, where.
//!
//! Each line names everything by itself, so it stands outside the spans, which would say it again.

use longhaul_proto::{api::CancelMode, telemetry, visible, wire};

use super::Accepted;
use crate::model::{Asked, Identity, Record};

/// Most of a do-file and its arguments that a line shows, characters.
const SHOWN: usize = 160;

/// A caller's request was recorded as a run, or answered with an earlier one.
pub(super) fn submitted(who: &Identity, accepted: &Accepted) {
    let run = &accepted.run;
    let (by, what, host) = (&who.principal, what(&run.source, &run.args), run.host.as_deref());
    let (id, trace) = (run.run, run.trace_id.as_deref());
    match accepted.joined {
        None => tracing::info!(parent: None, run = %id, %by, what, host, trace, "run submitted"),
        Some(joined) => {
            tracing::info!(parent: None, run = %id, %by, what, host, trace, ?joined, "submission joins a run")
        }
    }
}

/// An agent has taken the run.
pub(super) fn started(record: &Record) {
    tracing::info!(
        parent: None, run = %record.run, by = %record.principal, what = asked(&record.detail.asked), host = record.host(),
        attempt = record.attempt_number(), trace = trace(&record.detail.asked), "run started"
    );
}

/// A wish to end the run is recorded.
pub(super) fn cancel_requested(record: &Record, by: &str, mode: CancelMode) {
    let host = Some(record.host()).filter(|host| !host.is_empty());
    tracing::info!(
        parent: None, run = %record.run, by, ?mode, of = %record.principal, what = asked(&record.detail.asked), host,
        trace = trace(&record.detail.asked), "end of run requested"
    );
}

/// The run has ended.
pub(super) fn ended(record: &Record) {
    let host = Some(record.host()).filter(|host| !host.is_empty());
    tracing::info!(
        parent: None, run = %record.run, state = %record.state, cause = %record.cause, rc = record.detail.end.rc,
        by = %record.principal, what = asked(&record.detail.asked), host, trace = trace(&record.detail.asked), "run ended"
    );
}

fn asked(asked: &Asked) -> String {
    what(&asked.source, &asked.args)
}

fn trace(asked: &Asked) -> Option<String> {
    telemetry::trace_id(&wire::TraceContext { traceparent: asked.traceparent.clone(), tracestate: String::new() })
}

/// A do-file with its arguments, on one line, cut.
fn what(source: &str, args: &[String]) -> String {
    visible::shortened(std::iter::once(source).chain(args.iter().map(String::as_str)), SHOWN)
}
