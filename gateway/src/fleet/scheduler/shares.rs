//! How many seats each principal and each group holds, against their quotas. The counts change as seats come and go, so that
//! a decision costs the same however many there are.

use std::collections::HashMap;

use longhaul_proto::{api::QuotaKind, faults};

use crate::{
    fleet::scheduler::seats::Taken,
    model::{Principal, WaitsFor},
    options::quotas::{Holder, QuotaRules},
};

/// The seats that are held, by whose quota they count against.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Holder, Held>);

/// The seats of one holder.
#[derive(Debug, Default)]
struct Held {
    all: u32,
    pools: HashMap<String, u32>,
}

/// A quota that has no room for another seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exhausted {
    /// Whose it is.
    pub(super) holder: Holder,
    /// The pool whose seats it limits; empty = it limits runs over all pools.
    pub(super) pool: String,
    /// How many are held, and may be.
    pub(super) used: u32,
    pub(super) limit: u64,
}

impl Shares {
    /// A principal took a seat of a pool.
    pub(super) fn take(&mut self, rules: &QuotaRules, principal: &Principal, pool: &str) {
        for holder in holders(rules, principal) {
            let held = self.0.entry(holder).or_default();
            held.all += 1;
            *held.pools.entry(pool.to_owned()).or_default() += 1;
        }
    }

    /// It gave one back.
    pub(super) fn give_back(&mut self, rules: &QuotaRules, principal: &Principal, pool: &str) {
        if faults::bug("shares_never_freed") {
            return;
        }
        for holder in holders(rules, principal) {
            let Some(held) = self.0.get_mut(&holder) else { continue };
            held.all = held.all.saturating_sub(1);
            if let Some(n) = held.pools.get_mut(pool) {
                *n = n.saturating_sub(1);
            }
            held.pools.retain(|_, n| *n > 0);
            if held.all == 0 {
                self.0.remove(&holder);
            }
        }
    }

    /// The first quota that leaves a principal no other seat of this pool.
    pub(super) fn exhausted(&self, rules: &QuotaRules, principal: &Principal, pool: &str) -> Option<Exhausted> {
        if rules.is_none() || faults::bug("quotas_of_seats_ignored") {
            return None;
        }
        rules.shares(principal).find_map(|share| {
            let (all, here) = self.used(&share.holder, pool);
            let full = |pool: &str, used: u32, limit: Option<u64>| {
                let limit = limit.filter(|limit| u64::from(used) >= *limit)?;
                Some(Exhausted { holder: share.holder.clone(), pool: pool.to_owned(), used, limit })
            };
            let running = full("", all, share.rule.limit(QuotaKind::Running));
            running.or_else(|| full(pool, here, share.rule.seats(pool)))
        })
    }

    /// The seats of a holder: all, and those of a pool.
    pub(super) fn used(&self, holder: &Holder, pool: &str) -> (u32, u32) {
        self.0.get(holder).map_or((0, 0), |held| (held.all, held.pools.get(pool).copied().unwrap_or_default()))
    }

    /// The pools of which a holder has seats, with how many.
    pub(super) fn pools(&self, holder: &Holder) -> impl Iterator<Item = (&String, u32)> {
        self.0.get(holder).into_iter().flat_map(|held| &held.pools).map(|(pool, n)| (pool, *n))
    }
}

/// Whose quotas a seat of this principal counts against.
fn holders(rules: &QuotaRules, principal: &Principal) -> Vec<Holder> {
    if principal.is_none() {
        return Vec::new();
    }
    let groups = rules.groups_of(principal).iter().map(|group| Holder::Group(group.name.clone()));
    std::iter::once(Holder::Principal(principal.clone())).chain(groups).collect()
}

impl Exhausted {
    /// What frees it, for those who wait.
    pub(super) fn words(&self) -> String {
        let Self { holder, pool, used, limit } = self;
        if pool.is_empty() {
            return format!(
                "{holder} has {used} of {limit} runs at once (quota `running`); the next begins when one of them ends"
            );
        }
        format!(
            "{holder} has {used} of {limit} seats of pool {pool} (quota `seats`); the next begins when one of these runs ends"
        )
    }

    /// What those wait for who are bound by it.
    pub(super) fn waits_for(&self) -> WaitsFor {
        WaitsFor::Quota(self.holder.to_string(), self.pool.clone())
    }

    /// Whether a lease counts against it.
    pub(super) fn counts(&self, rules: &QuotaRules, taken: &Taken) -> bool {
        (self.pool.is_empty() || self.pool == taken.at.pool) && holders(rules, &taken.principal).contains(&self.holder)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_group_is_full_when_its_members_are_together() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let quotas = map(&[("*", "seats=2"), ("@econ", "running=3")]);
        let rules = QuotaRules::read(&quotas, &map(&[("econ", "ana,ben")])).unwrap();
        let (ana, ben, eve) = (Principal::local("ana"), Principal::local("ben"), Principal::local("eve"));
        let mut shares = Shares::default();
        let words =
            |shares: &Shares, who: &Principal, pool: &str| shares.exhausted(&rules, who, pool).map(|full| full.words());
        shares.take(&rules, &ana, "lab");
        shares.take(&rules, &ana, "lab");
        assert!(words(&shares, &ana, "lab").unwrap().starts_with("ana has 2 of 2 seats of pool lab"));
        assert_eq!((words(&shares, &ana, "big"), words(&shares, &ben, "lab")), (None, None));
        shares.take(&rules, &ben, "big");
        assert!(words(&shares, &ben, "big").unwrap().starts_with("group econ has 3 of 3 runs at once"));
        assert_eq!(words(&shares, &eve, "lab"), None);
        for (who, pool) in [(&ana, "lab"), (&ana, "lab"), (&ben, "big")] {
            shares.give_back(&rules, who, pool);
        }
        assert!(shares.0.is_empty());
    }
}
