//! Tools that start a run.

use std::time::Duration;

use longhaul_proto::{
    MAX_CODE_MCP,
    api::{Joined, SubmitRequest},
    ids::RunId,
};
use rmcp::model::CallToolResponse;

use super::{
    call::{Answer, Call, Caller},
    confirm,
    follow::{self, Followed, Until, Waited},
    joined,
    output::ToolOutput,
    paths,
    resumable::CallTarget,
    tasks, waiting, words,
};
use crate::{
    frontend::Numbers,
    model::RunSnapshot,
    runs::{self, Accepted, SubmitError},
};

/// `stata_run_file`.
pub(super) async fn file(call: &Call) -> Answer {
    match start(call, SubmitRequest { path: path(call, "file_path"), ..common(call) }).await? {
        Started::Run(submitted) => follow_submitted(call, submitted).await,
        Started::Answered(answer) => Ok(*answer),
    }
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
    let text = call.args.text("selection");
    let name = text.as_deref().and_then(code_name);
    match start(call, SubmitRequest { text, name, ..common(call) }).await? {
        Started::Run(submitted) => follow_submitted(call, submitted).await,
        Started::Answered(answer) => Ok(*answer),
    }
}

/// `stata_submit`.
pub(super) async fn submit(call: &Call) -> Answer {
    let (path, text, bundle) = (path(call, "path"), call.args.text("text"), call.args.bundle("bundle"));
    if [path.is_some(), text.is_some(), bundle.is_some()].iter().filter(|given| **given).count() != 1 {
        return Err("pass exactly one of path (a do-file on the Stata host), text (code) and bundle (files)".into());
    }
    let name = text.as_deref().and_then(code_name);
    match start(call, SubmitRequest { path, text, bundle, name, ..common(call) }).await? {
        Started::Run(submitted) => Ok(told_of(call, &submitted).into_result().into()),
        Started::Answered(answer) => Ok(*answer),
    }
}

/// What is said of a run that was submitted.
fn told_of(call: &Call, submitted: &Accepted) -> ToolOutput {
    let view = &submitted.run;
    if !call.who.may_read(&call.who.principal) {
        // An earlier run may answer, which a token that only submits is not to read.
        return ToolOutput::ok(format!(
            "run {} is recorded and goes on by itself. This token may start runs, and not read them.",
            view.run.short()
        ));
    }
    call.shows(view);
    let first = submitted.joined.map(|joined| format!("{}\n", joined::line(view, joined, call.now_ms())));
    let first = first.unwrap_or_default();
    let short = view.run.short();
    let state = words::whole(view, None, call.now_ms());
    let advice = waiting::advice(call, view).map(|advice| format!("\n{advice}")).unwrap_or_default();
    let warning = confirm::warning(&view.risks);
    ToolOutput::ok(format!(
        "{first}run {short} is recorded and goes on by itself: {state}{advice}{warning}\nGet its result with stata_wait(runs: \"{short}\")."
    ))
    .about(view)
}

/// Longest name of code, characters.
const NAME: usize = 50;

/// What code is called among other runs: its first line that is no comment.
fn code_name(code: &str) -> Option<String> {
    let mut lines = code.lines().map(str::trim).filter(|line| !line.is_empty());
    let comment = |line: &&str| line.starts_with('*') || line.starts_with("//") || line.starts_with("/*");
    let first = lines.clone().find(|line| !comment(line)).or_else(|| lines.next())?;
    Some(words::cut(&words::plain(first), NAME))
}

/// How code is sent that no Stata host has.
const ELSEWHERE: &str =
    "Code that is not on a Stata host goes as text (stata_run_selection), or with its files as a bundle (stata_submit)";

fn path(call: &Call, name: &str) -> Option<String> {
    call.args.text(name).map(|given| paths::meant(&given))
}

fn common(call: &Call) -> SubmitRequest {
    let args = &call.args;
    SubmitRequest {
        args: args.texts("args"),
        working_dir: path(call, "working_dir"),
        timeout: args.number("timeout"),
        host: args.text("host"),
        // One that is far too large is refused with what is allowed.
        cores: args.whole("cores").map(|cores| u32::try_from(cores).unwrap_or(u32::MAX)),
        again: args.flag("again").unwrap_or(false),
        confirm: args.flag("confirm").unwrap_or(false),
        results: args.flag("results"),
        client: call.client_name(),
        priority: args.text("priority").and_then(|word| word.parse().ok()),
        priority_reason: args.text("priority_reason"),
        retry: args.text("retry").and_then(|word| serde_json::from_value(word.into()).ok()),
        ..SubmitRequest::default()
    }
}

/// What became of a request to start a run.
enum Started {
    /// It is recorded, or an earlier one answers.
    Run(Accepted),
    /// The call is answered without a run: a person is asked, or said no, or a quota is reached.
    Answered(Box<CallToolResponse>),
}

