//! Who is behind a request: the authenticated identity, which is a [`Principal`], and what it may do.

use std::sync::Arc;

use longhaul_proto::principal::Principal;

use super::{Need, RequestOrigin, Scope, Scopes, TokenLimits};

/// The authenticated identity behind a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The principal that runs and keys belong to.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Scopes,
    /// Where it may do it.
    pub limits: Arc<TokenLimits>,
    /// Where the request came from.
    pub origin: RequestOrigin,
}

impl Identity {
    /// An identity with these scopes.
    pub fn new(principal: Principal, scopes: Scopes) -> Self {
        Self { principal, scopes, limits: Arc::default(), origin: RequestOrigin::default() }
    }

    /// The identity of one of the gateway's own tokens.
    pub fn local(subject: impl Into<String>, scopes: Scopes) -> Self {
        Self::new(Principal::local(subject), scopes)
    }

    /// The same, of a request that came from there.
    #[must_use]
    pub fn from(self, origin: RequestOrigin) -> Self {
        Self { origin, ..self }
    }

    /// Whether it may administer the gateway.
    pub fn may_operate(&self) -> bool {
        self.scopes.may(Scope::Operate)
    }

    /// Whether it may see a run of this principal; a run without one is unverified, and only for those who read all.
    pub fn may_read(&self, owner: &Principal) -> bool {
        self.scopes.may(Scope::ReadAll) || (self.scopes.may(Scope::ReadOwn) && self.owns(owner))
    }

    /// Whether it may end a run of this principal.
    pub fn may_cancel(&self, owner: &Principal) -> bool {
        self.scopes.may(Scope::CancelAll) || (self.scopes.may(Scope::CancelOwn) && self.owns(owner))
    }

    fn owns(&self, owner: &Principal) -> bool {
        !owner.is_none() && self.principal == *owner
    }

    /// What it requires of an agent, for one that is named or any.
    pub fn need(&self, host: &str) -> Need {
        self.narrow(Need { host: host.to_owned(), ..Need::default() })
    }

    /// `need` within the limits of its token.
    pub fn narrow(&self, need: Need) -> Need {
        let TokenLimits { hosts, pools, roots } = (*self.limits).clone();
        Need { only_hosts: hosts, only_pools: pools, only_roots: roots, ..need }
    }
}
