//! What a run left in r(), e() and s().

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// Answer of `GET /api/v1/runs/{run}/results`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunResults {
    /// The run.
    pub run_id: RunId,
    /// Whether this is all that will ever be known; `false` = the run goes on, or they have not come from its host yet.
    pub complete: bool,
    /// Why there are none, in words; absent = there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// What it left; absent = there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
}

/// What a run left, in full precision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Results {
    /// The coefficients of the last estimation, in its order; empty = there was none.
    pub coefficients: Vec<Coefficient>,
    /// What `statistic` of a coefficient is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// Confidence level of the intervals, per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Where the coefficients are from: `r(table)`, or `e(b) and e(V)`; empty = there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// `r()`.
    pub r: StoredResults,
    /// `e()`.
    pub e: StoredResults,
    /// `s()`.
    pub s: StoredResults,
    /// What was there and is not in here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What else a person should know; empty = nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Of which distribution the test statistics are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// Student's.
    T,
    /// The normal one.
    Z,
}

/// One coefficient. Numbers that Stata calls missing are null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Coefficient {
    /// Its name, without the equation.
    pub term: String,
    /// Its equation; empty = it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub equation: String,
    /// The estimate.
    pub estimate: Option<f64>,
    /// Its standard error.
    pub std_error: Option<f64>,
    /// `t` or `z`.
    pub statistic: Option<f64>,
    /// Its two-sided p-value.
    pub p: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// `omitted` or `base`: Stata did not estimate it; absent = it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The estimate is exponentiated (an odds ratio and its kin).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exponentiated: bool,
}

/// One of r(), e(), s(). A number that is null is missing: `.`, or what [`StoredResults::missing`] names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct StoredResults {
    /// Numbers by name.
    pub scalars: BTreeMap<String, Option<f64>>,
    /// Texts by name.
    pub macros: BTreeMap<String, String>,
    /// Matrices by name.
    pub matrices: BTreeMap<String, Matrix>,
    /// Scalars that are missing by a letter: `.a` to `.z`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
}

/// A matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Matrix {
    /// Full names of its rows.
    pub rows: Vec<String>,
    /// Full names of its columns.
    pub columns: Vec<String>,
    /// Row after row; null = missing.
    pub values: Vec<Vec<Option<f64>>>,
    /// Cells that are missing by a letter, by `row,column` from 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
}

/// Something that was there and was not copied whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct LeftOut {
    /// As Stata names it: `e(V)`.
    pub name: String,
    /// What it is and why it was left out, in words.
    pub why: String,
}
