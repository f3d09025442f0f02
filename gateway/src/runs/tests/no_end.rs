//! What clients are told of waits: that only a person can end one, which run has the seat, how long it took.

use longhaul_proto::api::CancelMode;

use super::*;
use RunState::{Cancelled, Lost, Queued, Running, Succeeded};

async fn running(world: &World, agent: &Fake, code: &str) -> RunId {
    let run = world.submit(text(code)).await;
    agent.got(run).await;
    agent.prints(run, b"1\n");
    world.state(run, Running).await;
    run
}

#[tokio::test]
async fn a_silent_agent_under_a_run_is_a_wait_with_no_end_in_sight() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    assert_eq!(world.get(&ann(), run).await.no_end_since, None, "the control");
    agent.vanish().await;
    world.ahead(Duration::from_secs(20));
    world.until(run, "no end in sight", |v| v.no_end_since.is_some()).await;

    // The same holds for the run that waits for the seat; its reason says what frees the seat.
    let waiting = world.submit(text("display 2\n")).await;
    let told = |v: &RunView| v.no_end_since.is_some();
    let why = world.until(waiting, "no end in sight", told).await.waiting.unwrap();
    let short = run.short();
    for words in ["1 of 1 in use by run", "agent stata1 is silent for", &format!("`longhaul declare-dead {short}`")] {
        assert!(why.contains(words), "{words}: {why}");
    }
    agent.come_back(world.addr()).await;
    world.until(run, "all is well", |v| v.no_end_since.is_none()).await;
    let ends = |v: &RunView| {
        let words = v.waiting.as_deref().unwrap_or_default();
        v.no_end_since.is_none() && words.contains("in use by run") && !words.contains("silent")
    };
    world.until(waiting, "it waits for a run that ends", ends).await;
    world.stop().await;
}

#[tokio::test]
async fn a_drained_host_is_a_wait_with_no_end_in_sight() {
    let world = World::new().await;
    let _agent = Fake::new("stata1").join(world.addr()).await;
    world.until_up(1).await;
    let body = |reason: Option<&str>| longhaul_proto::api::DrainBody {
        hosts: vec!["stata1".to_owned()],
        reason: reason.map(str::to_owned),
    };
    world.runs().drain(&root(), body(Some("kernel"))).await.unwrap();
    let run = world.submit(text("display 1\n")).await;
    let view = world.until(run, "no end in sight", |v| v.no_end_since.is_some()).await;
    assert!(view.waiting.unwrap().contains("`longhaul resume stata1`"));
    world.runs().resume(&root(), body(None)).await.unwrap();
    world.until(run, "it goes on", |v| v.state != Queued && v.no_end_since.is_none()).await;
    world.stop().await;
}

#[tokio::test]
async fn a_run_behind_ones_own_names_it_and_knows_whether_it_is_forgotten() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let own = running(&world, &agent, "display 1\n").await;
    let run = world.submit(text("display 2\n")).await;
    world.until(run, "why", |v| v.waiting.as_deref().is_some_and(|w| w.contains("in use by"))).await;
    let view = world.runs().get(&root(), run).await.unwrap();
    let behind = world.runs().behind_own(&ann(), &view).unwrap();
    assert_eq!((behind.run.run, behind.forgotten), (own, false), "it has just begun");
    world.ahead(Duration::from_secs(31));
    assert!(world.runs().behind_own(&ann(), &view).unwrap().forgotten, "nobody of hers has looked at it");
    let watched = world.runs().watch(&ann(), own).await.unwrap();
    assert!(!world.runs().behind_own(&ann(), &view).unwrap().forgotten, "a call waits for it");
    drop(watched);
    assert!(!world.runs().behind_own(&ann(), &view).unwrap().forgotten, "and it was looked at just now");
    world.ahead(Duration::from_secs(31));
    assert!(world.runs().behind_own(&ann(), &view).unwrap().forgotten);
    let bob = Identity::local("bob", Scopes::USE);
    assert!(world.runs().behind_own(&bob, &view).is_none(), "it is not his");
    // When it starts, its view says how long it waited, and for what.
    agent.ends(own, Succeeded, Cause::Completed);
    let begun = world.until(run, "it began", |v| v.state != Queued).await;
    assert!(begun.queued_for.is_some_and(|s| s >= 62.0), "{:?}", begun.queued_for);
    assert!(begun.queued_behind.is_some_and(|w| w.contains(&own.short())));
    world.stop().await;
}

#[tokio::test]
async fn what_a_run_waited_for_is_what_held_longest() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let own = running(&world, &agent, "display 1\n").await;
    let run = world.submit(text("display 2\n")).await;
    world.until(run, "why", |v| v.waiting.as_deref().is_some_and(|w| w.contains("in use by"))).await;
    world.ahead(Duration::from_secs(31));
    agent.beats(5).await;
    // The seat comes free while the agent's heartbeat is late: for a moment the run waits for the agent.
    agent.quiet().await;
    world.ahead(Duration::from_secs(20));
    agent.ends(own, Succeeded, Cause::Completed);
    let late = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.starts_with("agent stata1 is silent"));
    world.until(run, "the agent is late", late).await;
    agent.register(world.addr()).await;
    let view = world.until(run, "it began", |v| v.state != Queued).await;
    let behind = view.queued_behind.unwrap_or_default();
    assert!(behind.contains(&own.short()) && behind.contains("in use by"), "{behind}");
    world.stop().await;
}

