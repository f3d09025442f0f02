//! How a run ended, verdict first.

use std::path::Path;

use longhaul_proto::{
    api::{LocationView, RunView},
    files,
    state::{Cause, RunState},
    words,
};

use super::{bytes, duration};

/// Errors that ended nothing and are named.
const SUPPRESSED: usize = 5;

/// The verdict in words: first line first, then what a person needs to act on it. Ends with a newline.
pub(crate) fn verdict(run: &RunView) -> String {
    let mut lines = vec![headline(run)];
    if let Some(message) = run.message.as_deref().filter(|m| !m.trim().is_empty()) {
        lines.extend(message.lines().map(|l| format!("  {l}")));
    }
    if let Some(command) = run.command.as_deref().filter(|_| run.state != RunState::Succeeded) {
        lines.push(format!("  command: {}", command.lines().map(str::trim).collect::<Vec<_>>().join(" ")));
    }
    if let Some(at) = &run.location {
        lines.push(format!("  at {}{}", at.file, line_of(at)));
        // Innermost caller first, as one reads a call.
        lines.extend(at.callers.iter().rev().map(|c| format!("  called from {c}")));
    }
    lines.extend(
        run.error
            .as_ref()
            .filter(|error| error.kind.as_str() != run.state.as_str())
            .map(|error| format!("  kind: {}", error.kind_words())),
    );
    lines.extend(
        run.error.as_ref().filter(|error| !error.advice.is_empty()).map(|error| format!("  next: {}", error.advice)),
    );
    let suppressed = run.error.as_ref().and_then(|error| error.suppressed_words(SUPPRESSED));
    lines.extend(suppressed.map(|errors| format!("  errors before it that ended nothing: {errors}")));
    lines.extend(queued(run));
    if let Some(note) = run.note.as_deref().filter(|n| !n.trim().is_empty()) {
        lines.push(format!("  note: {note}"));
    }
    let hint = run.process.zip(run.duration).and_then(|(process, took)| process.hint(took));
    lines.extend(hint.filter(|_| run.state.is_end()).map(|hint| format!("  hint: {hint}")));
    lines.extend(files::words(&files::Files::of(run)).filter(|_| run.state.is_end()).map(|files| format!("  {files}")));
    lines.extend(elsewhere(run).then(|| format!("  to fetch them: longhaul get {}", run.run_id.short())));
    if !run.leftovers.is_empty() {
        lines.push(format!("  ended with it: {}", run.leftovers.join(", ")));
    }
    if run.state.is_end() && !run.output_complete && run.attempt > 0 {
        lines.push("  the output here is not whole yet; it is fetched when its agent is back".into());
    }
    lines.extend(advice(run).map(|a| format!("  {a}")));
    lines.push(String::new());
    lines.join("\n")
}

/// Whether the run left files that a person cannot simply open here: on another machine, or in a folder of the run's own.
fn elsewhere(run: &RunView) -> bool {
    let own = format!("/{}/", run.run_id);
    let away = |path: &str| path.contains(&own) || !Path::new(path).exists();
    run.state.is_end() && run.files_removed.is_none() && run.artifacts.iter().any(|left| away(&left.path))
}

/// Why a wait has no end in sight and what to do, in a line; `None` where it ends by itself.
pub(crate) fn no_end(run: &RunView) -> Option<String> {
    run.no_end_since.as_ref().filter(|_| !run.state.is_end())?;
    let short = run.run_id.short();
    let contact = run.contact.as_ref().map(|contact| contact.words.as_str());
    Some(match run.state {
        RunState::Queued => format!(
            "this run does not start by waiting alone: {}. It starts by itself once that is mended; Ctrl-C leaves it \
             waiting, `longhaul cancel {short}` withdraws it",
            run.waiting.as_deref().unwrap_or("no agent takes it")
        ),
        _ => format!(
            "{}. The run goes on there as far as is known; Ctrl-C leaves it. If that host is gone for good, an operator can \
             say so: `longhaul declare-dead {short}`",
            contact.or(run.note.as_deref()).unwrap_or("its agent does not look after the run")
        ),
    })
}

/// How long it waited before it started, where that is worth a line.
fn queued(run: &RunView) -> Option<String> {
    let waited = duration(run.queued_for.filter(|seconds| *seconds >= 1.0)?);
    Some(match &run.queued_behind {
        Some(why) => format!("  queued for {waited} before it began: {why}"),
        None => format!("  queued for {waited} before it began"),
    })
}

/// The line, where it is known: in a deleted file lines cannot be counted, only the file be named.
fn line_of(at: &LocationView) -> String {
    if at.line > 0 { format!(" line {}", at.line) } else { String::new() }
}

