//! The tasks extension (SEP-2663): a run seen as a task.
//!
//! ```text
//! tools/call -> run (durable) -> ended within `task_after`? --yes--> its result, as ever
//!                                        \--no--> a task: handle, `working`, ask again every 2 s
//! tasks/get    -> handle -> run -> working + the progress line | completed + the result | cancelled
//! tasks/cancel -> handle -> run -> the recorded request to break it
//! ```
//!
//! A task has no state of its own: its handle names a run (see [`crate::auth::handles`]) and every answer is read from
//! the ledger and the mirror. So a task outlives its connection, its session and this process, and needs no time to
//! live. Every end of a run is a `completed` task with the text of the live call, also a failed do-file and a dead host
//! (`isError`, but for a client that would fold the text into one line: [`client`]); a run that was cancelled is a `cancelled` task; `failed` would be an error of the protocol, and a call
//! that has one never becomes a task.

use std::sync::Arc;

use longhaul_proto::{
    api::{CancelMode, Joined},
    clock::rfc3339,
    state::RunState,
};
use rmcp::{
    ErrorData, RoleServer,
    model::{CallToolResponse, CreateTaskResult, DetailedTask, GetTaskResult, Task, TaskPayload, TaskStatus},
    service::RequestContext,
};
use serde_json::Value;

use super::{
    call::{Call, Caller},
    client, follow, guarded, joined,
    output::ToolOutput,
    run, waiting, words,
};
use crate::{
    frontend::{Frontend, Numbers},
    model::{RunSnapshot, UnixMs},
    runs::{ControlError, FindError},
};

/// How often a client should poll. Claude Code follows it, and shows the progress line it finds.
const POLL_MS: u64 = 2_000;

/// Flag in the tag of a handle: the caller asked to wait to the end.
const WAITS: u8 = 16;

/// A task for an unfinished run. The run is in the ledger, so the handle is valid from now on.
pub(super) async fn begin(call: &Call, view: &RunSnapshot, joined: Option<Joined>) -> CallToolResponse {
    Numbers::count(&call.frontend.numbers.tasks);
    let waits = if call.asked_to_wait() { WAITS } else { 0 };
    let handle = call.frontend.core.task_key.seal(view.run, tag(joined) | waits, &call.who.principal);
    let mut task = task(call, handle, view).await;
    if let Some(joined) = joined {
        task = task.with_status_message(joined::line(view, joined, call.now_ms()));
    }
    CallToolResponse::Task(CreateTaskResult::new(task))
}

/// `tasks/get`.
pub(super) async fn get(
    frontend: &Frontend,
    handle: &str,
    context: &RequestContext<RoleServer>,
) -> Result<GetTaskResult, ErrorData> {
    let answered = async {
        let (caller, view, joined, waits) = open(frontend, handle, context).await?;
        let no_end =
            waiting::no_end_for(&view, caller.now_ms()).is_some_and(|long| long >= frontend.options().no_end_after);
        let task = task(&caller, handle.to_owned(), &view).await;
        let payload = match view.state {
            RunState::Cancelled => TaskPayload::Cancelled,
            state if state.is_end() => {
                let mut said = joined::result(&caller, &view, joined, frontend.options().inline_limit).await;
                // The first word says how the run ended; see `client`.
                said.is_error &= !client::folds_errors(context.client_info().as_ref());
                completed(&caller, &view, said).await?
            }
            // Nothing under way ends the run: the task ends with the run's id, the reason and what to do.
            _ if no_end && !waits => completed(&caller, &view, run::handle(&caller, &view, joined).await).await?,
            // A line of its output goes with it.
            _ => {
                caller.told.of(&view);
                caller.told.polled("tasks/get", task.status_message.as_deref().unwrap_or_default().len());
                TaskPayload::Working
            }
        };
        caller.shows(&view);
        Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
    };
    guarded::caught(frontend, "tasks/get", answered).await
}

async fn completed(caller: &Caller, view: &RunSnapshot, said: ToolOutput) -> Result<TaskPayload, ErrorData> {
    let answer = CallToolResponse::from(said.into_result());
    caller.told.of(view);
    caller.told.answer("tasks/get", None, &answer).await;
    let CallToolResponse::Complete(result) = answer else {
        return Err(ErrorData::internal_error("the result could not be written", None));
    };
    match serde_json::to_value(result) {
        Ok(Value::Object(result)) => Ok(TaskPayload::Completed { result }),
        _ => Err(ErrorData::internal_error("the result could not be written", None)),
    }
}

