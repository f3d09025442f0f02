//! The document of all operations.

use std::collections::BTreeMap;

use longhaul_proto::api::{EventsReady, OutputEvent, Problem, ProgressEvent, StepEvent};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::operation::{self, Operation};
use crate::{
    auth::routes::{Row, in_openapi},
    model::Permission,
};

const ABOUT: &str = "Runs of Stata do-files, their output live or finished, the files that they left, hosts and licences, and the \
    gateway itself.\n\n\
    Times are RFC 3339 in UTC, durations are seconds, and fields that are null or absent are not known. Within v1 objects and lists of \
    words only grow: a client ignores what it does not know. Requests are strict: a field or parameter that is not described is an \
    error. Every error is a `Problem`, whose `type` is a stable word and whose `detail` tells a person what to do.\n\n\
    A run is named by its id, by the last 8 or more characters of it, by the first 4 or more of either where they fit one run only, or \
    by `last`, the caller's newest. A token permits scopes; where an operation names several requirements, one of them is \
    enough.\n\n\
    MCP (`/mcp`), the agents' gRPC service and gRPC's health service are answered by the same port and are not described here. `GET` \
    answers `HEAD` too.";

/// Statuses of problems.
const PROBLEMS: [u16; 20] =
    [400, 401, 403, 404, 408, 409, 410, 411, 413, 415, 416, 421, 422, 423, 429, 460, 500, 502, 503, 507];

/// When a status is answered, in words.
fn when(status: u16) -> &'static str {
    match status {
        400 => "The request contains something that is not accepted; `detail` names it.",
        401 => "No valid token.",
        403 => "The token does not permit it, or a page of another origin asks.",
        404 => "There is no such thing, or it is not the caller's.",
        408 => "The body did not come in time.",
        409 => "Not in the present state, or the name fits several; `detail` says what is in the way.",
        410 => "It was there and is not any more.",
        411 => "The length is missing.",
        413 => "The body is too large.",
        415 => "The body has another type.",
        416 => "Nothing there yet: the range or offset is past the end.",
        421 => "The `Host` of the request is none of this gateway's names.",
        422 => "It cannot be done as it is asked for; `detail` says why.",
        423 => "Another request is at it.",
        429 => "A quota or bound is reached; `Retry-After` says when to try again, where that is known.",
        460 => "The bytes have another digest.",
        500 => "A defect of the gateway; its log has the details.",
        502 => "The host did not answer.",
        503 => "Not now: the ledger, the disk or a host is away, or the gateway is busy or stopping.",
        507 => "There is no room.",
        _ => "An error.",
    }
}

/// That a field is empty where it is absent goes without saying.
fn without_empty_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let empty = |value: &Value| match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(all) => all.is_empty(),
                Value::Object(_) => true,
                _ => false,
            };
            if fields.get("default").is_some_and(empty) {
                fields.remove("default");
            }
            fields.values_mut().for_each(without_empty_defaults);
        }
        Value::Array(all) => all.iter_mut().for_each(without_empty_defaults),
        _ => {}
    }
}

/// The text of a document: a line for each operation's field and each property, so that changes can be read.
pub(super) fn text(document: &Value) -> String {
    let mut text = String::new();
    write(document, 0, &mut text);
    text.push('\n');
    text
}

/// Objects so deep are written in one line.
const DEEP: usize = 5;

fn write(value: &Value, depth: usize, text: &mut String) {
    let Some(fields) = value.as_object().filter(|fields| depth < DEEP && !fields.is_empty()) else {
        return text.push_str(&value.to_string());
    };
    text.push('{');
    for (n, (name, value)) in fields.iter().enumerate() {
        let before = if n > 0 { "," } else { "" };
        text.push_str(&format!("{before}\n{}{}: ", " ".repeat(depth + 1), Value::from(name.as_str())));
        write(value, depth + 1, text);
    }
    text.push_str(&format!("\n{}}}", " ".repeat(depth)));
}

/// What a route needs, as requirements of which one is enough.
fn security(row: &Row) -> Value {
    match row.needs {
        // Probes tell more to those who show a token.
        Permission::Nothing if row.path == "/readyz" => json!([{}, {"token": []}]),
        Permission::Nothing => json!([]),
        Permission::Token => json!([{"token": []}]),
        Permission::Any(scopes) => scopes.iter().map(|scope| json!({"token": [scope.as_str()]})).collect(),
    }
}

