//! Leases: never two at once in a pool of one seat.

use super::*;
use RunState::{Queued, Running, Succeeded};

#[tokio::test]
async fn two_agents_share_one_seat_across_a_restart() {
    let mut world = World::new().await;
    let mut one = Fake::new("stata1").join(world.addr()).await;
    let mut two = Fake::new("stata2").join(world.addr()).await;
    let first = world.submit(SubmitRequest { host: Some("stata1".to_owned()), ..text("display 1\n") }).await;
    one.got(first).await;
    one.prints(first, b"1\n");
    world.state(first, Running).await;
    let second = world.submit(text("display 2\n")).await;
    let why = format!("1st: waiting for a seat of pool lab: 1 of 1 in use by run {} on stata1", first.short());
    world.until(second, "why it waits", |v| v.waiting.as_ref() == Some(&why)).await;

    world.restart().await;
    let view = world.until(second, "a reason", |v| v.waiting.is_some()).await;
    let said = view.waiting.unwrap();
    assert!(said.starts_with("the gateway restarted"), "patience with those who return, and not: {said}");
    // The other agent returns first; the seat is held all the same.
    two.register(world.addr()).await;
    world.until(second, "why it waits", |v| v.waiting.as_ref() == Some(&why)).await;
    one.register(world.addr()).await;
    one.prints(first, b"2\n");
    world.until(first, "the rest of its output", |v| v.output_bytes == 4).await;
    assert_eq!(world.get(&ann(), second).await.state, Queued);
    assert!(two.shared.state().run_calls.is_empty());

    one.ends(first, Succeeded, Cause::Completed);
    world.state(first, Succeeded).await;
    let taken = world.until(second, "its turn", |v| v.attempt == 1).await;
    let host = if taken.host.as_deref() == Some("stata1") { &one } else { &two };
    host.got(second).await;
    host.prints(second, b"x");
    host.ends(second, Succeeded, Cause::Completed);
    world.state(second, Succeeded).await;
    assert_eq!(one.shared.state().run_calls.len() + two.shared.state().run_calls.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn two_pools_run_side_by_side_and_late_agents_are_used() {
    let world = World::new().await;
    let one = Fake::with("stata1", |i| i.pool = "one".to_owned(), SECRET).join(world.addr()).await;
    let first = world.submit(text("display 1\n")).await;
    one.got(first).await;
    let second = world.submit(text("display 2\n")).await;
    world.until(second, "why it waits", |v| v.waiting.is_some()).await;
    let two = Fake::with("stata2", |i| i.pool = "two".to_owned(), SECRET).join(world.addr()).await;
    two.got(second).await;
    let pools = world.runs().hosts(&ann()).await.pools;
    assert_eq!(pools.iter().map(|p| p.in_use).sum::<u32>(), 2);
    world.stop().await;
}

#[tokio::test]
async fn who_may_take_no_runs_is_told_why() {
    let world = World::new().await;
    // Before there is an agent: with one that lacks the engine it would be refused.
    let run = {
        let submit = SubmitRequest { engine: Some("stata".to_owned()), ..text("display 1\n") };
        world.submit(submit).await
    };
    let _one = Fake::new("stata1").join(world.addr()).await;
    let no_engine = "no connected agent has engine stata: start one, or cancel this run and submit it otherwise";
    world.until(run, "why", |v| v.waiting.as_deref() == Some(no_engine)).await;

    let mut namesake = Fake::new("stata1");
    namesake.listen().await;
    let reply = namesake.register(world.addr()).await;
    assert!(reply.problem.contains("another agent"), "{}", reply.problem);
    let mut stranger = Fake::with("stata3", |i| i.cluster_id = "another cluster".to_owned(), SECRET);
    stranger.listen().await;
    let reply = stranger.register(world.addr()).await;
    assert!(reply.problem.contains("belongs to another gateway"), "{}", reply.problem);

    // Registered, but it cannot be dialled back.
    let mut hidden = Fake::with("hidden", |i| i.pool = "hidden".to_owned(), SECRET);
    hidden.listen().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    hidden.vanish().await;
    hidden.advertise(&format!("http://{free}"));
    let reply = hidden.register(world.addr()).await;
    assert_eq!(reply.problem, "");
    let here = world.submit(SubmitRequest { host: Some("hidden".to_owned()), ..text("display 2\n") }).await;
    let view =
        world.until(here, "why", |v| v.waiting.as_deref().is_some_and(|w| w.contains("cannot be dialled"))).await;
    assert_eq!(view.state, Queued);
    let host = world.runs().hosts(&ann()).await.hosts.into_iter().find(|h| h.name == "hidden").unwrap();
    assert_eq!(host.state, "unreachable");
    assert!(hidden.heartbeat(world.addr()).await.problem.contains("cannot be dialled"), "the agent is told too");
    world.stop().await;
}

#[tokio::test]
async fn a_call_without_tls_is_told_to_upgrade() {
    use longhaul_proto::wire::{RegisterRequest, fleet_client::FleetClient};
    let world = World::new().await;
    let mut client = FleetClient::connect(format!("http://{}", world.addr())).await.unwrap();
    let refused = client.register(RegisterRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("upgrade the agent"), "{refused:?}");
    world.stop().await;
}
