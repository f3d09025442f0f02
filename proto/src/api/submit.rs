//! A submission and its answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Priority, RunView};
use crate::wire;

/// A request to run something: exactly one of `path`, `text` (or `text_sha256`) and `bundle`; or `path` with a text, which
/// means "the path where an agent has the same bytes, else the text".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SubmitRequest {
    /// A do-file on the Stata host, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The code itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Hex SHA-256 of the code, which the caller uploaded as a blob; instead of `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_sha256: Option<String>,
    /// A do-file with the files it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleRequest>,
    /// Hex SHA-256 of the code the caller means; other bytes on the host are then an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Arguments of the do-file (`` `1' ``, `` `2' ``, …).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Absolute folder on the host where the code runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Limit from the moment it runs, seconds. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// Limit on waiting, seconds. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<f64>,
    /// The agent it must run on, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Labels the agent must carry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `stata` or `standin`, where the caller requires one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Let a `profile.do` in the working directory run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub project_profile: bool,
    /// `false`: what the run leaves in r(), e() and s() is not gathered. It is by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<bool>,
    /// Most cores that its Stata may use; never more than its host allows. As many as that by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// The caller's idempotency key: the same key is the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Run it even though an equal run is unfinished or its end was not delivered yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// A person has agreed to its risky commands, where a host asks for that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirm: bool,
    /// Name and version of the client, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When another attempt may be made; `if_not_started` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What the caller calls the run, in a line. It decides nothing: equal requests under two names are equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the caller notes about it, in a line; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Of `text`: the name of the file that it was read from, without its folder; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Sooner or later than the caller's other runs; `normal` when absent. `high` needs a reason, and the right to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Why, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_reason: Option<String>,
    /// Who is told of its end, besides the caller's own receivers: `https://HOST/PATH` or `mailto:ADDRESS`, as the gateway
    /// allows them. It decides nothing: where an earlier run answers that has not ended, they are told of its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
}

/// When another attempt of a run may be made. Attempts never overlap: a new one takes proof that the one before is
/// over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// One attempt, even when it never started.
    Never,
    /// When it is proved that the attempt never started.
    #[default]
    IfNotStarted,
    /// Also when it died by its host's restart or by a signal that Longhaul did not send.
    IfProvenDead,
}

impl Retry {
    /// The value as it goes over the wire.
    pub fn to_wire(self) -> wire::RetryPolicy {
        match self {
            Self::Never => wire::RetryPolicy::Never,
            Self::IfNotStarted => wire::RetryPolicy::IfNotStarted,
            Self::IfProvenDead => wire::RetryPolicy::IfProvenDead,
        }
    }

    /// From the wire; an unknown value is the default.
    pub fn from_wire(value: i32) -> Self {
        match wire::RetryPolicy::try_from(value) {
            Ok(wire::RetryPolicy::Never) => Self::Never,
            Ok(wire::RetryPolicy::IfProvenDead) => Self::IfProvenDead,
            _ => Self::IfNotStarted,
        }
    }

    /// Whether this is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A bundle in a request; at most 32 MiB in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BundleRequest {
    /// The do-file to run, one of `files`.
    pub entry: String,
    /// The files, by path relative to the bundle.
    pub files: Vec<BundleFileRequest>,
}

/// One file of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BundleFileRequest {
    /// Relative path without `..`.
    pub path: String,
    /// The bytes in standard base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Hex SHA-256 of the bytes, which the caller uploaded as a blob; instead of `content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Permission bits of the file on the host, such as 448 (0700) for one that is executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

impl BundleFileRequest {
    /// A file whose bytes are in the request.
    pub fn inline(path: impl Into<String>, base64: impl Into<String>) -> Self {
        Self { path: path.into(), content: Some(base64.into()), ..Self::default() }
    }

    /// A file that was uploaded as a blob.
    pub fn stored(path: impl Into<String>, sha256: impl Into<String>) -> Self {
        Self { path: path.into(), sha256: Some(sha256.into()), ..Self::default() }
    }
}

/// Answer to a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Submitted {
    /// The run, new or joined.
    #[serde(flatten)]
    pub run: RunView,
    /// Why the answer is an earlier run instead of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
}

/// Why a submission was answered with an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Joined {
    /// The same idempotency key, given on purpose: the same run.
    Key,
    /// The same call, by the client's own id of it.
    Call,
    /// An equal run is unfinished.
    Unfinished,
    /// An equal run ended recently by its own verdict, and its end was not delivered.
    Undelivered,
}
