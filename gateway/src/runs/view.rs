//! The view of a run that clients get: its record, and what only its task knows while it is unfinished.

use std::time::Duration;

use longhaul_proto::{
    api::{ActivityView, CancelRequested, ContactView, LocationView, ProgressView, RunView, ViewRange},
    clock::rfc3339,
    state::RunState,
    telemetry, wire,
};

use crate::{ledger::Record, model::Contact};

/// What is not worth a row in the ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// Bytes in the mirror.
    pub(crate) log_len: u64,
    /// Bytes in the mirror.
    pub(crate) console_len: u64,
    /// Why it waits.
    pub(crate) waiting: Option<String>,
    /// Since when nothing moves the run on by itself, Unix ms; 0 = something does.
    pub(crate) no_end_since_ms: i64,
    /// The agent has accepted the cancel request.
    pub(crate) cancel_told: bool,
    /// The run is lost, and its agent has returned with it and reports that it is running.
    pub(crate) runs_again: bool,
    /// Latest progress.
    pub(crate) progress: Option<ProgressView>,
    /// How long its agent has been silent.
    pub(crate) silent_for: Option<Duration>,
    /// The state of the contact with its agent.
    pub(crate) contact: Option<Contact>,
    /// What its processes do while its log does not grow.
    pub(crate) activity: Option<ActivityView>,
}

