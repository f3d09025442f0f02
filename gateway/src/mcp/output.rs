//! What a tool answers.

mod structured;

use longhaul_proto::{
    api::RunError,
    ids::RunId,
    state::{Cause, RunState},
    telemetry, visible,
};
use rmcp::model::{CallToolResult, ContentBlock, MetaObject};

use crate::model::{OverQuota, RunSnapshot};

/// A tool's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolOutput {
    pub(super) text: String,
    pub(super) is_error: bool,
    pub(super) pictures: Vec<Picture>,
    /// The runs it tells of, for programs: their full ids and traces are no words for a model.
    pub(super) about: Vec<About>,
    /// The quota that refused the call, for programs.
    pub(super) quota: Option<Box<OverQuota>>,
}

/// A run that an answer tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    run: RunId,
    trace: Option<String>,
    trace_url: Option<String>,
    state: RunState,
    cause: Cause,
    host: Option<String>,
    error: Option<RunError>,
}

/// An image in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// In base64.
    pub(super) data: String,
    pub(super) mime: &'static str,
}

impl ToolOutput {
    /// An answer that is no error.
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: false, pictures: Vec::new(), about: Vec::new(), quota: None }
    }

    /// It tells of this run.
    pub(super) fn about(mut self, view: &RunSnapshot) -> Self {
        self.about.push(About {
            run: view.run,
            trace: view.trace_id.clone(),
            trace_url: view.traceparent.as_deref().and_then(telemetry::trace_url),
            state: view.state,
            cause: view.cause,
            host: view.host.clone(),
            error: view.error.clone(),
        });
        self
    }

    /// An answer that the client shows as an error.
    pub(super) fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::ok(text) }
    }

    /// A quota has no room for what was asked for.
    pub(super) fn over_quota(over: Box<OverQuota>) -> Self {
        Self { quota: Some(over.clone()), ..Self::error(format!("nothing was run: {over}")) }
    }

    /// The result as sent to the client.
    pub(super) fn into_result(self) -> CallToolResult {
        // Whatever it is made of: the only control characters that leave here are tab and newline.
        let text = visible::text(&self.text).into_owned();
        let mut content = vec![ContentBlock::text(text)];
        content.extend(self.pictures.into_iter().map(|p| ContentBlock::image(p.data, p.mime)));
        let mut result = if self.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
        let refused = self.quota.map(|over| structured::quota(&over));
        result.structured_content = refused.or_else(|| structured::of(&self.about)).filter(|_| self.is_error);
        result.with_meta(meta(&self.about))
    }
}

/// `longhaul/run` and `longhaul/trace` of one run, or `longhaul/runs` of several.
fn meta(about: &[About]) -> Option<MetaObject> {
    let mut meta = MetaObject::new();
    match about {
        [] => return None,
        [one] => {
            meta.insert("longhaul/run".to_owned(), one.run.to_string().into());
            if let Some(trace) = &one.trace {
                meta.insert("longhaul/trace".to_owned(), trace.clone().into());
            }
            if let Some(url) = &one.trace_url {
                meta.insert("longhaul/traceUrl".to_owned(), url.clone().into());
            }
        }
        all => {
            let one = |about: &About| {
                let mut one = serde_json::json!({"run": about.run.to_string(), "trace": about.trace});
                if let Some(url) = &about.trace_url {
                    one["trace_url"] = url.clone().into();
                }
                one
            };
            meta.insert("longhaul/runs".to_owned(), all.iter().map(one).collect());
        }
    }
    Some(meta)
}
