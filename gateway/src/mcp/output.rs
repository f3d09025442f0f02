//! What a tool answers.

mod structured;

use longhaul_proto::{
    api::RunError,
    ids::RunId,
    state::{Cause, RunState},
    visible,
};
use rmcp::model::{CallToolResult, ContentBlock, MetaObject};

use crate::model::RunSnapshot;

/// A tool's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolOutput {
    pub(super) text: String,
    pub(super) is_error: bool,
    pub(super) pictures: Vec<Picture>,
    /// The runs it tells of, for programs: their full ids and traces are no words for a model.
    pub(super) about: Vec<About>,
}

/// A run that an answer tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    run: RunId,
    trace: Option<String>,
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
        Self { text: text.into(), is_error: false, pictures: Vec::new(), about: Vec::new() }
    }

    /// It tells of this run.
    pub(super) fn about(mut self, view: &RunSnapshot) -> Self {
        self.about.push(About {
            run: view.run,
            trace: view.trace_id.clone(),
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

    /// The result as sent to the client.
    pub(super) fn into_result(self) -> CallToolResult {
        // Whatever it is made of: the only control characters that leave here are tab and newline.
        let text = visible::text(&self.text).into_owned();
        let mut content = vec![ContentBlock::text(text)];
        content.extend(self.pictures.into_iter().map(|p| ContentBlock::image(p.data, p.mime)));
        let mut result = if self.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
        result.structured_content = structured::of(&self.about).filter(|_| self.is_error);
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
        }
        all => {
            let one = |about: &About| serde_json::json!({"run": about.run.to_string(), "trace": about.trace});
            meta.insert("longhaul/runs".to_owned(), all.iter().map(one).collect());
        }
    }
    Some(meta)
}
