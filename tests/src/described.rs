//! Whether what a gateway answers is what its description (OpenAPI) says: operation, status, type, headers, and the schema of JSON.
//!
//! Clients must ignore fields that they do not know; here an answer with one is a failure, for it would be undescribed.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use longhaul_gateway::api::openapi::DOCUMENT;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

/// The description that all gateways of this version serve.
static DESCRIBED: LazyLock<Described> =
    LazyLock::new(|| Described::new(serde_json::from_str(DOCUMENT).expect("the description is JSON")));

/// A description.
#[derive(Debug)]
pub struct Described {
    document: Value,
    /// Schemas of the answers' parts, in which every object has no more than what is described.
    strict: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// An operation that a request is of.
#[derive(Clone, Debug)]
pub struct Operation {
    /// `GET /api/v1/runs/{run}`.
    pub name: String,
    operation: Value,
    /// The answer has no body.
    head: bool,
}

impl Described {
    /// That of a document.
    pub fn new(document: Value) -> Self {
        let strict = strict(&document["components"]["schemas"]);
        Self { document, strict, validators: Mutex::default() }
    }

    /// That of this version.
    pub fn own() -> &'static Self {
        &DESCRIBED
    }

    /// The operation of a request; `None` = there is none.
    pub fn operation(&self, method: &Method, path: &str) -> Option<Operation> {
        let path = path.split('?').next().unwrap_or_default();
        let paths = self.document["paths"].as_object().expect("paths");
        // A path without a name in it goes before one with a name.
        let mut fits: Vec<_> = paths.iter().filter(|(template, _)| fits(template, path)).collect();
        fits.sort_by_key(|(template, _)| template.matches('{').count());
        let (template, item) = fits.first()?;
        let word = method.as_str().to_lowercase();
        let own = item.get(&word);
        let head = *method == Method::HEAD;
        let operation = own.or_else(|| item.get("get").filter(|_| head))?.clone();
        Some(Operation { name: format!("{method} {template}"), operation, head })
    }

    /// What is wrong with the head of an answer; `None` = nothing.
    pub fn wrong_head(&self, operation: &Operation, status: StatusCode, headers: &HeaderMap) -> Option<String> {
        let told = |what: &str| Some(format!("{}: {status}: {what}: {headers:?}", operation.name));
        let answer = self.answer(operation, status);
        if answer.is_null() {
            return told("the status is not described");
        }
        for (name, header) in answer["headers"].as_object().into_iter().flatten() {
            if header["required"] == true && !headers.contains_key(name) && !operation.head {
                return told(&format!("the header {name} is missing"));
            }
        }
        let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).map(plain);
        match (answer["content"].as_object(), kind) {
            _ if operation.head => None,
            (None, None) => None,
            (None, Some(kind)) => told(&format!("it has a type ({kind}) and none is described")),
            (Some(content), Some(kind)) if content.keys().any(|known| known == kind || known == "*/*") => None,
            (Some(_), kind) => told(&format!("the type {kind:?} is not described")),
        }
    }

    /// An answer that several operations have stands in a place of its own.
    fn answer<'a>(&'a self, operation: &'a Operation, status: StatusCode) -> &'a Value {
        let answer = &operation.operation["responses"][status.as_str()];
        match answer["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            Some(name) => &self.document["components"]["responses"][name],
            None => answer,
        }
    }

    /// What is wrong with the body of an answer; `None` = nothing.
    pub fn wrong_body(&self, operation: &Operation, status: StatusCode, kind: &str, body: &[u8]) -> Option<String> {
        let kind = plain(kind);
        if operation.head || !kind.ends_with("json") {
            return None;
        }
        let schema = &self.answer(operation, status)["content"][kind]["schema"];
        let Ok(body) = serde_json::from_slice(body) else {
            return Some(format!("{}: {status}: the body is no JSON", operation.name));
        };
        self.wrong(&format!("{} {status}", operation.name), schema, &body)
    }

    /// What is wrong with an event; `None` = nothing.
    pub fn wrong_event(&self, operation: &Operation, kind: &str, data: &str) -> Option<String> {
        let kind = if kind.is_empty() { "message" } else { kind };
        let schema = &operation.operation["x-events"][kind];
        let name = format!("{} event {kind}", operation.name);
        match serde_json::from_str(data) {
            Ok(data) => self.wrong(&name, schema, &data),
            Err(_) => Some(format!("{name}: its data is no JSON: {data}")),
        }
    }

    fn wrong(&self, name: &str, schema: &Value, value: &Value) -> Option<String> {
        if schema.is_null() {
            return Some(format!("{name}: no schema is described for it: {value}"));
        }
        let mut all = self.validators.lock().unwrap();
        let validator = all.entry(name.to_owned()).or_insert_with(|| {
            let mut root = schema.clone();
            root["components"] = json!({"schemas": self.strict});
            Arc::new(jsonschema::draft202012::new(&root).unwrap_or_else(|error| panic!("{name}: {error}")))
        });
        let validator = validator.clone();
        drop(all);
        let errors: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect();
        (!errors.is_empty()).then(|| format!("{name}: {}: {value:#}", errors.join("; ")))
    }
}

/// A type without its parameters.
fn plain(kind: &str) -> &str {
    kind.split(';').next().unwrap_or_default().trim()
}

/// Whether a path is of a template; names of files have slashes.
fn fits(template: &str, path: &str) -> bool {
    if let Some(before) = template.strip_suffix("/files/{name}") {
        let Some((run, name)) = path.split_once("/files/") else { return false };
        return fits(before, run) && !name.is_empty();
    }
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let same = |(wanted, found): (&&str, &&str)| wanted == found || (wanted.starts_with('{') && !found.is_empty());
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

/// The same schemas, in which objects have what is described and nothing else.
fn strict(schemas: &Value) -> Value {
    let closed = |schema: &Value| {
        let mut schema = flat(schema, schemas);
        if schema["properties"].is_object() && schema["additionalProperties"].is_null() {
            schema["additionalProperties"] = false.into();
        }
        schema
    };
    let all = schemas.as_object().expect("schemas");
    Value::Object(all.iter().map(|(name, schema)| (name.clone(), closed(schema))).collect())
}

/// What is made of several objects, as one.
fn flat(schema: &Value, schemas: &Value) -> Value {
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let mut whole = json!({"type": "object", "properties": {}, "required": []});
    for part in parts {
        let name = part["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let part = name.map_or(part, |name| &schemas[name]);
        let properties = part["properties"].as_object().cloned().unwrap_or_default();
        whole["properties"].as_object_mut().expect("an object").extend(properties);
        let required = part["required"].as_array().cloned().unwrap_or_default();
        whole["required"].as_array_mut().expect("a list").extend(required);
    }
    whole
}
