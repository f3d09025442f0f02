//! Runs that agents report to have without having been given them: their word alone changes nothing.

use longhaul_proto::wire;

use super::{returning::old_request, unverified::bring, *};
use crate::runs::seal::SealKey;
use RunState::{Running, Succeeded};

/// A queued run, and an agent that reports to have started it although it was never given it.
async fn claims() -> (World, RunId, Fake) {
    let mut world = World::new().await;
    let run = world.submit(SubmitRequest { engine: Some("stata".to_owned()), ..text("display 1\n") }).await;
    world.until(run, "it waits", |v| v.waiting.is_some()).await;
    world.restart().await;
    let mut agent = Fake::new("stata1");
    // All that an agent can claim which only heard of the run: its request, with the seal of another gateway.
    let mut claim = wire::Submission { run_id: run.to_string(), principal: "ann".to_owned(), ..Default::default() };
    SealKey::of([9; 32]).seal(&mut claim);
    bring(&agent, claim);
    agent.ends(run, Succeeded, Cause::Completed);
    agent.listen().await;
    let reply = agent.register(world.addr()).await;
    assert_eq!((reply.problem.as_str(), reply.verdicts[0].verdict()), ("", wire::Verdict::Keep));
    (world, run, agent)
}

#[tokio::test]
async fn a_run_that_waits_is_not_begun_by_an_agent_s_word() {
    let (world, run, agent) = claims().await;
    let noted = |v: &RunView| v.note.as_deref().is_some_and(|note| note.contains("shows no seal of this gateway"));
    let view = world.until(run, "its note", noted).await;
    assert_eq!((view.state, view.attempt, view.host), (RunState::Queued, 0, None));
    agent.beats(10).await;
    let record = world.ledger().get(run).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Queued);
    assert!(!world.runs().0.restore_guard.holds(&record), "and that is no sign of an old ledger");
    assert_eq!(world.history(run).await.len(), 1);
    // The run goes to an agent that can run it, as if there had been no such report.
    let able = Fake::with("stata2", |i| (i.pool, i.engines[0].kind) = ("b".into(), "stata".into()), SECRET);
    let able = able.join(world.addr()).await;
    able.got(run).await;
    able.ends(run, Succeeded, Cause::Completed);
    let view = world.state(run, Succeeded).await;
    assert_eq!(view.host.as_deref(), Some("stata2"));
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_run_that_waits_would_be_begun_by_an_agent_s_word() {
    let _bug = longhaul_proto::faults::enter("bug=queued_runs_claimed");
    let (world, run, _agent) = claims().await;
    let view = world.state(run, Succeeded).await;
    assert_eq!(view.host.as_deref(), Some("stata1"), "the end of a run that never ran");
    world.stop().await;
}

/// A run that was declared dead; the leases in use when another agent reports to have it, and then when its own agent
/// does.
async fn claims_of_a_lost_run() -> (u32, u32) {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"1\n");
    world.state(run, Running).await;
    agent.vanish().await;
    world.ahead(Duration::from_secs(20));
    world.until(run, "silence", |v| v.agent_silent_for.is_some()).await;
    world.runs().declare_dead(&root(), run).await.unwrap();
    let mut other = Fake::with("stata2", |i| i.pool = "other".to_owned(), SECRET);
    bring(&other, old_request(run));
    other.listen().await;
    assert_eq!(other.register(world.addr()).await.problem, "");
    let in_use = async || world.runs().hosts(&root()).await.pools.iter().map(|pool| pool.in_use).sum::<u32>();
    let by_another = in_use().await;
    agent.come_back(world.addr()).await;
    let by_its_own = in_use().await;
    world.stop().await;
    (by_another, by_its_own)
}

/// A lost run does not come back with another agent either, which would hold a lease for it.
#[tokio::test]
async fn a_lost_run_comes_back_with_its_own_agent_only() {
    assert_eq!(claims_of_a_lost_run().await, (0, 1));
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_lost_run_would_hold_a_seat_for_an_agent_s_word() {
    let _bug = longhaul_proto::faults::enter("bug=lost_runs_claimed");
    assert_eq!(claims_of_a_lost_run().await.0, 1);
}
