//! What one run printed and left.

use longhaul_proto::api::{RunDoFiles, RunFiles, RunHistory, RunRecord, RunResults, SearchView};
use serde_json::{Value, json};

use super::operation::{Operation, bytes, get, number, problem, sent, text};
use crate::api::{events::EventsQuery, output::OutputQuery, search::SearchQuery};

/// The headers of every answer with bytes that can be asked for in ranges.
fn ranged(more: Value) -> Value {
    let mut headers = json!({
        "Accept-Ranges": sent("`bytes`.", text()),
        "Content-Length": sent("Bytes of this answer.", number())
    });
    headers.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    headers
}

/// Adds the answers to a `Range`: 206 with these headers, and 416.
pub(super) fn ranges(operation: Operation, kind: &str, more: Value) -> Operation {
    let mut part = ranged(more.clone());
    part["Content-Range"] = sent("Which bytes of how many.", text());
    let mut past = problem("The range is past the end.");
    past["headers"] = json!({"Content-Range": {"description": "How many bytes there are.", "schema": text()}});
    operation
        .header("Range", "One range of bytes; several, and other units, mean the whole.", text())
        .answer(200, bytes("The bytes.", kind, ranged(more)))
        .answer(206, bytes("The bytes of the range.", kind, part))
        .answer(416, past)
}

pub(super) fn all() -> Vec<Operation> {
    let offsets = json!({
        "Longhaul-First-Offset": sent("Offset of the first byte of this answer.", number()),
        "Longhaul-Next-Offset": sent("Where the next read starts.", number()),
        "Longhaul-Complete": sent("`true`: the run has ended and nothing follows.", json!({"enum": ["true", "false"]}))
    });
    let of_file = json!({
        "Content-Disposition": sent("`attachment`.", text()),
        "ETag": {"description": "Of a copy that is kept: its SHA-256.", "schema": text()},
        "Repr-Digest": {"description": "Of a copy that is kept: its digest (RFC 9530).", "schema": text()}
    });
    let mut events = get("/api/v1/runs/{run}/events", "follow_run", "Follows the output of a run.")
        .notes(
            "An event stream: pieces of the output as text, each with the offset behind it as its `id`; `event: state` with the run when \
             its state or progress changes; `event: end` with the run after its last byte, and then the stream ends. A reader that comes \
             back with `Last-Event-ID` goes on at that offset.",
        )
        .query::<EventsQuery>(&[])
        .header("Last-Event-ID", "The id of the last event that was received.", text())
        .answer(200, json!({"description": "The events.", "content": {"text/event-stream": {"schema": text()}}}))
        .of_run()
        .problems(&[416]);
    events.more.insert(
        "x-events".to_owned(),
        json!({
            "message": {"$ref": "#/components/schemas/OutputEvent"},
            "state": {"$ref": "#/components/schemas/RunView"},
            "end": {"$ref": "#/components/schemas/RunView"}
        }),
    );
    let all = vec![
        get("/api/v1/runs/{run}/history", "get_history", "Every step of a run and every attempt, in order.")
            .gives::<RunHistory>(200, "Steps and attempts.")
            .of_run(),
        ranges(
            get("/api/v1/runs/{run}/output", "get_output", "The exact bytes of an output.")
                .notes(
                    "What there is at this moment, from `offset`, of the last `tail` lines, or of a `Range`. With `wait` it is answered when \
                     there is something new.",
                )
                .query::<OutputQuery>(&[]),
            "application/octet-stream",
            offsets,
        )
        .of_run(),
        get("/api/v1/runs/{run}/output/search", "search_output", "The lines of an output that match a regular expression.")
            .notes(
                "What there is at this moment is searched, for at most 20 s. Where there is more to look at, `next` of the answer is the \
                 `cursor` of the question that goes on.",
            )
            .query::<SearchQuery>(&["pattern"])
            .gives::<SearchView>(200, "What was found, with the lines around it.")
            .of_run()
            .problems(&[416]),
        events,
        get("/api/v1/runs/{run}/do-files", "list_do_files", "The do-files that a run entered, as they were then.")
            .gives::<RunDoFiles>(200, "The do-files, in the order in which they were entered.")
            .of_run(),
        get("/api/v1/runs/{run}/do-files/{sha256}", "get_do_file", "The bytes of a do-file, as they were then.")
            .answer(
                200,
                bytes(
                    "The bytes.",
                    "application/octet-stream",
                    json!({"Content-Length": sent("How many.", number())}),
                ),
            )
            .of_run(),
        get("/api/v1/runs/{run}/files", "list_files", "The files that a run left.")
            .gives::<RunFiles>(200, "The files, in the order of their paths.")
            .of_run(),
        ranges(
            get("/api/v1/runs/{run}/files/{*name}", "get_file", "The bytes of a file that a run left.")
                .notes(
                    "From the copy that is kept, or from the run's host. Of a copy the headers name its digest, and `If-Range` with its \
                     `ETag` lets a download go on where it broke off. The type is that of the file's name.",
                )
                .header("If-Range", "The `ETag` of the part that is there already.", text()),
            "*/*",
            of_file,
        )
        .of_run()
        .problems(&[410, 502]),
        get("/api/v1/runs/{run}/results", "get_results", "What a run left in r(), e() and s(), in full precision.")
            .gives::<RunResults>(200, "The results.")
            .of_run(),
        get("/api/v1/runs/{run}/record", "get_record", "With what a run was made: Stata, seeds, data files, packages.")
            .gives::<RunRecord>(200, "The record.")
            .of_run(),
    ];
    all.into_iter().map(|operation| operation.tag("a run")).collect()
}
