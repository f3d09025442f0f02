//! A ledger that cannot be written makes no run unresponsive: commands are answered with the error.

#![cfg(feature = "faults")]

use longhaul_proto::{api::CancelMode, faults};

use super::*;
use crate::{model::RunSnapshot, runs::ControlError};
use RunState::{Running, Succeeded};

const FULL: &str = "point=ledger.before_commit:error=enospc@1+";

/// A run whose end cannot be recorded because the ledger is full.
async fn ends_on_a_full_ledger(faults: &str) -> (World, Fake, RunId, faults::Scope) {
    let world = World::with(|o| o.call_timeout = Duration::from_secs(2)).await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.state(run, Running).await;
    let full = faults::enter(&format!("{FULL}; {faults}"));
    agent.ends(run, Succeeded, Cause::Completed);
    let stuck = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("cannot write its ledger"));
    world.until(run, "it says so", stuck).await;
    (world, agent, run, full)
}

#[tokio::test]
async fn a_cancel_that_cannot_be_recorded_is_answered() {
    let (world, _agent, run, full) = ends_on_a_full_ledger("").await;
    let refused = world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap_err();
    assert!(matches!(refused, ControlError::Ledger(_)), "{refused}");
    assert!(refused.to_string().contains("could not record the request to end it"), "{refused}");
    let refused = world.runs().declare_dead(&root(), run).await.unwrap_err();
    assert!(matches!(refused, ControlError::Ledger(_)), "{refused}");
    drop(full);
    assert!(world.state(run, Succeeded).await.cancel_requested.is_none(), "what was refused was not done");
    assert_eq!(world.history(run).await.len(), 4, "one end");
    world.stop().await;
}

#[tokio::test]
async fn control_a_run_that_waits_for_its_ledger_alone_hears_nothing() {
    let (world, _agent, run, full) = ends_on_a_full_ledger("bug=deaf_while_ledger_full").await;
    let refused = world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap_err();
    assert!(matches!(refused, ControlError::Slow(_)), "but for the limit it would wait for ever: {refused}");
    drop(full);
    world.state(run, Succeeded).await;
    world.stop().await;
}

#[tokio::test]
async fn a_wish_that_is_recorded_while_a_step_is_not_counts_when_it_is() {
    let world = World::new().await;
    let run = world.submit(text("display 1\n")).await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.got(run).await;
    let full = faults::enter(FULL);
    agent.prints(run, b"one\n");
    let stuck = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("cannot write its ledger"));
    world.until(run, "its first line cannot be recorded", stuck).await;
    assert!(world.runs().cancel(&ann(), run, CancelMode::Break).await.is_err());
    drop(full);
    world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap();
    agent.until("the cancel", |s| !s.cancels.is_empty()).await;
    agent.ends(run, RunState::Cancelled, Cause::CancelRequested);
    world.state(run, RunState::Cancelled).await;
    world.stop().await;
}

type Answers = Vec<Result<Arc<RunSnapshot>, ControlError>>;

/// Cancels a queued run when the ledger fills at its first commit from then on, at its second, and so on: the answers.
async fn cancelled_as_the_ledger_fills(bug: &str) -> Answers {
    let mut answers = Vec::new();
    for commit in 1..=4 {
        // A sweep writes too, and its commits would be counted: the first is over, and no other comes.
        let hour = Duration::from_secs(3600);
        let world = World::with(|o| (o.call_timeout, o.sweep_every) = (Duration::from_secs(1), hour)).await;
        world.swept().await;
        let run = world.submit(text("display 1\n")).await;
        let full = faults::enter(&format!("point=ledger.before_commit:error=enospc@{commit}+; {bug}"));
        answers.push(world.runs().cancel(&ann(), run, CancelMode::Break).await);
        drop(full);
        if answers.last().is_some_and(|answer| !matches!(answer, Err(ControlError::Ledger(_)))) {
            world.state(run, RunState::Cancelled).await;
        }
        world.stop().await;
    }
    answers
}

#[tokio::test]
async fn a_cancel_is_answered_when_it_is_recorded_and_its_consequence_is_not() {
    let answers = cancelled_as_the_ledger_fills("").await;
    assert!(!answers.iter().any(|answer| matches!(answer, Err(ControlError::Slow(_)))), "{answers:?}");
    let between = |view: RunView| view.state == RunState::Queued && view.cancel_requested.is_some();
    assert!(answers.iter().flatten().any(|told| between(run_view(told))), "{answers:?}");
}

#[tokio::test]
async fn control_a_cancel_that_waits_for_its_consequence() {
    let answers = cancelled_as_the_ledger_fills("bug=cancel_waits_for_the_ledger").await;
    assert!(answers.iter().any(|answer| matches!(answer, Err(ControlError::Slow(_)))), "{answers:?}");
}
