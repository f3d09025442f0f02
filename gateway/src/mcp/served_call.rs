//! The span of a tool call, by the conventions for MCP (docs/traces.md names their version).

use longhaul_proto::{
    telemetry::{self, Kind, Span},
    wire,
};
use rmcp::{
    RoleServer,
    model::{CallToolResponse, RequestId},
    service::RequestContext,
};

use crate::frontend::trace::{self, RequestSpan};

/// A tool call under way.
pub(super) struct ServedCall(Span);

impl ServedCall {
    /// The call continues the trace that its `_meta` names, and is linked to the HTTP request that brought it, which may
    /// bring others too; without one it is a part of that request.
    pub(super) fn begin(tool: &str, context: &RequestContext<RoleServer>) -> Self {
        let parts = context.extensions.get::<http::request::Parts>();
        let meta = &context.meta;
        let own = trace::of_parts(
            meta.get_traceparent().unwrap_or_default().to_owned(),
            meta.get_tracestate().unwrap_or_default().to_owned(),
        );
        let request = || parts.map(|p| RequestSpan::context(&p.extensions, &p.headers)).unwrap_or_default();
        let named = !own.traceparent.is_empty() && !longhaul_proto::faults::bug("meta_trace_ignored");
        let parent = if named { own } else { request() };
        let mut span = Span::begin(&format!("tools/call {tool}"), Kind::Server, &parent);
        if !span.is_recorded() {
            // Where its client records nothing, the request is not recorded either.
            return Self(span);
        }
        if named {
            span.link(&request());
        }
        span.set("mcp.method.name", "tools/call");
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", tool.to_owned());
        span.set("jsonrpc.request.id", words(&context.id));
        span.set("network.transport", "tcp");
        span.set("network.protocol.name", "http");
        if let Some(parts) = parts {
            let version = parts.headers.get("mcp-protocol-version").and_then(|version| version.to_str().ok());
            span.set_text("mcp.protocol.version", version.unwrap_or_default());
        }
        Self(span)
    }

    /// The context that makes a run a part of this call.
    pub(super) fn context(&self) -> wire::TraceContext {
        self.0.context()
    }

    /// The tool's work, to its answer.
    pub(super) async fn until(mut self, work: impl Future<Output = CallToolResponse>) -> CallToolResponse {
        let answer = self.0.around(work).await;
        if let CallToolResponse::Complete(result) = &answer
            && result.is_error == Some(true)
        {
            let text = result.content.first().and_then(|content| content.as_text()).map_or("", |text| &text.text);
            let words = if telemetry::details() { text } else { "the tool answered with an error" };
            self.0.failed("tool_error", words);
        }
        answer
    }
}

fn words(id: &RequestId) -> String {
    match id {
        RequestId::Number(number) => number.to_string(),
        // A client's own words.
        RequestId::String(text) => text.chars().take(64).collect(),
    }
}
