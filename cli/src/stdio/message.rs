//! The client's messages, and what HTTP needs to know of them.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

/// JSON-RPC: no JSON.
pub(super) const PARSE: i64 = -32700;
/// JSON-RPC: no valid request.
pub(super) const INVALID: i64 = -32600;
/// JSON-RPC: the bridge cannot do this.
pub(super) const INTERNAL: i64 = -32603;
/// JSON-RPC, of the range for servers: the gateway cannot be reached.
pub(super) const AWAY: i64 = -32000;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// `_meta` key whose presence makes a message one of the newer era.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key by which the gateway recognises a repeated call: beside the client's own name for it.
const CALL_KEY: &str = "longhaul/callKey";

/// A message of the client.
#[derive(Clone, Debug)]
pub(super) struct Message(Value);

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It wants an answer.
    Request,
    /// The client withdraws the request with this id (as JSON text).
    Withdrawn(String),
    /// A notification, or an answer to the gateway.
    Other,
}

impl Message {
    /// Reads a line; a byte order mark before it, as some programs of Windows write one, is skipped.
    ///
    /// # Errors
    /// With JSON-RPC's code and words.
    pub(super) fn read(line: &[u8]) -> Result<Self, (i64, &'static str)> {
        match serde_json::from_slice::<Value>(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)) {
            Ok(Value::Object(object)) => Ok(Self(Value::Object(object))),
            Ok(Value::Array(_)) => Err((INVALID, "this protocol has no batches: send one message a line")),
            Ok(_) => Err((INVALID, "a message is a JSON object")),
            Err(_) => Err((PARSE, "this line is no JSON: send one JSON-RPC message a line")),
        }
    }

    /// Whether it is of the older era and needs a session, which `initialize` opens.
    pub(super) fn needs_session(&self) -> bool {
        self.revision().is_none() && self.method() != "initialize"
    }

    /// What to do with it.
    pub(super) fn kind(&self) -> Kind {
        match (self.method(), &self.0["id"]) {
            ("notifications/cancelled", Value::Null) => Kind::Withdrawn(self.0["params"]["requestId"].to_string()),
            ("", _) | (_, Value::Null) => Kind::Other,
            _ => Kind::Request,
        }
    }

    /// Its method; empty in an answer.
    pub(super) fn method(&self) -> &str {
        self.0["method"].as_str().unwrap_or_default()
    }

    /// Its id.
    pub(super) fn id(&self) -> &Value {
        &self.0["id"]
    }

    /// The token under which the client wants progress.
    pub(super) fn progress_token(&self) -> Option<&Value> {
        Some(&self.0["params"]["_meta"]["progressToken"]).filter(|token| !token.is_null())
    }

    /// The newer era's protocol revision; `None` in a message of the older era.
    pub(super) fn revision(&self) -> Option<&str> {
        self.0["params"]["_meta"][REVISION].as_str()
    }

    /// The whole message.
    pub(super) fn json(&self) -> &Value {
        &self.0
    }

    /// Gives a tool call a unique name.
    pub(super) fn name_call(&mut self, name: &str) {
        if self.method() == "tools/call"
            && let Some(meta) = self.meta()
        {
            meta.insert(CALL_KEY.into(), json!(name));
        }
    }

    /// The same request under another id and progress token, so that in a session of the older era the rest of an
    /// earlier attempt is not mistaken for it.
    pub(super) fn again(&self, id: &str) -> Self {
        let mut again = self.clone();
        again.0["id"] = json!(id);
        if again.progress_token().is_some()
            && let Some(meta) = again.meta()
        {
            meta.insert("progressToken".into(), json!(id));
        }
        again
    }

    fn meta(&mut self) -> Option<&mut Map<String, Value>> {
        let params = self.0.as_object_mut()?.entry("params").or_insert_with(|| json!({}));
        params.as_object_mut()?.entry("_meta").or_insert_with(|| json!({})).as_object_mut()
    }

    /// Headers of the newer era: method, and the name that belongs to it.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let Some(revision) = self.revision() else { return vec![] };
        let mut headers = vec![("mcp-protocol-version", header(revision)), ("mcp-method", header(self.method()))];
        let key = match self.method() {
            "tools/call" | "prompts/get" => "name",
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
            "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
            _ => return headers,
        };
        headers.extend(self.0["params"][key].as_str().map(|name| ("mcp-name", header(name))));
        headers
    }
}

