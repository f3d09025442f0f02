//! The hosts: listed for everybody, drained, resumed and forgotten by operators.

use axum::{
    Extension, Json,
    extract::{Request, State},
};
use longhaul_proto::api::{DrainBody, Drained, Forgotten, Hosts};

use super::strict;
use crate::{frontend::Frontend, model::Identity, problem::Problem};

/// `GET /api/v1/hosts`.
pub(super) async fn list(State(frontend): State<Frontend>, Extension(who): Extension<Identity>) -> Json<Hosts> {
    Json(frontend.core.runs.hosts(&who).await)
}

/// `POST /api/v1/hosts/drain`.
pub(super) async fn drain(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    request: Request,
) -> Result<Json<Drained>, Problem> {
    let (body, _room): (DrainBody, _) = strict::json(&frontend, request, strict::SMALL).await?;
    Ok(Json(frontend.core.runs.drain(&who, body).await?))
}

/// `POST /api/v1/hosts/resume`.
pub(super) async fn resume(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    request: Request,
) -> Result<Json<Drained>, Problem> {
    let (body, _room): (DrainBody, _) = strict::json(&frontend, request, strict::SMALL).await?;
    Ok(Json(frontend.core.runs.resume(&who, body).await?))
}

/// `POST /api/v1/hosts/forget`.
pub(super) async fn forget(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    request: Request,
) -> Result<Json<Forgotten>, Problem> {
    let (body, _room): (DrainBody, _) = strict::json(&frontend, request, strict::SMALL).await?;
    Ok(Json(frontend.core.runs.forget_hosts(&who, body).await?))
}
