//! `GET /api/v1/audit`: the audit log, for tokens of scope `audit`.

use axum::{Json, extract::State};
use longhaul_proto::{clock::rfc3339, tasks};
use serde::Deserialize;
use serde_json::Value;

use super::{filters, strict::Strict};
use crate::{
    audit::{self, Filter, Kind},
    frontend::Frontend,
    problem::Problem,
};

/// Lines of one answer by default.
const LINES: usize = 1_000;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// A time, or seconds before now.
    since: Option<String>,
    /// Of this principal.
    principal: Option<String>,
    /// Of this run: its id, or the end of it.
    run: Option<String>,
    /// Of this kind.
    event: Option<String>,
    /// The newest so many.
    limit: Option<usize>,
}

/// Reads it.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Strict(asked): Strict<Asked>,
) -> Result<Json<Vec<Value>>, Problem> {
    let since = filters::time("since", asked.since.as_deref(), frontend.core.deps.clock.unix_ms())?.and_then(rfc3339);
    if let Some(event) = asked.event.as_deref().filter(|event| !Kind::ALL.iter().any(|kind| kind.as_str() == *event)) {
        let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(Problem::bad_request(format!(
            "`event`: there is no event `{event}`; there are {}",
            all.join(", ")
        )));
    }
    let limit = asked.limit.unwrap_or(LINES);
    if limit == 0 || limit > audit::MOST {
        return Err(Problem::bad_request(format!("`limit`: lines of one answer, 1 to {}", audit::MOST)));
    }
    let filter = Filter {
        since,
        principal: filters::words("principal", asked.principal)?,
        run: filters::words("run", asked.run)?,
        event: asked.event,
        limit,
    };
    let data = frontend.core.options.data.clone();
    let lines = tasks::blocking(move || audit::read(&data, &filter)).await.and_then(|lines| lines);
    lines.map(Json).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the audit log cannot be read");
        Problem::unavailable("the gateway cannot read its audit log: try again, and see its log")
    })
}