/// An error for the client.
pub(super) fn error(id: Value, code: i64, words: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": words}})
}

/// Whether a message answers a request.
pub(super) fn is_answer(message: &Value) -> bool {
    message.get("method").is_none() && (message.get("result").is_some() || message.get("error").is_some())
}

/// A header's value; characters that cannot stand in one are wrapped as the protocol says (SEP-2243).
fn header(value: &str) -> String {
    let plain = value.bytes().all(|b| (0x20..=0x7e).contains(&b)) && value.trim() == value;
    if plain && !value.starts_with("=?base64?") {
        return value.to_owned();
    }
    format!("=?base64?{}?=", BASE64_STANDARD.encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Message {
        Message::read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn messages_are_told_apart() {
        let check = |value: Value, want: Kind| assert_eq!(read(value.clone()).kind(), want, "{value}");
        check(json!({"id": 0, "method": "tools/list"}), Kind::Request);
        check(json!({"id": "a", "method": "ping"}), Kind::Request);
        check(json!({"method": "notifications/initialized"}), Kind::Other);
        check(json!({"id": 3, "result": {}}), Kind::Other);
        let withdrawn = json!({"method": "notifications/cancelled", "params": {"requestId": "a"}});
        check(withdrawn, Kind::Withdrawn("\"a\"".into()));
        for (bad, code) in [("", PARSE), ("x", PARSE), ("{", PARSE), ("[]", INVALID), ("1", INVALID)] {
            assert_eq!(Message::read(bad.as_bytes()).unwrap_err().0, code, "{bad}");
        }
        let marked = Message::read("\u{feff}{\"id\": 1, \"method\": \"ping\"}\r\n".as_bytes()).unwrap();
        assert_eq!((marked.method(), marked.needs_session()), ("ping", true));
        assert!(!read(json!({"id": 1, "method": "initialize"})).needs_session());
    }

    #[test]
    fn a_call_gets_a_name_of_its_own() {
        let name = |mut message: Message| {
            message.name_call("ours");
            message.0["params"]["_meta"][CALL_KEY].clone()
        };
        assert_eq!(name(read(json!({"id": 1, "method": "tools/call", "params": {"name": "x"}}))), "ours");
        let own = json!({"id": 1, "method": "tools/call", "params": {"_meta": {"claudecode/toolUseId": "theirs"}}});
        assert_eq!(name(read(own)), "ours", "whatever the client calls it");
        assert_eq!(name(read(json!({"id": 1, "method": "tools/list"}))), Value::Null);
    }

    #[test]
    fn a_repeated_request_differs_in_id_and_token_only() {
        let request = json!({"id": 1, "method": "tools/call", "params": {"name": "x", "_meta": {"progressToken": 1}}});
        let mut again = read(request.clone()).again("b").0;
        assert_eq!((&again["id"], &again["params"]["_meta"]["progressToken"]), (&json!("b"), &json!("b")));
        again["id"] = json!(1);
        again["params"]["_meta"]["progressToken"] = json!(1);
        assert_eq!(again, request);
        // The control: a client that did not ask for progress gets none.
        let silent = read(json!({"id": 1, "method": "tools/call", "params": {}})).again("b");
        assert!(silent.progress_token().is_none());
    }

    #[test]
    fn the_newer_era_has_headers() {
        let meta = json!({REVISION: "2026-07-28"});
        let check = |method: &str, params: Value, want: Option<&str>| {
            let mut request = json!({"id": 1, "method": method, "params": params});
            request["params"]["_meta"] = meta.clone();
            let headers = read(request).headers();
            assert_eq!(headers[..2], [("mcp-protocol-version", "2026-07-28".into()), ("mcp-method", method.into())]);
            assert_eq!(headers.get(2).map(|h| h.1.as_str()), want, "{method}");
        };
        check("tools/list", json!({}), None);
        check("tools/call", json!({"name": "stata_runs"}), Some("stata_runs"));
        check("resources/read", json!({"uri": "longhaul://é"}), Some("=?base64?bG9uZ2hhdWw6Ly/DqQ==?="));
        check("tasks/get", json!({"taskId": " t"}), Some("=?base64?IHQ=?="));
        assert!(read(json!({"id": 1, "method": "tools/list"})).headers().is_empty());
    }
}
