//! What a run was made with and from, for who wants to make it again.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// Answer of `GET /api/v1/runs/{run}/record`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunRecord {
    /// The run.
    pub run_id: RunId,
    /// Whether this is all that will ever be known; `false` = the run goes on, or its host has not been asked yet.
    pub complete: bool,
    /// Why there is nothing, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// What is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<MadeWith>,
    /// The packages that were installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
    /// Why the packages are not known, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages_why_not: Option<String>,
}

/// Stata, seeds and data of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct MadeWith {
    /// What Stata said of itself.
    pub stata: StataFacts,
    /// Commands in the log that set what random numbers begin with (`set seed 12345`), in their order, each once.
    pub seeds: Vec<String>,
    /// The data files that the run's commands name, in the order of the log.
    pub data: Vec<DataFileView>,
    /// What is not in this list, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_note: Option<String>,
}

/// What Stata said of itself. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct StataFacts {
    /// `c(stata_version)`, or of the banner: `18.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `c(edition_real)`, or of the banner: `MP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// `c(born_date)`: of the executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub born: Option<String>,
    /// `c(processors)`: those that it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processors: Option<u32>,
    /// `c(processors_lic)`: those that its licence allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors_licensed: Option<u32>,
    /// `c(sysdir_plus)`: where packages are installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plus: Option<String>,
    /// `c(rng_current)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rng: Option<String>,
    /// The beginning of `c(rngstate)` when the code had come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rng_state: Option<String>,
    /// The SHA-256 of all of it: two runs with equal ones drew the same numbers up to their ends, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rng_state_sha256: Option<String>,
    /// The beginning of `c(sortrngstate)`, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_rng_state: Option<String>,
    /// Why this is from the log's banner alone, in words; absent = Stata told it when the code had come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not_all: Option<String>,
}

/// A data file that a command names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct DataFileView {
    /// Where it is on the host, or its address.
    pub path: String,
    /// A command reads it.
    pub read: bool,
    /// A command writes it.
    pub written: bool,
    /// Its length when it was looked at, after the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The SHA-256 of its content at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// It was written to since the run read it or wrote it: this is not, or not surely, what the run had.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub perhaps_changed: bool,
    /// Why its digest is not known, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// The packages that were installed for the host's user, from Stata's own list (`stata.trk`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Packages {
    /// The folder that they were installed into.
    pub folder: String,
    /// In the order of the list.
    pub packages: Vec<PackageView>,
    /// What is not here, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct PackageView {
    /// Its name.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// The day on which its author says that it was distributed, as `20230625`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distributed: Option<String>,
    /// The day on which it was installed, as Stata noted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// A digest of all its files: SHA-256 of the lines `SHA256  PATH` of each, in their order; absent = not all could be
    /// read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its files; empty where there are too many to keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PackageFileView>,
}

/// A file of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct PackageFileView {
    /// Below the folder.
    pub path: String,
    /// The SHA-256 of its content; absent = it is not there or cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}
