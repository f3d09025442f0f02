//! Starting, finding and ending runs.

use longhaul_proto::api::{AdoptBody, Adopted, CancelBody, RerunBody, RunList, RunView, SubmitRequest, Submitted};
use serde_json::{Value, json};

use super::operation::{Operation, get, post, sent, text};
use crate::api::{all_events::AllEventsQuery, runs::ListQuery};

/// Of a submission by a token that may not read runs.
fn brief() -> Value {
    json!({
        "type": "object",
        "required": ["run_id", "state", "created_at"],
        "properties": {
            "run_id": {"$ref": "#/components/schemas/RunId"},
            "state": {"$ref": "#/components/schemas/RunState"},
            "created_at": {"type": ["string", "null"]},
            "joined": {"$ref": "#/components/schemas/Joined"}
        },
        "additionalProperties": false
    })
}

fn submitted(operation: Operation, brief: Option<Value>) -> Operation {
    let mut operation = operation;
    let whole = operation.schema::<Submitted>();
    let schema = match brief {
        None => whole,
        Some(brief) => json!({"anyOf": [whole, brief]}),
    };
    for (status, about) in [(201, "A new run."), (200, "An earlier run answers; `joined` says why.")] {
        let place = sent("Where the run is.", text());
        let content = json!({"application/json": {"schema": schema}});
        operation =
            operation.answer(status, json!({"description": about, "headers": {"Location": place}, "content": content}));
    }
    operation.problems(&[404, 409, 422, 507])
}

pub(super) fn all() -> Vec<Operation> {
    let mut events = get("/api/v1/events", "follow_all_runs", "What happens to all runs that the caller may see.")
        .notes(
            "An event stream without an end. `event: ready` comes first; then each step of a run as `event: state`, once and in order, \
             whose `id` is its place among all steps; and `event: progress` for what changes between steps, which is not kept. A reader \
             that comes back with `Last-Event-ID` is told every later step, also those of the time when it or the gateway was away. Lines \
             that begin with a colon keep the connection alive. The stream ends with its token, at a stop of the gateway, and when its \
             reader is too slow.",
        )
        .query::<AllEventsQuery>(&[])
        .header("Last-Event-ID", "The id of the last event that was received.", text())
        .answer(200, json!({"description": "The events.", "content": {"text/event-stream": {"schema": text()}}}));
    events.more.insert(
        "x-events".to_owned(),
        json!({
            "ready": {"$ref": "#/components/schemas/EventsReady"},
            "state": {"$ref": "#/components/schemas/StepEvent"},
            "progress": {"$ref": "#/components/schemas/ProgressEvent"}
        }),
    );
    let all = vec![
        get("/api/v1/runs", "list_runs", "Runs, newest first, a page at a time.")
            .query::<ListQuery>(&[])
            .gives::<RunList>(200, "A page; `next` is `before` of the page that follows.")
            .of_run(),
        submitted(
            post("/api/v1/runs", "submit_run", "Runs a do-file, some code, or a bundle of files.")
                .notes(
                    "Answered when the run is recorded; what the run does is asked for by its id. A repeated request may be answered with \
                     the run that it made before: `key` decides that, and `again` forbids it. To a token that may not read runs a few \
                     fields alone are told.",
                )
                .takes::<SubmitRequest>(),
            Some(brief()),
        ),
        post("/api/v1/runs/adopt", "adopt_runs_of_host", "Gives all unverified runs of a host to the principals that they name.")
            .takes::<AdoptBody>()
            .gives::<Adopted>(200, "The runs, as they are now.")
            .problems(&[404, 409]),
        get("/api/v1/runs/{run}", "get_run", "Everything about a run; of an ended one its result.")
            .gives::<RunView>(200, "The run.")
            .of_run(),
        post("/api/v1/runs/{run}/adopt", "adopt_run", "Gives an unverified run to the principal that it names.")
            .gives::<RunView>(200, "The run.")
            .of_run(),
        post("/api/v1/runs/{run}/cancel", "cancel_run", "Asks for the end of a run; what it printed is kept.")
            .may_take::<CancelBody>()
            .gives::<RunView>(200, "The run, with the request to end it.")
            .of_run(),
        post("/api/v1/runs/{run}/declare-dead", "declare_run_dead", "Says that the agent of a run never comes back.")
            .gives::<RunView>(200, "The run.")
            .of_run(),
        submitted(
            post("/api/v1/runs/{run}/rerun", "rerun_run", "Runs the same again.").may_take::<RerunBody>(),
            None,
        ),
        post("/api/v1/runs/{run}/release", "release_run", "Lets the files of an ended run be removed from its host.")
            .gives::<RunView>(200, "The run.")
            .of_run(),
        events,
    ];
    all.into_iter().map(|operation| operation.tag("runs")).collect()
}
