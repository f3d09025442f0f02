//! What one principal may hold at a time: streams, MCP calls, bytes of requests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::model::Principal;

/// The quotas in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<Mutex<HashMap<Principal, Used>>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    streams: usize,
    calls: usize,
    body: usize,
}

/// A kind of quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event stream or a download.
    Stream,
    /// An MCP call.
    Call,
    /// So many units of a request's body.
    Body(usize),
}

impl Used {
    fn of(&mut self, kind: Kind) -> (&mut usize, usize) {
        match kind {
            Kind::Stream => (&mut self.streams, 1),
            Kind::Call => (&mut self.calls, 1),
            Kind::Body(units) => (&mut self.body, units),
        }
    }
}

/// A share of a quota, for as long as it is held.
#[derive(Debug)]
pub struct Held {
    quotas: Quotas,
    principal: Principal,
    kind: Kind,
}

impl Quotas {
    /// Takes a share; `None` when the principal would exceed `max`. The first is always given: a bound below the size
    /// of one body does not forbid bodies.
    pub fn take(&self, principal: &Principal, kind: Kind, max: usize) -> Option<Held> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (used, more) = all.entry(principal.clone()).or_default().of(kind);
        if *used > 0 && *used + more > max {
            return None;
        }
        *used += more;
        Some(Held { quotas: self.clone(), principal: principal.clone(), kind })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.quotas.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(used) = all.get_mut(&self.principal) else { return };
        let (count, less) = used.of(self.kind);
        *count -= less;
        if *used == Used::default() {
            all.remove(&self.principal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_of_another_issuer_is_another_principal() {
        let (quotas, mine, theirs) = (Quotas::default(), Principal::local("a"), Principal::new("idp", "a"));
        let _held = quotas.take(&mine, Kind::Stream, 1).unwrap();
        assert!(quotas.take(&mine, Kind::Stream, 1).is_none() && quotas.take(&theirs, Kind::Stream, 1).is_some());
    }

    #[test]
    fn each_kind_of_each_principal_by_itself() {
        let (quotas, a, b) = (Quotas::default(), Principal::local("a"), Principal::local("b"));
        let held = [quotas.take(&a, Kind::Stream, 2), quotas.take(&a, Kind::Stream, 2)];
        assert!(held.iter().all(Option::is_some) && quotas.take(&a, Kind::Stream, 2).is_none());
        assert!(quotas.take(&b, Kind::Stream, 2).is_some() && quotas.take(&a, Kind::Call, 2).is_some());
        let large = quotas.take(&a, Kind::Body(9), 4);
        assert!(large.is_some() && quotas.take(&a, Kind::Body(1), 4).is_none());
        drop((held, large));
        assert!(quotas.0.lock().unwrap().is_empty());
    }
}
