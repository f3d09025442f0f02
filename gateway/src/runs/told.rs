//! What is told of a run's end, and to whom besides the receivers of its principal.
//!
//! One message for each end and receiver: a run that goes back to the queue has not ended, one that is lost and returns has
//! ended twice, and a request that joins a run that goes on is told of that run's end. A request that is refused makes no run
//! and no message.

use longhaul_proto::{
    api::Joined,
    clock::rfc3339,
    egress::Level,
    faults,
    state::{Cause, RunState},
    telemetry,
};

use super::{Accepted, Inner, SubmitError, egress, submit::earlier};
use crate::{
    model::{Detail, Identity, Record},
    notify::{
        NotifyError,
        message::{About, Message, RUN_ENDED},
    },
};

/// The addresses of the receivers that a request names.
///
/// # Errors
/// The first that cannot be told, and why.
pub(super) async fn named(inner: &Inner, who: &Identity, texts: &[String]) -> Result<Vec<String>, SubmitError> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    if !who.may_read(&who.principal) {
        let words = "to be told of a run's end needs a token that may read it: `read_own`, too, or leave notify out";
        return Err(SubmitError::Forbidden(words.to_owned()));
    }
    inner.notify.named(texts).await.map_err(|error| match error {
        NotifyError::NoWebhooks | NotifyError::NoMail | NotifyError::NotAllowed { .. } => {
            SubmitError::Forbidden(error.to_string())
        }
        NotifyError::Ledger(error) => SubmitError::Ledger(error),
        error => SubmitError::Malformed(error.to_string()),
    })
}

/// The receivers of a request that was answered with an earlier run are told of that run's end, if that is still to come; if
/// not, the answer has it.
pub(super) async fn also(
    inner: &std::sync::Arc<Inner>,
    accepted: Accepted,
    receivers: Vec<String>,
) -> Result<Accepted, SubmitError> {
    let Some(joined) = accepted.joined.filter(|_| !receivers.is_empty()) else { return Ok(accepted) };
    if inner.ledger.tell(accepted.run.run, receivers).await.map_err(SubmitError::Ledger)? {
        return Ok(accepted);
    }
    ended(inner, accepted, joined).await
}

async fn ended(inner: &std::sync::Arc<Inner>, accepted: Accepted, joined: Joined) -> Result<Accepted, SubmitError> {
    if accepted.run.state.is_end() { Ok(accepted) } else { earlier(inner, accepted.run.run, joined).await }
}

/// What is told of this end; `None` = nothing is, as nothing may be sent anywhere.
pub(super) fn of_end(
    inner: &Inner,
    record: &Record,
    detail: &Detail,
    (to, cause): (RunState, Cause),
    at_ms: i64,
) -> Option<String> {
    if !to.is_end() || !inner.notify.is_on() || faults::bug("ends_untold") {
        return None;
    }
    let time = |ms: i64| Some(ms).filter(|ms| *ms > 0).and_then(rfc3339);
    let last = detail.attempts.last();
    let execution = last.map(|last| &last.execution);
    let placement = detail.placement();
    let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let traceparent = &detail.asked.traceparent;
    let rule = detail.attempts.iter().fold(egress::recorded(detail), |rule, one| rule.and(&inner.egress_at(&one.at)));
    let about = About {
        principal: record.principal.to_string(),
        run_id: Some(record.run),
        // It may be a line of its code.
        name: named(&detail.asked.name).filter(|_| rule.level > Level::Verdict),
        state: Some(to),
        result: to.meaning().map(|meaning| meaning.result.to_owned()),
        cause: Some(cause),
        rc: detail.end.rc,
        cancelled_by: record.cancel.as_ref().filter(|_| to == RunState::Cancelled).map(|cancel| cancel.by.clone()),
        created_at: time(record.created_ms),
        started_at: execution.and_then(|execution| time(execution.running_ms)),
        finished_at: time(at_ms),
        duration: execution.and_then(|execution| execution.duration_ms).map(|ms| ms as f64 / 1000.0),
        attempts: detail.attempt().map(|attempt| attempt.number()),
        host: placement.and_then(|at| named(&at.host)),
        pool: placement.and_then(|at| named(&at.pool)),
        trace_id: traceparent.split('-').nth(1).map(str::to_owned),
        trace_url: telemetry::trace_url(traceparent),
    };
    let timestamp = time(at_ms).unwrap_or_default();
    Some(Message { kind: RUN_ENDED.to_owned(), timestamp, data: about }.json())
}
