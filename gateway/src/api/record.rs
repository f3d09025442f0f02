//! `GET /api/v1/runs/{run}/record`: with what a run was made.

use axum::{Extension, Json, extract::State};
use longhaul_proto::api::{Packages, RunRecord};

use super::strict::Path;
use crate::{frontend::Frontend, model::Identity, problem::Problem};

/// What is recorded besides the run's own object.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Json<RunRecord>, Problem> {
    let run_id = frontend.core.runs.find(&who, &name).await?;
    let made = frontend.core.runs.made_with(&who, run_id).await?;
    let words = |text: String| Some(text).filter(|text| !text.is_empty());
    let packages = made.packages.as_ref().map(|json| serde_json::from_slice::<Packages>(json));
    let unreadable = matches!(packages, Some(Err(_))).then(|| "its agent sent a list that cannot be read".to_owned());
    Ok(Json(RunRecord {
        run_id,
        complete: made.complete,
        why_not: words(made.why_not),
        made_with: made.facts,
        packages: packages.and_then(Result::ok),
        packages_why_not: words(made.packages_why_not).or(unreadable),
    }))
}
