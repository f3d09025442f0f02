//! The snapshot of a run: made from its record, and from what only its task knows while it is unfinished.

use std::time::Duration;

use longhaul_proto::{
    api::{LocationView, RunError, ViewRange},
    error_kind::Facts,
    state::RunState,
    telemetry, wire,
};

use super::egress;
use crate::model::{
    Activity, CancelRequest, Contact, Execution, Expected, OutputLengths, Progress, Record, RunSnapshot, UnixMs, Wait,
};

/// What is not worth a row in the ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// Bytes of the log in the mirror.
    pub(crate) log_len: u64,
    /// Bytes of the console in the mirror.
    pub(crate) console_len: u64,
    /// Why it waits.
    pub(crate) waiting: Option<Wait>,
    /// Since when nothing moves the run on by itself.
    pub(crate) no_end_since: Option<UnixMs>,
    /// The agent has accepted the cancel request.
    pub(crate) cancel_delivered: bool,
    /// The run is lost, and its agent has returned with it and reports that it is running.
    pub(crate) runs_again: bool,
    /// What its agent waits for before it begins, in words.
    pub(crate) held: Option<String>,
    /// Latest progress.
    pub(crate) progress: Option<Progress>,
    /// How long its agent has been silent.
    pub(crate) silent_for: Option<Duration>,
    /// The state of the contact with its agent.
    pub(crate) contact: Option<Contact>,
    /// What its processes do while its log does not grow.
    pub(crate) activity: Option<Activity>,
    /// How long it will probably take.
    pub(crate) expected: Option<Expected>,
}

impl Live {
    /// What is known of it when a run is read from its record alone.
    pub(crate) fn of(record: &Record) -> Self {
        let output = record.detail.end.output;
        Self { log_len: output.log, console_len: output.console, ..Self::default() }
    }

    /// Bytes in the mirror.
    pub(crate) fn output(&self) -> OutputLengths {
        OutputLengths { log: self.log_len, console: self.console_len }
    }
}

/// A run without a task, as its record says.
pub(crate) fn recorded(record: &Record) -> RunSnapshot {
    snapshot(record, &Live::of(record))
}

/// A run as its task knows it.
pub(crate) fn snapshot(record: &Record, live: &Live) -> RunSnapshot {
    let detail = &record.detail;
    let (asked, queue, end) = (&detail.asked, &detail.queue, &detail.end);
    let none = Execution::default();
    let present = detail.present();
    let execution = present.map_or(&none, |attempt| &attempt.execution);
    let ended = record.state.is_end();
    RunSnapshot {
        run: record.run,
        principal: record.principal.clone(),
        unverified: detail.origin.is_unverified() && record.principal.is_none(),
        claims: if record.principal.is_none() { detail.origin.claims() } else { Default::default() },
        source: asked.source.clone(),
        name: some(&asked.name),
        user_note: some(&asked.note),
        file_name: some(&asked.file_name),
        args: asked.args.clone(),
        client: some(&asked.client),
        timeout: lasting(asked.timeout_ms),
        timeout_of: some(&asked.timeout_of),
        urgency: asked.urgency.clone(),
        queue_timeout: lasting(asked.queue_timeout_ms),
        retry: asked.retry,
        wanted_cores: Some(asked.cores).filter(|cores| *cores > 0),
        cores: execution.cores,
        risks: asked.risks.clone(),
        confirmed: asked.confirmed.clone(),
        trace_id: trace_id(&asked.traceparent),
        traceparent: some(&asked.traceparent),
        state: record.state,
        cause: record.cause,
        attempt: record.attempt(),
        host: some(record.host()),
        pool: some(record.pool()),
        cancel: cancel(record, live),
        created: UnixMs::stored(record.created_ms),
        started: UnixMs::stored(execution.running_ms),
        finished: UnixMs::stored(record.finished_ms),
        host_started: UnixMs::stored(execution.host_running_ms),
        host_finished: UnixMs::stored(execution.host_ended_ms),
        queued_for: lasting(queue.waited_ms),
        queued_behind: some(&queue.waited_for),
        duration: execution.duration_ms.map(Duration::from_millis),
        waiting: live.waiting.clone().filter(|_| !ended).or_else(|| held(record.state, live)),
        no_end_since: live.no_end_since.filter(|_| !ended),
        runs_again: record.state == RunState::Lost && live.runs_again,
        progress: live.progress.clone().filter(|_| !ended),
        expected: live.expected.filter(|_| record.state == RunState::Running),
        activity: live.activity.filter(|_| record.state == RunState::Running),
        contact: live.contact.clone().filter(|_| !ended),
        silent_for: live.silent_for.filter(|_| !ended),
        rc: end.rc,
        message: some(&end.message),
        command: some(&end.command),
        location: end.location.as_ref().and_then(known),
        error: error(record),
        engine: some(&execution.engine),
        engine_note: some(&execution.engine_note),
        working_dir: some(detail.working_dir()),
        code_sha256: some(detail.code_sha256()),
        log_len: live.log_len,
        console_len: live.console_len,
        user_part: present.and_then(|attempt| attempt.user_part),
        earlier_parts: detail.dead().filter_map(|attempt| attempt.user_part).collect(),
        complete: ended && end.complete && detail.dead_complete(),
        ended_by: some(&execution.ended_by),
        process: execution.process,
        profile_ran: execution.profile_ran,
        note: end.note.clone(),
        remarks: detail.conditions.remarks().collect(),
        contested: detail.contested.clone(),
        leftovers: execution.leftovers.clone(),
        artifacts: execution.artifacts.clone(),
        files_removed: end.files_removed.clone(),
        egress: egress::recorded(detail),
        ran_at: detail.attempts.iter().map(|attempt| attempt.at.clone()).collect(),
        kept_in: None,
    }
}

/// What ended a run that did not succeed.
pub(super) fn error(record: &Record) -> Option<RunError> {
    let (detail, end) = (&record.detail, &record.detail.end);
    let facts = Facts {
        state: record.state,
        cause: record.cause,
        rc: end.rc,
        message: &end.message,
        command: &end.command,
        host: record.host(),
        working_dir: detail.working_dir(),
    };
    let found = &end.diagnosis;
    let error = RunError::of(&found.kind, &facts)?;
    Some(RunError {
        place: end.location.as_ref().and_then(known),
        before: found.before.clone(),
        after: found.after.clone(),
        suppressed: found.suppressed.clone(),
        suppressed_left_out: found.left_out,
        ..error
    })
}

/// What its agent says that it waits for before it begins.
fn held(state: RunState, live: &Live) -> Option<Wait> {
    live.held.clone().filter(|_| state == RunState::Starting).map(Wait::AtAgent)
}

fn trace_id(traceparent: &str) -> Option<String> {
    telemetry::trace_id(&wire::TraceContext { traceparent: traceparent.to_owned(), ..wire::TraceContext::default() })
}

fn cancel(record: &Record, live: &Live) -> Option<CancelRequest> {
    let cancel = record.cancel.as_ref()?;
    Some(CancelRequest { by: cancel.by.clone(), at: UnixMs::stored(cancel.at_ms), delivered: live.cancel_delivered })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn lasting(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
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