/// `tasks/update`: answers to questions of a task. A run asks none, so this does nothing.
pub(super) async fn update(
    frontend: &Frontend,
    handle: &str,
    context: &RequestContext<RoleServer>,
) -> Result<(), ErrorData> {
    guarded::caught(frontend, "tasks/update", async { open(frontend, handle, context).await.map(drop) }).await
}

/// `tasks/cancel`: the durable request to break the run. It changes nothing in an ended run; asking twice is harmless.
pub(super) async fn cancel(
    frontend: &Frontend,
    handle: &str,
    context: &RequestContext<RoleServer>,
) -> Result<(), ErrorData> {
    let answered = async {
        let (caller, view, ..) = open(frontend, handle, context).await?;
        let wished = frontend.core.runs.cancel(&caller.who, view.run, CancelMode::Break).await;
        wished.map(drop).map_err(|error| match error {
            ControlError::Find(error) => unknown(&error),
            error => ErrorData::internal_error(error.to_string(), None),
        })
    };
    guarded::caught(frontend, "tasks/cancel", answered).await
}

/// The caller, the run that the handle names, how its call was answered, and whether the caller asked to wait.
async fn open(
    frontend: &Frontend,
    handle: &str,
    context: &RequestContext<RoleServer>,
) -> Result<(Caller, Arc<RunSnapshot>, Option<Joined>, bool), ErrorData> {
    let caller = Caller::of(frontend, context).map_err(|text| ErrorData::internal_error(text, None))?;
    let Some((run, tag)) = frontend.core.task_key.open(handle, &caller.who.principal) else {
        return Err(unknown(&FindError::Unknown(words::cut(&words::plain(handle), 60))));
    };
    let view = caller.run(run).await.map_err(|error| unknown(&error))?;
    Ok((caller, view, self::joined(tag & !WAITS), tag & WAITS != 0))
}

fn unknown(error: &FindError) -> ErrorData {
    match error {
        FindError::Ledger(_) => ErrorData::internal_error(error.to_string(), None),
        // The same answer for a forged handle and for another principal's, so that trying handles reveals nothing.
        _ => ErrorData::invalid_params(
            "unknown task: runs outlive their tasks, so call stata_runs to find the run, then stata_wait for its result",
            None,
        ),
    }
}

async fn task(caller: &Caller, handle: String, view: &RunSnapshot) -> Task {
    let now = caller.now_ms();
    let line = if view.state == RunState::Running { follow::last_line(caller, view).await } else { None };
    let mut message = words::message(view, line.as_deref(), now);
    if view.state == RunState::Cancelled {
        let kept = format!(". Its output is kept: stata_log(run: \"{}\", tail: 50).", view.run.short());
        message.push_str(&kept);
    }
    let now = rfc3339(now).unwrap_or_default();
    let created = view.created.map_or_else(|| now.clone(), UnixMs::rfc3339);
    // An unfinished run is shown as it is now: the message is worded anew each time.
    let updated = view.finished.map_or(now, UnixMs::rfc3339);
    Task::new(handle, TaskStatus::Working, created, updated).with_status_message(message).with_poll_interval_ms(POLL_MS)
}

/// How the submission was answered, so that the result says the same of itself as the live call would have.
fn tag(joined: Option<Joined>) -> u8 {
    match joined {
        None => 0,
        Some(Joined::Key) => 1,
        Some(Joined::Unfinished) => 2,
        Some(Joined::Undelivered) => 3,
        Some(Joined::Call) => 4,
    }
}

fn joined(tag: u8) -> Option<Joined> {
    match tag {
        1 => Some(Joined::Key),
        2 => Some(Joined::Unfinished),
        3 => Some(Joined::Undelivered),
        4 => Some(Joined::Call),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_remembers_how_its_call_was_answered() {
        for how in [None, Some(Joined::Key), Some(Joined::Unfinished), Some(Joined::Undelivered), Some(Joined::Call)] {
            assert_eq!(joined(tag(how)), how);
        }
        assert_eq!(joined(200), None);
    }
}