impl Live {
    /// What is known of it when a run is read from its record alone.
    pub(crate) fn of(record: &Record) -> Self {
        Self { log_len: record.detail.log_len, console_len: record.detail.console_len, ..Self::default() }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn seconds(ms: u64) -> Option<f64> {
    (ms > 0).then_some(ms as f64 / 1000.0)
}

/// The user's part of the log as an agent reports it, in offsets of the mirror, where this attempt starts at `base`.
/// What was shown before is never taken back: an agent that returns reads the log from its beginning.
pub(crate) fn user_part(before: Option<ViewRange>, told: &wire::View, base: u64) -> Option<ViewRange> {
    let at = |offset: u64| base.saturating_add(offset);
    let shown = before.and_then(|b| b.safe_end);
    // A start of 0 means that nothing of the log was the wrapper's, which is known only at the end.
    let begun = told.start > 0 || told.end.is_some();
    let start = begun.then(|| at(told.start)).max(before.map(|b| b.start))?;
    let end = told.end.map(at).map(|end| end.max(shown.unwrap_or_default()));
    Some(ViewRange { start, end, safe_end: end.or_else(|| told.safe_end.map(at).max(shown)) })
}

/// What a person should know; of an unverified run this comes first.
fn note(record: &Record) -> Option<String> {
    let words = record.detail.words();
    if !record.detail.unverified || !record.principal.is_none() {
        return some(&words);
    }
    let claims = record.detail.claims.to_string();
    let whom = if claims.is_empty() { "no principal" } else { &claims };
    let unverified = format!(
        "unverified: an agent brought it without this gateway's seal, and its spool names {whom}; `longhaul runs adopt {}` \
         makes it theirs",
        record.run.short()
    );
    Some(if words.is_empty() { unverified } else { format!("{unverified}; {words}") })
}

/// The API's object.
pub(crate) fn view(record: &Record, live: &Live) -> RunView {
    let detail = &record.detail;
    let ended = record.state.is_end();
    let trace = wire::TraceContext { traceparent: detail.traceparent.clone(), ..wire::TraceContext::default() };
    RunView {
        run_id: record.run,
        state: record.state,
        cause: record.cause,
        rc: detail.rc,
        message: some(&detail.message),
        host: some(&record.host),
        attempt: record.attempt,
        created_at: rfc3339(record.created_ms),
        started_at: rfc3339(detail.running_ms),
        finished_at: rfc3339(record.finished_ms),
        host_started_at: rfc3339(detail.host_running_ms),
        host_finished_at: rfc3339(detail.host_ended_ms),
        output_bytes: live.log_len,
        trace_id: telemetry::trace_id(&trace),
        principal: record.principal.to_string(),
        client: some(&detail.client),
        source: detail.source.clone(),
        args: detail.args.clone(),
        waiting: live.waiting.clone().filter(|_| !ended),
        no_end_since: rfc3339(live.no_end_since_ms).filter(|_| !ended && live.no_end_since_ms > 0),
        queued_for: (detail.waited_ms > 0).then(|| detail.waited_ms as f64 / 1000.0),
        queued_behind: some(&detail.waited_for),
        runs_again: record.state == RunState::Lost && live.runs_again,
        progress: live.progress.clone().filter(|_| !ended),
        cancel_requested: record.cancel.as_ref().map(|wish| {
            let at = rfc3339(wish.at_ms).unwrap_or_default();
            CancelRequested { by: wish.by.clone(), at, delivered: live.cancel_told }
        }),
        command: some(&detail.command),
        location: detail.location.as_ref().and_then(known),
        engine: some(&detail.engine),
        engine_note: some(&detail.engine_note),
        working_dir: some(&detail.working_dir),
        code_sha256: some(&detail.code_sha256),
        console_bytes: live.console_len,
        view: detail.view,
        earlier_views: detail.earlier.iter().filter_map(|earlier| earlier.view).collect(),
        output_complete: ended && detail.complete && record.earlier_whole(),
        timeout: seconds(detail.timeout_ms),
        queue_timeout: seconds(detail.queue_timeout_ms),
        duration: detail.duration_ms.map(|ms| ms as f64 / 1000.0),
        note: note(record),
        leftovers: detail.leftovers.clone(),
        artifacts: detail.artifacts.clone(),
        files_removed: detail.files_removed.clone(),
        pool: some(&record.pool),
        retry: detail.retry,
        activity: live.activity.filter(|_| record.state == RunState::Running),
        contact: live.contact.as_ref().filter(|_| !ended).map(contact),
        agent_silent_for: live.silent_for.filter(|_| !ended).map(|d| d.as_secs_f64()),
        exit_status: record.state.meaning().map(|m| m.exit_status),
        unverified: detail.unverified && record.principal.is_none(),
        claims: some(&detail.claims.to_string()).filter(|_| record.principal.is_none()),
    }
}

fn contact(contact: &Contact) -> ContactView {
    let (state, since) = (contact.state.as_str().to_owned(), contact.lasts.as_secs_f64());
    ContactView { state, since, words: contact.words.clone() }
}

/// A place as clients may get it: agents of earlier versions sent some without a name or a line.
fn known(at: &LocationView) -> Option<LocationView> {
    let has_line = |place: &String| place.rsplit_once(':').is_some_and(|(file, line)| !file.is_empty() && line != "0");
    (!at.file.is_empty() && at.line > 0).then(|| LocationView {
        callers: at.callers.iter().filter(|caller| has_line(caller)).cloned().collect(),
        ..at.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_part_never_goes_back() {
        let range = |start, end, safe_end| ViewRange { start, end, safe_end };
        let check = |before: Option<ViewRange>, told: (u64, Option<u64>, Option<u64>), want| {
            let told = wire::View { start: told.0, end: told.1, safe_end: told.2 };
            assert_eq!(user_part(before, &told, 100), want, "{told:?}");
        };
        check(None, (5, None, Some(7)), Some(range(105, None, Some(107))));
        let before = Some(range(105, None, Some(120)));
        check(before, (5, None, Some(6)), Some(range(105, None, Some(120))));
        check(before, (0, None, None), Some(range(105, None, Some(120))));
        check(before, (5, Some(30), Some(30)), Some(range(105, Some(130), Some(130))));
        // The host lost the end of its log in a crash; what was shown is in the mirror.
        check(before, (5, Some(10), Some(10)), Some(range(105, Some(120), Some(120))));
        // Reports of an agent of an earlier version: live, at the end, and where nothing of the log was the wrapper's.
        check(None, (5, None, None), Some(range(105, None, None)));
        check(None, (5, Some(30), None), Some(range(105, Some(130), Some(130))));
        check(None, (0, Some(30), None), Some(range(100, Some(130), Some(130))));
        check(None, (0, None, None), None);
    }
}
