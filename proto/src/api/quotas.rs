//! Quotas and what is used of them, and the priority of a run.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a quota limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// Seats of one pool at a time.
    Seats,
    /// Runs at a time, over all pools.
    Running,
    /// Runs that wait for a seat.
    Queued,
    /// Bytes that the gateway keeps: output of ended runs, and uploaded files.
    Kept,
    /// Event streams and downloads at a time.
    Streams,
    /// New runs within a minute.
    Submissions,
}

impl QuotaKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Seats, Self::Running, Self::Queued, Self::Kept, Self::Streams, Self::Submissions];

    /// Its word in settings, answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seats => "seats",
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Kept => "kept",
            Self::Streams => "streams",
            Self::Submissions => "submissions",
        }
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QuotaKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// How much sooner or later than others a run is to have a seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After the others.
    Low,
    /// In its turn.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Priority {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// Whether this is the default.
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

impl FromStr for Priority {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Low, Self::Normal, Self::High].into_iter().find(|one| one.as_str() == text).ok_or(())
    }
}

/// The priority of a run, where it is not the normal one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriorityView {
    /// Which.
    pub level: Priority,
    /// Why, as its submitter says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// An operator gave it: it counts between principals too, and not only among the runs of its own.
    #[serde(default)]
    pub between_principals: bool,
}

/// What one quota allows, and what is used of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaUse {
    /// What it limits.
    pub kind: QuotaKind,
    /// Of seats: the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The limit; absent = there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What is used now.
    pub used: u64,
}

/// The quotas of one principal or one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaView {
    /// The principal, or the name of the group.
    pub name: String,
    /// It is the quota of a group, which its members use together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// What it limits, and how far.
    pub limits: Vec<QuotaUse>,
}

/// Answer to a question for quotas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaList {
    /// Those of principals first, then those of groups.
    pub quotas: Vec<QuotaView>,
}

/// The quota that refused a request, in the error's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaReached {
    /// Whose: a principal, or `group NAME`.
    pub of: String,
    /// What it limits.
    pub kind: QuotaKind,
    /// The limit.
    pub limit: u64,
    /// What is used now.
    pub used: u64,
}
