//! What others see of a run: its record, and what only its keeper knows while it lasts.

use std::time::Duration;

use longhaul_proto::{
    api::{ActivityView, CancelRequested, ContactView, ProgressView, RunView},
    clock::rfc3339,
    state::RunState,
    telemetry, wire,
};

use crate::ledger::Record;

/// What is not worth a row in the ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// Bytes in the mirror.
    pub(crate) log_len: u64,
    /// Bytes in the mirror.
    pub(crate) console_len: u64,
    /// Why it waits.
    pub(crate) waiting: Option<String>,
    /// Latest progress.
    pub(crate) progress: Option<ProgressView>,
    /// How long its agent has been silent.
    pub(crate) silent_for: Option<Duration>,
    /// What is between us and its agent.
    pub(crate) contact: Option<ContactView>,
    /// What its processes do while its log does not grow.
    pub(crate) activity: Option<ActivityView>,
}

impl Live {
    /// What is left of it when a run is read from its record alone.
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
        principal: record.principal.clone(),
        source: detail.source.clone(),
        args: detail.args.clone(),
        waiting: live.waiting.clone().filter(|_| !ended),
        progress: live.progress.clone().filter(|_| !ended),
        cancel_requested: record
            .cancel
            .as_ref()
            .map(|wish| CancelRequested { by: wish.by.clone(), at: rfc3339(wish.at_ms).unwrap_or_default() }),
        command: some(&detail.command),
        location: detail.location.clone(),
        engine: some(&detail.engine),
        engine_note: some(&detail.engine_note),
        working_dir: some(&detail.working_dir),
        code_sha256: some(&detail.code_sha256),
        console_bytes: live.console_len,
        view: detail.view,
        output_complete: ended && detail.complete,
        timeout: seconds(detail.timeout_ms),
        queue_timeout: seconds(detail.queue_timeout_ms),
        duration: detail.duration_ms.map(|ms| ms as f64 / 1000.0),
        note: some(&detail.words()),
        leftovers: detail.leftovers.clone(),
        artifacts: detail.artifacts.clone(),
        pool: some(&record.pool),
        retry: detail.retry,
        activity: live.activity.filter(|_| record.state == RunState::Running),
        contact: live.contact.clone().filter(|_| !ended),
        agent_silent_for: live.silent_for.filter(|_| !ended).map(|d| d.as_secs_f64()),
        exit_status: record.state.meaning().map(|m| m.exit_status),
    }
}
