//! Writes down what clients are answered, for the audit log.

use std::sync::{Arc, Mutex, PoisonError};

use longhaul_proto::ids::RunId;
use rmcp::model::{CallToolResponse, CallToolResult};

use crate::{
    audit::{Audit, Event, Kind},
    model::{Identity, RunSnapshot},
};

/// Runs with their traces.
type Runs = Vec<(RunId, Option<String>)>;

/// What an answer tells of, while it is made. Cheap to clone.
#[derive(Clone)]
pub(super) struct Told {
    audit: Audit,
    who: Identity,
    runs: Arc<Mutex<Runs>>,
}

impl Told {
    /// Of an answer to this caller.
    pub(super) fn new(audit: &Audit, who: &Identity) -> Self {
        Self { audit: audit.clone(), who: who.clone(), runs: Arc::default() }
    }

    /// It tells of this run.
    pub(super) fn of(&self, run: &RunSnapshot) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if !runs.iter().any(|(told, _)| *told == run.run) {
            runs.push((run.run, run.trace_id.clone()));
        }
    }

    /// The answer is made: which tool, of which runs or file, and how much.
    pub(super) async fn answer(&self, tool: &str, path: Option<String>, answer: &CallToolResponse) {
        let event = match answer {
            CallToolResponse::Complete(result) => of_result(self.event(tool, path), result),
            CallToolResponse::InputRequired(_) => self.event(tool, path).with("asks", "confirm"),
            _ => self.event(tool, path).with("task", true),
        };
        self.before(event).await;
    }

    /// Likewise, of a document or what else is no tool's answer.
    pub(super) async fn document(&self, what: &str, name: &str, bytes: usize) {
        self.before(self.event(what, Some(name.to_owned())).with("bytes", bytes)).await;
    }

    /// A client polled what it was told before, more or less: counted within a minute.
    pub(super) fn polled(&self, what: &str, bytes: usize) {
        self.audit.counted(self.event(what, None).with("bytes", bytes));
    }

    /// The line comes before the answer leaves, so that what a client has read is in the log, whatever ends this process.
    async fn before(&self, event: Event) {
        if longhaul_proto::faults::bug("answers_unaudited") {
            return;
        }
        self.audit.before(event).await;
    }

    fn event(&self, tool: &str, path: Option<String>) -> Event {
        let mut event = Event::of(Kind::Answer, &self.who).with("tool", tool);
        if let Some(path) = path {
            event = event.with("path", path);
        }
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        match runs.as_slice() {
            [] => event,
            [(run, trace)] => event.run(*run).trace(trace.as_deref()),
            several => event.with("runs", several.iter().map(|(run, _)| run.to_string()).collect::<Vec<_>>()),
        }
    }
}

fn of_result(event: Event, result: &CallToolResult) -> Event {
    let bytes = serde_json::to_vec(&result.content).map_or(0, |bytes| bytes.len());
    event.with("bytes", bytes).with("error", result.is_error == Some(true))
}
