//! The submitter's `retry` decides what brings a run back to the queue, and each way takes proof.

use longhaul_proto::api::{CancelMode, Retry};
use tonic::Status;

use super::*;
use RunState::{Errored, Lost, Queued, Running, Starting, Succeeded};

fn with(retry: Retry) -> SubmitRequest {
    SubmitRequest { retry: Some(retry), ..text("display 1\n") }
}

/// A run that has printed `one` on the agent and is followed.
async fn printed(world: &World, agent: &Fake, submit: SubmitRequest) -> RunId {
    let run = world.submit(submit).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.until(run, "its first line", |v| v.output_bytes == 4 && v.state == Running).await;
    run
}

async fn begun(agent: &Fake, run: RunId, attempt: u32) {
    agent.until("the attempt", |s| s.runs.get(&run.to_string()).is_some_and(|r| r.attempt == attempt)).await;
}

#[tokio::test]
async fn never_is_one_attempt_even_when_it_never_began() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| s.fail_run = vec![(Status::unavailable("no idea"), false)]);
    let run = world.submit(with(Retry::Never)).await;
    let view = world.state(run, Errored).await;
    assert_eq!((view.cause, view.attempt, view.retry), (Cause::NotStarted, 1, Retry::Never));
    assert!(view.message.unwrap().contains("never began on stata1"));
    assert_eq!(agent.shared.state().run_calls, [(run.to_string(), 1)]);
    assert_eq!(agent.shared.state().revoked[&run.to_string()], 1, "it is proved");
    // The control: without `retry` in the request the same failure leads to another attempt.
    agent.shared.change(|s| s.fail_run = vec![(Status::unavailable("no idea"), false)]);
    let run = world.submit(text("display 2\n")).await;
    begun(&agent, run, 2).await;
    world.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_proven_dead_is_followed_by_another_and_nothing_printed_is_lost() {
    let mut world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = printed(&world, &agent, with(Retry::IfProvenDead)).await;
    agent.ends(run, Errored, Cause::HostRebooted);
    begun(&agent, run, 2).await;
    let view = world.until(run, "the second attempt", |v| v.attempt == 2).await;
    assert_eq!((view.output_bytes, view.started_at), (4, None), "the first output stays");
    assert!(view.note.unwrap().starts_with("attempt 1 on stata1 died: host_rebooted; the first 4 bytes"));
    agent.prints(run, b"two\n");
    world.until(run, "its output comes after", |v| v.output_bytes == 8 && v.state == Running).await;
    world.restart().await;
    agent.register(world.addr()).await;
    agent.prints(run, b"three\n");
    world.until(run, "the rest, after a restart", |v| v.output_bytes == 14).await;
    agent.ends(run, Succeeded, Cause::Completed);
    let view = world.state(run, Succeeded).await;
    assert!(view.output_complete && view.note.unwrap().contains("attempt 1 on stata1 died"));
    assert_eq!(world.log(run).await, b"one\ntwo\nthree\n");
    assert_eq!(agent.shared.state().run_calls, [(run.to_string(), 1), (run.to_string(), 2)]);
    let steps = [
        (Queued, Cause::Submitted, 0),
        (Starting, Cause::Dispatched, 1),
        (Running, Cause::FirstOutput, 1),
        (Queued, Cause::ProvenDead, 1),
        (Starting, Cause::Dispatched, 2),
        (Running, Cause::FirstOutput, 2),
        (Succeeded, Cause::Completed, 2),
    ];
    assert_eq!(world.history(run).await, steps);
    // The request to delete the spool has the attempt's own length.
    world.ahead(Duration::from_secs(25 * 3600));
    agent.until("the spool is let go of", |s| s.forgets.len() == 1).await;
    assert_eq!(agent.shared.state().forgets[0].log_len, 10);
    world.stop().await;
}

#[tokio::test]
async fn what_kills_three_attempts_ends_the_run() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(with(Retry::IfProvenDead)).await;
    for attempt in 1..=3 {
        begun(&agent, run, attempt).await;
        agent.prints(run, b"x");
        agent.ends(run, Errored, Cause::Killed);
    }
    let view = world.state(run, Errored).await;
    assert_eq!((view.cause, view.attempt, view.output_bytes), (Cause::Killed, 3, 3));
    assert_eq!(agent.shared.state().run_calls.len(), 3);
    world.stop().await;
}