async fn start(call: &Call, mut submit: SubmitRequest) -> Result<Started, String> {
    let name = call.name(&submit);
    submit.key = call.key();
    let elicited = call.agreed();
    let trace = call.trace.clone();
    let request =
        runs::Request { submit, call: name, trace, max_code: MAX_CODE_MCP, elicited, ..runs::Request::default() };
    let runs = &call.frontend.core.runs;
    let mut submitted = runs.submit(&call.who, request.clone()).await;
    if let Err(SubmitError::Unconfirmed(asked)) = &submitted {
        match call.confirmed(asked).await.into() {
            Ok(about) => {
                let request = runs::Request { elicited: Some(about), ..request };
                submitted = runs.submit(&call.who, request).await;
            }
            Err(answer) => return Ok(Started::Answered(answer)),
        }
    }
    let error = match submitted {
        Ok(accepted) => return Ok(Started::Run(Accepted { run: call.narrowed(accepted.run), ..accepted })),
        Err(error) => error,
    };
    if let SubmitError::Ledger(source) | SubmitError::Unsettled(source) = &error {
        tracing::error!(error = source as &dyn std::error::Error, "cannot record a run");
    }
    Err(match error {
        SubmitError::OverQuota(over) => {
            return Ok(Started::Answered(Box::new(ToolOutput::over_quota(over).into_result().into())));
        }
        SubmitError::Changed(refusal) | SubmitError::Unasked(refusal) => call.not_joined(&refusal).await,
        SubmitError::Unsettled(_) | SubmitError::Panicked => error.to_string(),
        SubmitError::Unconfirmed(_) => {
            "nothing was run: its do-file changed while a person was asked: call again".into()
        }
        SubmitError::NotThere(missing) => format!("nothing was run: {}", call.not_there(missing).told(ELSEWHERE)),
        _ => format!("nothing was run: {error}"),
    })
}

async fn follow_submitted(call: &Call, submitted: Accepted) -> Answer {
    let (run, joined) = (submitted.run.run, submitted.joined);
    call.resumable(CallTarget::Run { run, note: None, joined });
    to_the_end(call, run, joined).await
}

/// Follows a run to its end, or answers with a task, or with a handle before an impatient client gives up.
pub(super) async fn to_the_end(call: &Call, run: RunId, joined: Option<Joined>) -> Answer {
    let live = call.watched(run).await.map_err(|error| {
        format!("run {run} was started and goes on, but cannot be followed: {error}. Call stata_wait(runs: \"{run}\").")
    })?;
    let mut followed = [Followed { run, live }];
    let options = call.frontend.options();
    // An unfinished run of another call may be of other files than the caller means: the answer says so now and not at
    // its end.
    let anothers = joined == Some(Joined::Unfinished) && !followed[0].view().state.is_end();
    let limit = if anothers || call.wants_id() {
        Some(Duration::ZERO)
    } else if call.takes_task() {
        Some(options.task_after)
    } else {
        (!call.patient()).then(|| options.handle_after.saturating_sub(call.already()))
    };
    let first = joined.map(|joined| joined::line(&followed[0].view(), joined, call.now_ms()));
    let waited = follow::follow(call, &mut followed, Until::All, limit, first.as_deref()).await;
    let view = followed[0].view();
    call.shows(&view);
    let said = match waited {
        Waited::Ended => joined::result(call, &view, joined, options.inline_limit).await,
        // Also when the gateway stops: the handle is valid at its next start.
        Waited::TimeOver | Waited::Gone | Waited::Stopping if call.takes_task() && !anothers => {
            return Ok(tasks::begin(call, &view, joined).await);
        }
        Waited::TimeOver | Waited::Gone | Waited::NoEnd => {
            Numbers::count(&call.frontend.numbers.handles);
            self::handle(call, &view, joined).await
        }
        Waited::Stopping => handle_text(&view, joined, None, None, "the gateway is restarting;", call.now_ms()),
    };
    Ok(said.into_result().into())
}

/// The handle of a run that takes longer than the caller waits, with what can be done about it. Not an error: nothing
/// went wrong.
pub(super) async fn handle(caller: &Caller, view: &RunSnapshot, joined: Option<Joined>) -> ToolOutput {
    let line = follow::last_line(caller, view).await;
    let advice = waiting::advice(caller, view);
    handle_text(view, joined, line.as_deref(), advice.as_deref(), "still", caller.now_ms())
}

fn handle_text(
    view: &RunSnapshot,
    joined: Option<Joined>,
    line: Option<&str>,
    advice: Option<&str>,
    how: &str,
    now_ms: i64,
) -> ToolOutput {
    let short = view.run.short();
    let first = joined.map(|joined| format!("{}\n", joined::line(view, joined, now_ms))).unwrap_or_default();
    let advice = advice.map(|advice| format!("\n{advice}")).unwrap_or_default();
    let state = words::whole(view, line, now_ms);
    let warning = confirm::warning(&view.risks);
    ToolOutput::ok(format!(
        "{first}{how} {state}{advice}{warning}\nThe run goes on by itself as run {short}. Do not start it again: call stata_wait(runs: \"{short}\") until it has ended; stata_log(run: \"{short}\", tail: 50) shows its output."
    ))
    .about(view)
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
    fn code_is_called_by_its_first_line() {
        let check = |code: &str, want: Option<&str>| assert_eq!(code_name(code).as_deref(), want, "{code}");
        check("display 1", Some("display 1"));
        check("\n* a comment\n  sysuse auto, clear\nregress price mpg\n", Some("sysuse auto, clear"));
        check("// only this", Some("// only this"));
        check(" \n", None);
        check(&"x".repeat(60), Some(&format!("{}…", "x".repeat(49))));
    }

    #[test]
    fn a_handle_says_what_to_do() {
        let progress = ProgressView { percent: Some(12.0), text: "rep 120 of 1000".into() };
        let said = handle_text(&view(json!({ "progress": progress })), None, None, None, "still", NOW);
        assert!(!said.is_error);
        assert!(
            said.text.starts_with("still running 4 min 10 s on stata1 · a.do · rep 120 of 1000 · 7f3a9c21\n"),
            "{}",
            said.text
        );
        assert!(said.text.contains("stata_wait(runs: \"7f3a9c21\")"), "{}", said.text);
    }
}
