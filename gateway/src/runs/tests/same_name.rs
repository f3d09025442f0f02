//! A run goes on even after the fleet has dropped its agent for another of the same name.

use super::*;
use RunState::{Running, Succeeded};

/// A run whose output is not fetched yet when its agent seems to leave for good: another agent takes its name.
async fn orphaned(world: &World) -> (Fake, RunId) {
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.state(run, Running).await;
    agent.shared.change(|s| s.stall = true);
    agent.prints(run, b"two\n");
    agent.ends(run, Succeeded, Cause::Completed);
    agent.vanish().await;
    world.ahead(Duration::from_secs(25 * 3600));
    world.state(run, RunState::Lost).await;
    agent.come_back(world.addr()).await;
    // Its task runs again, to take the agent's own record; it holds no lease.
    agent.until("it is followed", |s| !s.follows.is_empty()).await;
    agent.vanish().await;
    world.ahead(Duration::from_secs(60));
    // An operator revokes the first key, so that another key can take the name; the name is returned in the same way.
    world.runs().revoke_agent(&root(), "stata1").await.unwrap();
    let mut other = Fake::new("stata1").join(world.addr()).await;
    other.beats(3).await;
    other.vanish().await;
    world.ahead(Duration::from_secs(60));
    world.runs().revoke_agent(&root(), "stata1").await.unwrap();
    world.runs().approve_agent(&root(), &agent.key().to_string()).await.unwrap();
    agent.shared.change(|s| s.stall = false);
    agent.come_back(world.addr()).await;
    (agent, run)
}

#[tokio::test]
async fn a_run_whose_agent_was_forgotten_for_a_namesake_goes_on_when_it_returns() {
    let world = World::new().await;
    let (_agent, run) = orphaned(&world).await;
    world.until_ended(run, Succeeded).await;
    assert_eq!(world.log(run).await, b"one\ntwo\n");
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_task_that_leaves_with_the_connections_of_its_agent_freezes_its_run() {
    let _bug = longhaul_proto::faults::enter("bug=closed_links_end_the_task; bug=run_task_unsupervised");
    let world = World::new().await;
    let (agent, run) = orphaned(&world).await;
    agent.beats(20).await;
    assert_eq!(world.ledger().get(run).await.unwrap().unwrap().state, RunState::Lost);
    world.stop().await;
}
