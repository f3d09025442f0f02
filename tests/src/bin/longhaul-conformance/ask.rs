//! Tools that ask the client for input: by a request of their own in the older revision, by their result in the newer.

use longhaul_gateway::frontend::Frontend;
use rmcp::{
    ErrorData,
    model::{CallToolRequestParams, ClientResult, InputRequests, InputRequiredResult, ServerRequest},
};
use serde_json::{Value, json};

use crate::{
    fixture::{Answer, Context, of},
    jobs::principal,
    say,
};

/// Tools that ask by their result.
pub(crate) const NAMES: [&str; 9] = [
    "test_streaming_elicitation",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_tampered_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_capabilities",
];

/// A form with one field.
pub(crate) fn form(message: &str, field: &str, kind: &str) -> Value {
    json!({"method": "elicitation/create", "params": {
        "message": message,
        "requestedSchema": {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    }})
}

fn sample(prompt: &str) -> Value {
    json!({"method": "sampling/createMessage", "params": {
        "messages": [{"role": "user", "content": {"type": "text", "text": prompt}}],
        "maxTokens": 100
    }})
}

fn roots() -> Value {
    json!({"method": "roots/list", "params": {}})
}

/// Asks once more, with the state sealed: the round, for this principal, by the key that task handles are made with.
fn ask(frontend: &Frontend, context: &Context, requests: Value, round: Option<u8>) -> Answer {
    let requests: InputRequests = of(requests);
    let state = round.map(|n| frontend.core.task_key.seal(frontend.core.deps.ids.run(), n, &principal(context)));
    Ok(InputRequiredResult::new(Some(requests), state).into())
}

/// An answer that a client gave, if it is one at all.
pub(crate) fn given<'a>(request: &'a CallToolRequestParams, key: &str) -> Option<&'a Value> {
    request.input_responses.as_ref()?.get(key).filter(|answer| answer.is_object())
}

/// The tools in [`NAMES`].
pub(crate) fn by_result(frontend: &Frontend, request: &CallToolRequestParams, context: &Context) -> Answer {
    let has = |key| given(request, key).is_some();
    let round = match &request.request_state {
        None => 0,
        Some(state) => match frontend.core.task_key.open(state, &principal(context)) {
            Some((_, round)) => round,
            None => return Err(ErrorData::invalid_params("this requestState is not one of ours", None)),
        },
    };
    match request.name.as_ref() {
        "test_streaming_elicitation" | "test_input_required_result_elicitation" => match given(request, "user_name") {
            Some(answer) => {
                let name = answer.pointer("/content/name").and_then(Value::as_str).unwrap_or_default();
                say::text(&format!("Hello, {name}!"))
            }
            None => ask(frontend, context, json!({"user_name": name()}), None),
        },
        "test_input_required_result_sampling" if has("capital_question") => say::text("sampled"),
        "test_input_required_result_sampling" => {
            ask(frontend, context, json!({"capital_question": sample("What is the capital of France?")}), None)
        }
        "test_input_required_result_list_roots" if has("client_roots") => say::text("the roots are known"),
        "test_input_required_result_list_roots" => ask(frontend, context, json!({"client_roots": roots()}), None),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => match round {
            0 => ask(frontend, context, json!({"confirm": form("Please confirm", "ok", "boolean")}), Some(1)),
            _ => say::text("state-ok"),
        },
        "test_input_required_result_multiple_inputs" => {
            if round == 1 && has("user_name") && has("greeting") && has("client_roots") {
                return say::text("all inputs are there");
            }
            let all = json!({"user_name": name(), "greeting": sample("Generate a greeting"), "client_roots": roots()});
            ask(frontend, context, all, Some(1))
        }
        "test_input_required_result_multi_round" => match round {
            0 => {
                ask(frontend, context, json!({"step1": form("Step 1: What is your name?", "name", "string")}), Some(1))
            }
            1 => {
                let colour = form("Step 2: What is your favorite color?", "color", "string");
                ask(frontend, context, json!({"step2": colour}), Some(2))
            }
            _ => say::text("both steps are done"),
        },
        _ => as_declared(frontend, request, context),
    }
}

fn name() -> Value {
    form("What is your name?", "name", "string")
}

/// Asks for what the client declared that it can give.
fn as_declared(frontend: &Frontend, request: &CallToolRequestParams, context: &Context) -> Answer {
    if request.input_responses.is_some() {
        return say::text("answered");
    }
    let declared = serde_json::to_value(context.client_capabilities()).unwrap_or_default();
    let mut wanted = json!({});
    for (capability, key, question) in [
        ("elicitation", "user_name", name()),
        ("sampling", "greeting", sample("Generate a greeting")),
        ("roots", "client_roots", roots()),
    ] {
        if declared.get(capability).is_some() {
            wanted[key] = question;
        }
    }
    ask(frontend, context, wanted, None)
}

/// Tools of the older revision, which ask while they run.
pub(crate) async fn by_request(request: &CallToolRequestParams, context: &Context) -> Answer {
    let argument = |name: &str| request.arguments.as_ref().and_then(|a| a.get(name)?.as_str()).unwrap_or_default();
    let wants = |message: &str, schema: Value| json!({"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}});
    let question = match request.name.as_ref() {
        "test_sampling" => sample(argument("prompt")),
        "test_elicitation" => wants(
            argument("message"),
            json!({"type": "object", "required": ["username", "email"], "properties": {
                "username": {"type": "string", "description": "User's response"},
                "email": {"type": "string", "description": "User's email address"}
            }}),
        ),
        "test_elicitation_sep1034_defaults" => wants(
            "Every field has a default",
            json!({"type": "object", "properties": {
                "name": {"type": "string", "default": "John Doe"},
                "age": {"type": "integer", "default": 30},
                "score": {"type": "number", "default": 95.5},
                "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
                "verified": {"type": "boolean", "default": true}
            }}),
        ),
        _ => wants(
            "Every kind of choice",
            json!({"type": "object", "properties": {
                "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
                "titledSingle": {"type": "string", "oneOf": titled()},
                "legacyEnum": {
                    "type": "string",
                    "enum": ["opt1", "opt2", "opt3"],
                    "enumNames": ["Option One", "Option Two", "Option Three"]
                },
                "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
                "titledMulti": {"type": "array", "items": {"anyOf": titled()}}
            }}),
        ),
    };
    let question: ServerRequest = match question["method"].as_str() {
        Some("elicitation/create") => ServerRequest::ElicitRequest(of(question)),
        _ => ServerRequest::CreateMessageRequest(of(question)),
    };
    match context.peer.send_request(question).await {
        Ok(ClientResult::ElicitResult(given)) => {
            let action = serde_json::to_value(&given.action).unwrap_or_default();
            say::text(&format!("Elicitation completed: action={action}, content={:?}", given.content))
        }
        Ok(ClientResult::CreateMessageResult(given)) => {
            let said = serde_json::to_value(&given).unwrap_or_default();
            say::text(&format!("LLM response: {said}"))
        }
        Ok(_) => Err(ErrorData::internal_error("the client answered another question", None)),
        Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
    }
}

fn titled() -> Value {
    json!([
        {"const": "value1", "title": "First Option"},
        {"const": "value2", "title": "Second Option"},
        {"const": "value3", "title": "Third Option"}
    ])
}
