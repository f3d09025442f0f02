//! A ledger that cannot be written makes no run unresponsive: commands are answered with the error.

#![cfg(feature = "faults")]

use longhaul_proto::{api::CancelMode, faults};

use super::*;
use crate::runs::ControlError;
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