fn in_path(path: &str) -> Vec<Value> {
    let about = |name: &str| match name {
        "run" => "The id of a run, a part of it that names it, or `last`.",
        "sha256" => "The SHA-256 of the content, 64 hexadecimal digits.",
        "name" if path.contains("/files/") => "The name of the file, as the list has it; slashes in it stay slashes.",
        _ => "Its name.",
    };
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let parameter = |name: &str| {
        let mut schema = json!({"type": "string", "minLength": 1});
        if name == "sha256" {
            schema["pattern"] = "^[0-9a-f]{64}$".into();
        }
        let example = if name == "run" { json!("last") } else { Value::Null };
        let mut parameter =
            json!({"name": name, "in": "path", "required": true, "description": about(name), "schema": schema});
        if !example.is_null() {
            parameter["example"] = example;
        }
        parameter
    };
    names.map(parameter).collect()
}

fn described(operation: &Operation, row: &Row) -> Value {
    let mut answers: BTreeMap<u16, Value> = operation.answers.iter().cloned().collect();
    let mut common = vec![400, 403, 421, 429, 500, 503];
    if row.needs != Permission::Nothing {
        common.push(401);
    }
    for status in common.into_iter().chain(operation.problems.iter().copied()) {
        // The head of an error has no body.
        let problem = match operation.method == http::Method::HEAD {
            true => json!({"description": when(status)}),
            false => json!({"$ref": format!("#/components/responses/Problem{status}")}),
        };
        answers.entry(status).or_insert(problem);
    }
    let answers: Map<String, Value> =
        answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
    let mut told = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": security(row),
        "responses": answers,
    });
    let fields = told.as_object_mut().unwrap();
    if !operation.notes.is_empty() {
        fields.insert("description".to_owned(), operation.notes.into());
    }
    let parameters: Vec<Value> =
        in_path(&in_openapi(row.path)).into_iter().chain(operation.parameters.clone()).collect();
    if !parameters.is_empty() {
        fields.insert("parameters".to_owned(), parameters.into());
    }
    fields.extend(operation.body.clone().map(|body| ("requestBody".to_owned(), body)));
    fields.extend(operation.more.clone());
    told
}

/// The whole document.
pub(super) fn document(operations: &[Operation], rows: &[Row]) -> Value {
    let mut schemas = Vec::new();
    fn add<T: ToSchema>(to: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        T::schemas(to);
        to.push((T::name().into_owned(), T::schema()));
    }
    add::<Problem>(&mut schemas);
    // Of event streams, whose events no content type describes.
    add::<OutputEvent>(&mut schemas);
    add::<StepEvent>(&mut schemas);
    add::<ProgressEvent>(&mut schemas);
    add::<EventsReady>(&mut schemas);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for row in rows {
        let method = row.method.as_ref().unwrap();
        let named = |operation: &&Operation| operation.path == row.path && operation.method == *method;
        let Some(operation) = operations.iter().find(named) else {
            panic!("{method} {} is not described: add it to the tables of this folder", row.path);
        };
        schemas.extend(operation.schemas.clone());
        let item = paths.entry(in_openapi(row.path)).or_default();
        item.insert(method.as_str().to_lowercase(), described(operation, row));
    }
    for operation in operations {
        let routed = |row: &Row| row.path == operation.path && row.method.as_ref() == Some(&operation.method);
        assert!(rows.iter().any(routed), "{} {} is described and no route", operation.method, operation.path);
    }
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in schemas {
        let mut schema = serde_json::to_value(schema).unwrap();
        without_empty_defaults(&mut schema);
        let before = all.insert(name.clone(), schema.clone());
        assert!(before.is_none_or(|before| before == schema), "two types are called {name}");
    }
    let token = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A token of this gateway: `longhaul token add NAME` makes one. A requirement names the scope that it must permit."
    });
    let tags: Vec<Value> = [
        ("runs", "Starting, finding and ending runs."),
        ("a run", "What one run printed and left."),
        ("blobs", "Files by the SHA-256 of their content, for code that is uploaded before it is run."),
        ("hosts", "Stata hosts: what they have, and what they are kept from."),
        ("gateway", "Health, numbers, tokens, agents' keys and the audit log."),
    ]
    .iter()
    .map(|(name, about)| json!({"name": name, "description": about}))
    .collect();
    let problems: Map<String, Value> =
        PROBLEMS.iter().map(|status| (format!("Problem{status}"), operation::problem(when(*status)))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Longhaul",
            "version": "1",
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"}
        },
        "servers": [{"url": "/", "description": "The gateway that serves this document."}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": all, "responses": problems, "securitySchemes": {"token": token}}
    })
}
