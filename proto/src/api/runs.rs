//! What is asked of runs besides one's own view of them: lists, ends, adoption, output as events.

use serde::{Deserialize, Serialize};

use super::RunView;
use crate::ids::RunId;

/// A page of runs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunList {
    /// The runs.
    pub runs: Vec<RunView>,
    /// Pass as `before` to get the next page; absent on the last.
    pub next: Option<RunId>,
}

/// Body of `POST /api/v1/runs/{run}/rerun`; it may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RerunBody {
    /// The caller's idempotency key: the same key is the same new run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Name and version of the client, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// A person has agreed to its risky commands, where a host asks for that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
}

/// Body of `POST /api/v1/runs/adopt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AdoptBody {
    /// The host whose unverified runs are given to their principals.
    pub all_from: String,
}

/// Answer to it: the runs, as they are now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Adopted {
    /// The runs.
    pub runs: Vec<RunView>,
}

/// How hard to end a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// Break, then terminate after 10 s, then kill after 5 s more.
    #[default]
    Break,
    /// Terminate, then kill after 5 s.
    Terminate,
    /// Kill at once.
    Kill,
}

/// Body of `POST /api/v1/runs/{id}/cancel`; may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CancelBody {
    /// How hard.
    pub mode: CancelMode,
}

/// One event of `…/events`: the bytes from `offset` to `next` as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutputEvent {
    /// First byte.
    pub offset: u64,
    /// Just after the last byte: ask from here next.
    pub next: u64,
    /// The text.
    pub text: String,
    /// Whether bytes that are not UTF-8 were replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lossy: bool,
}
