//! `GET /api/v1/data`: what is in a data file on a host, as a table in JSON, or its observations as CSV or Parquet.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::strict::Strict;
use crate::{frontend::Frontend, model::Identity, problem::Problem, runs::DataAsk};

/// Header of CSV and Parquet: the host that the file is on.
const HOST: HeaderName = HeaderName::from_static("longhaul-host");
/// Most observations of a table.
const MOST: u32 = 10_000;

/// How it is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
enum Format {
    /// A table.
    #[default]
    Json,
    /// The observations, as text.
    Csv,
    /// The observations, with the types of their variables.
    Parquet,
}

/// The query.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub(super) struct DataQuery {
    /// The data file: its full path on the host, or with `run` the name of a file that the run left.
    path: String,
    /// The run that left it: the gateway's copy is read.
    run: String,
    /// The host that it is on; where absent, one that has it.
    host: String,
    /// `describe`, `summarize`, `codebook`, `tabulate` or `rows`; `describe` when absent.
    action: String,
    /// Variables, with blanks or commas between.
    vars: String,
    /// Only observations for which this holds, as Stata has it.
    r#if: String,
    /// Only these observations, as Stata has it: `1/100`.
    r#in: String,
    /// `false`: codes instead of the labels of values.
    labels: Option<bool>,
    /// Most rows of a table, at most 10,000.
    limit: u32,
    /// JSON when absent.
    #[cfg_attr(test, param(inline))]
    format: Format,
}

/// The handler.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Strict(query): Strict<DataQuery>,
) -> Result<Response, Problem> {
    let format = query.format;
    if query.path.is_empty() {
        return Err(Problem::bad_request("`path` is missing: the data file, such as path=/home/me/auto.dta"));
    }
    if format == Format::Json && query.limit > MOST {
        return Err(Problem::bad_request(format!("`limit` is at most {MOST} for a table: ask for format=csv")));
    }
    let ask = DataAsk {
        path: query.path,
        run: query.run,
        host: query.host,
        action: query.action,
        variables: query.vars.split([' ', ',']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        condition: query.r#if,
        range: query.r#in,
        codes: query.labels == Some(false),
        limit: query.limit,
    };
    let runs = &frontend.core.runs;
    if format == Format::Json {
        return Ok(Json(runs.data(&who, ask).await?).into_response());
    }
    let parquet = format == Format::Parquet;
    let file = runs.data_bytes(&who, ask, parquet).await?;
    let mut response = Response::new(Body::from_stream(file.bytes));
    let headers = response.headers_mut();
    let kind = if parquet { "application/vnd.apache.parquet" } else { "text/csv; charset=utf-8" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(HeaderValue::from_str(&file.host).ok().map(|host| (HOST, host)));
    let ending = if parquet { "parquet" } else { "csv" };
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let name = format!("{}.{ending}", name.strip_suffix(".dta").unwrap_or(name));
    let name = utf8_percent_encode(&name, NON_ALPHANUMERIC);
    let disposition = HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{name}"));
    headers.extend(disposition.ok().map(|value| (header::CONTENT_DISPOSITION, value)));
    Ok(response)
}
