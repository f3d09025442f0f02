//! A Model Context Protocol client by hand (revision 2026-07-28), for what an SDK hides: the bytes on the wire and
//! their times.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{api::Api, sse::Events};

/// The protocol revision this client speaks.
pub const REVISION: &str = "2026-07-28";

/// A client: the name it gives, and whether it asks for progress.
#[derive(Clone, Debug)]
pub struct Mcp {
    api: Api,
    name: String,
    version: String,
    progress: bool,
    headers: Vec<(String, String)>,
}

/// A tool's answer.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// Whether the tool calls it an error.
    pub is_error: bool,
    /// Its text blocks, joined.
    pub text: String,
    /// The whole JSON-RPC message.
    pub raw: Value,
}

/// One progress notification.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Its `progress`.
    pub value: f64,
    /// Its `message`.
    pub message: String,
    /// When it was read, since the call was sent.
    pub at: Duration,
}

/// A call under way.
#[derive(Debug)]
pub struct Call {
    events: Events,
}

/// What a call receives.
#[derive(Clone, Debug)]
pub enum Said {
    /// It goes on.
    Progress(Progress),
    /// It is answered.
    Result(ToolResult),
}

impl Mcp {
    /// A client of that name, which asks for progress.
    pub fn new(api: &Api, name: &str, version: &str) -> Self {
        Self { api: api.clone(), name: name.into(), version: version.into(), progress: true, headers: Vec::new() }
    }

    /// The same client without interest in progress.
    pub fn without_progress(mut self) -> Self {
        self.progress = false;
        self
    }

    /// The same client with one more header on every request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Any request.
    pub fn request(&self, method: &str, mut params: Value) -> reqwest::RequestBuilder {
        let meta = params["_meta"].take();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientInfo": {"name": self.name, "version": self.version},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        if let (Some(all), Value::Object(more)) = (params["_meta"].as_object_mut(), meta) {
            all.extend(more);
        }
        let mut request = self.api.raw(Method::POST, "/mcp");
        request = request.header("accept", "application/json, text/event-stream");
        request = request.header("mcp-protocol-version", REVISION).header("mcp-method", method);
        if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
            request = request.header("mcp-name", name);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.json(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    /// Sends a call of a tool; with `meta` come further `_meta` entries.
    pub async fn start(&self, tool: &str, arguments: Value, meta: Value) -> Call {
        let mut meta = meta;
        if self.progress {
            meta["progressToken"] = json!(1);
        }
        let request = self.request("tools/call", json!({"name": tool, "arguments": arguments, "_meta": meta}));
        let response = request.send().await.expect("the gateway answers");
        let (status, kind) = (response.status(), response.headers().get("content-type").cloned());
        let streams = kind.is_some_and(|k| k.as_bytes().starts_with(b"text/event-stream"));
        if !streams {
            panic!("{tool}: {status}: {}", response.text().await.unwrap_or_default());
        }
        Call { events: Events::new(response) }
    }

    /// Calls a tool and waits for the answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        self.start(tool, arguments, json!({})).await.result().await
    }
}

impl Call {
    /// The next message; `None` when the stream ended without an answer.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            let event = self.events.next().await?;
            // The first event carries no message: an id to resume from, and when.
            if event.data.is_empty() {
                continue;
            }
            let message: Value = serde_json::from_str(&event.data).expect("JSON-RPC in every other event");
            if message["method"] == "notifications/progress" {
                let params = &message["params"];
                return Some(Said::Progress(Progress {
                    value: params["progress"].as_f64().expect("a number"),
                    message: params["message"].as_str().unwrap_or_default().to_owned(),
                    at: event.at,
                }));
            }
            if message.get("result").is_some() || message.get("error").is_some() {
                return Some(Said::Result(ToolResult::new(message)));
            }
        }
    }

    /// The next progress for which `cond` holds.
    pub async fn progress(&mut self, what: &str, cond: impl Fn(&Progress) -> bool) -> Progress {
        let looked = tokio::time::timeout(crate::wait::SOON, async {
            loop {
                match self.next().await {
                    Some(Said::Progress(p)) if cond(&p) => return p,
                    Some(Said::Progress(_)) => {}
                    other => panic!("wanted progress ({what}), got {other:?}"),
                }
            }
        });
        looked.await.unwrap_or_else(|_| panic!("waited in vain for progress: {what}"))
    }

    /// Everything until the answer, read to its last byte: before the connection took that one, the gateway does not
    /// count the answer as seen.
    pub async fn all(mut self) -> (Vec<Progress>, Option<ToolResult>) {
        let (mut progress, mut answer) = (Vec::new(), None);
        loop {
            match self.next().await {
                Some(Said::Progress(p)) => progress.push(p),
                Some(Said::Result(result)) => answer = Some(result),
                None => return (progress, answer),
            }
        }
    }

    /// The answer.
    pub async fn result(self) -> ToolResult {
        let (_, result) = tokio::time::timeout(Duration::from_secs(120), self.all()).await.expect("an answer in time");
        result.expect("an answer, not a closed stream")
    }
}

impl ToolResult {
    fn new(raw: Value) -> Self {
        let blocks = raw["result"]["content"].as_array().cloned().unwrap_or_default();
        let mut text: Vec<String> = blocks.iter().filter_map(|b| b["text"].as_str().map(str::to_owned)).collect();
        text.extend(raw["error"]["message"].as_str().map(str::to_owned));
        let is_error = raw.get("error").is_some() || raw["result"]["isError"] == true;
        Self { is_error, text: text.join("\n"), raw }
    }

    /// The id of the run that the answer names: the first word that is a run id, long or short.
    pub fn run(&self) -> String {
        let words = self.text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
        let mut ids = words.filter(|w| {
            let digits = w.bytes().filter(u8::is_ascii_hexdigit).count();
            (w.len() == 36 && digits == 32) || (w.len() == 8 && digits == 8)
        });
        ids.next().unwrap_or_else(|| panic!("no run named in: {}", self.text)).to_owned()
    }
}
