//! Reading a tool's arguments, with errors that a model can correct by itself.
//!
//! What can be meant in one way only is taken: a neighbouring tool's name for an argument, a number as a text, a list as the
//! text of its JSON, nothing as `null` or `""`. The schemas show none of this.

use longhaul_proto::{
    api::{BundleFileRequest, BundleRequest},
    state::RunState,
};
use rmcp::model::JsonObject;
use serde_json::Value;

use super::tools::{Arg, Kind, Spec, states};

/// Arguments that fit their tool's table.
#[derive(Debug, Default)]
pub(super) struct Args(JsonObject);

impl Args {
    /// Checks names and types.
    ///
    /// # Errors
    /// Names the argument, what it must be, and an example.
    pub(super) fn read(spec: &Spec, given: Option<JsonObject>) -> Result<Self, String> {
        let mut given = by_own_names(spec, given.unwrap_or_default());
        for (name, value) in &mut given {
            let Some(arg) = spec.args.iter().find(|a| a.name == name) else {
                let known: Vec<&str> = spec.args.iter().map(|a| a.name).collect();
                let known = if known.is_empty() { "no arguments".to_owned() } else { known.join(", ") };
                return Err(format!("{} has no argument `{name}`: it takes {known}", spec.name));
            };
            arg.kind.mend(value);
            if let Err(want) = arg.kind.check(value) {
                return Err(format!(
                    "argument `{name}` must be {want}, not {}: pass for example {}",
                    describe(value),
                    example(arg)
                ));
            }
        }
        match spec.args.iter().find(|a| a.required && !given.contains_key(a.name)) {
            Some(arg) => Err(format!("argument `{}` is missing: pass for example {}", arg.name, example(arg))),
            None => Ok(Self(given)),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> &JsonObject {
        &self.0
    }

    /// A string argument.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// A list of strings; one string is read as a list of one.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// A whole number.
    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(whole).and_then(|n| u64::try_from(n).ok())
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    /// The offset for a run: the one given, or the one under a name of this run.
    pub(super) fn offset(&self, name: &str, run_names: &[&str]) -> Option<u64> {
        let value = match self.0.get(name)? {
            Value::Object(by_run) => run_names.iter().find_map(|n| by_run.get(*n))?,
            one => one,
        };
        whole(value).and_then(|n| u64::try_from(n).ok())
    }

    /// A bundle.
    pub(super) fn bundle(&self, name: &str) -> Option<BundleRequest> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let bundle = self.0.get(name)?;
        let entry = bundle.get("entry")?.as_str()?.to_owned();
        let file = |(path, content): (&String, &Value)| {
            let content = match content {
                Value::String(text) => STANDARD.encode(text),
                other => other.get("base64").and_then(Value::as_str).unwrap_or_default().to_owned(),
            };
            BundleFileRequest::inline(path, content)
        };
        let files = bundle.get("files")?.as_object()?.iter().map(file).collect();
        Some(BundleRequest { entry, files })
    }
}

/// Names that other tools and servers have for an argument of ours.
const ALSO: [(&str, &[&str]); 9] = [
    ("file_path", &["path", "file", "filename", "do_file", "dofile"]),
    ("path", &["file_path", "file", "filename", "do_file", "dofile"]),
    ("selection", &["code", "text", "commands"]),
    ("text", &["code", "selection", "commands"]),
    ("runs", &["run", "run_id", "run_ids", "id", "ids"]),
    ("run", &["runs", "run_id", "id"]),
    ("working_dir", &["cwd", "workdir", "working_directory"]),
    ("timeout", &["timeout_seconds", "time_limit"]),
    ("args", &["arguments", "argv"]),
];

/// The arguments under the names of this tool, without those that say nothing.
fn by_own_names(spec: &Spec, mut given: JsonObject) -> JsonObject {
    given.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    if longhaul_proto::faults::bug("arguments_by_schema_only") {
        return given;
    }
    let own = |name: &str| spec.args.iter().any(|arg| arg.name == name);
    for (name, also) in ALSO.iter().filter(|(name, _)| own(name)) {
        let meant: Vec<&&str> = also.iter().filter(|other| !own(other) && given.contains_key(**other)).collect();
        // Two of them, or one beside the right name, could each be meant.
        if let [only] = meant.as_slice()
            && !given.contains_key(*name)
            && let Some(value) = given.remove(**only)
        {
            given.insert((*name).to_owned(), value);
        }
    }
    given
}

/// The JSON that a string is, if it is of a kind that is looked for.
fn inner(value: &Value, kind: impl Fn(&Value) -> bool) -> Option<Value> {
    serde_json::from_str(value.as_str()?.trim()).ok().filter(kind)
}

/// Whole numbers are below this, so that a client whose numbers are all fractions can pass each of them.
const MOST: f64 = 9e15;

/// Longest time that can be asked for, seconds: ten years.
const LONGEST: f64 = 315_360_000.0;

impl Kind {
    /// Replaces a value that is not of this kind and can be meant in one way only.
    fn mend(self, value: &mut Value) {
        let mended = match (self, &*value) {
            (Self::Whole(_) | Self::Seconds | Self::Offsets, Value::String(_)) => inner(value, Value::is_number),
            (Self::Flag, Value::String(_)) => inner(value, Value::is_boolean),
            (Self::Texts | Self::TextOrTexts, Value::String(text)) if text.trim_start().starts_with('[') => {
                inner(value, Value::is_array)
            }
            (Self::Bundle | Self::Offsets, _) if value.is_string() => inner(value, Value::is_object),
            (Self::Text, Value::Array(one)) if one.len() == 1 => one.first().filter(|one| one.is_string()).cloned(),
            _ => None,
        };
        if let Some(mended) = mended {
            *value = mended;
        }
        if let (Self::Texts | Self::TextOrTexts, Value::Array(all)) = (self, value) {
            for one in all.iter_mut().filter(|one| one.is_number()) {
                *one = Value::String(one.to_string());
            }
        }
    }

