//! Who is behind a request: the authenticated identity, which is a [`Principal`], and what it may do.

use longhaul_proto::principal::Principal;
use serde::{Deserialize, Serialize};

use super::RequestOrigin;

/// The authenticated identity behind a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The principal that runs and keys belong to.
    pub principal: Principal,
    /// What it may do.
    pub scope: Scope,
    /// Where the request came from.
    pub origin: RequestOrigin,
}

/// What an identity may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Submit, and read and cancel its own runs.
    #[default]
    Use,
    /// Also everybody's runs, tokens, and declaring a host dead.
    Operate,
}

impl Scope {
    /// The scope's name in the API and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Operate => "operate",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        match word {
            "use" => Ok(Self::Use),
            "operate" => Ok(Self::Operate),
            other => Err(UnknownScope(other.to_owned())),
        }
    }
}

/// The text names no scope.
#[derive(Debug, thiserror::Error)]
#[error("unknown scope `{0}`: the scopes are `use` and `operate`")]
pub struct UnknownScope(String);

impl Identity {
    /// An identity with this scope.
    pub fn new(principal: Principal, scope: Scope) -> Self {
        Self { principal, scope, origin: RequestOrigin::default() }
    }

    /// The identity of one of the gateway's own tokens.
    pub fn local(subject: impl Into<String>, scope: Scope) -> Self {
        Self::new(Principal::local(subject), scope)
    }

    /// The same, of a request that came from there.
    #[must_use]
    pub fn from(self, origin: RequestOrigin) -> Self {
        Self { origin, ..self }
    }

    /// Whether it may act for other principals.
    pub fn may_operate(&self) -> bool {
        self.scope == Scope::Operate
    }
}
