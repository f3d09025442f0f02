//! The keys by which agents are known, for operators: listed, approved, revoked.

use axum::{Extension, Json, extract::State};
use longhaul_proto::api::AgentKeys;

use super::strict::Path;
use crate::{frontend::Frontend, model::Identity, problem::Problem};

/// `GET /api/v1/agents`.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
) -> Result<Json<AgentKeys>, Problem> {
    Ok(Json(frontend.core.runs.agents(&who).await?))
}

/// `POST /api/v1/agents/{name}/approve`.
pub(super) async fn approve(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Json<AgentKeys>, Problem> {
    Ok(Json(frontend.core.runs.approve_agent(&who, &name).await?))
}

/// `POST /api/v1/agents/{name}/revoke`.
pub(super) async fn revoke(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Json<AgentKeys>, Problem> {
    Ok(Json(frontend.core.runs.revoke_agent(&who, &name).await?))
}