    /// # Errors
    /// What the value must be, worded to follow "must be".
    fn check(self, value: &Value) -> Result<(), String> {
        let strings = |v: &Value| v.as_array().is_some_and(|all| all.iter().all(Value::is_string));
        let offset = |v: &Value| whole(v).is_some_and(|n| n >= 0);
        let fits = match self {
            Self::Text => value.as_str().is_some_and(|t| !t.is_empty()),
            Self::AnyText => value.is_string(),
            Self::Texts => strings(value),
            Self::TextOrTexts => {
                value.as_str().is_some_and(|t| !t.is_empty())
                    || (strings(value) && value.as_array().is_some_and(|all| !all.is_empty()))
            }
            Self::Whole(_) if value.as_f64().is_some_and(|n| n >= MOST) => {
                return Err(format!("a whole number below {MOST}"));
            }
            Self::Whole(least) => whole(value).is_some_and(|n| n >= least),
            Self::Seconds if value.as_f64().is_some_and(|n| n > LONGEST) => {
                return Err(format!("at most {LONGEST} seconds (ten years; left out, there is no limit)"));
            }
            Self::Seconds => value.as_f64().is_some_and(|n| n > 0.0),
            Self::Flag => value.is_boolean(),
            Self::Word(words) => value.as_str().is_some_and(|w| words.contains(&w)),
            Self::State => value.as_str().is_some_and(|w| w.parse::<RunState>().is_ok()),
            Self::Bundle => is_bundle(value),
            Self::Offsets => offset(value) || value.as_object().is_some_and(|all| all.values().all(offset)),
        };
        if fits { Ok(()) } else { Err(self.wanted()) }
    }

