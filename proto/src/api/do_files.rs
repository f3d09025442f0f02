//! The do-files that a run entered.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// Answer of `GET /api/v1/runs/{run}/do-files`: the do-files that a run entered, as they were then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunDoFiles {
    /// The run.
    pub run_id: RunId,
    /// Whether this is all that will ever be known; `false` = the run goes on, or they have not come from its host yet.
    pub complete: bool,
    /// Why these may not be all, or not what ran, in words; absent = they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// In the order in which the run first entered them. A file that it entered with two contents is two.
    pub do_files: Vec<DoFileView>,
}

/// One content of a do-file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DoFileView {
    /// Which one it was, from 1.
    pub order: u32,
    /// Where it was on the host; of code given as text `code.do`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its content, by which the bytes are fetched; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether its bytes are kept.
    pub kept: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// It was read late, and had been changed since the run started: what ran may have been something else.
    #[serde(default)]
    pub perhaps_changed: bool,
}
