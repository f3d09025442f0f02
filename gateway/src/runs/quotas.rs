//! Quotas of those who submit: the room that a new run needs, the priority that it may have, and what is used.

use std::collections::BTreeMap;

use longhaul_proto::{
    api::{Priority, QuotaKind, QuotaList, QuotaUse, QuotaView},
    faults, visible,
};

use super::{ControlError, Inner, Runs, SubmitError, check::Checked};
use crate::{
    ledger::{LedgerError, Room, Usage, quotas::MINUTE},
    model::{Identity, Principal, Urgency},
    options::quotas::{Holder, Share},
};

/// Most runs of a principal that are looked at to count those of the last minute, where no quota says how many matter.
const LOOKED_AT: u32 = 1_000;

/// The quotas that must have room for another run.
pub(super) fn rooms(inner: &Inner, who: &Identity) -> Vec<Room> {
    let shares = inner.options.quotas.shares(&who.principal).map(|share| Room {
        of: share.holder.to_string(),
        queued: share.rule.limit(QuotaKind::Queued),
        kept: share.rule.limit(QuotaKind::Kept),
        submissions: share.rule.limit(QuotaKind::Submissions),
        members: share.members(),
        now_ms: inner.wall_clock.now_ms(),
    });
    shares.filter(Room::is_bounded).collect()
}

/// The priority that a request asks for, if its caller may give it: lower than the normal one always, a higher one by a quota
/// or as an operator. What an operator gives counts between principals, too.
///
/// # Errors
/// The caller may not, or gives no reason.
pub(super) fn urgency(inner: &Inner, who: &Identity, checked: &Checked) -> Result<Urgency, SubmitError> {
    let (priority, reason) = (checked.priority, checked.priority_reason.as_str());
    if priority == Priority::Normal {
        return Ok(Urgency::default());
    }
    let operator = who.may_operate();
    if priority > Priority::Normal {
        let raises = operator || inner.options.quotas.of(&who.principal).raises_to(priority);
        if !raises && !faults::bug("anybody_raises") {
            return Err(SubmitError::Forbidden(format!(
                "priority {} needs a token of scope `operate`, or `priority={}` in the quota of {}: leave it out, or ask the \
                 operator of this gateway",
                priority.as_str(),
                priority.as_str(),
                who.principal
            )));
        }
        if reason.is_empty() {
            return Err(SubmitError::Malformed(
                "priority high needs a reason: pass priority_reason (`--reason`), such as \"deadline on Friday\""
                    .to_owned(),
            ));
        }
    }
    Ok(Urgency { priority, reason: visible::line(reason).into_owned(), between_principals: operator })
}

impl Runs {
    /// The quotas of the caller and of its groups with what is used; with `all` those of everybody who is named or has
    /// unfinished runs. Streams are counted elsewhere.
    ///
    /// # Errors
    /// `all` is for operators; or the ledger could not be read.
    pub async fn quotas(&self, who: &Identity, all: bool) -> Result<QuotaList, ControlError> {
        if !all {
            return self.used(self.0.options.quotas.shares(&who.principal).collect()).await;
        }
        if !who.may_operate() {
            return Err(ControlError::Forbidden(
                "the quotas of all need a token with scope `operate`; without `--all` yours are shown".to_owned(),
            ));
        }
        let rules = &self.0.options.quotas;
        let mut others = self.0.registry.principals();
        others.retain(|one| !one.is_none() && !rules.all().any(|share| share.holder == Holder::Principal(one.clone())));
        let others: Vec<Principal> = others.into_iter().collect();
        let others = others.iter().filter_map(|one| rules.shares(one).next());
        let mut shares: Vec<Share<'_>> = others.chain(rules.all()).collect();
        shares.sort_by(|a, b| a.holder.cmp(&b.holder));
        self.used(shares).await
    }

    /// The quotas of all who are named, for the numbers of the gateway: as many as its settings name.
    ///
    /// # Errors
    /// The ledger could not be read.
    pub async fn named_quotas(&self) -> Result<QuotaList, ControlError> {
        self.used(self.0.options.quotas.all().collect()).await
    }

    async fn used(&self, shares: Vec<Share<'_>>) -> Result<QuotaList, ControlError> {
        let holders = shares.iter().map(|share| share.holder.clone()).collect();
        let held = self.0.fleet.held(holders).await;
        let since_ms = self.0.wall_clock.now_ms().saturating_sub(MINUTE);
        let mut quotas = Vec::with_capacity(shares.len());
        for (at, share) in shares.into_iter().enumerate() {
            let used = self.0.ledger.usage(share.members(), since_ms, LOOKED_AT).await;
            let used = used.map_err(|error: LedgerError| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the ledger failed under a question for quotas"
                );
                ControlError::Find(super::FindError::Ledger(error))
            })?;
            quotas.push(view(&share, &used, held.get(at)));
        }
        Ok(QuotaList { quotas })
    }
}

fn view(share: &Share<'_>, used: &Usage, held: Option<&BTreeMap<String, u32>>) -> QuotaView {
    let none = BTreeMap::new();
    let held = held.unwrap_or(&none);
    let mut limits = Vec::new();
    let pools: std::collections::BTreeSet<&String> = share.rule.pools().chain(held.keys()).collect();
    for pool in &pools {
        let used = held.get(*pool).copied().unwrap_or_default().into();
        limits.push(QuotaUse {
            kind: QuotaKind::Seats,
            pool: Some((*pool).clone()),
            limit: share.rule.seats(pool),
            used,
        });
    }
    let limit = share.rule.limit(QuotaKind::Seats);
    if pools.is_empty() || limit.is_some() {
        // Of any pool that is not named above.
        limits.push(QuotaUse { kind: QuotaKind::Seats, pool: None, limit, used: 0 });
    }
    let running = held.values().map(|n| u64::from(*n)).sum();
    for (kind, used) in [
        (QuotaKind::Running, running),
        (QuotaKind::Queued, used.queued),
        (QuotaKind::Kept, used.kept),
        (QuotaKind::Streams, 0),
        (QuotaKind::Submissions, used.recorded_ms.len() as u64),
    ] {
        limits.push(QuotaUse { kind, pool: None, limit: share.rule.limit(kind), used });
    }
    let (name, group) = match &share.holder {
        Holder::Principal(principal) => (principal.to_string(), false),
        Holder::Group(name) => (name.clone(), true),
    };
    QuotaView { name, group, limits }
}
