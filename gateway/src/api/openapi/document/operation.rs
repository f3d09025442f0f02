//! An operation, as the table has it.

use http::Method;
use longhaul_proto::api::Problem;
use serde_json::{Map, Value, json};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{RefOr, path::ParameterIn, schema::Schema},
};

/// What is not told by the router.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) notes: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) answers: Vec<(u16, Value)>,
    pub(super) problems: Vec<u16>,
    pub(super) more: Map<String, Value>,
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

/// `GET`.
pub(super) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation(Method::GET, path, id, summary)
}

/// `POST`.
pub(super) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation(Method::POST, path, id, summary)
}

/// Of any method.
pub(super) fn operation(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation {
        method,
        path,
        id,
        tag: "",
        summary,
        notes: "",
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        problems: Vec::new(),
        more: Map::new(),
        schemas: Vec::new(),
    }
}

impl Operation {
    pub(super) fn tag(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }

    pub(super) fn notes(self, notes: &'static str) -> Self {
        Self { notes, ..self }
    }

    /// The parameters of a query type, of which these must be there.
    pub(super) fn query<Q: IntoParams>(mut self, required: &[&str]) -> Self {
        for parameter in Q::into_params(|| Some(ParameterIn::Query)) {
            let mut parameter = serde_json::to_value(parameter).unwrap();
            parameter["required"] = required.contains(&parameter["name"].as_str().unwrap()).into();
            self.parameters.push(parameter);
        }
        self
    }

    /// A header of the request.
    pub(super) fn header(mut self, name: &str, about: &str, schema: Value) -> Self {
        let parameter =
            json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema});
        self.parameters.push(parameter);
        self
    }

    /// The header must be there.
    pub(super) fn must_have_header(mut self, name: &str, about: &str, schema: Value) -> Self {
        self = self.header(name, about, schema);
        self.parameters.last_mut().unwrap()["required"] = true.into();
        self
    }

    /// A schema, by its name in the document.
    pub(super) fn schema<T: ToSchema>(&mut self) -> Value {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }

    /// A body of JSON that must be there.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.schema::<T>();
        self.body = Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}));
        self.problems(&[400, 408, 413])
    }

    /// A body of JSON that may be left out.
    pub(super) fn may_take<T: ToSchema>(mut self) -> Self {
        self = self.takes::<T>();
        self.body.as_mut().unwrap()["required"] = false.into();
        self
    }

    /// A body of bytes.
    pub(super) fn takes_bytes(mut self, kind: &str) -> Self {
        self.body = Some(json!({"required": true, "content": {kind: {}}}));
        self.problems(&[400, 408, 413])
    }

    /// An answer of JSON.
    pub(super) fn gives<T: ToSchema>(mut self, status: u16, about: &str) -> Self {
        let schema = self.schema::<T>();
        self.answer(status, json!({"description": about, "content": {"application/json": {"schema": schema}}}))
    }

    /// Any answer.
    pub(super) fn answer(mut self, status: u16, answer: Value) -> Self {
        self.answers.push((status, answer));
        self
    }

    /// Problems of its own, besides those that every operation has.
    pub(super) fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    /// Those of a path that names a run.
    pub(super) fn of_run(self) -> Self {
        self.problems(&[404, 409])
    }
}

/// A header of an answer that is always there.
pub(super) fn sent(about: &str, schema: Value) -> Value {
    json!({"description": about, "required": true, "schema": schema})
}

/// A count or an offset.
pub(super) fn number() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}

/// Text.
pub(super) fn text() -> Value {
    json!({"type": "string"})
}

/// An answer of bytes of a type, with these headers.
pub(super) fn bytes(about: &str, kind: &str, headers: Value) -> Value {
    json!({"description": about, "headers": headers, "content": {kind: {}}})
}

/// A problem; `about` says when.
pub(super) fn problem(about: &str) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{}", Problem::name())});
    json!({"description": about, "content": {"application/problem+json": {"schema": schema}}})
}
