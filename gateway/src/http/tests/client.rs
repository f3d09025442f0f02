//! A small HTTP client that shows what is on the wire, piece by piece.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer under way.
pub(super) struct Answer {
    stream: TcpStream,
    /// What has arrived so far, with the chunks' frames taken out of the body.
    pub(super) status: u16,
    pub(super) head: String,
    raw: Vec<u8>,
    chunked: bool,
    ended: bool,
}

/// Sends a request; returns when the head of the answer has arrived.
pub(super) async fn send(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !host {
        text.push_str(&format!("Host: {addr}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Answer { stream, status: 0, head: String::new(), raw: Vec::new(), chunked: false, ended: false };
    loop {
        if let Some(at) = answer.raw.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = answer.raw.split_off(at + 4);
            let head = String::from_utf8(std::mem::replace(&mut answer.raw, rest)).unwrap();
            answer.status = head.split(' ').nth(1).unwrap().parse().unwrap();
            answer.head = head.to_ascii_lowercase();
            answer.chunked = answer.head.contains("transfer-encoding: chunked");
            return answer;
        }
        assert!(
            answer.more().await,
            "the connection ended before the answer: {:?}",
            String::from_utf8_lossy(&answer.raw)
        );
    }
}

impl Answer {
    pub(super) async fn more(&mut self) -> bool {
        let mut piece = vec![0; 65536];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await;
        let n = read.unwrap_or_else(|_| panic!("nothing came for {PATIENCE:?}; so far: {}", self.body())).unwrap_or(0);
        self.raw.extend_from_slice(&piece[..n]);
        self.ended = n == 0;
        n > 0
    }

    /// The body so far.
    pub(super) fn body(&self) -> String {
        if !self.chunked {
            return String::from_utf8_lossy(&self.raw).into_owned();
        }
        let mut body = Vec::new();
        let mut rest = &self.raw[..];
        while let Some(at) = rest.windows(2).position(|w| w == b"\r\n") {
            let len = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
            let from = at + 2;
            if len == 0 || rest.len() < from + len + 2 {
                body.extend_from_slice(&rest[from.min(rest.len())..rest.len().min(from + len)]);
                break;
            }
            body.extend_from_slice(&rest[from..from + len]);
            rest = &rest[from + len + 2..];
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Reads until the body contains this text.
    pub(super) async fn until(&mut self, wanted: &str) -> String {
        self.until_it(|body| body.contains(wanted)).await
    }

    /// Reads until the body satisfies the condition.
    pub(super) async fn until_it(&mut self, enough: impl Fn(&str) -> bool) -> String {
        loop {
            let body = self.body();
            if enough(&body) {
                return body;
            }
            assert!(self.more().await, "the answer ended without what was waited for: {body}");
        }
    }

    /// Reads to the end.
    pub(super) async fn whole(mut self) -> (u16, String) {
        while !self.ended && self.more().await {}
        (self.status, self.body())
    }
}

/// The JSON messages in a body: of an event stream, or the body itself.
pub(super) fn messages(body: &str) -> Vec<Value> {
    if body.trim_start().starts_with('{') {
        return vec![serde_json::from_str(body).unwrap()];
    }
    body.lines().filter_map(|l| l.strip_prefix("data: ")).filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// One gateway as one principal sees it.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) addr: SocketAddr,
    pub(super) token: String,
    /// Name and version that MCP calls give.
    pub(super) name: (&'static str, &'static str),
}

impl Client {
    /// An API request to its end.
    pub(super) async fn api(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let (status, body) = send(self.addr, method, path, &headers, body).await.whole().await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// A tool call of the newer era; `meta` adds to its `_meta`.
    pub(super) async fn call(&self, tool: &str, args: Value, meta: Value) -> Answer {
        let mut whole = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": self.name.0, "version": self.name.1},
            "io.modelcontextprotocol/clientCapabilities": {}
        });
        for (name, value) in meta.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let params = json!({"name": tool, "arguments": args, "_meta": whole});
        self.rpc("tools/call", params, &[("Mcp-Method", "tools/call"), ("Mcp-Name", tool)]).await
    }

    /// A tool call to its end: its text and whether it is an error.
    pub(super) async fn tool(&self, tool: &str, args: Value) -> (String, bool) {
        let (_, body) = self.call(tool, args, json!({})).await.whole().await;
        said(&body)
    }

    /// Any request of the newer era.
    pub(super) async fn rpc(&self, method: &str, params: Value, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", "2026-07-28"),
        ];
        all.extend_from_slice(headers);
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
        send(self.addr, "POST", "/mcp", &all, &body).await
    }
}

/// The result of a tool call in a body.
pub(super) fn said(body: &str) -> (String, bool) {
    let all = messages(body);
    let last = all.iter().rfind(|m| m.get("id").is_some()).unwrap_or_else(|| panic!("no answer in {body}"));
    let result = &last["result"];
    let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {last}")).to_owned();
    let is_error = result["isError"] == json!(true);
    assert!(is_error || result.get("structuredContent").is_none(), "a client would show the model nothing else");
    (text, result["isError"] == json!(true))
}
