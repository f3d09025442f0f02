//! Limits on running that pools have: a default for runs that ask for none, and a largest that may be asked for.

use std::{collections::BTreeSet, time::Duration};

use longhaul_proto::{faults, wire, words};

use super::{Inner, SubmitError, check::Checked};
use crate::{
    Options,
    fleet::pool_name,
    model::{Asked, Detail, Need},
    options::timeouts::of_pool,
};

/// Refuses what no pool allows that could take the run. Where only some do, it waits for those.
///
/// # Errors
/// The largest limit, and where it holds.
pub(super) fn check(inner: &Inner, checked: &mut Checked) -> Result<(), SubmitError> {
    let all = &inner.options.pool_timeouts;
    let asked = Duration::from_millis(checked.submission.timeout_ms);
    if all.is_empty() || asked.is_zero() || faults::bug("pool_timeouts_ignored") {
        return Ok(());
    }
    let pools = pools(inner, &checked.need);
    let largest = pools.iter().map(|pool| (of_pool(all, pool).largest, pool));
    if let Some((Some(largest), pool)) = largest.max_by_key(|(largest, _)| largest.unwrap_or(Duration::MAX))
        && asked > largest
    {
        let where_ = if pool.is_empty() { "there".to_owned() } else { format!("in pool {pool}") };
        return Err(SubmitError::Refused(format!(
            "a timeout of {} is more than may be asked for {where_}, which is {}: ask for less, or leave it out; the operator of \
             this gateway can change it (`pool_timeouts` in its settings)",
            words::whole_duration(asked),
            words::whole_duration(largest)
        )));
    }
    checked.need.timeout_ms = checked.submission.timeout_ms;
    Ok(())
}

/// The pools of the known agents that could take the run; of none the one whose name is empty, which has the rule of all.
fn pools(inner: &Inner, need: &Need) -> BTreeSet<String> {
    let fits = |info: &wire::AgentInfo| {
        let asked = !info.name.is_empty() && need.asks_for(&info.name, |key| info.labels.get(key));
        asked && need.permits(&info.name, &pool_name(info))
    };
    let infos = inner.fleet.infos();
    let mut pools: BTreeSet<String> =
        infos.iter().map(|(info, _)| info).filter(|info| fits(info)).map(pool_name).collect();
    if pools.is_empty() {
        pools.insert(String::new());
    }
    pools
}

/// A run that waits for one pool gets that one's limit at once, so that its caller is told.
pub(super) fn foreseen(inner: &Inner, asked: &mut Asked) {
    if asked.timeout_ms > 0 || inner.options.pool_timeouts.is_empty() {
        return;
    }
    let pools = pools(inner, &asked.need);
    if let (1, Some(pool)) = (pools.len(), pools.first().filter(|pool| !pool.is_empty())) {
        give(&inner.options, pool, asked);
    }
}

/// A run that gets a seat gets the limit of its pool, if it asked for none.
pub(super) fn placed(options: &Options, detail: &mut Detail) {
    if let Some(pool) = detail.placement().map(|at| at.pool.clone()) {
        give(options, &pool, &mut detail.asked);
    }
}

fn give(options: &Options, pool: &str, asked: &mut Asked) {
    if (asked.timeout_ms > 0 && (asked.timeout_of.is_empty() || asked.timeout_of == pool))
        || faults::bug("pool_timeouts_ignored")
    {
        return;
    }
    let given = of_pool(&options.pool_timeouts, pool).given();
    asked.timeout_ms = given.map_or(0, |given| u64::try_from(given.as_millis()).unwrap_or(u64::MAX));
    asked.timeout_of = if given.is_some() { pool.to_owned() } else { String::new() };
}
