//! The API's object of a run. It is made here and nowhere else, from the snapshot that the run's task publishes.

use std::time::Duration;

use longhaul_proto::{
    api::{
        ActivityView, CancelRequested, ContactView, ExpectedView, PriorityView, ProgressView, RunList, RunView,
        Submitted,
    },
    telemetry,
};

use crate::{
    model::{Activity, CancelRequest, Contact, Expected, Progress, RunSnapshot, UnixMs, Urgency},
    runs::{Accepted, RunPage},
};

/// The API's object of a run.
pub fn run_view(run: &RunSnapshot) -> RunView {
    RunView {
        run_id: run.run,
        state: run.state,
        cause: run.cause,
        rc: run.rc,
        message: run.message.clone(),
        host: run.host.clone(),
        attempt: run.attempt.map_or(0, |attempt| attempt.number()),
        created_at: run.created.map(UnixMs::rfc3339),
        started_at: run.started.map(UnixMs::rfc3339),
        finished_at: run.finished.map(UnixMs::rfc3339),
        host_started_at: run.host_started.map(UnixMs::rfc3339),
        host_finished_at: run.host_finished.map(UnixMs::rfc3339),
        output_bytes: run.log_len,
        trace_id: run.trace_id.clone(),
        trace_url: run.traceparent.as_deref().and_then(telemetry::trace_url),
        principal: run.principal.to_string(),
        client: run.client.clone(),
        source: run.source.clone(),
        name: run.name.clone(),
        user_note: run.user_note.clone(),
        file_name: run.file_name.clone(),
        args: run.args.clone(),
        waiting: run.waiting.as_ref().map(|wait| wait.words().into_owned()),
        no_end_since: run.no_end_since.map(UnixMs::rfc3339),
        queued_for: run.queued_for.map(seconds),
        queued_behind: run.queued_behind.clone(),
        runs_again: run.runs_again,
        progress: run.progress.as_ref().map(progress),
        expected: run.expected.as_ref().map(expected),
        cancel_requested: run.cancel.as_ref().map(cancel),
        command: run.command.clone(),
        location: run.location.clone(),
        error: run.error.clone().map(Box::new),
        engine: run.engine.clone(),
        engine_note: run.engine_note.clone(),
        working_dir: run.working_dir.clone(),
        code_sha256: run.code_sha256.clone(),
        console_bytes: run.console_len,
        view: run.user_part,
        earlier_views: run.earlier_parts.clone(),
        output_complete: run.complete,
        timeout: run.timeout.map(seconds),
        queue_timeout: run.queue_timeout.map(seconds),
        duration: run.duration.map(seconds),
        ended_by: run.ended_by.clone(),
        process: run.process,
        profile_ran: run.profile_ran,
        note: note(run),
        leftovers: run.leftovers.clone(),
        artifacts: run.artifacts.clone(),
        files_removed: run.files_removed.clone(),
        pool: run.pool.clone(),
        retry: run.retry,
        priority: priority(run),
        timeout_of: run.timeout_of.clone(),
        cores: run.wanted_cores,
        processors: run.cores,
        risks: run.risks.clone(),
        confirmed: run.confirmed.clone(),
        activity: run.activity.as_ref().map(activity),
        contact: run.contact.as_ref().map(contact),
        agent_silent_for: run.silent_for.map(|silent| silent.as_secs_f64()),
        exit_status: run.state.meaning().map(|meaning| meaning.exit_status),
        unverified: run.unverified,
        claims: Some(run.claims.to_string()).filter(|claims| !claims.is_empty()),
    }
}

/// The API's answer to a submission.
pub fn submitted(accepted: &Accepted) -> Submitted {
    Submitted { run: run_view(&accepted.run), joined: accepted.joined }
}

/// The API's page of runs.
pub fn run_list(page: &RunPage) -> RunList {
    RunList { runs: page.runs.iter().map(|run| run_view(run)).collect(), next: page.next }
}

/// What a person should know of a run; of an unverified one this comes first.
pub(crate) fn note(run: &RunSnapshot) -> Option<String> {
    let unverified = run.unverified.then(|| {
        let claims = run.claims.to_string();
        let whom = if claims.is_empty() { "no principal" } else { &claims };
        format!(
            "unverified: an agent brought it without this gateway's seal, and its spool names {whom}; `longhaul runs adopt {}` \
             makes it theirs",
            run.run.short()
        )
    });
    let timeout = run.given_timeout();
    let note = Some(run.note.as_str()).filter(|note| !note.is_empty());
    let remarks = run.remarks.iter().map(|remark| remark.words.as_str());
    let contested = run.contested.iter().map(String::as_str);
    let all: Vec<&str> = unverified
        .as_deref()
        .into_iter()
        .chain(timeout.as_deref())
        .chain(note)
        .chain(remarks)
        .chain(contested)
        .collect();
    (!all.is_empty()).then(|| all.join("; ")).filter(|words| !words.is_empty())
}

/// Seconds of a time that is known in whole milliseconds.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

