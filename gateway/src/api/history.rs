//! `GET /api/v1/runs/{run}/history`: the steps of a run and its attempts, as the ledger has them.

use axum::{Extension, Json, extract::State};
use longhaul_proto::api::{AttemptEndView, AttemptView, RunHistory, StepView};

use super::strict::Path;
use crate::{
    frontend::Frontend,
    ledger::{AttemptRow, TransitionRow},
    model::{Attempt, Identity, UnixMs},
    problem::Problem,
};

pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Json<RunHistory>, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    let (steps, attempts) = frontend.core.runs.history(&who, run).await?;
    let steps = steps.iter().map(|row| step(row, &attempts)).collect();
    Ok(Json(RunHistory { run_id: run, steps, attempts: attempts.into_iter().map(attempt).collect() }))
}

fn at(ms: i64) -> Option<String> {
    UnixMs::stored(ms).map(UnixMs::rfc3339)
}

fn step(row: &TransitionRow, attempts: &[AttemptRow]) -> StepView {
    let given = attempts.iter().find(|attempt| Some(attempt.number) == row.attempt);
    let host = given.map(|attempt| attempt.at.host.clone()).filter(|host| !host.is_empty());
    let attempt = row.attempt.map_or(0, Attempt::number);
    StepView { state: row.state, cause: row.cause, attempt, host, at: at(row.at_ms) }
}

fn attempt(row: AttemptRow) -> AttemptView {
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    AttemptView {
        number: row.number.number(),
        host: known(row.at.host),
        pool: known(row.at.pool),
        given_at: at(row.given_ms),
        ended: row.ended.map(|end| AttemptEndView { state: end.state, cause: end.cause, at: at(end.at_ms) }),
    }
}
