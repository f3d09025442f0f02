//! Tools that answer at once, and what they send meanwhile.

use std::time::Duration;

use rmcp::{
    ErrorData,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, LoggingMessageNotification, Notification,
        ProgressNotificationParam, ServerNotification,
    },
};
use serde_json::{Value, json};

use crate::{
    fixture::{Answer, Context, of},
    texts::{PNG, WAV},
};

/// Between two notifications, so that a client can tell them apart.
const PAUSE: Duration = Duration::from_millis(50);

/// A plain text.
pub(crate) fn text(text: &str) -> Answer {
    content(json!([{"type": "text", "text": text}]))
}

/// An empty answer, which is wrong.
pub(crate) fn nothing() -> Answer {
    content(json!([]))
}

fn content(content: Value) -> Answer {
    Ok(CallToolResult::success(of(content)).into())
}

/// The answer of a tool that needs no run and no input.
pub(crate) async fn answer(request: &CallToolRequestParams, context: &Context) -> Answer {
    let argument = |name: &str| request.arguments.as_ref().and_then(|a| a.get(name)?.as_str()).unwrap_or_default();
    match request.name.as_ref() {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_error_handling" => {
            let said = of(json!([{"type": "text", "text": "This tool intentionally returns an error for testing"}]));
            Ok(CallToolResult::error(said).into())
        }
        "test_tool_with_logging" => three_lines(context).await,
        "test_logging_tool" => line_if_wanted(context).await,
        "test_tool_with_progress" => progress(context).await,
        "test_reconnection" => {
            tokio::time::sleep(2 * PAUSE).await;
            text("done")
        }
        "test_missing_capability" => sampling_only(context),
        "test_custom_header" => text(argument("value")),
        "greet" => text(&format!("Hello, {}!", argument("name"))),
        "json_schema_2020_12_tool" => text("done"),
        name => match of_kind(name) {
            Some(parts) => content(parts),
            None => Err(ErrorData::invalid_params(format!("there is no tool `{name}`"), None)),
        },
    }
}

/// What the tools answer that stand for one kind of content each.
fn of_kind(name: &str) -> Option<Value> {
    Some(match name {
        "test_image_content" => json!([{"type": "image", "data": PNG, "mimeType": "image/png"}]),
        "test_audio_content" => json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]),
        "test_embedded_resource" => json!([{"type": "resource", "resource": {
            "uri": "test://embedded-resource", "mimeType": "text/plain", "text": "This is an embedded resource content."
        }}]),
        "test_multiple_content_types" => json!([
            {"type": "text", "text": "Multiple content types test:"},
            {"type": "image", "data": PNG, "mimeType": "image/png"},
            {"type": "resource", "resource": {
                "uri": "test://mixed-content-resource",
                "mimeType": "application/json",
                "text": r#"{"test":"data","value":123}"#
            }},
        ]),
        _ => return None,
    })
}

async fn three_lines(context: &Context) -> Answer {
    for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        log(context, line).await;
        tokio::time::sleep(PAUSE).await;
    }
    text("three lines were logged")
}

/// A client of the newer revision gets log messages only when it asks for them.
async fn line_if_wanted(context: &Context) -> Answer {
    if context.meta.contains_key("io.modelcontextprotocol/logLevel") {
        log(context, "a level was asked for").await;
    }
    text("done")
}

async fn progress(context: &Context) -> Answer {
    for (i, progress) in [0.0, 50.0, 100.0].into_iter().enumerate() {
        if i > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(token) = context.meta.get_progress_token() {
            let param = ProgressNotificationParam::new(token, progress).with_total(100.0);
            context.peer.notify_progress(param).await.map_err(gone)?;
        }
    }
    text("done")
}

/// An error for a client that did not declare the capability.
fn sampling_only(context: &Context) -> Answer {
    let has = context.client_capabilities().unwrap_or_default();
    if serde_json::to_value(has).is_ok_and(|has| has.get("sampling").is_none()) {
        let needs: ClientCapabilities = of(json!({"sampling": {}}));
        return Err(ErrorData::missing_required_client_capability(needs));
    }
    text("the client can sample")
}

async fn log(context: &Context, line: &str) {
    let one: LoggingMessageNotification =
        Notification::new(of(json!({"level": "info", "logger": "fixtures", "data": line})));
    let _ = context.peer.send_notification(ServerNotification::LoggingMessageNotification(one)).await;
}

fn gone(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
