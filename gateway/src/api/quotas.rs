//! Quotas, and what is used of them.

use axum::{Extension, Json, extract::State};
use longhaul_proto::api::{QuotaKind, QuotaList};
use serde::Deserialize;

use super::strict::Strict;
use crate::{frontend::Frontend, model::Identity, problem::Problem};

/// Whose are asked for.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Whose {
    /// Those of everybody.
    all: bool,
}

/// `GET /api/v1/quotas`: the caller's own and those of its groups; `?all=true` for operators.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Strict(whose): Strict<Whose>,
) -> Result<Json<QuotaList>, Problem> {
    Ok(Json(with_streams(&frontend, frontend.core.runs.quotas(&who, whose.all).await?)))
}

/// The same with the streams that are open, which this part counts.
pub(super) fn with_streams(frontend: &Frontend, mut list: QuotaList) -> QuotaList {
    for quota in &mut list.quotas {
        let streams = frontend.quotas.streams(quota);
        for limit in quota.limits.iter_mut().filter(|limit| limit.kind == QuotaKind::Streams) {
            limit.used = streams;
        }
    }
    list
}
