//! Requests are read strictly: an unknown field or value is an error that names the field and what is allowed.

use axum::extract::{self, FromRequestParts, Query, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    frontend::{
        Frontend,
        bodies::{self, Room},
    },
    model::Identity,
    problem::Problem,
};

/// Largest body of a request that carries no code, bytes.
pub(super) const SMALL: usize = 64 * 1024;

/// The JSON body of a request, and the room that it takes until it is handled. An empty body is an empty object, so
/// that optional bodies may be left out.
pub(super) async fn json<T: DeserializeOwned>(
    frontend: &Frontend,
    request: Request,
    limit: usize,
) -> Result<(T, Room), Problem> {
    let who = request.extensions().get::<Identity>().map(|who| who.principal.clone()).unwrap_or_default();
    let (bytes, room) = bodies::read(frontend, &who, request.into_body(), limit).await?;
    Ok((parse(if bytes.is_empty() { b"{}" } else { &bytes })?, room))
}

/// A value from JSON text.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let whole = match serde_json::from_slice::<T>(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return Err(Problem::bad_request(format!("the body is not JSON: {whole}")));
    };
    let Value::Object(fields) = value else {
        return Err(Problem::bad_request("the body must be one JSON object, such as {\"path\": \"/home/me/a.do\"}"));
    };
    // This error does not name the field; reading each field alone does.
    for (name, value) in &fields {
        let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        if let Err(error) = serde_json::from_value::<T>(alone) {
            let text = error.to_string();
            if text.starts_with("unknown field") {
                return Err(Problem::bad_request(text));
            }
            if !text.starts_with("missing field") {
                return Err(Problem::bad_request(format!("field `{name}`: {text}")));
            }
        }
    }
    Err(Problem::bad_request(whole.to_string()))
}

/// The query of a request, with errors as problems.
pub(super) struct Strict<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Strict<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// What a path names, with errors as problems.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::bad_request(format!("the path: {}", rejection.body_text()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, response::IntoResponse};
    use longhaul_proto::api::{CancelBody, SubmitRequest};

    use super::*;

    async fn detail(problem: Problem) -> String {
        let bytes = to_bytes(problem.into_response().into_body(), 65536).await.unwrap();
        serde_json::from_slice::<longhaul_proto::api::Problem>(&bytes).unwrap().detail
    }

    #[tokio::test]
    async fn errors_name_the_field() {
        let check = async |body: &str, wants: &[&str]| {
            let text = detail(parse::<SubmitRequest>(body.as_bytes()).unwrap_err()).await;
            for want in wants {
                assert!(text.contains(want), "{body}: {text}");
            }
        };
        check(r#"{"pth": "/a.do"}"#, &["unknown field `pth`", "`path`", "`working_dir`"]).await;
        check(r#"{"path": "/a.do", "timeout": "5"}"#, &["field `timeout`", "string \"5\""]).await;
        check(r#"{"args": "a b", "path": "/a.do"}"#, &["field `args`", "sequence"]).await;
        check("[1]", &["one JSON object"]).await;
        check("{", &["not JSON"]).await;
        let text = detail(parse::<CancelBody>(br#"{"mode": "hard"}"#).unwrap_err()).await;
        assert!(text.contains("`mode`") && text.contains("`terminate`"), "{text}");
        assert!(parse::<SubmitRequest>(br#"{"path": "/a.do", "timeout": 5}"#).is_ok());
    }
}