fn headline(run: &RunView) -> String {
    let mut line = String::new();
    if run.engine.as_deref() == Some("standin") {
        line.push_str("stand-in, not Stata: ");
    }
    line.push_str(match run.state {
        RunState::TimedOut => "timed out",
        other => other.as_str(),
    });
    match run.rc {
        Some(rc) if run.state == RunState::Failed => {
            line.push_str(&format!(": r({rc})"));
            if let Some(at) = &run.location {
                let name = at.file.rsplit('/').next().unwrap_or(&at.file);
                line.push_str(&format!(" in {name}{}", line_of(at)));
            }
        }
        _ if !matches!(run.state, RunState::Succeeded | RunState::Failed) => {
            line.push_str(&format!(" ({})", run.cause.as_str().replace('_', " ")));
        }
        _ => {}
    }
    if let Some(duration_s) = run.duration {
        line.push_str(&format!(" after {}", duration(duration_s)));
    }
    if let Some(host) = &run.host {
        line.push_str(&format!(" on {host}"));
    }
    line.push_str(&format!(
        " · {}",
        words::named(&run.source, run.file_name.as_deref(), run.name.as_deref(), &run.args)
    ));
    line.push_str(&format!(" · {} of output · {}", bytes(run.output_bytes), run.run_id.short()));
    line
}

/// What to do next, where the message does not make that plain.
fn advice(run: &RunView) -> Option<String> {
    let short = run.run_id.short();
    match (run.state, run.cause) {
        (RunState::Lost, _) if run.error.is_none() => Some(format!(
            "how it ended is not known; if its agent comes back with the record, `longhaul wait {short}` will tell"
        )),
        (_, Cause::Licence) if run.error.is_none() => {
            Some("`longhaul doctor` on that host says what was found of Stata".into())
        }
        (_, Cause::CompletedUnconfirmed) => {
            Some("it ended by `exit, STATA`, so only the clean end of its log speaks for it".into())
        }
        (RunState::Errored, _) if run.console_bytes > 0 => {
            Some(format!("`longhaul log {short} --console` has what was printed outside the log"))
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::output) fn run(state: RunState) -> RunView {
        serde_json::from_value(serde_json::json!({
            "run_id": "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21", "state": state, "cause": "completed", "rc": null,
            "message": null, "host": "stata1", "attempt": 1, "created_at": "2026-11-22T15:00:00.000Z",
            "started_at": null, "finished_at": null, "output_bytes": 2048, "trace_id": null, "principal": "ana",
            "source": "/home/ana/main.do", "output_complete": true, "duration": 250.0,
        }))
        .unwrap()
    }

    fn check(state: RunState, change: impl Fn(&mut RunView), want: &[&str]) {
        let mut run = run(state);
        change(&mut run);
        assert_eq!(verdict(&run), want.join("\n") + "\n");
    }

    #[test]
    fn the_verdict_comes_first() {
        check(
            RunState::Succeeded,
            |_| (),
            &["succeeded after 4 min 10 s on stata1 · main.do · 2.0 KiB of output · 7f3a9c21"],
        );
        check(
            RunState::Succeeded,
            |r| r.engine = Some("standin".into()),
            &["stand-in, not Stata: succeeded after 4 min 10 s on stata1 · main.do · 2.0 KiB of output · 7f3a9c21"],
        );
        check(
            RunState::Failed,
            |r| {
                r.cause = Cause::StataError;
                r.rc = Some(111);
                r.message = Some("variable y not found".into());
                r.command = Some("summarize y ///\n    , detail".into());
                r.location = Some(LocationView {
                    file: "/p/sub.do".into(),
                    line: 12,
                    callers: vec!["/p/main.do:3".into(), "/p/mid.do:7".into()],
                });
            },
            &[
                "failed: r(111) in sub.do line 12 after 4 min 10 s on stata1 · main.do · 2.0 KiB of output · 7f3a9c21",
                "  variable y not found",
                "  command: summarize y /// , detail",
                "  at /p/sub.do line 12",
                "  called from /p/mid.do:7",
                "  called from /p/main.do:3",
            ],
        );
        check(
            RunState::TimedOut,
            |r| {
                r.cause = Cause::RunTimeout;
                r.leftovers = vec!["python (4711)".into()];
                r.output_complete = false;
            },
            &[
                "timed out (run timeout) after 4 min 10 s on stata1 · main.do · 2.0 KiB of output · 7f3a9c21",
                "  ended with it: python (4711)",
                "  the output here is not whole yet; it is fetched when its agent is back",
            ],
        );
        check(
            RunState::Errored,
            |r| {
                r.cause = Cause::Licence;
                r.message = Some("License not found".into());
                r.duration = None;
            },
            &[
                "errored (licence) on stata1 · main.do · 2.0 KiB of output · 7f3a9c21",
                "  License not found",
                "  `longhaul doctor` on that host says what was found of Stata",
            ],
        );
    }
}
