//! Removal by age, with clocks that cannot be trusted.

use super::*;
use crate::{
    ledger::{Dedupe, LeaseChange, LedgerError, NewRun, RunStore, memory::MemoryLedger, unreliable::UnreliableLedger},
    model::{Asked, Placement, Record},
    runs::{ControlError, release::OwnSpool, upkeep},
};
use RunState::Succeeded;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// A gateway with default settings except frequent sweeps, and one run that has ended.
async fn with_a_record() -> (World, RunId) {
    let world = World::with(|o| (o.sweep_every, o.sweep_after) = (Duration::from_millis(20), HOUR)).await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"kept\n");
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    agent.vanish().await;
    (world, run)
}

/// Time for many sweeps.
async fn looks() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

async fn there(world: &World, run: RunId) -> bool {
    world.runs().get(&root(), run).await.is_ok()
}

/// A gateway started with the wall clock two months ahead, more than an hour ago.
async fn ahead() -> (World, RunId) {
    let (mut world, run) = with_a_record().await;
    assert!(world.gateway.take().unwrap().shutdown(Duration::from_secs(20)).await);
    world.clock.jump(DAY * 60);
    world.start().await;
    world.ahead(HOUR * 2);
    (world, run)
}

#[tokio::test]
async fn a_gateway_that_starts_with_its_clock_months_ahead_removes_nothing() {
    let (world, run) = ahead().await;
    looks().await;
    assert!(there(&world, run).await);
    let words = world.runs().sweep_paused().expect("it says so");
    assert!(words.contains("60 days beyond") && words.contains("trust-clock"), "{words}");
    assert_eq!(world.gateway().core.metrics.sweep_paused.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(world.log(run).await, b"kept\n");
    // When the clock is corrected, sweeping resumes by itself.
    world.clock.back(DAY * 60);
    let trusted = async {
        while world.runs().sweep_paused().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, trusted).await.expect("it is trusted again");
    assert!(there(&world, run).await);
    world.ahead(DAY * 31);
    world.until_removed(run).await;
    world.stop().await;
}

#[tokio::test]
async fn an_operator_s_word_is_enough() {
    let (world, run) = ahead().await;
    looks().await;
    assert!(matches!(world.runs().trust_clock(&ann()), Err(ControlError::Forbidden(_))));
    assert!(there(&world, run).await);
    world.runs().trust_clock(&root()).unwrap();
    world.until_removed(run).await;
    assert_eq!(world.runs().sweep_paused(), None);
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_one_look_at_a_wrong_clock_removes_everything() {
    let _bug = longhaul_proto::faults::enter("bug=sweep_trusts_the_clock");
    let (world, run) = ahead().await;
    world.until_removed(run).await;
    world.stop().await;
}

#[tokio::test]
async fn a_run_that_ends_while_the_clock_is_months_behind_is_not_old_when_it_is_set() {
    let (mut world, first) = with_a_record().await;
    assert!(world.gateway.take().unwrap().shutdown(Duration::from_secs(20)).await);
    world.clock.back(DAY * 90);
    world.start().await;
    let agent = Fake::with("stata2", |i| i.pool = "other".to_owned(), SECRET).join(world.addr()).await;
    let run = world.submit(text("display 2\n")).await;
    agent.got(run).await;
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    world.clock.jump(DAY * 90);
    world.ahead(HOUR * 2);
    looks().await;
    assert!(there(&world, run).await && there(&world, first).await);
    world.stop().await;
}

#[tokio::test]
async fn nothing_is_removed_by_its_age_in_the_first_hour() {
    let (mut world, run) = with_a_record().await;
    world.options.keep_records = DAY;
    world.ahead(DAY * 2);
    world.restart().await;
    looks().await;
    assert!(there(&world, run).await);
    world.ahead(HOUR * 2);
    world.until_removed(run).await;
    world.stop().await;
}

#[tokio::test]
async fn one_sweep_removes_a_share_of_the_records() {
    // The only sweep is the one that the test asks for.
    let world = World::with(|o| (o.sweep_every, o.sweep_after) = (HOUR, HOUR)).await;
    let old_ms = world.clock.system.unix_ms() - 40 * 24 * 3600 * 1000;
    let insert = |_| async {
        let mut record = Record::queued(Ids::system().run(), Principal::local("ann"), old_ms, Asked::default());
        (record.state, record.cause, record.finished_ms) = (Succeeded, Cause::Completed, old_ms);
        let new = NewRun {
            record,
            submission: Default::default(),
            key: None,
            dedupe: Dedupe::default(),
            lease: LeaseChange::Keep,
            blobs: Vec::new(),
            receivers: Vec::new(),
        };
        world.ledger().insert(new).await.unwrap();
    };
    futures_util::future::join_all((0..3000).map(insert)).await;
    assert_eq!(world.ledger().ended_count().await.unwrap(), 3000);
    world.ahead(HOUR * 2);
    upkeep::look(&world.runs().0, &mut None).await.unwrap();
    assert_eq!(world.ledger().ended_count().await.unwrap(), 2700, "a tenth");
    world.stop().await;
}

/// A ledger that removes one old record and does not answer.
async fn removed_without_an_answer() -> (RunId, Result<Vec<(RunId, OwnSpool)>, LedgerError>) {
    let model = Arc::new(MemoryLedger::new("c1"));
    let mut record = Record::queued(Ids::system().run(), Principal::local("ann"), 1, Asked::default());
    (record.state, record.cause, record.finished_ms) = (Succeeded, Cause::Completed, 1);
    let at = Placement { agent_id: "agent".to_owned(), host: "stata1".to_owned(), pool: "lab".to_owned() };
    record.detail.give(Attempt::after(None), at);
    let (run, submission, blobs) = (record.run, Default::default(), Vec::new());
    let new = NewRun {
        record,
        submission,
        key: None,
        dedupe: Dedupe::default(),
        lease: LeaseChange::Keep,
        blobs,
        receivers: Vec::new(),
    };
    model.insert(new).await.unwrap();
    let asked = AtomicU64::default();
    // Before a write, and after it.
    let strikes = Box::new(move |_| asked.fetch_add(1, Ordering::Relaxed) == 1);
    let copy = || MemoryLedger::new("c1");
    let ledger = UnreliableLedger::before(model, copy, strikes);
    (run, upkeep::remove_old(&ledger, 2, 10, Vec::new(), 7_000).await)
}

#[tokio::test]
async fn a_removal_that_the_ledger_did_not_answer_is_looked_up() {
    let (run, removed) = removed_without_an_answer().await;
    assert_eq!(removed.unwrap(), [(run, OwnSpool::Held)]);
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_removal_that_the_ledger_did_not_answer_is_forgotten() {
    let _bug = longhaul_proto::faults::enter("bug=unknown_removals_forgotten");
    assert!(matches!(removed_without_an_answer().await.1, Err(LedgerError::Unknown(_))));
}
