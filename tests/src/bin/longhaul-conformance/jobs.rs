//! Tools that are tasks.
//!
//! A job that computes or fails is a run: the product's own tool makes it, and the product's own `tasks/get` and
//! `tasks/cancel` answer for it, from the ledger. Two kinds of task are never runs: one that asks the client for input,
//! and one that ends in an error of the protocol. These are parked here, under handles made and checked as the
//! product's are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use longhaul_gateway::{
    frontend::Frontend,
    mcp::Server,
    model::{Identity, Principal},
};
use longhaul_proto::{clock::rfc3339, ids::RunId};
use rmcp::{
    ErrorData, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResult, CancelTaskParams, ClientCapabilities, ContentBlock, CreateTaskResult,
        DetailedTask, GetTaskParams, GetTaskResult, InputRequests, InputRequiredResult, Task, TaskPayload, TaskStatus,
        UpdateTaskParams,
    },
};
use serde_json::{Value, json};

use crate::{
    ask,
    fixture::{Answer, Context, of},
};

/// Marks the handle of a parked task.
const PARKED: u8 = 0xff;

/// The poll interval given to the suite.
const POLL_MS: u64 = 200;

/// Jobs, run or parked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs {
    frontend: Frontend,
    product: Server,
    parked: Arc<Mutex<HashMap<RunId, Parked>>>,
}

struct Parked {
    at: String,
    asks: InputRequests,
    cancelled: bool,
    end: TaskPayload,
}

/// The caller, as the product's gate determines it.
pub(crate) fn principal(context: &Context) -> Principal {
    let parts = context.extensions.get::<http::request::Parts>().expect("every request has a head");
    parts.extensions.get::<Identity>().expect("the gate names a principal").principal.clone()
}

fn done(text: String) -> TaskPayload {
    let result = CallToolResult::success(vec![ContentBlock::text(text)]);
    TaskPayload::Completed { result: of(serde_json::to_value(result).unwrap_or_default()) }
}

impl Jobs {
    /// The tools of this kind.
    pub(crate) const NAMES: [&str; 6] =
        ["slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input", "test_tool_with_task"];

    /// Nothing is parked yet.
    pub(crate) fn new(frontend: &Frontend, product: Server) -> Self {
        Self { frontend: frontend.clone(), product, parked: Arc::default() }
    }

    /// Calls one of them.
    pub(crate) async fn call(&self, request: CallToolRequestParams, context: Context) -> Answer {
        let name = request.name.to_string();
        let arguments = request.arguments.clone().unwrap_or_default();
        let tasks = context.client_capabilities().is_some_and(|has| has.supports_tasks());
        if !tasks && name != "slow_compute" {
            let needs: ClientCapabilities = of(json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}));
            return Err(ErrorData::missing_required_client_capability(needs));
        }
        match name.as_str() {
            "slow_compute" => {
                let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
                let code = format!("sleep {}\ndisplay \"computed for {seconds} s\"", (seconds * 1000.0).round());
                Box::pin(self.run(request, context, &code)).await
            }
            "failing_job" => Box::pin(self.run(request, context, "sleep 1000\nerror 111")).await,
            "protocol_error_job" => {
                let error = of(json!({"code": -32603, "message": "fails on purpose"}));
                self.park(&context, json!({}), TaskPayload::Failed { error })
            }
            "confirm_delete" => {
                let asks = json!({"confirm": ask::form("Delete it?", "confirm", "boolean")});
                self.park(&context, asks, done("the answer is here".into()))
            }
            "multi_input" => {
                let asks = json!({"a": ask::form("A?", "value", "string"), "b": ask::form("B?", "value", "string")});
                self.park(&context, asks, done("both answers are here".into()))
            }
            _ => match ask::given(&request, "user_name") {
                None => {
                    let asks = of(json!({"user_name": ask::form("What is your name?", "name", "string")}));
                    Ok(InputRequiredResult::from_input_requests(asks).into())
                }
                Some(answer) => {
                    let name = answer.pointer("/content/name").and_then(Value::as_str).unwrap_or_default();
                    self.park(&context, json!({}), done(format!("Hello, {name}!")))
                }
            },
        }
    }

    /// The job as code for the product's tool. The same job is another run each time.
    async fn run(&self, mut request: CallToolRequestParams, context: Context, code: &str) -> Answer {
        request.name = "stata_run_selection".into();
        request.arguments = Some(of(json!({"selection": code, "again": true})));
        self.product.call_tool(request, context).await
    }

    fn park(&self, context: &Context, asks: Value, end: TaskPayload) -> Answer {
        let core = &self.frontend.core;
        let (id, at) = (core.deps.ids.run(), rfc3339(core.deps.clock.unix_ms()).unwrap_or_default());
        let handle = core.task_key.seal(id, PARKED, &principal(context));
        let task = Task::new(handle, TaskStatus::Working, at.clone(), at.clone()).with_poll_interval_ms(POLL_MS);
        self.parked.lock().unwrap().insert(id, Parked { at, asks: of(asks), cancelled: false, end });
        Ok(CreateTaskResult::new(task).into())
    }

    /// Does something with a parked task; `None` when the handle is not one of a parked task.
    fn parked<T>(&self, handle: &str, context: &Context, act: impl FnOnce(&mut Parked) -> T) -> Option<T> {
        let (id, _) =
            self.frontend.core.task_key.open(handle, &principal(context)).filter(|(_, tag)| *tag == PARKED)?;
        self.parked.lock().unwrap().get_mut(&id).map(act)
    }

    /// `tasks/get`.
    pub(crate) async fn get(&self, request: GetTaskParams, context: Context) -> Result<GetTaskResult, ErrorData> {
        let handle = request.task_id.clone();
        let seen = self.parked(&handle, &context, |parked| {
            let payload = if parked.cancelled {
                TaskPayload::Cancelled
            } else if parked.asks.is_empty() {
                parked.end.clone()
            } else {
                TaskPayload::InputRequired { input_requests: parked.asks.clone() }
            };
            let task = Task::new(handle.clone(), TaskStatus::Working, parked.at.clone(), parked.at.clone());
            GetTaskResult::new(DetailedTask::new(task.with_poll_interval_ms(POLL_MS), payload))
        });
        match seen {
            Some(seen) => Ok(seen),
            None => self.product.get_task(request, context).await,
        }
    }

    /// `tasks/update`.
    pub(crate) async fn update(&self, request: UpdateTaskParams, context: Context) -> Result<(), ErrorData> {
        let answers = request.input_responses.clone();
        let known = self.parked(&request.task_id, &context, |parked| {
            parked.asks.retain(|key, _| !answers.contains_key(key));
        });
        match known {
            Some(()) => Ok(()),
            None => self.product.update_task(request, context).await,
        }
    }

    /// `tasks/cancel`.
    pub(crate) async fn cancel(&self, request: CancelTaskParams, context: Context) -> Result<(), ErrorData> {
        let known = self.parked(&request.task_id, &context, |parked| parked.cancelled |= !parked.asks.is_empty());
        match known {
            Some(()) => Ok(()),
            None => self.product.cancel_task(request, context).await,
        }
    }
}
