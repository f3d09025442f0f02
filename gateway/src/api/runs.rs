//! Submitting, finding and ending runs.

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use longhaul_proto::{
    MAX_CODE_API,
    api::{AdoptBody, Adopted, CancelBody, RerunBody, RunList, RunView, SubmitRequest},
};
use serde::Deserialize;

use super::{
    filters,
    operator::Operator,
    strict::{self, Path, Strict},
};
use crate::{
    frontend::{
        Frontend,
        disconnect::ClientPresence,
        run_view::{run_list, run_view, submitted},
        trace::RequestSpan,
    },
    model::Identity,
    problem::Problem,
    runs::{self, ListFilter, RunFilter},
};

/// Largest body of a submission, bytes: a bundle of the largest size in base64, and its envelope.
const MAX_SUBMIT: usize = MAX_CODE_API / 3 * 4 + (1 << 20);

/// Runs on a page by default.
const PAGE: u32 = 50;
/// Runs on a page at most.
const MAX_PAGE: u32 = 500;

/// `POST /api/v1/runs`: 201 for a new run, 200 where an earlier run answers.
pub(super) async fn submit(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Extension(caller): Extension<ClientPresence>,
    request: Request,
) -> Result<Response, Problem> {
    let trace = RequestSpan::context(request.extensions(), request.headers());
    let agent = request.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (mut submit, _room): (SubmitRequest, _) = strict::json(&frontend, request, MAX_SUBMIT).await?;
    submit.client = submit.client.or(agent);
    let max_stored = Some(u64::MAX);
    let request = runs::Request { submit, trace, max_code: MAX_CODE_API, max_stored, ..Default::default() };
    let accepted = frontend.core.runs.submit(&who, request).await?;
    caller.shows(&who, &accepted.run);
    let status = if accepted.joined.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let place = format!("/api/v1/runs/{}", accepted.run.run);
    let mut told = serde_json::to_value(submitted(&accepted)).map_err(|_| Problem::internal())?;
    if let (false, Some(told)) = (who.may_read(&who.principal), told.as_object_mut()) {
        // An earlier run may answer, which a token that only submits is not to read.
        told.retain(|key, _| ["run_id", "state", "created_at", "joined"].contains(&key.as_str()));
    }
    Ok((status, [(header::LOCATION, place)], Json(told)).into_response())
}

/// Query of `GET /api/v1/runs`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListQuery {
    /// At most so many; 50 when absent.
    #[cfg_attr(test, param(minimum = 1, maximum = 500))]
    limit: Option<u32>,
    /// Only those older than this run: its id, or a part of it that names it. With `next` of a page it is the next page.
    before: Option<String>,
    /// Only those in one of these states: their names, with commas between.
    state: Option<String>,
    /// Only those called exactly so.
    name: Option<String>,
    /// Only those of this principal; for those who may read everybody's.
    user: Option<String>,
    /// Only those on the host of this name.
    host: Option<String>,
    /// Only those that took a seat of this pool.
    pool: Option<String>,
    /// Only those recorded then or later: a time, or seconds before now.
    since: Option<String>,
    /// Only those recorded before: likewise.
    until: Option<String>,
    /// Only those with this text in name, note, do-file, arguments or message, in any case, among the newest 100,000 that the
    /// rest leaves.
    text: Option<String>,
}

/// `GET /api/v1/runs`.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Extension(caller): Extension<ClientPresence>,
    Strict(query): Strict<ListQuery>,
) -> Result<Json<RunList>, Problem> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` must be from 1 to {MAX_PAGE}")));
    }
    let before = match &query.before {
        Some(run) => Some(frontend.core.runs.find(&who, run).await?),
        None => None,
    };
    let principal = filters::principal(&frontend, &who, query.user.as_deref()).await?;
    let now_ms = frontend.core.deps.clock.unix_ms();
    let which = RunFilter {
        states: filters::states(query.state.as_deref())?,
        since_ms: filters::time("since", query.since.as_deref(), now_ms)?,
        until_ms: filters::time("until", query.until.as_deref(), now_ms)?,
        name: filters::words("name", query.name)?,
        host: filters::words("host", query.host)?,
        pool: filters::words("pool", query.pool)?,
        text: filters::words("text", query.text)?,
    };
    let filter = ListFilter { limit, before, principal, which };
    let page = frontend.core.runs.list(&who, filter).await?;
    page.runs.iter().for_each(|run| caller.shows(&who, run));
    Ok(Json(run_list(&page)))
}

/// `GET /api/v1/runs/{run}`, by full or short id. The view of an ended run is its result.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Extension(caller): Extension<ClientPresence>,
    Path(name): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    let run = frontend.core.runs.get(&who, run).await?;
    caller.shows(&who, &run);
    Ok(Json(run_view(&run)))
}

/// `POST /api/v1/runs/{run}/cancel`; the body may be absent.
pub(super) async fn cancel(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Extension(caller): Extension<ClientPresence>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<RunView>, Problem> {
    let (body, _room): (CancelBody, _) = strict::json(&frontend, request, strict::SMALL).await?;
    let run = frontend.core.runs.find(&who, &name).await?;
    let run = frontend.core.runs.cancel(&who, run, body.mode).await?;
    caller.shows(&who, &run);
    Ok(Json(run_view(&run)))
}

/// `POST /api/v1/runs/{run}/rerun`: the same submission again; the body may be absent.
pub(super) async fn rerun(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Extension(caller): Extension<ClientPresence>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let trace = RequestSpan::context(request.extensions(), request.headers());
    let (body, _room): (RerunBody, _) = strict::json(&frontend, request, strict::SMALL).await?;
    let run = frontend.core.runs.find(&who, &name).await?;
    let accepted = frontend.core.runs.rerun(&who, run, body, trace).await?;
    caller.shows(&who, &accepted.run);
    let status = if accepted.joined.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let place = format!("/api/v1/runs/{}", accepted.run.run);
    Ok((status, [(header::LOCATION, place)], Json(submitted(&accepted))).into_response())
}

/// `POST /api/v1/runs/{run}/release`: an operator lets the spool of an ended run be deleted.
pub(super) async fn release(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    Path(name): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    Ok(Json(run_view(&*frontend.core.runs.release(&who, run).await?)))
}

/// `POST /api/v1/runs/{run}/declare-dead`: an operator confirms that the agent never comes back.
pub(super) async fn declare_dead(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    Extension(caller): Extension<ClientPresence>,
    Path(name): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    let run = frontend.core.runs.declare_dead(&who, run).await?;
    caller.shows(&who, &run);
    Ok(Json(run_view(&run)))
}

/// `POST /api/v1/runs/{run}/adopt`: an operator confirms that an unverified run belongs to the principal that its spool
/// names.
pub(super) async fn adopt(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    Path(name): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    Ok(Json(run_view(&*frontend.core.runs.adopt(&who, run).await?)))
}

/// `POST /api/v1/runs/adopt`: likewise, for all unverified runs that came from one host.
pub(super) async fn adopt_from(
    State(frontend): State<Frontend>,
    Operator(who): Operator,
    request: Request,
) -> Result<Json<Adopted>, Problem> {
    let (body, _room): (AdoptBody, _) = strict::json(&frontend, request, strict::SMALL).await?;
    if body.all_from.is_empty() {
        return Err(Problem::bad_request("`all_from` must name the host whose unverified runs are to be adopted"));
    }
    let runs = frontend.core.runs.adopt_from(&who, &body.all_from).await?;
    Ok(Json(Adopted { runs: runs.iter().map(|run| run_view(run)).collect() }))
}
