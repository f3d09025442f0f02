//! The fixtures that are only read: lists, prompts, resources, and their small images and sounds.

use rmcp::{
    ErrorData,
    model::{
        GetPromptRequestParams, GetPromptResponse, GetPromptResult, InputRequiredResult, Prompt, ReadResourceResponse,
        ReadResourceResult, Resource, ResourceTemplate, Tool,
    },
};
use serde_json::{Value, json};

use crate::{ask, fixture::of, jobs::Jobs};

/// One pixel.
pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mMQSDgAAAG0ATFAwG6HAAAAAElFTkSuQmCC";

/// A millisecond of silence.
pub(crate) const WAV: &str = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA==";

/// Tools without arguments, beside those of [`ask`] and [`Jobs`].
const PLAIN: [&str; 17] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_logging",
    "test_logging_tool",
    "test_tool_with_progress",
    "test_reconnection",
    "test_missing_capability",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_sampling",
    "test_elicitation",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
];

/// Every tool; with a schema that is not fully portable if something is to be `wrong`.
pub(crate) fn tools(wrong: bool) -> Vec<Tool> {
    let tool = |name: &str, schema: Value| -> Tool {
        of(json!({"name": name, "description": format!("Fixture {name}"), "inputSchema": schema}))
    };
    let free = || json!({"type": "object"});
    let mut tools: Vec<Tool> = PLAIN.iter().chain(&ask::NAMES).chain(&Jobs::NAMES).map(|n| tool(n, free())).collect();
    tools.push(tool("greet", json!({"type": "object", "properties": {"name": {"type": "string"}}})));
    tools.push(tool(
        "test_custom_header",
        json!({"type": "object", "required": ["value"], "properties": {
            "value": {"type": "string", "x-mcp-header": "Value"}
        }}),
    ));
    tools.push(tool("json_schema_2020_12_tool", dialect()));
    if wrong {
        tools.push(tool("flawed", json!({"type": "object", "properties": {"anything": true}})));
    }
    tools
}

/// A schema with the keywords of JSON Schema 2020-12 that a list must not lose.
fn dialect() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}}
        }},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"}
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false
    })
}

/// Every prompt.
pub(crate) fn prompts() -> Vec<Prompt> {
    let text = |name: &str| json!({"name": name, "description": format!("Text {name}"), "required": true});
    [
        ("test_simple_prompt", json!([])),
        ("test_prompt_with_arguments", json!([text("arg1"), text("arg2")])),
        ("test_prompt_with_embedded_resource", json!([text("resourceUri")])),
        ("test_prompt_with_image", json!([])),
        ("test_input_required_result_prompt", json!([])),
    ]
    .into_iter()
    .map(|(name, arguments)| {
        of(json!({"name": name, "description": format!("Fixture {name}"), "arguments": arguments}))
    })
    .collect()
}

/// One of them.
pub(crate) fn prompt(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let argument = |name: &str| request.arguments.as_ref().and_then(|a| a.get(name)?.as_str()).unwrap_or_default();
    let said = match request.name.as_str() {
        "test_simple_prompt" => vec![json!({"type": "text", "text": "This is a simple prompt for testing."})],
        "test_prompt_with_arguments" => {
            let text = format!("Prompt with arguments: arg1='{}', arg2='{}'", argument("arg1"), argument("arg2"));
            vec![json!({"type": "text", "text": text})]
        }
        "test_prompt_with_embedded_resource" => vec![
            json!({"type": "resource", "resource": {
                "uri": argument("resourceUri"),
                "mimeType": "text/plain",
                "text": "Embedded resource content for testing."
            }}),
            json!({"type": "text", "text": "Please process the embedded resource above."}),
        ],
        "test_prompt_with_image" => vec![
            json!({"type": "image", "data": PNG, "mimeType": "image/png"}),
            json!({"type": "text", "text": "Please analyze the image above."}),
        ],
        "test_input_required_result_prompt" => {
            let given = request.input_responses.as_ref().and_then(|given| given.get("user_context"));
            let Some(context) = given.filter(|given| given.is_object()) else {
                let asks =
                    json!({"user_context": ask::form("What context should the prompt use?", "context", "string")});
                return Ok(InputRequiredResult::from_input_requests(of(asks)).into());
            };
            vec![json!({"type": "text", "text": format!("With this context: {context}")})]
        }
        name => return Err(ErrorData::invalid_params(format!("there is no prompt `{name}`"), None)),
    };
    let messages: Vec<Value> = said.into_iter().map(|content| json!({"role": "user", "content": content})).collect();
    Ok(GetPromptResult::new(of(messages.into())).into())
}

/// Every resource that is not behind a template.
pub(crate) fn resources() -> Vec<Resource> {
    [("test://static-text", "text/plain"), ("test://static-binary", "image/png")]
        .into_iter()
        .map(|(uri, kind)| of(json!({"uri": uri, "name": uri, "description": "Fixture", "mimeType": kind})))
        .collect()
}

/// The template.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let one = json!({
        "uriTemplate": "test://template/{id}/data", "name": "data", "description": "Fixture", "mimeType": "application/json"
    });
    vec![of(one)]
}

/// What a resource holds.
pub(crate) fn read(uri: &str) -> Result<ReadResourceResponse, ErrorData> {
    let behind = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    let content = match (uri, behind) {
        ("test://static-text", _) => {
            json!({"uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource."})
        }
        ("test://static-binary", _) => json!({"uri": uri, "mimeType": "image/png", "blob": PNG}),
        (_, Some(id)) => {
            let text = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")}).to_string();
            json!({"uri": uri, "mimeType": "application/json", "text": text})
        }
        _ => return Err(ErrorData::invalid_params("there is no such resource", Some(json!({"uri": uri})))),
    };
    Ok(ReadResourceResult::new(of(json!([content]))).into())
}
