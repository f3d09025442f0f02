//! Reading a tool's arguments: strictly, and with errors that a model can correct by itself.

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
    /// Checks names and types; `null` counts as absent.
    ///
    /// # Errors
    /// Names the argument, what it must be, and an example.
    pub(super) fn read(spec: &Spec, given: Option<JsonObject>) -> Result<Self, String> {
        let mut given = given.unwrap_or_default();
        given.retain(|_, value| !value.is_null());
        for (name, value) in &given {
            let Some(arg) = spec.args.iter().find(|a| a.name == name) else {
                let known: Vec<&str> = spec.args.iter().map(|a| a.name).collect();
                let known = if known.is_empty() { "no arguments".to_owned() } else { known.join(", ") };
                return Err(format!("{} has no argument `{name}`: it takes {known}", spec.name));
            };
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

impl Kind {
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
            Self::Whole(least) => whole(value).is_some_and(|n| n >= least),
            Self::Seconds => value.as_f64().is_some_and(|n| n > 0.0 && n.is_finite()),
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
    let exact = |n: f64| (n.fract() == 0.0 && n.abs() < 9e15).then_some(n as i64);
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
            json!({"file_path": "/a.do", "timeout": "600"}),
            &["`timeout`", "a number of seconds above 0", "the string \"600\"", "\"timeout\": 7200"],
        );
        check("stata_run_file", json!({"file_path": 5}), &["`file_path`", "a string", "the number 5"]);
        check("stata_run_file", json!({"file_path": ""}), &["not empty", "an empty string"]);
        check("stata_run_file", json!({"file_path": "/a.do", "timeout": 0}), &["above 0"]);
        check("stata_run_file", json!({"path": "/a.do"}), &["no argument `path`", "file_path, timeout"]);
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
