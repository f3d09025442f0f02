//! The files that a run left.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// Answer of `GET /api/v1/runs/{run}/files`: the files that a run created or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunFiles {
    /// The run.
    pub run_id: RunId,
    /// Whether digests and copies are here, or never will be; `false` = the run goes on, or its host has not been asked yet.
    pub complete: bool,
    /// Why these may not be all, or what is not known, in words; absent = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The host that the run was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where the run ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Ids of runs that ran in the same folder meanwhile: the files may be theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_with: Vec<String>,
    /// In the order of their paths.
    pub files: Vec<RunFileView>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunFileView {
    /// Its path below the run's folder; the whole path of a file elsewhere. By this name it is fetched.
    pub name: String,
    /// Where it is on the host.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its type, by its name.
    pub media_type: String,
    /// The SHA-256 of its content; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When it was last written to; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<String>,
    /// Whether the run created it, as far as is known; `false` = it was there before, and the run changed it.
    pub created: bool,
    /// Whether a copy is here, which stays as long as the record; `false` = it is on its host alone.
    pub kept: bool,
    /// Why its digest is not known or its copy is not here, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// It was written to after the run had ended: these may not be the run's bytes.
    #[serde(default)]
    pub perhaps_changed: bool,
}
