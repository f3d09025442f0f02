//! The limits on a listener's connections, and what happens at them.

use std::time::Duration;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections in all.
    pub max: usize,
    /// Connections of one address that are not proven yet.
    pub per_address: usize,
    /// Connections of one principal.
    pub per_principal: usize,
    /// From acceptance to a whole request head.
    pub head: Duration,
    /// From acceptance to a proof; `None` = no limit.
    pub proof: Option<Duration>,
}

/// Why a connection was refused or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// All places are taken by connections that have proved who they are.
    Full,
    /// It was closed for another of its address, or for another of all.
    Displaced,
    /// No whole request head, or no proof, in time.
    Slow,
    /// Its principal has enough of them.
    Principal,
    /// The process has no file descriptor left.
    Files,
    /// It came in the clear from another machine, where TLS is spoken.
    Clear,
    /// It came over the socket of one user from another user.
    User,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Full, Self::Displaced, Self::Slow, Self::Principal, Self::Files, Self::Clear, Self::User];

    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Displaced => "displaced",
            Self::Slow => "slow",
            Self::Principal => "principal",
            Self::Files => "files",
            Self::Clear => "clear",
            Self::User => "user",
        }
    }
}

/// There is no room for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} connections are open, which is as many as are allowed")]
pub struct Full {
    /// How many there are.
    pub count: usize,
}

/// A principal has enough connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} connections of this principal are open, which is as many as are allowed")]
pub struct TooMany {
    /// How many it has.
    pub count: usize,
}
