//! The schemas of tools' arguments, as clients get them.

use serde_json::{Value, json};

use super::tools::{Arg, Kind, states};

impl Arg {
    /// What a client is told of the argument.
    pub(super) fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({"type": "string", "minLength": 1}),
            Kind::AnyText => json!({"type": "string"}),
            Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Kind::TextOrTexts => json!({"anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1}
            ]}),
            Kind::Whole(least) => json!({"type": "integer", "minimum": least}),
            Kind::Seconds => json!({"type": "number", "exclusiveMinimum": 0}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Word(words) => json!({"type": "string", "enum": words}),
            Kind::State => json!({"type": "string", "enum": states()}),
            Kind::Bundle => json!({
                "type": "object",
                "properties": {
                    "entry": {"type": "string", "description": "The do-file to run, one of files."},
                    "files": {
                        "type": "object",
                        "description": "Relative path to content: text, or {\"base64\": …} for other bytes.",
                        "additionalProperties": {"anyOf": [
                            {"type": "string"},
                            {
                                "type": "object",
                                "properties": {"base64": {"type": "string"}},
                                "required": ["base64"],
                                "additionalProperties": false
                            }
                        ]}
                    }
                },
                "required": ["entry", "files"],
                "additionalProperties": false
            }),
            Kind::Offsets => json!({"anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
            ]}),
        };
        if let Value::Object(fields) = &mut schema {
            fields.insert("description".into(), json!(self.help));
        }
        schema
    }
}
