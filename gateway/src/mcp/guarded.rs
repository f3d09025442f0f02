//! Answers also when what answers panics: the library would leave its client waiting.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use rmcp::{ErrorData, model::CallToolResponse};

use super::{call::Answer, output::ToolOutput};
use crate::frontend::{Frontend, Numbers, panics};

/// Answers also when the tool panics.
pub(super) async fn guarded(
    frontend: &Frontend,
    tool: &str,
    reply: impl Future<Output = Answer> + Send,
) -> CallToolResponse {
    let said = match AssertUnwindSafe(reply).catch_unwind().await {
        Ok(Ok(answer)) => return answer,
        Ok(Err(text)) => ToolOutput::error(text),
        Err(panic) => {
            Numbers::count(&frontend.numbers.panics);
            tracing::error!(tool, panic = panics::text(&*panic), "a tool panicked");
            let text = format!(
                "the gateway failed inside {tool}; this is its own fault, see its log. Runs are safe: a run that was \
                 started goes on and keeps its result. Call stata_runs to find it, then stata_wait or stata_log."
            );
            ToolOutput::error(text)
        }
    };
    said.into_result().into()
}

/// Answers a request other than a tool call, also when it panics: the library would leave its client waiting.
pub(super) async fn caught<T>(
    frontend: &Frontend,
    method: &str,
    answer: impl Future<Output = Result<T, ErrorData>> + Send,
) -> Result<T, ErrorData> {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
        Numbers::count(&frontend.numbers.panics);
        tracing::error!(method, panic = panics::text(&*panic), "a method panicked");
        let text = format!("the gateway failed inside {method}; this is its own fault, see its log. Runs are safe.");
        Err(ErrorData::internal_error(text, None))
    })
}