#[tokio::test]
async fn a_run_that_is_lost_and_returns_can_be_ended() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    agent.vanish().await;
    world.ahead(Duration::from_secs(20));
    world.until(run, "silence", |v| v.agent_silent_for.is_some()).await;
    world.runs().declare_dead(&root(), run).await.unwrap();
    world.state(run, Lost).await;
    agent.come_back(world.addr()).await;
    let again = async || world.get(&ann(), run).await;
    let back = async {
        while !again().await.runs_again {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, back).await.expect("it is told that it runs again");
    assert_eq!(again().await.state, Lost);
    let returned = world.runs().hosts(&ann()).await.returned;
    assert!(
        returned.len() == 1 && returned[0].waiting.starts_with("lost, but running again on stata1"),
        "{returned:?}"
    );

    let view = run_view(&world.runs().cancel(&ann(), run, CancelMode::Kill).await.unwrap());
    assert_eq!(view.state, Lost, "a wish is no state");
    agent
        .until("the cancel", |s| s.cancels.iter().any(|(_, mode, _)| *mode == longhaul_proto::wire::CancelMode::Kill))
        .await;
    let told = async {
        while !again().await.cancel_requested.is_some_and(|wish| wish.delivered) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, told).await.expect("that it was told is told");
    agent.ends(run, Cancelled, Cause::CancelRequested);
    world.until_ended(run, Cancelled).await;
    assert_eq!(world.runs().hosts(&ann()).await.pools[0].in_use, 0, "its seat is free");
    world.stop().await;
}

/// The run was lost and came back, and then its agent went away again: its lease must not be held for ever.
#[tokio::test]
async fn a_lost_run_whose_agent_went_again_can_be_declared_dead_again() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    let in_use = async || world.runs().hosts(&ann()).await.pools.iter().map(|pool| pool.in_use).sum::<u32>();
    for again in [false, true] {
        agent.vanish().await;
        world.ahead(Duration::from_secs(20));
        agent_is_silent(&world).await;
        assert_eq!(in_use().await, 1, "{again}");
        world.runs().declare_dead(&root(), run).await.unwrap();
        assert_eq!(world.get(&ann(), run).await.state, Lost);
        assert_eq!(in_use().await, 0, "{again}");
        agent.come_back(world.addr()).await;
        assert_eq!(in_use().await, 1, "what runs there holds its seat");
        let refused = world.runs().declare_dead(&root(), run).await.unwrap_err().to_string();
        assert!(refused.contains("has returned with it: cancel it instead"), "{refused}");
    }
    agent.ends(run, Succeeded, Cause::Completed);
    world.until_ended(run, Succeeded).await;
    assert_eq!(in_use().await, 0);
    let lost = world.history(run).await.iter().filter(|(state, ..)| *state == Lost).count();
    assert_eq!(lost, 1, "once");
    world.stop().await;
}

async fn agent_is_silent(world: &World) {
    let silent = async {
        while world.runs().hosts(&root()).await.hosts[0].state != "silent" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, silent).await.expect("it is silent");
}

/// The agent whose heartbeats arrive has the run, though the gateway cannot call it.
#[tokio::test]
async fn an_agent_that_is_heard_and_not_reached_is_not_declared_dead() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    agent.vanish().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    agent.advertise(&format!("http://{free}"));
    agent.register(world.addr()).await;
    let unreachable = |v: &RunView| v.contact.as_ref().is_some_and(|contact| contact.state == "unreachable");
    world.until(run, "unreachable", unreachable).await;
    let refused = world.runs().declare_dead(&root(), run).await.unwrap_err().to_string();
    assert!(refused.contains("cannot be reached for") && refused.contains("may well be alive"), "{refused}");
    let waiting = world.submit(text("display 2\n")).await;
    let why = world.until(waiting, "why", |v| v.no_end_since.is_some()).await.waiting.unwrap();
    assert!(why.contains("when the agent is reached again") && !why.contains("declare-dead"), "{why}");
    agent.come_back(world.addr()).await;
    world.stop().await;
}

#[tokio::test]
async fn a_wish_to_end_a_lost_run_waits_for_its_agent() {
    let mut world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    agent.vanish().await;
    world.ahead(Duration::from_secs(20));
    world.until(run, "silence", |v| v.agent_silent_for.is_some()).await;
    world.runs().declare_dead(&root(), run).await.unwrap();
    let view = run_view(&world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap());
    let wish = view.cancel_requested.unwrap();
    assert_eq!((view.state, wish.by.as_str(), wish.delivered), (Lost, "ann", false));
    world.restart().await;
    let reply = agent.come_back(world.addr()).await;
    assert_eq!(
        (reply.verdicts[0].verdict(), reply.verdicts[0].by.as_str()),
        (longhaul_proto::wire::Verdict::Cancel, "ann")
    );
    agent.until("the cancel", |s| !s.cancels.is_empty()).await;
    agent.ends(run, Cancelled, Cause::CancelRequested);
    world.until_ended(run, Cancelled).await;
    world.stop().await;
}
