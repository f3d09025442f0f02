//! The same operations on the model and on SQLite: the same answers, and every step is one of the state machine.

use longhaul_gateway::{
    ledger::{
        CALL, Dedupe, LeaseChange, LeaseHolder, LeaseRecord, Ledger, LedgerError, ListQuery, MirrorCopy, NewRun,
        Transition, memory::MemoryLedger, sqlite::SqliteLedger,
    },
    model::{Asked, Attempt, CancelIntent, Death, Detail, OutputLengths, Owner, Placement, Principal, Record},
};
use longhaul_proto::{
    api::CancelMode,
    ids::{Ids, RunId},
    state::{Cause, RunState},
    tasks::Tasks,
    wire,
};

use super::{each, pick};
use crate::chance::Chance;

fn new_run(run: RunId, chance: &mut Chance) -> NewRun {
    let principal = Principal::new(*pick(chance, &["local", "idp"]), *pick(chance, &["ann", "bob"]));
    NewRun {
        record: Record::queued(
            run,
            principal.clone(),
            i64::try_from(1_000 + chance.below(100)).unwrap(),
            Asked { source: "text".to_owned(), ..Asked::default() },
        ),
        submission: wire::Submission {
            run_id: run.to_string(),
            principal: principal.subject().to_owned(),
            principal_issuer: principal.wire_issuer().to_owned(),
            ..Default::default()
        },
        key: (chance.below(3) == 0).then(|| (format!("k{}", chance.below(3)), format!("b{}", chance.below(2)))),
        dedupe: Dedupe {
            shape: format!("s{}", chance.below(4)),
            code: (*pick(chance, &["", "1", "2"])).to_owned(),
            join_since_ms: (chance.below(2) == 0).then(|| i64::try_from(chance.below(3_000)).unwrap()),
            call: (chance.below(3) == 0).then(|| format!("{CALL}c{}", chance.below(3))),
            call_since_ms: i64::try_from(chance.below(3_000)).unwrap(),
            not: Vec::new(),
            only_join: chance.below(4) == 0,
            rooms: Vec::new(),
        },
        lease: LeaseChange::Keep,
        blobs: Vec::new(),
        receivers: Vec::new(),
    }
}

/// The rest of a record after a step, with anything that may be recorded of an attempt and an end.
fn changed(mut detail: Detail, to: RunState, cause: Cause, n: u64, chance: &mut Chance) -> Detail {
    let text = |chance: &mut Chance| (*pick(chance, &["", "a", "b"])).to_owned();
    let output = OutputLengths { log: n, console: chance.below(9) };
    if to == RunState::Starting {
        let at = Placement { agent_id: "a".to_owned(), host: text(chance), pool: text(chance) };
        detail.give(Attempt::after(detail.attempt()), at);
    }
    if let Some(attempt) = detail.present_mut() {
        attempt.execution.running_ms = i64::try_from(chance.below(3)).unwrap();
        attempt.execution.engine = text(chance);
        attempt.execution.working_dir = text(chance);
        attempt.execution.code_sha256 = text(chance);
        attempt.recorded = (chance.below(2) == 0).then_some(output);
        attempt.log_sha256 = text(chance);
    }
    if cause == Cause::ProvenDead {
        if let Some(attempt) = detail.present_mut() {
            attempt.recorded = Some(output);
        }
        detail.attempt_died(Death { how: text(chance), complete: chance.below(2) == 0 }, output);
    }
    if chance.below(2) == 0 {
        detail.end.complete = chance.below(2) == 0;
        detail.end.message = text(chance);
    }
    detail
}

