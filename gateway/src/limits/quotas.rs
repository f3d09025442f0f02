//! What one principal may hold at a time: streams, MCP calls, bytes of requests.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use longhaul_proto::{
    api::{QuotaKind, QuotaReached, QuotaView},
    faults,
    principal::Typed,
};

use crate::{
    model::{OverQuota, Principal},
    options::quotas::{Holder, QuotaRules},
};

/// When a caller is told to try again whose streams are too many, seconds.
const RETRY_AFTER: u32 = 5;

/// The quotas in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    used: Arc<Mutex<HashMap<Holder, Used>>>,
    rules: Arc<QuotaRules>,
    refused: Arc<AtomicU64>,
}

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
    holders: Vec<Holder>,
    kind: Kind,
}

impl Quotas {
    /// With what the settings allow principals and groups.
    pub fn new(rules: QuotaRules) -> Self {
        Self { rules: Arc::new(rules), ..Self::default() }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Holder, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a share; `None` when the principal would exceed `max`. The first is always given: a bound below the size
    /// of one body does not forbid bodies.
    pub fn take(&self, principal: &Principal, kind: Kind, max: usize) -> Option<Held> {
        let holder = Holder::Principal(principal.clone());
        let mut all = self.used();
        let (used, more) = all.entry(holder.clone()).or_default().of(kind);
        if *used > 0 && *used + more > max {
            return None;
        }
        *used += more;
        Some(Held { quotas: self.clone(), holders: vec![holder], kind })
    }

    /// Takes a share of the streams of a principal and of its groups, where their quotas leave one.
    ///
    /// # Errors
    /// The quota that is reached; `None` = it is `max`.
    pub fn take_stream(&self, principal: &Principal, max: usize) -> Result<Held, Option<OverQuota>> {
        let shares: Vec<_> = self.rules.shares(principal).map(|share| (share.holder, share.rule)).collect();
        let mut all = self.used();
        for (holder, rule) in shares.iter().filter(|_| !faults::bug("quotas_of_streams_ignored")) {
            let used = all.get(holder).map_or(0, |used| used.streams as u64);
            if let Some(limit) = rule.limit(QuotaKind::Streams).filter(|limit| used >= *limit) {
                let reached = QuotaReached { of: holder.to_string(), kind: QuotaKind::Streams, limit, used };
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Some(OverQuota { reached, retry_after: Some(RETRY_AFTER) }));
            }
        }
        let own = Holder::Principal(principal.clone());
        if all.get(&own).is_some_and(|used| used.streams > 0 && used.streams >= max) {
            return Err(None);
        }
        let holders: Vec<Holder> = shares.into_iter().map(|(holder, _)| holder).collect();
        for holder in &holders {
            all.entry(holder.clone()).or_default().streams += 1;
        }
        Ok(Held { quotas: self.clone(), holders, kind: Kind::Stream })
    }

    /// How many streams the holder of such a quota has open.
    pub fn streams(&self, quota: &QuotaView) -> u64 {
        let holder = match quota.group {
            true => Holder::Group(quota.name.clone()),
            false => Holder::Principal(Typed::read(&quota.name).alone()),
        };
        self.used().get(&holder).map_or(0, |used| used.streams as u64)
    }

    /// How many streams quotas have refused since this process started.
    pub fn refused_streams(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.quotas.used();
        for holder in &self.holders {
            let Some(used) = all.get_mut(holder) else { continue };
            let (count, less) = used.of(self.kind);
            *count = count.saturating_sub(less);
            if *used == Used::default() {
                all.remove(holder);
            }
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
        assert!(quotas.used().is_empty());
    }
}
