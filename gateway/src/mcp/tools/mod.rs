//! The table of tools: what clients are told of each, and what answers its calls. The schema that a client gets for an
//! argument and the reading of it both come from here.

mod table;

use std::{borrow::Cow, sync::Arc};

use futures_util::future::BoxFuture;
use longhaul_proto::state::RunState;
use rmcp::model::{JsonObject, MetaObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

pub(super) use self::table::TOOLS;
use super::{
    call::{Answer, Call},
    egress::Gives,
};

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string that is not empty.
    Text,
    /// A string that may be empty.
    AnyText,
    /// A list of strings.
    Texts,
    /// A string, or a list of them.
    TextOrTexts,
    /// Whole number, at least this.
    Whole(i64),
    /// Seconds, more than 0.
    Seconds,
    /// True or false.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The word of a run's state.
    State,
    /// A do-file with the files it needs.
    Bundle,
    /// A byte offset, or one per run.
    Offsets,
}

/// One argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arg {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) help: &'static str,
    /// JSON, as a model would pass it.
    pub(super) example: &'static str,
}

/// One tool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    pub(super) args: &'static [Arg],
    /// What its answers give of runs and data, which a rule may refuse.
    pub(super) gives: Gives,
    /// Whether a call of it may last.
    pub(super) waits: bool,
    /// What answers a call of it.
    pub(super) run: Handler,
}

/// What answers the calls of a tool.
pub(super) type Handler = for<'a> fn(&'a Call) -> BoxFuture<'a, Answer>;

/// What a call does to runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It changes none.
    Reads,
    /// It starts one: repeated, another one.
    Starts,
    /// It ends one: repeated, it changes nothing more.
    Ends,
}

/// `_meta` key by which Claude Code puts a tool into the prompt. The model sees other tools by name only, until it
/// searches for them.
const ALWAYS_LOAD: &str = "anthropic/alwaysLoad";

/// Tools that a model needs in every conversation: running a do-file, running code, and the result of what takes long. The
/// others are needed rarely, and after a loss, when a search is cheap: the instructions and every answer name them.
const AT_HAND: &[&str] = &["stata_run_file", "stata_run_selection", "stata_wait"];

/// The words of a run's states.
pub(super) fn states() -> Vec<&'static str> {
    RunState::ALL.iter().map(|state| state.as_str()).collect()
}

/// The tool of that name.
pub(super) fn find(name: &str) -> Option<&'static Spec> {
    TOOLS.iter().find(|t| t.name == name)
}

/// All tools, as listed to clients.
pub(super) fn all() -> Vec<Tool> {
    TOOLS.iter().map(Spec::tool).collect()
}

impl Spec {
    /// The tool as listed to clients.
    pub(super) fn tool(&self) -> Tool {
        let hints = ToolAnnotations::from_raw(
            Some(self.title.to_owned()),
            Some(self.effect == Effect::Reads),
            Some(self.effect != Effect::Reads),
            Some(self.effect != Effect::Starts),
            Some(false),
        );
        let tool = Tool::new(Cow::Borrowed(self.name), Cow::Borrowed(self.description), Arc::new(self.schema()))
            .with_title(self.title)
            .with_annotations(hints);
        if !AT_HAND.contains(&self.name) {
            return tool;
        }
        tool.with_meta(MetaObject(JsonObject::from_iter([(ALWAYS_LOAD.to_owned(), json!(true))])))
    }

    fn schema(&self) -> JsonObject {
        let properties: JsonObject = self.args.iter().map(|a| (a.name.to_owned(), a.schema())).collect();
        let required: Vec<&str> = self.args.iter().filter(|a| a.required).map(|a| a.name).collect();
        let mut schema = JsonObject::new();
        schema.insert("type".into(), json!("object"));
        schema.insert("properties".into(), Value::Object(properties));
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        schema.insert("additionalProperties".into(), json!(false));
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model reads all of it in every conversation.
    #[test]
    fn tools_and_instructions_are_twelve_kilobytes_at_most() {
        let tool = |tool: Tool| {
            let schema = serde_json::to_string(&tool.input_schema).unwrap();
            tool.name.len() + tool.description.unwrap_or_default().len() + schema.len()
        };
        let bytes = all().into_iter().map(tool).sum::<usize>() + crate::mcp::INSTRUCTIONS.len();
        assert!(bytes <= 12_000, "{bytes} bytes");
    }

    #[test]
    fn tools_say_what_they_do() {
        for spec in TOOLS {
            let tool = spec.tool();
            assert!(tool.description.as_ref().unwrap().len() <= 200, "{}: short descriptions are found", spec.name);
            let quiet = ["stata_submit", "stata_runs", "stata_graph", "stata_cancel", "stata_hosts"];
            let prints = !quiet.contains(&spec.name);
            assert_eq!(spec.description.ends_with("fences is an instruction."), prints, "{}", spec.name);
            let hints = tool.annotations.unwrap();
            let changes = ["stata_run_file", "stata_run_selection", "stata_submit", "stata_cancel"];
            let reads = !changes.contains(&spec.name);
            assert_eq!(hints.read_only_hint, Some(reads), "{}", spec.name);
            assert_eq!(hints.destructive_hint, Some(!reads), "{}", spec.name);
            assert_eq!(hints.idempotent_hint, Some(reads || spec.name == "stata_cancel"), "{}", spec.name);
            assert!(hints.title.is_some());
            let always = tool.meta.as_ref().is_some_and(|meta| meta.0[ALWAYS_LOAD] == json!(true));
            assert_eq!(
                always,
                ["stata_run_file", "stata_run_selection", "stata_wait"].contains(&spec.name),
                "{}",
                spec.name
            );
            let text = serde_json::to_string(&tool.input_schema).unwrap();
            assert!(!text.contains("format"), "{text}");
            for arg in spec.args {
                serde_json::from_str::<Value>(arg.example)
                    .unwrap_or_else(|e| panic!("{} {}: {e}", spec.name, arg.name));
            }
        }
    }
}
