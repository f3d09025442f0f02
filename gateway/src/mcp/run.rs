//! Tools that start a run.

use longhaul_proto::{
    MAX_CODE_MCP,
    api::{Joined, RunView, SubmitRequest, Submitted},
    ids::RunId,
};

use super::{
    call::{Answer, Asker, Call, Reply, Said},
    follow::{self, Followed, Until, Waited},
    result, tasks,
    tickets::Asked,
    words,
};
use crate::{
    http::Numbers,
    runs::{self, SubmitError},
};

/// `stata_run_file`.
pub(super) async fn file(call: &Call) -> Answer {
    let submitted = start(call, SubmitRequest { path: call.args.text("file_path"), ..common(call) }).await?;
    follow_submitted(call, submitted).await
}

/// `stata_run_selection`.
pub(super) async fn selection(call: &Call) -> Answer {
    if let Some(session) = call.args.text("session_id").filter(|id| !id.is_empty()) {
        return Err(format!(
            "nothing was run: there is no session `{}`, because sessions are not available yet and each call is a fresh \
             Stata. Leave session_id out and put all the code that belongs together, with the commands that load the \
             data, into one selection; or save data in one call and use it in the next.",
            words::cut(&session, 60)
        ));
    }
    let submitted = start(call, SubmitRequest { text: call.args.text("selection"), ..common(call) }).await?;
    follow_submitted(call, submitted).await
}

/// `stata_submit`.
pub(super) async fn submit(call: &Call) -> Reply {
    let (path, text, bundle) = (call.args.text("path"), call.args.text("text"), call.args.bundle("bundle"));
    if [path.is_some(), text.is_some(), bundle.is_some()].iter().filter(|given| **given).count() != 1 {
        return Err("pass exactly one of path (a do-file on the Stata host), text (code) and bundle (files)".into());
    }
    let submitted = start(call, SubmitRequest { path, text, bundle, ..common(call) }).await?;
    let note = note_of(&submitted).map(|n| format!("{n}\n")).unwrap_or_default();
    let view = &submitted.run;
    let short = view.run_id.short();
    let state = words::message(view, None, call.now_ms());
    Ok(Said::ok(format!(
        "{note}run {short} is recorded and goes on by itself: {state}\nGet its result with stata_wait(runs: \"{short}\").\n\n{}",
        result::last_line(view)
    )))
}

fn common(call: &Call) -> SubmitRequest {
    let args = &call.args;
    SubmitRequest {
        args: args.texts("args"),
        working_dir: args.text("working_dir"),
        timeout: args.number("timeout"),
        host: args.text("host"),
        again: args.flag("again").unwrap_or(false),
        client: call.client_name(),
        retry: args.text("retry").and_then(|word| serde_json::from_value(word.into()).ok()),
        ..SubmitRequest::default()
    }
}

async fn start(call: &Call, mut submit: SubmitRequest) -> Result<Submitted, String> {
    submit.key = call.key(&submit);
    let request = runs::Request { submit, trace: call.trace.clone(), max_code: MAX_CODE_MCP };
    call.face.core.runs.submit(&call.who, request).await.map_err(|error| {
        if let SubmitError::Ledger(source) | SubmitError::Unsettled(source) = &error {
            tracing::error!(error = source as &dyn std::error::Error, "cannot record a run");
        }
        match error {
            SubmitError::Unsettled(_) | SubmitError::Panicked => error.to_string(),
            _ => format!("nothing was run: {error}"),
        }
    })
}

/// What to tell of a submission that an earlier run answers. The same call made again needs no words.
fn note_of(submitted: &Submitted) -> Option<String> {
    joined_note(&submitted.run, submitted.joined?)
}

/// As [`note_of`].
pub(super) fn joined_note(view: &RunView, joined: Joined) -> Option<String> {
    let short = view.run_id.short();
    match joined {
        Joined::Key => None,
        Joined::Unfinished => Some(format!("already running as {short}; to run it again pass again: true")),
        Joined::Undelivered => Some(format!(
            "an equal run ended and its result had not reached you: this is run {short}; to run it again pass again: true"
        )),
    }
}

