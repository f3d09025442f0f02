//! What a request needs of its token.

use longhaul_proto::faults;

use super::{Scope, Scopes};

/// What a request needs of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// No token: a probe.
    Nothing,
    /// A valid token, whatever it permits.
    Token,
    /// A token that permits one of these at least.
    Any(&'static [Scope]),
}

impl Permission {
    /// Reading runs, one's own at least.
    pub const READ: Self = Self::Any(&[Scope::ReadOwn, Scope::ReadAll]);
    /// Ending runs, one's own at least.
    pub const CANCEL: Self = Self::Any(&[Scope::CancelOwn, Scope::CancelAll]);
    /// Starting runs.
    pub const SUBMIT: Self = Self::Any(&[Scope::Submit]);
    /// Administering the gateway.
    pub const OPERATE: Self = Self::Any(&[Scope::Operate]);

    /// Whether these scopes are enough.
    pub fn met_by(self, scopes: Scopes) -> bool {
        match self {
            Self::Nothing | Self::Token => true,
            Self::Any(any) => scopes.may_any(any) || faults::bug("scopes_ignored"),
        }
    }

    /// The scopes of which one is needed, in words: `submit`, or `read_own` or `read_all`.
    pub fn words(self) -> String {
        let scopes = match self {
            Self::Nothing | Self::Token => &[][..],
            Self::Any(scopes) => scopes,
        };
        scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect::<Vec<_>>().join(" or ")
    }
}
