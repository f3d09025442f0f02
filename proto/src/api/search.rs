//! What a search in an output found.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// Answer of `GET /api/v1/runs/{run}/output/search`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchView {
    /// The run.
    pub run_id: RunId,
    /// Offset of the first byte that was looked at.
    pub from: u64,
    /// Offset behind the last one.
    pub to: u64,
    /// Lines that match, between these two.
    pub matches: u64,
    /// These lines, and those around them, in order.
    pub lines: Vec<FoundLine>,
    /// There is more to look at: pass this as `cursor` with the same question. Absent = all that there is now was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the run has ended and no more output comes.
    pub complete: bool,
}

/// A line that was found, or that stands near one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundLine {
    /// Which line of the view it is, from 1. One of more than 64 KiB counts as several.
    pub line: u64,
    /// Offset of its first byte.
    pub offset: u64,
    /// Its text, without characters that a terminal would obey; cut after 400 of them.
    pub text: String,
    /// It matches; `false` = it is near one that does.
    pub matches: bool,
}