async fn follow_submitted(call: &Call, submitted: Submitted) -> Answer {
    let (run, note) = (submitted.run.run_id, note_of(&submitted));
    call.resumable(Asked::Run { run, note: note.clone() });
    to_the_end(call, run, note, submitted.joined).await
}

/// Follows a run to its end, or hands out a task, or a handle before an impatient client gives up.
pub(super) async fn to_the_end(call: &Call, run: RunId, note: Option<String>, joined: Option<Joined>) -> Answer {
    let live = call.face.core.runs.watch(&call.who, run).await.map_err(|error| {
        format!("run {run} was started and goes on, but cannot be followed: {error}. Call stata_wait(runs: \"{run}\").")
    })?;
    let mut followed = [Followed { run, live }];
    let options = call.face.options();
    let limit = if call.takes_task() {
        Some(options.task_after)
    } else {
        (!call.patient()).then(|| options.handle_after.saturating_sub(call.already()))
    };
    let waited = follow::follow(call, &mut followed, Until::All, limit).await;
    let view = followed[0].view();
    let said = match waited {
        Waited::Ended => {
            deliver(call, &view);
            result::of(call, &view, None, note.as_deref(), options.inline_limit).await
        }
        // Also when the gateway stops: the next one knows the handle.
        _ if call.takes_task() => return Ok(tasks::begin(call, &view, joined).await),
        Waited::TimeOver | Waited::Gone => {
            Numbers::count(&call.face.numbers.handles);
            let line = follow::last_line(call, &view).await;
            handle(&view, note.as_deref(), line.as_deref(), "still", call.now_ms())
        }
        Waited::Stopping => handle(&view, note.as_deref(), None, "the gateway is restarting;", call.now_ms()),
    };
    Ok(said.into_result().into())
}

/// The result of this run goes out with the answer under way.
pub(super) fn deliver(asker: &Asker, view: &RunView) {
    if view.principal == asker.who.name {
        asker.caller.carries(view.run_id);
    }
}

/// The handle of a run that takes longer than the caller waits. Not an error: nothing went wrong.
fn handle(view: &RunView, note: Option<&str>, line: Option<&str>, how: &str, now_ms: i64) -> Said {
    let short = view.run_id.short();
    let note = note.map(|n| format!("\nnote: {n}")).unwrap_or_default();
    let state = words::message(view, line, now_ms);
    Said::ok(format!(
        "{how} {state}{note}\nThe run goes on by itself as run {short}. Do not start it again: call stata_wait(runs: \"{short}\") until it has ended; stata_log(run: \"{short}\", tail: 50) shows its output.\n\n{}",
        result::last_line(view)
    ))
}

#[cfg(test)]
mod tests {
    use longhaul_proto::api::ProgressView;
    use serde_json::json;

    use super::{
        super::words::tests::{NOW, view},
        *,
    };

    #[test]
    fn a_handle_says_what_to_do() {
        let progress = ProgressView { percent: Some(12.0), text: "rep 120 of 1000".into() };
        let said = handle(&view(json!({ "progress": progress })), None, None, "still", NOW);
        assert!(!said.is_error);
        assert!(
            said.text.starts_with("still running 4 min 10 s on stata1 · rep 120 of 1000 · 7f3a9c21\n"),
            "{}",
            said.text
        );
        assert!(said.text.contains("stata_wait(runs: \"7f3a9c21\")"), "{}", said.text);
    }

    #[test]
    fn an_earlier_run_is_told() {
        let check = |joined: Option<Joined>, want: Option<&str>| {
            let note = note_of(&Submitted { run: view(json!({})), joined });
            assert_eq!(note.as_deref().map(|n| n.contains(want.unwrap_or("?"))), want.map(|_| true));
        };
        check(None, None);
        check(Some(Joined::Key), None);
        check(Some(Joined::Unfinished), Some("already running as 7f3a9c21; to run it again pass again: true"));
        check(Some(Joined::Undelivered), Some("to run it again pass again: true"));
    }
}
