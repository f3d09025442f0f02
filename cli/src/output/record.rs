//! All that is recorded of a run, one field a line; unknown fields have no line.

use jiff::Timestamp;
use longhaul_proto::{
    api::{AttemptView, PriorityView, ProcessView, Retry, RunDoFiles, RunHistory, RunRecord, RunView},
    files, risk,
    state::RunState,
};

use super::{When, bytes, duration, made_with, status_text, verdict};

/// What is known of a run besides its own object.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// Its steps and attempts.
    pub(crate) history: Option<RunHistory>,
    /// The do-files that it entered.
    pub(crate) do_files: Option<RunDoFiles>,
    /// With what it was made.
    pub(crate) made_with: Option<RunRecord>,
    /// The gateway's time.
    pub(crate) now: Option<Timestamp>,
}

/// How a person agreed.
fn confirmed_how(how: &str) -> &str {
    match how {
        "argument" => "with the request",
        "elicitation" => "asked by the client",
        other => other,
    }
}

/// The record: how it ended or its present state, then its fields, then its files. Ends with a newline.
pub(crate) fn record(run: &RunView, about: &About, when: &When) -> String {
    let run = &when.of_run(run);
    let mut text =
        if run.state.is_end() { verdict(run) } else { format!("{}\n", status_text(run, elapsed(run, about))) };
    text.push('\n');
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            let value = value.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            text.push_str(&format!("{name:<14}{value}\n"));
        }
    };
    line("run", Some(run.run_id.to_string()));
    line("state", Some(format!("{} ({})", run.state, run.cause.as_str().replace('_', " "))));
    line("exit status", run.exit_status.map(|n| n.to_string()));
    line("asked by", Some(run.principal.clone()));
    line("client", run.client.clone());
    line("name", run.name.clone());
    line("user note", run.user_note.clone());
    line("what", Some(run.source.clone()));
    line("file", run.file_name.clone());
    line("arguments", Some(run.args.join(" ")));
    line("code", run.code_sha256.as_ref().map(|digest| format!("sha256 {digest}")));
    line("folder", run.working_dir.clone());
    line("host", run.host.clone());
    line("pool", run.pool.clone());
    line("engine", engine(run));
    line("cores", cores(run));
    line("warning", (!run.risks.is_empty()).then(|| risk::summary(&run.risks)));
    line("confirmed", run.confirmed.as_ref().map(|word| format!("by {}, {}", word.by, confirmed_how(&word.how))));
    line("profile", run.profile_ran.then(|| "the profile.do of the folder was executed first".to_owned()));
    for attempt in about.history.iter().flat_map(|history| &history.attempts) {
        line("attempt", Some(attempt_words(attempt, when)));
    }
    let known = about.history.as_ref().is_some_and(|history| !history.attempts.is_empty());
    line("attempt", (run.attempt > 0 && !known).then(|| run.attempt.to_string()));
    line("another try", (!run.retry.is_default()).then(|| retry(run.retry).to_owned()));
    line("recorded", run.created_at.as_deref().map(|at| when.whole(at)));
    line("started", run.started_at.as_deref().map(|at| when.whole(at)));
    line("ended", run.finished_at.as_deref().map(|at| when.whole(at)));
    line("queued for", run.queued_for.map(duration));
    line("took", run.duration.map(duration));
    line("priority", run.priority.as_ref().map(priority));
    line("limit", run.timeout.map(|limit| timeout(limit, run.timeout_of.as_deref())));
    line("queue limit", run.queue_timeout.map(duration));
    line(
        "cancel",
        run.cancel_requested
            .as_ref()
            .map(|request| format!("asked for by {} at {}", request.by, when.whole(&request.at))),
    );
    line("ended by", run.ended_by.clone());
    line("process", run.process.and_then(|of| process(of, run.duration)));
    line("limits", run.process.and_then(|of| of.limits).map(|limits| limits.words()));
    line("hint", run.process.zip(run.duration).and_then(|(of, took)| of.hint(took)));
    let whole = if run.state.is_end() && !run.output_complete { ", not whole" } else { "" };
    line("log", Some(format!("{}{whole}", bytes(run.output_bytes))));
    line("console", (run.console_bytes > 0).then(|| bytes(run.console_bytes)));
    line("trace", run.trace_url.clone().or_else(|| run.trace_id.clone()));
    for file in about.do_files.iter().flat_map(|listed| &listed.do_files) {
        let kept = if file.kept { "kept" } else { "not kept" };
        line("do-file", Some(format!("{} ({}, {kept})", file.path, bytes(file.bytes))));
    }
    let folder = run.working_dir.as_deref().unwrap_or_default();
    for (name, value) in about.made_with.iter().flat_map(|record| made_with::short(record, folder)) {
        line(name, Some(value));
    }
    line("files", removed(run));
    for artifact in run.artifacts.iter().filter(|_| run.files_removed.is_none()) {
        line("file", Some(format!("{} ({})", files::within(&artifact.path, folder), bytes(artifact.bytes))));
    }
    text
}

