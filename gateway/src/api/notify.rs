//! Whom a person's runs tell of their ends. All of it is the caller's own: there is no way to see or change another's.

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use longhaul_proto::api::{
    NotifyList, NotifySecret, NotifySecretRequest, NotifyTestRequest, NotifyTested, ReceiverRequest,
};
use serde::Deserialize;

use super::strict::{self, Strict};
use crate::{frontend::Frontend, model::Identity, problem::Problem};

/// Which one.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Its address, as the list has it.
    address: String,
}

/// `GET /api/v1/notify`.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
) -> Result<Json<NotifyList>, Problem> {
    Ok(Json(frontend.core.notify.list(&who).await?))
}

/// `POST /api/v1/notify/receivers`: 201 for a new one, 200 where it was there.
pub(super) async fn add(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    request: Request,
) -> Result<Response, Problem> {
    let (ask, _room): (ReceiverRequest, _) = strict::json(&frontend, request, strict::SMALL).await?;
    let (receiver, new) = frontend.core.notify.add(&who, &ask.address).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(receiver)).into_response())
}

/// `DELETE /api/v1/notify/receivers?address=…`.
pub(super) async fn remove(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Strict(which): Strict<Which>,
) -> Result<StatusCode, Problem> {
    frontend.core.notify.remove(&who, &which.address).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/notify/secret`: once, and again only with another.
pub(super) async fn secret(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    request: Request,
) -> Result<Json<NotifySecret>, Problem> {
    let (ask, _room): (NotifySecretRequest, _) = strict::json(&frontend, request, strict::SMALL).await?;
    Ok(Json(frontend.core.notify.secret(&who, ask.rotate).await?))
}

/// `POST /api/v1/notify/test`.
pub(super) async fn test(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    request: Request,
) -> Result<Json<NotifyTested>, Problem> {
    let (ask, _room): (NotifyTestRequest, _) = strict::json(&frontend, request, strict::SMALL).await?;
    Ok(Json(frontend.core.notify.test(&who, ask.address.as_deref()).await?))
}
