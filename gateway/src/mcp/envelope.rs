//! What is wrong with a message before the MCP library sees it, answered as JSON-RPC asks: the library answers some of
//! these as a matter of HTTP, in words that name no remedy, or lets them pass.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json};

/// The revisions that are spoken, oldest first.
pub(super) const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// Codes of JSON-RPC 2.0, section 5.1.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const INVALID_PARAMS: i32 = -32602;

/// Lists that have one page, so that no cursor is ours.
const LISTS: [&str; 4] = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];

/// A message that is not passed on.
#[derive(Debug, PartialEq)]
pub(super) struct Refused {
    status: StatusCode,
    id: Value,
    code: i32,
    words: String,
    data: Value,
}

impl Refused {
    fn of(code: i32, words: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, id: Value::Null, code, words: words.into(), data: Value::Null }
    }

    /// The answer to a request that was understood so far.
    fn params(id: &Value, words: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, id: id.clone(), ..Self::of(INVALID_PARAMS, words) }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.words});
        if !self.data.is_null() {
            error["data"] = self.data;
        }
        let body = json!({"jsonrpc": "2.0", "id": self.id, "error": error}).to_string();
        (self.status, [(CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
    }
}

/// A message that may be passed on; of an answer of the client both are empty.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Envelope {
    pub(super) method: String,
    pub(super) id: Value,
}

/// Looks at a message.
///
/// # Errors
/// The answer to it, when it is not to be passed on.
pub(super) fn read(body: &[u8]) -> Result<Envelope, Refused> {
    let message: Value = serde_json::from_slice(body).map_err(|error| {
        Refused::of(PARSE_ERROR, format!("the message is no JSON: {error}; send one JSON-RPC message"))
    })?;
    if message.is_array() {
        return Err(Refused::of(INVALID_REQUEST, "a batch is not taken: send each message by itself"));
    }
    let Some(fields) = message.as_object().filter(|fields| fields.get("jsonrpc") == Some(&json!("2.0"))) else {
        let words = "a message is an object with \"jsonrpc\": \"2.0\", and a method or a result";
        return Err(Refused::of(INVALID_REQUEST, words));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let null = Value::Null;
    let (id, params) = (fields.get("id").unwrap_or(&null), fields.get("params").unwrap_or(&null));
    match text("method") {
        "tools/call" => {
            let arguments = &params["arguments"];
            if !(arguments.is_null() || arguments.is_object()) {
                let words =
                    format!("`arguments` of tools/call is an object of name and value, not {}", kind(arguments));
                return Err(Refused::params(id, words));
            }
        }
        "initialize" => revision(id, &params["protocolVersion"])?,
        list if LISTS.contains(&list) && !params["cursor"].is_null() => {
            let words = format!("{list} has one page and gives no cursor: ask without one");
            return Err(Refused::params(id, words));
        }
        _ => {}
    }
    Ok(Envelope { method: text("method").to_owned(), id: id.clone() })
}

/// The session of an older revision than those that are spoken is not opened: what its client sends later would be
/// misunderstood.
fn revision(id: &Value, asked: &Value) -> Result<(), Refused> {
    let Some(asked) = asked.as_str() else { return Ok(()) };
    // Dates in this form compare as texts.
    if asked >= REVISIONS[0] || longhaul_proto::faults::bug("any_revision") {
        return Ok(());
    }
    let words = format!(
        "this gateway speaks the MCP revisions {} and not {asked}: use a newer client, or `longhaul stdio` with a client \
         that speaks one of them",
        REVISIONS.join(" and ")
    );
    Err(Refused { data: json!({"supported": REVISIONS, "requested": asked}), ..Refused::params(id, words) })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A client that takes anything, or does not say what it takes, takes both kinds of answers.
pub(super) fn accept(headers: &mut HeaderMap) {
    let anything = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|kind| kind.split(';').next().map(str::trim) == Some("*/*")))
    };
    let given = headers.get_all(ACCEPT);
    if given.iter().next().is_none() || given.iter().any(anything) {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_answered_in_json_rpc() {
        let check = |body: &str, status: u16, code: i32, words: &str| {
            let refused = read(body.as_bytes()).unwrap_err();
            assert_eq!((refused.status.as_u16(), refused.code), (status, code), "{body}");
            assert!(refused.words.contains(words), "{refused:?}");
        };
        check("{\"jsonrpc\":", 400, -32700, "no JSON");
        check("[]", 400, -32600, "batch");
        check("{\"method\": \"ping\"}", 400, -32600, "\"jsonrpc\": \"2.0\"");
        check(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":[1]}}"#,
            200,
            -32602,
            "not a list",
        );
        check(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}"#, 200, -32602, "one page");
        check(
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#,
            200,
            -32602,
            "2025-11-25 and 2026-07-28 and not 2024-11-05",
        );
        for fine in ["2025-11-25", "2026-07-28", "2027-01-01"] {
            let message =
                json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": fine}});
            assert_eq!(read(message.to_string().as_bytes()).unwrap().method, "initialize");
        }
        read(br#"{"jsonrpc":"2.0","id":3,"result":{}}"#).unwrap();
    }

    #[test]
    fn a_client_that_takes_anything_takes_both() {
        let check = |given: Option<&str>, want: &str| {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(ACCEPT, given.parse().unwrap());
            }
            accept(&mut headers);
            assert_eq!(headers[ACCEPT], want);
        };
        let both = "application/json, text/event-stream";
        check(None, both);
        check(Some("*/*"), both);
        check(Some("text/html, */*;q=0.8"), both);
        check(Some("application/json"), "application/json");
    }
}