fn priority(run: &RunSnapshot) -> Option<PriorityView> {
    let Urgency { priority, reason, between_principals } = &run.urgency;
    let reason = Some(reason.clone()).filter(|reason| !reason.is_empty());
    let view = PriorityView { level: *priority, reason, between_principals: *between_principals };
    (!priority.is_normal()).then_some(view)
}

fn expected(expected: &Expected) -> ExpectedView {
    ExpectedView { duration: seconds(expected.duration), run_id: expected.run, same_host: expected.same_host }
}

fn progress(progress: &Progress) -> ProgressView {
    ProgressView { percent: progress.percent, text: progress.text.clone() }
}

fn activity(activity: &Activity) -> ActivityView {
    ActivityView { quiet_for: seconds(activity.quiet), cpus: activity.cpus }
}

fn contact(contact: &Contact) -> ContactView {
    let (state, since) = (contact.state.as_str().to_owned(), contact.lasts.as_secs_f64());
    ContactView { state, since, words: contact.words.clone() }
}

fn cancel(cancel: &CancelRequest) -> CancelRequested {
    let at = cancel.at.map(UnixMs::rfc3339).unwrap_or_default();
    CancelRequested { by: cancel.by.clone(), at, delivered: cancel.delivered }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Attempt, ContactState, Principal, QueueReason, Wait};

    fn time(text: Option<String>) -> Option<UnixMs> {
        let at: Option<jiff::Timestamp> = text.filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
        at.and_then(|at| UnixMs::stored(at.as_millisecond()))
    }

    fn cancel(cancel: CancelRequested) -> CancelRequest {
        CancelRequest { by: cancel.by, at: time(Some(cancel.at)), delivered: cancel.delivered }
    }

    fn contact(contact: ContactView) -> Contact {
        let all = [ContactState::Awaited, ContactState::Silent, ContactState::Unreachable];
        let state = all.into_iter().find(|state| state.as_str() == contact.state).unwrap();
        Contact { state, lasts: Duration::from_secs_f64(contact.since), words: contact.words }
    }

    fn activity(activity: ActivityView) -> Activity {
        Activity { quiet: Duration::from_secs_f64(activity.quiet_for), cpus: activity.cpus }
    }

    /// The snapshot that the API shows as this object.
    pub(crate) fn read(object: serde_json::Value) -> RunSnapshot {
        let view: RunView = serde_json::from_value(object).unwrap();
        let lasting = |seconds: Option<f64>| seconds.map(Duration::from_secs_f64);
        RunSnapshot {
            run: view.run_id,
            principal: Principal::local(view.principal),
            unverified: view.unverified,
            claims: Principal::default(),
            source: view.source,
            name: view.name,
            user_note: view.user_note,
            file_name: view.file_name,
            args: view.args,
            client: view.client,
            timeout: lasting(view.timeout),
            queue_timeout: lasting(view.queue_timeout),
            timeout_of: view.timeout_of,
            urgency: Urgency::default(),
            retry: view.retry,
            wanted_cores: view.cores,
            cores: view.processors,
            risks: view.risks,
            confirmed: view.confirmed,
            trace_id: view.trace_id,
            traceparent: None,
            state: view.state,
            cause: view.cause,
            attempt: Attempt::known(view.attempt),
            host: view.host,
            pool: view.pool,
            cancel: view.cancel_requested.map(cancel),
            created: time(view.created_at),
            started: time(view.started_at),
            finished: time(view.finished_at),
            host_started: time(view.host_started_at),
            host_finished: time(view.host_finished_at),
            queued_for: lasting(view.queued_for),
            queued_behind: view.queued_behind,
            duration: lasting(view.duration),
            waiting: view.waiting.map(|words| Wait::Queued(QueueReason::passing(words))),
            no_end_since: time(view.no_end_since),
            runs_again: view.runs_again,
            progress: view.progress.map(|progress| Progress { percent: progress.percent, text: progress.text }),
            expected: view.expected.map(|expected| Expected {
                duration: Duration::from_secs_f64(expected.duration),
                run: expected.run_id,
                same_host: expected.same_host,
            }),
            activity: view.activity.map(activity),
            contact: view.contact.map(contact),
            silent_for: lasting(view.agent_silent_for),
            rc: view.rc,
            message: view.message,
            command: view.command,
            location: view.location,
            error: view.error.map(|error| *error),
            engine: view.engine,
            engine_note: view.engine_note,
            working_dir: view.working_dir,
            code_sha256: view.code_sha256,
            log_len: view.output_bytes,
            console_len: view.console_bytes,
            user_part: view.view,
            earlier_parts: view.earlier_views,
            complete: view.output_complete,
            ended_by: view.ended_by,
            process: view.process,
            profile_ran: view.profile_ran,
            note: view.note.unwrap_or_default(),
            remarks: Vec::new(),
            contested: Vec::new(),
            leftovers: view.leftovers,
            artifacts: view.artifacts,
            files_removed: view.files_removed,
            egress: Default::default(),
            ran_at: Vec::new(),
            kept_in: None,
        }
    }
}
