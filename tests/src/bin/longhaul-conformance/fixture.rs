//! The answers to the suite: the table that dispatches each request.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use longhaul_gateway::{frontend::Frontend, mcp::Server};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult,
        GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult, Implementation, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, SetLevelRequestParams,
        SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{RequestContext, SubscriptionContext, SubscriptionSink},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{ask, jobs::Jobs, say, texts};

/// The context of one of the suite's requests.
pub(crate) type Context = RequestContext<RoleServer>;

/// How a tool answers.
pub(crate) type Answer = Result<CallToolResponse, ErrorData>;

/// Answers the suite. Cheap to clone: the library makes one for every request.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) frontend: Frontend,
    jobs: Jobs,
    listeners: Arc<Mutex<HashMap<u64, SubscriptionSink>>>,
    next: Arc<AtomicU64>,
    wrong: bool,
}

impl Fixture {
    /// The fixtures in front of the gateway behind `frontend`; `wrong` makes one answer and one schema wrong.
    pub(crate) fn new(frontend: &Frontend, wrong: bool) -> Self {
        let jobs = Jobs::new(frontend, Server::new(frontend));
        Self { frontend: frontend.clone(), jobs, listeners: Arc::default(), next: Arc::default(), wrong }
    }

    fn listeners(&self) -> Vec<SubscriptionSink> {
        self.listeners.lock().unwrap().values().cloned().collect()
    }
}

/// A value of the protocol, from its JSON form.
pub(crate) fn of<T: DeserializeOwned>(wire: Value) -> T {
    serde_json::from_value(wire).expect("a fixture is valid")
}

fn capabilities() -> ServerCapabilities {
    of(json!({
        "completions": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
        "logging": {},
        "prompts": {"listChanged": true},
        "resources": {"subscribe": true},
        "tools": {"listChanged": true},
    }))
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(capabilities()).with_server_info(Implementation::new("longhaul-conformance", "1"))
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(texts::tools(self.wrong)))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        texts::tools(self.wrong).into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Answer {
        match request.name.as_ref() {
            "test_simple_text" if self.wrong => say::nothing(),
            "test_trigger_tool_change" => {
                for listener in self.listeners() {
                    let _ = listener.notify_tool_list_changed().await;
                }
                say::text("every listener was told")
            }
            "test_trigger_prompt_change" => {
                for listener in self.listeners() {
                    let _ = listener.notify_prompt_list_changed().await;
                }
                say::text("every listener was told")
            }
            name if Jobs::NAMES.contains(&name) => Box::pin(self.jobs.call(request, context)).await,
            name if ask::NAMES.contains(&name) => ask::by_result(&self.frontend, &request, &context),
            "test_sampling"
            | "test_elicitation"
            | "test_elicitation_sep1034_defaults"
            | "test_elicitation_sep1330_enums" => ask::by_request(&request, &context).await,
            _ => say::answer(&request, &context).await,
        }
    }

    async fn get_task(&self, request: GetTaskParams, context: Context) -> Result<GetTaskResult, ErrorData> {
        self.jobs.get(request, context).await
    }

    async fn update_task(&self, request: UpdateTaskParams, context: Context) -> Result<(), ErrorData> {
        self.jobs.update(request, context).await
    }

    async fn cancel_task(&self, request: CancelTaskParams, context: Context) -> Result<(), ErrorData> {
        self.jobs.cancel(request, context).await
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(texts::prompts()))
    }

    async fn get_prompt(&self, request: GetPromptRequestParams, _: Context) -> Result<GetPromptResponse, ErrorData> {
        texts::prompt(&request)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(texts::resources()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(texts::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        texts::read(&request.uri)
    }

    async fn complete(&self, _: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        Ok(CompleteResult::new(of(json!({"values": ["paris", "park"], "total": 2, "hasMore": false}))))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&capabilities()))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.listeners.lock().unwrap().insert(key, context.sink().clone());
        context.cancelled().await;
        self.listeners.lock().unwrap().remove(&key);
        Ok(())
    }
}