    fn wanted(self) -> String {
        match self {
            Self::Text => "a string that is not empty".into(),
            Self::AnyText => "a string".into(),
            Self::Texts => "a list of strings".into(),
            Self::TextOrTexts => "a string, or a list of strings that is not empty".into(),
            Self::Whole(least) => format!("a whole number, {least} or more"),
            Self::Seconds => "a number of seconds above 0".into(),
            Self::Flag => "true or false".into(),
            Self::Word(words) => format!("one of \"{}\"", words.join("\", \"")),
            Self::State => format!("one of \"{}\"", states().join("\", \"")),
            Self::Bundle => "an object with `entry` and `files` (path to text, or to {\"base64\": …})".into(),
            Self::Offsets => "a byte offset, or an object of run id to byte offset".into(),
        }
    }
}

fn is_bundle(value: &Value) -> bool {
    let Some(fields) = value.as_object() else { return false };
    let content = |v: &Value| {
        let object = v.as_object().filter(|o| o.len() == 1);
        v.is_string() || object.is_some_and(|o| o.get("base64").is_some_and(Value::is_string))
    };
    fields.len() == 2
        && fields.get("entry").is_some_and(Value::is_string)
        && fields.get("files").and_then(Value::as_object).is_some_and(|files| files.values().all(content))
}

/// A whole number; `40.0` is one, because some clients know only one kind of number.
fn whole(value: &Value) -> Option<i64> {
    let exact = |n: f64| (n.fract() == 0.0 && n.abs() < MOST).then_some(n as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(exact))
}

fn example(arg: &Arg) -> String {
    format!("\"{}\": {}", arg.name, arg.example)
}

/// A value in a few words, for an error.
fn describe(value: &Value) -> String {
    let (kind, text) = match value {
        Value::Null => return "null".into(),
        Value::Bool(b) => return b.to_string(),
        Value::String(text) if text.is_empty() => return "an empty string".into(),
        Value::String(_) => ("the string", value.to_string()),
        Value::Number(_) => ("the number", value.to_string()),
        Value::Array(_) => ("the list", value.to_string()),
        Value::Object(_) => ("the object", value.to_string()),
    };
    let short: String = text.chars().take(60).collect();
    format!("{kind} {short}{}", if short.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::tools::{TOOLS, find},
        *,
    };

    fn read(tool: &str, args: Value) -> Result<Args, String> {
        Args::read(find(tool).unwrap(), args.as_object().cloned())
    }

    #[test]
    fn errors_say_what_to_pass() {
        let check = |tool: &str, args: Value, wants: &[&str]| {
            let text = read(tool, args).unwrap_err();
            for want in wants {
                assert!(text.contains(want), "{text}");
            }
        };
        check("stata_run_file", json!({}), &["`file_path` is missing", "\"file_path\": \"/home"]);
        check(
            "stata_run_file",
            json!({"file_path": "/a.do", "timeout": "20 minutes"}),
            &["`timeout`", "a number of seconds above 0", "the string \"20 minutes\"", "\"timeout\": 7200"],
        );
        check("stata_run_file", json!({"file_path": 5}), &["`file_path`", "a string", "the number 5"]);
        check("stata_run_file", json!({"file_path": ""}), &["`file_path` is missing"]);
        check(
            "stata_run_file",
            json!({"file_path": "/a.do", "timeout": 1e12}),
            &["at most 315360000 seconds", "1000000000000"],
        );
        check("stata_wait", json!({"runs": "a", "seconds": 1e20}), &["a whole number below"]);
        check("stata_run_file", json!({"path": "/a.do", "file": "/b.do"}), &["no argument"]);
        check("stata_submit", json!({"path": "/a.do", "file_path": "/b.do"}), &["no argument `file_path`"]);
        check("stata_run_file", json!({"file_path": "/a.do", "timeout": 0}), &["above 0"]);
        check("stata_run_file", json!({"code": "di 1"}), &["no argument `code`", "file_path, timeout"]);
        check("stata_run_file", json!({"file_path": "/a.do", "args": "a b"}), &["a list of strings", "[\"2024\""]);
        check("stata_hosts", json!({"x": 1}), &["it takes no arguments"]);
        check("stata_wait", json!({"runs": []}), &["`runs`", "not empty"]);
        check("stata_wait", json!({"runs": "a", "seconds": 1.5}), &["whole number"]);
        check("stata_cancel", json!({"run": "a", "mode": "hard"}), &["\"break\", \"terminate\", \"kill\""]);
        check("stata_submit", json!({"bundle": {"entry": "a.do"}}), &["`bundle`", "`files`"]);
    }

    #[test]
    fn every_example_is_accepted() {
        for spec in TOOLS {
            for arg in spec.args {
                arg.kind.check(&serde_json::from_str(arg.example).unwrap()).unwrap_or_else(|e| {
                    panic!("{} {}: {e}", spec.name, arg.name);
                });
            }
        }
    }

    #[test]
    fn what_is_meant_in_one_way_only_is_taken() {
        let check = |tool: &str, args: Value, want: Value| {
            assert_eq!(Value::Object(read(tool, args.clone()).unwrap().0), want, "{tool} {args}");
        };
        let file = |name: &str| json!({name: "/a.do"});
        check("stata_run_file", file("path"), file("file_path"));
        check("stata_submit", file("file_path"), file("path"));
        check("stata_run_selection", json!({"code": "di 1"}), json!({"selection": "di 1"}));
        check("stata_submit", json!({"selection": "di 1", "host": ""}), json!({"text": "di 1"}));
        check("stata_wait", json!({"run": "a"}), json!({"runs": "a"}));
        check("stata_log", json!({"runs": ["a"], "tail": "5"}), json!({"run": "a", "tail": 5}));
        let all = json!({"file_path": "/a.do", "timeout": "600", "wait": "true", "args": "[2024, \"b\"]", "key": null});
        check(
            "stata_run_file",
            all,
            json!({"file_path": "/a.do", "timeout": 600, "wait": true, "args": ["2024", "b"]}),
        );
        check("stata_wait", json!({"runs": "[\"a\"]", "offset": "7"}), json!({"runs": ["a"], "offset": 7}));
        check("stata_submit", json!({"text": "[1]"}), json!({"text": "[1]"}));
        let bundle = json!({"entry": "a.do", "files": {"a.do": "x"}});
        check("stata_submit", json!({"bundle": bundle.to_string()}), json!({"bundle": bundle}));
    }

    #[test]
    fn null_is_absent_and_values_come_out() {
        let args = read("stata_wait", json!({"runs": ["a", "b"], "seconds": 5.0, "until": null, "offset": {"b": 7}}));
        let args = args.unwrap();
        assert_eq!(args.texts("runs"), ["a", "b"]);
        assert_eq!(args.whole("seconds"), Some(5));
        assert_eq!(args.text("until"), None);
        assert_eq!((args.offset("offset", &["a"]), args.offset("offset", &["x", "b"])), (None, Some(7)));
        let args =
            read("stata_submit", json!({"bundle": {"entry": "a.do", "files": {"a.do": "x", "b": {"base64": "eQ=="}}}}));
        let bundle = args.unwrap().bundle("bundle").unwrap();
        assert_eq!(bundle.files.iter().map(|f| f.content.as_deref()).collect::<Vec<_>>(), [Some("eA=="), Some("eQ==")]);
    }
}