/// Seconds that an unfinished run has been running, or waiting.
fn elapsed(run: &RunView, about: &About) -> Option<f64> {
    let since: Timestamp = run.started_at.as_deref().or(run.created_at.as_deref())?.parse().ok()?;
    Some((about.now?.as_millisecond() - since.as_millisecond()).max(0) as f64 / 1000.0)
}

fn attempt_words(attempt: &AttemptView, when: &When) -> String {
    let mut words = attempt.number.to_string();
    if let Some(host) = &attempt.host {
        words.push_str(&format!(" on {host}"));
    }
    if let Some(at) = &attempt.given_at {
        words.push_str(&format!(" at {}", when.whole(at)));
    }
    if let Some(ended) = &attempt.ended {
        let end = if ended.state == RunState::Queued { "given back" } else { ended.state.as_str() };
        words.push_str(&format!(": {end} ({})", ended.cause.as_str().replace('_', " ")));
    }
    words
}

fn timeout(limit: f64, pool: Option<&str>) -> String {
    let of = pool.map(|pool| format!(", that of pool {pool}")).unwrap_or_default();
    format!("{}{of}", duration(limit))
}

fn priority(priority: &PriorityView) -> String {
    let between = if priority.between_principals { ", by an operator, before or after all others" } else { "" };
    let reason = priority.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}{between}{reason}", priority.level.as_str())
}

fn retry(retry: Retry) -> &'static str {
    match retry {
        Retry::Never => "never",
        Retry::IfNotStarted => "when it never began",
        Retry::IfProvenDead => "when it never began, or when its host or Stata was killed",
    }
}

fn engine(run: &RunView) -> Option<String> {
    let engine = run.engine.as_deref()?;
    Some(run.engine_note.as_deref().map_or_else(|| engine.to_owned(), |note| format!("{engine}: {note}")))
}

/// What its Stata was told of cores, and what was asked for, where that is another number.
fn cores(run: &RunView) -> Option<String> {
    match (run.processors, run.cores) {
        (None, None) => None,
        (Some(told), Some(asked)) if asked != told => {
            Some(format!("{told} at most (`set processors`); {asked} asked for"))
        }
        (Some(told), _) => Some(format!("{told} at most (`set processors`)")),
        (None, Some(asked)) if run.state.is_end() => Some(format!("{asked} asked for; its Stata was not told")),
        (None, Some(asked)) => Some(format!("{asked} asked for")),
    }
}

/// How Stata's process ended, and what it took.
fn process(process: ProcessView, took: Option<f64>) -> Option<String> {
    let end = match (process.signal, process.exit_code) {
        (Some(signal), _) => Some(format!("ended by signal {signal}")),
        (None, code) => code.map(|code| format!("exit status {code}")),
    };
    let memory = process.max_rss_bytes.map(|most| format!("{} of memory at most", bytes(most)));
    let processor = process.cpu.map(|cpu| format!("{} of processor time", duration(cpu)));
    let used = took.and_then(|took| process.cores_used(took)).zip(process.cores);
    let cores = used.map(|(used, cores)| format!("{used:.1} of {cores} cores on average"));
    let written = process.written_bytes.filter(|n| *n > 0).map(|n| format!("{} written to disk", bytes(n)));
    let all: Vec<String> = end.into_iter().chain(memory).chain(processor).chain(cores).chain(written).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn removed(run: &RunView) -> Option<String> {
    run.files_removed.as_ref().and_then(|_| files::words(&files::Files::of(run)))
}

#[cfg(test)]
mod tests {
    use longhaul_proto::{api::ArtifactView, state::RunState};

    use super::{super::verdict::tests::run, *};

    #[test]
    fn a_record_is_one_field_a_line() {
        let mut run = run(RunState::Succeeded);
        run.working_dir = Some("/w/work".into());
        run.artifacts = vec![ArtifactView { path: "/w/work/a.csv".into(), bytes: 2048 }];
        run.client = Some("claude-code 2.1.330".into());
        run.ended_by = Some("ana".into());
        run.process = Some(ProcessView {
            signal: Some(15),
            max_rss_bytes: Some(70 << 20),
            cpu: Some(1.25),
            written_bytes: Some(3 << 20),
            ..ProcessView::default()
        });
        run.profile_ran = true;
        (run.cores, run.processors) = (Some(8), Some(4));
        (run.name, run.user_note) = (Some("nightly".into()), Some("new weights".into()));
        let text = record(&run, &About::default(), &When::new(true));
        for line in [
            "client        claude-code 2.1.330",
            "ended by      ana",
            "name          nightly",
            "cores         4 at most (`set processors`); 8 asked for",
            "user note     new weights",
            "recorded      2026-11-22 15:00:00 UTC",
            "process       ended by signal 15, 70.0 MiB of memory at most, 1.2 s of processor time, 3.0 MiB written to disk",
            "profile       the profile.do of the folder was executed first",
            "run           019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21",
            "host          stata1",
            "took          4 min 10 s",
            "file          a.csv (2.0 KiB)",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
        }
        assert!(text.starts_with("succeeded after") && !text.contains("queue limit"), "{text}");
    }
}