/// Another attempt's output would follow what the mirror has already, and the mirror takes no more.
#[tokio::test]
async fn a_run_whose_copy_is_full_is_not_tried_again_and_says_so() {
    let world = World::with(|o| o.max_output = 8).await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(with(Retry::IfProvenDead)).await;
    agent.got(run).await;
    agent.prints(run, b"more than eight bytes\n");
    world.until(run, "a full copy", |v| v.output_bytes == 8).await;
    agent.ends(run, Errored, Cause::HostRebooted);
    let view = world.state(run, Errored).await;
    assert_eq!((view.cause, view.attempt), (Cause::HostRebooted, 1));
    let note = view.note.unwrap();
    assert!(note.contains("it was not tried again: its output had passed the gateway's limit per run"), "{note}");
    world.stop().await;
}

/// What the dead attempt printed is all there is: it is here, so the record is whole, and what that attempt left goes by its
/// own end.
#[tokio::test]
async fn a_run_that_ends_before_its_second_attempt_started_is_whole_and_its_spool_goes() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = printed(&world, &agent, with(Retry::IfProvenDead)).await;
    agent.shared.change(|s| s.fail_run = vec![(Status::unavailable("not now"), false); 1000]);
    agent.ends(run, Errored, Cause::HostRebooted);
    agent.until("a second attempt that does not start", |s| s.run_calls.len() > 1).await;
    world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap();
    let view = world.state(run, RunState::Cancelled).await;
    assert!(view.output_complete && view.attempt > 1, "{view:?}");
    world.ahead(Duration::from_secs(25 * 3600));
    agent.until("the dead attempt's end is repeated", |s| s.forgets.iter().any(|f| f.log_len == 4)).await;
    world.stop().await;
}

/// The controls: each lacks one condition that the test above meets.
#[tokio::test]
async fn without_the_wish_or_the_proof_there_is_no_other_attempt() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let mut calls = 0;
    for (retry, cause) in [
        (None, Cause::HostRebooted),
        (Some(Retry::Never), Cause::HostRebooted),
        (Some(Retry::IfNotStarted), Cause::Killed),
        (Some(Retry::IfProvenDead), Cause::Crashed),
        (Some(Retry::IfProvenDead), Cause::OutOfMemory),
        (Some(Retry::IfProvenDead), Cause::Incomplete),
    ] {
        let run = printed(&world, &agent, SubmitRequest { retry, again: true, ..text("display 1\n") }).await;
        agent.ends(run, Errored, cause);
        let view = world.state(run, Errored).await;
        calls += 1;
        assert_eq!((view.cause, view.attempt, agent.shared.state().run_calls.len()), (cause, 1, calls), "{retry:?}");
    }
    // A client has asked for its end.
    let run = printed(&world, &agent, SubmitRequest { again: true, ..with(Retry::IfProvenDead) }).await;
    world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap();
    agent.ends(run, Errored, Cause::Killed);
    assert_eq!(world.state(run, Errored).await.attempt, 1);
    world.stop().await;
}

#[tokio::test]
async fn a_run_that_was_told_to_be_lost_is_corrected_and_not_begun_again() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = printed(&world, &agent, with(Retry::IfProvenDead)).await;
    agent.vanish().await;
    world.ahead(Duration::from_secs(25 * 3600));
    world.state(run, Lost).await;
    agent.ends(run, Errored, Cause::HostRebooted);
    agent.come_back(world.addr()).await;
    let corrected = async {
        while world.get(&root(), run).await.state != Errored {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, corrected).await.expect("corrected");
    assert_eq!(agent.shared.state().run_calls.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_agent_that_cannot_begin_another_is_passed_over() {
    let world = World::new().await;
    let old = |i: &mut longhaul_proto::wire::AgentInfo| (i.puts_aside, i.pool) = (false, "old".to_owned());
    let agent = Fake::with("stata1", old, SECRET).join(world.addr()).await;
    let run = printed(&world, &agent, with(Retry::IfProvenDead)).await;
    agent.ends(run, Errored, Cause::Killed);
    let why = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("cannot begin another"));
    world.until(run, "why it waits", why).await;
    let two = Fake::with("stata2", |i| i.pool = "new".to_owned(), SECRET).join(world.addr()).await;
    begun(&two, run, 2).await;
    assert_eq!(agent.shared.state().run_calls.len(), 1);
    world.stop().await;
}
