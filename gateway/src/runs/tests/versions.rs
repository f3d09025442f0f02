//! Agents of other versions: one version apart works; with an agent further apart, both sides are told which is to be
//! upgraded; unknown words of a newer agent are read as the plainest safe ones.

use longhaul_proto::{PROTOCOL, wire};

use super::*;
use crate::ledger::AgentRecord;
use RunState::{Cancelled, Errored, Failed, Running, Succeeded};

#[tokio::test]
async fn an_agent_one_apart_works_and_one_further_away_is_refused() {
    let world = World::new().await;
    let newer = Fake::with("newer", |i| i.protocol = PROTOCOL + 1, SECRET).join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    newer.got(run).await;
    newer.prints(run, b"1\n");
    newer.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    for (protocol, words) in [(PROTOCOL + 2, "upgrade the gateway"), (0, "does not say which protocol")] {
        let mut other = Fake::with("other", |i| i.protocol = protocol, SECRET);
        other.listen().await;
        let reply = other.register(world.addr()).await;
        assert!(reply.problem.contains(words), "{protocol}: {}", reply.problem);
        assert!(reply.verdicts.is_empty(), "nothing is decided about its runs");
    }
    // An agent whose protocol differs when it is dialled back: its heartbeats are answered with the reason, and its
    // view says it.
    let mut other = Fake::new("other");
    other.listen().await;
    other.speaks(PROTOCOL + 2);
    let mut info = other.shared.info();
    info.protocol = PROTOCOL;
    let reply = other.register_as(info, world.addr()).await;
    assert_eq!(reply.problem, "");
    let waiting = world.submit(SubmitRequest { host: Some("other".to_owned()), ..text("display 2\n") }).await;
    let told = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("upgrade the gateway"));
    world.until(waiting, "why", told).await;
    assert!(other.heartbeat(world.addr()).await.problem.contains("upgrade the gateway"));
    assert!(other.shared.state().run_calls.is_empty());
    world.stop().await;
}

/// Why a run waits for an agent that had protocol 1 before this gateway started, and the problem that its host shows.
async fn of_before_an_upgrade() -> [String; 2] {
    let mut world = World::new().await;
    let mut old = Fake::new("stata1").join(world.addr()).await;
    old.vanish().await;
    let info = wire::AgentInfo { protocol: 1, version: "0.1.0".to_owned(), ..old.shared.info() };
    world.ledger().put_agent(AgentRecord { info, heard_ms: Clock::system().unix_ms() }).await.unwrap();
    world.restart().await;
    let run = world.submit(SubmitRequest { host: Some("stata1".to_owned()), ..text("display 1\n") }).await;
    let view = world.until(run, "why it waits", |v| v.waiting.is_some()).await;
    let host = world.runs().hosts(&root()).await.hosts.remove(0);
    world.stop().await;
    [view.waiting.unwrap(), host.problem.unwrap()]
}

#[tokio::test]
async fn a_host_whose_agent_is_to_be_upgraded_is_named() {
    let said = of_before_an_upgrade().await;
    for words in ["agent stata1 is not connected", "protocol 1 (longhaul 0.1.0)", "upgrade the agent"] {
        assert!(said.iter().all(|text| text.contains(words)), "{words}: {said:?}");
    }
    #[cfg(feature = "faults")]
    {
        let _bug = longhaul_proto::faults::enter("bug=old_protocol_untold");
        let said = of_before_an_upgrade().await;
        assert!(!said.iter().any(|text| text.contains("upgrade")), "the control: {said:?}");
    }
}

#[tokio::test]
async fn words_of_a_newer_agent_are_taken_for_the_plainest() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| s.strange = true);
    // State and cause as reported, what is recorded, and whether a note says so.
    let failed = Failed.to_wire().into();
    let cases = [
        (failed, Cause::StataError.to_wire().into(), (Failed, Cause::StataError), false),
        (failed, 77, (Failed, Cause::StataError), true),
        (Succeeded.to_wire().into(), 77, (Succeeded, Cause::Completed), true),
        (Cancelled.to_wire().into(), 77, (Cancelled, Cause::CancelRequested), true),
        (77, Cause::Completed.to_wire().into(), (Errored, Cause::Incomplete), true),
        (77, 77, (Errored, Cause::Incomplete), true),
        // The reported state is no end at all.
        (Running.to_wire().into(), Cause::Completed.to_wire().into(), (Errored, Cause::Incomplete), true),
    ];
    for (n, (state, cause, recorded, noted)) in cases.into_iter().enumerate() {
        let run = world.submit(text(&format!("display {n}\n"))).await;
        agent.got(run).await;
        agent.prints(run, b"output\n");
        agent.ends_as(run, state, cause);
        let view = world.until(run, "its end", |v| v.state.is_end()).await;
        assert_eq!((view.state, view.cause), recorded, "{state} {cause}: {view:#?}");
        assert_eq!(view.note.is_some_and(|n| n.contains("does not know")), noted, "{state} {cause}");
        assert_eq!(world.log(run).await, b"output\n", "a stream of a kind nobody knows is no output");
    }
    world.stop().await;
}
