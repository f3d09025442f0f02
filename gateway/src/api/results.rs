//! `GET /api/v1/runs/{run}/results`: what a run left in r(), e() and s().

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use longhaul_proto::api::RunResults;

use super::strict::Path;
use crate::{frontend::Frontend, model::Identity, problem::Problem};

/// The results. Their bytes are passed on as they were made, so that no number is read and written again on the way.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let run_id = frontend.core.runs.find(&who, &name).await?;
    let left = frontend.core.runs.results(&who, run_id).await?;
    let why_not = Some(left.why_not).filter(|why| !why.is_empty());
    let head = RunResults { run_id, complete: left.complete, why_not, results: None };
    let mut body = serde_json::to_vec(&head).map_err(|_| Problem::internal())?;
    if let Some(json) = left.json {
        body.pop();
        body.extend_from_slice(b",\"results\":");
        body.extend_from_slice(&json);
        body.push(b'}');
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
