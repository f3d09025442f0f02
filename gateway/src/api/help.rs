//! `GET /api/v1/help`: Stata's help of a host, as JSON, or as Markdown for those who ask for that.

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::strict::Strict;
use crate::{frontend::Frontend, model::Identity, problem::Problem, runs::HelpAsked};

/// The query.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct Query {
    /// A topic, such as `regress`.
    topic: String,
    /// Words to look for, instead of a topic.
    search: String,
    /// The host whose help it is; where absent, any.
    host: String,
}

/// A topic, or what a search found.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Strict(query): Strict<Query>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query { topic, search, host } = query;
    let view = frontend.core.runs.help(&who, HelpAsked { topic, search, host }).await?;
    let markdown = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if !markdown.is_some_and(|accept| accept.contains("text/markdown")) {
        return Ok(Json(view).into_response());
    }
    let text = match view.text {
        Some(text) => text,
        None => view.topics.iter().map(|t| format!("- `{}` -- {} ({})\n", t.topic, t.about, t.place)).collect(),
    };
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/markdown; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