fn printed<T: std::fmt::Debug>(answer: Result<T, LedgerError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

async fn both<T: std::fmt::Debug>(
    what: &str,
    model: impl Future<Output = Result<T, LedgerError>>,
    sqlite: impl Future<Output = Result<T, LedgerError>>,
) -> Result<String, String> {
    let (model, sqlite) = (printed(model.await), printed(sqlite.await));
    if model == sqlite { Ok(model) } else { Err(format!("{what}: the model says {model}, SQLite {sqlite}")) }
}

/// The same steps in both, then the same questions.
async fn story(chance: &mut Chance, a: &dyn Ledger, b: &dyn Ledger, ids: &Ids, steps: u64) -> Result<(), String> {
    let mut runs: Vec<RunId> = Vec::new();
    for n in 0..steps {
        let run = if runs.is_empty() || chance.below(20) == 0 { ids.run() } else { *pick(chance, &runs) };
        match chance.below(12) {
            0 | 1 => {
                let new = new_run(ids.run(), chance);
                runs.push(new.record.run);
                both("insert", a.insert(new.clone()), b.insert(new)).await?;
            }
            2..=7 => transition(chance, a, b, run, n).await?,
            which => change(chance, a, b, run, n, which).await?,
        }
        both("get", a.get(run), b.get(run)).await?;
        if chance.below(10) == 0 {
            both("contest", a.contest(run, format!("w{n}")), b.contest(run, format!("w{n}"))).await?;
        }
    }
    many_at_once(chance, a, b, ids, &runs).await?;
    questions(a, b, &runs).await
}

/// The ledger's time at a step.
fn at(step: u64) -> i64 {
    i64::try_from(1_000 + step * 20).unwrap()
}

/// A step of the state machine, which may be one that it does not have.
async fn transition(chance: &mut Chance, a: &dyn Ledger, b: &dyn Ledger, run: RunId, n: u64) -> Result<(), String> {
    let known = a.get(run).await.map_err(|e| e.to_string())?;
    let truth = known.as_ref().map(|r| (r.state, r.attempt()));
    let (from, from_attempt) = match truth {
        Some(truth) if chance.below(4) > 0 => truth,
        _ => (*pick(chance, RunState::ALL), Attempt::known(u32::try_from(chance.below(3)).unwrap())),
    };
    let to = *pick(chance, RunState::ALL);
    let cause = *pick(chance, Cause::ALL);
    let lease = *pick(chance, &[LeaseChange::Take, LeaseChange::Keep, LeaseChange::Free]);
    let owner = known_owner(known.as_ref(), chance);
    let owned = known.as_ref().is_some_and(|record| record.owner.epoch == owner.epoch);
    let detail = changed(known.map(|r| r.detail).unwrap_or_default(), to, cause, n, chance);
    let step = Transition { run, from, from_attempt, to, cause, at_ms: at(n), detail, lease, owner, told: None };
    let answer = both("transition", a.transition(step.clone()), b.transition(step)).await?;
    let legal = from.may_become_by(to, cause) && truth == Some((from, from_attempt)) && owned;
    if (answer == "()") != legal {
        return Err(format!("{truth:?}: {from}/{from_attempt:?} -> {to} answered {answer}"));
    }
    Ok(())
}

/// The owner that a run has, or at times another.
fn known_owner(known: Option<&Record>, chance: &mut Chance) -> Owner {
    let owner = known.map(|record| record.owner.clone()).unwrap_or_default();
    if chance.below(12) == 0 { Owner { epoch: owner.epoch.saturating_sub(1), ..owner } } else { owner }
}

/// Any other write.
async fn change(
    chance: &mut Chance,
    a: &dyn Ledger,
    b: &dyn Ledger,
    run: RunId,
    n: u64,
    which: u64,
) -> Result<(), String> {
    let now = at(n);
    match which {
        8 => {
            let mode = *pick(chance, &[CancelMode::Break, CancelMode::Terminate, CancelMode::Kill]);
            let intent = CancelIntent { by: format!("p{}", chance.below(2)), at_ms: now, mode };
            both("request_cancel", a.request_cancel(run, intent.clone()), b.request_cancel(run, intent)).await?;
        }
        9 if chance.below(2) == 0 => {
            drop(both("mark_shown", a.mark_shown(vec![run], now), b.mark_shown(vec![run], now)).await?)
        }
        9 => {
            let who = Principal::local(format!("p{}", chance.below(2)));
            let key = (format!("k{}", chance.below(3)), "b".to_owned());
            both("name_run", a.name_run(who.clone(), key.clone(), run), b.name_run(who.clone(), key.clone(), run))
                .await?;
        }
        10 if chance.below(4) == 0 => {
            drop(both("take_over", a.take_over(format!("g{n}")), b.take_over(format!("g{n}"))).await?);
        }
        10 if chance.below(2) == 0 => lease(chance, a, b, run, now).await?,
        10 => drop(both("spool_gone", a.spool_gone(run, None), b.spool_gone(run, None)).await?),
        _ if chance.below(3) == 0 => {
            let before = now - i64::try_from(chance.below(600)).unwrap();
            let here: Vec<String> = pick(chance, &[vec![], vec!["a".to_owned()]]).clone();
            // Of runs that ended at the same moment either may be removed first; so all of them are.
            both("sweep", a.sweep(before, 1_000, here.clone(), now), b.sweep(before, 1_000, here, now)).await?;
        }
        _ => {}
    }
    Ok(())
}

/// A lease is taken or freed without a step.
async fn lease(chance: &mut Chance, a: &dyn Ledger, b: &dyn Ledger, run: RunId, now: i64) -> Result<(), String> {
    let known = a.get(run).await.map_err(|e| e.to_string())?;
    let (owner, attempt) = (known_owner(known.as_ref(), chance), known.and_then(|record| record.attempt()));
    if chance.below(2) == 0 {
        let freed = (a.free_lease(run, attempt, owner.clone()), b.free_lease(run, attempt, owner));
        return both("free_lease", freed.0, freed.1).await.map(drop);
    }
    let at = Placement { agent_id: "a".to_owned(), host: "h".to_owned(), pool: "p".to_owned() };
    let lease = LeaseRecord { holder: LeaseHolder::run(run), attempt, at, since_ms: now };
    let taken = (a.take_lease(lease.clone(), owner.clone()), b.take_lease(lease, owner));
    both("take_lease", taken.0, taken.1).await.map(drop)
}

/// All in one call, in any order, some twice and some unknown, must equal one call for each.
async fn many_at_once(
    chance: &mut Chance,
    a: &dyn Ledger,
    b: &dyn Ledger,
    ids: &Ids,
    runs: &[RunId],
) -> Result<(), String> {
    let mut names: Vec<RunId> = runs.iter().copied().filter(|_| chance.below(3) > 0).collect();
    names.push(ids.run());
    names.extend(runs.first());
    if chance.below(2) == 0 {
        names.reverse();
    }
    both("get_many", a.get_many(&names), b.get_many(&names)).await?;
    let mut each = std::collections::BTreeMap::new();
    for run in &names {
        each.extend(a.get(*run).await.map_err(|e| e.to_string())?.map(|record| (*run, record)));
    }
    let many = a.get_many(&names).await.map_err(|e| e.to_string())?;
    if many != each.into_values().collect::<Vec<_>>() {
        return Err("many are not told as each".to_owned());
    }
    Ok(())
}

/// The runs in the order of their latest changes; how these are numbered is each ledger's own.
async fn changed_runs(ledger: &dyn Ledger) -> Result<Vec<RunId>, LedgerError> {
    let changes = ledger.changes_since(0, 1_000).await?;
    Ok(changes.into_iter().map(|change| change.run).collect())
}

/// What readers ask.
async fn questions(a: &dyn Ledger, b: &dyn Ledger, runs: &[RunId]) -> Result<(), String> {
    for run in runs {
        both("get", a.get(*run), b.get(*run)).await?;
        both("history", a.history(*run), b.history(*run)).await?;
        both("submission", a.submission(*run), b.submission(*run)).await?;
        both("attempts", a.attempts(*run), b.attempts(*run)).await?;
    }
    both("unfinished", a.unfinished(), b.unfinished()).await?;
    for copy in [MirrorCopy::Whole, MirrorCopy::Incomplete] {
        let held = (a.spools_held("a", i64::MAX, copy, 1_000), b.spools_held("a", i64::MAX, copy, 1_000));
        both("spools_held", held.0, held.1).await?;
    }
    both("leases", a.leases(), b.leases()).await?;
    both("changes", changed_runs(a), changed_runs(b)).await?;
    both("newest_ms", a.newest_ms(), b.newest_ms()).await?;
    both("ended_count", a.ended_count(), b.ended_count()).await?;
    both("call_sweep", a.call_sweep(2_000, 1_000), b.call_sweep(2_000, 1_000)).await?;
    for key in ["k0", "k1", "k2"].map(str::to_owned).into_iter().chain((0..3).map(|n| format!("{CALL}c{n}"))) {
        for who in [Principal::local("ann"), Principal::new("idp", "ann")] {
            both("by_key", a.by_key(&who, &key), b.by_key(&who, &key)).await?;
        }
    }
    let query = ListQuery { limit: 1_000, ..ListQuery::default() };
    both("list", a.list(query.clone()), b.list(query)).await?;
    Ok(())
}

#[test]
fn the_two_ledgers_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    each("ledgers", 25, |chance| {
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let tasks = Tasks::new();
            let sqlite = SqliteLedger::open(folder.path(), "c", &tasks).await.map_err(|e| e.to_string())?;
            let model = MemoryLedger::new("c");
            let outcome = story(chance, &model, &sqlite, &Ids::system(), 150).await;
            sqlite.close().await;
            outcome
        })
    });
}
