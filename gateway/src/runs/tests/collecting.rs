//! From Stata's end to the end of the run its output is fetched: meanwhile it holds no lease, and this always ends.

use super::*;
use crate::{ledger::LeaseHolder, runs::ControlError};
use RunState::{Queued, Running, Succeeded};

/// A run whose Stata has ended, as its agent reported, while only `one` of its output has come.
async fn half_home(world: &World, agent: &Fake) -> RunId {
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.until(run, "its first line", |v| v.state == Running && v.output_bytes == 4).await;
    agent.shared.change(|s| s.stall = true);
    agent.prints(run, b"two\nthree\n");
    agent.ends(run, Succeeded, Cause::Completed);
    agent.shared.change(|s| s.hang_up += 1);
    agent.until("it is followed again", |s| !s.follows.is_empty()).await;
    run
}

/// Whether the ledger has a seat of this run, for a gateway that starts.
async fn seat_recorded(world: &World, run: RunId) -> bool {
    world.gateway().core.ledger.leases().await.unwrap().iter().any(|lease| lease.holder == LeaseHolder::run(run))
}

/// Also in the ledger, though the end is not recorded yet.
#[tokio::test]
async fn the_recorded_seat_is_free_while_the_output_is_still_fetched() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = half_home(&world, &agent).await;
    let freed = async {
        while seat_recorded(&world, run).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, freed).await.expect("a tick after Stata's end");
    assert_eq!(world.get(&root(), run).await.state, Running, "and its output is not here yet");
    world.stop().await;
}

/// Nothing that lives loses it.
#[tokio::test]
async fn the_recorded_seat_of_a_living_stata_stays() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.until(run, "its first line", |v| v.state == Running && v.output_bytes == 4).await;
    agent.beats(20).await;
    assert!(seat_recorded(&world, run).await);
    world.stop().await;
}

fn run_calls(agent: &Fake) -> usize {
    agent.shared.state().run_calls.len()
}

#[tokio::test]
async fn a_seat_is_free_when_stata_has_ended_and_not_when_its_output_is_home() {
    let mut world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let first = half_home(&world, &agent).await;
    let second = world.submit(text("display 2\n")).await;
    agent.got(second).await;
    let view = world.get(&root(), first).await;
    assert_eq!((view.state, view.output_bytes), (Running, 4), "its output is not here yet");
    assert!(view.note.is_some_and(|n| n.contains("Stata has ended")), "and the record says so");
    let refused = world.runs().declare_dead(&root(), first).await.unwrap_err();
    assert!(matches!(&refused, ControlError::WrongState(text) if text.contains("Stata has ended")), "{refused}");

    // A restart: the ledger has both as unfinished, and neither is lost or counted twice.
    let third = world.submit(text("display 3\n")).await;
    world.restart().await;
    agent.register(world.addr()).await;
    agent.beats(10).await;
    assert_eq!((run_calls(&agent), world.get(&root(), third).await.state), (2, Queued));
    let pool = world.runs().hosts(&ann()).await.pools[0].clone();
    assert_eq!(pool.in_use, 1, "the one whose Stata lives");
    agent.ends(second, Succeeded, Cause::Completed);
    agent.until("the third's turn", |s| s.run_calls.len() == 3).await;
    agent.shared.change(|s| s.stall = false);
    assert!(world.state(first, Succeeded).await.output_complete);
    assert_eq!(world.log(first).await, b"one\ntwo\nthree\n");
    world.state(second, Succeeded).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_seat_that_is_held_until_the_output_is_home() {
    let _bug = longhaul_proto::faults::enter("bug=seat_held_until_sealed");
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    half_home(&world, &agent).await;
    world.submit(text("display 2\n")).await;
    agent.beats(20).await;
    assert_eq!(run_calls(&agent), 1);
    world.stop().await;
}

/// A run whose host lost some of its output before the gateway had copied it.
async fn damaged(world: &World, agent: &Fake) -> RunId {
    let run = half_home(world, agent).await;
    agent.shared.change(|s| s.runs.get_mut(&run.to_string()).unwrap().log.truncate(8));
    agent.shared.change(|s| s.stall = false);
    run
}

#[tokio::test]
async fn a_run_whose_spool_lost_bytes_ends_with_what_there_is() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = damaged(&world, &agent).await;
    let view = world.state(run, Succeeded).await;
    assert!(!view.output_complete);
    assert_eq!(world.log(run).await, b"one\ntwo\n", "all that could be had");
    let note = view.note.unwrap();
    assert!(note.contains("stata1 recorded 14 bytes of log") && note.contains("only 8 of them"), "{note}");
    assert!(!note.contains("Stata has ended"), "{note}");
    let second = world.submit(text("display 2\n")).await;
    agent.got(second).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_an_output_that_is_waited_for_without_end() {
    let _bug = longhaul_proto::faults::enter("bug=short_output_awaited");
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = damaged(&world, &agent).await;
    agent.until("it is followed again and again", |s| s.follows.len() > 25).await;
    assert_eq!(world.get(&root(), run).await.state, Running);
    world.stop().await;
}

#[tokio::test]
async fn an_output_that_cannot_be_read_is_for_a_person_to_decide() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = half_home(&world, &agent).await;
    agent.shared.change(|s| s.unreadable = true);
    agent.shared.change(|s| s.stall = false);
    let so = |v: &RunView| v.note.as_deref().is_some_and(|n| n.contains("cannot send all of its output"));
    let view = world.until(run, "words", so).await;
    assert!(view.note.unwrap().contains("an operator can declare it dead"));
    let view = run_view(&world.runs().declare_dead(&root(), run).await.unwrap());
    assert_eq!(view.state, RunState::Lost);
    world.stop().await;
}

/// The recorded times of a run on a host whose clock is an hour ahead: created, started, finished.
async fn times(world: &World, agent: &Fake) -> (String, String, String) {
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.state(run, Running).await;
    agent.ends(run, Succeeded, Cause::Completed);
    let ahead = Clock::system().unix_ms() + 3_600_000;
    agent.shared.change(|s| {
        let outcome = s.runs.get_mut(&run.to_string()).unwrap().outcome.as_mut().unwrap();
        (outcome.running_at_ms, outcome.ended_at_ms, outcome.duration_ms) = (ahead, ahead + 5, 5);
    });
    let view = world.state(run, Succeeded).await;
    let host = (view.host_started_at.unwrap(), view.host_finished_at.unwrap());
    assert!(host.0 > view.finished_at.clone().unwrap() && host.0 < host.1, "the host's own times are kept beside");
    (view.created_at.unwrap(), view.started_at.unwrap(), view.finished_at.unwrap())
}

#[tokio::test]
async fn a_run_does_not_end_before_it_began_when_clocks_differ() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let (created, started, finished) = times(&world, &agent).await;
    assert!(created <= started && started <= finished, "{created} {started} {finished}");
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_start_by_the_clock_of_the_host() {
    let _bug = longhaul_proto::faults::enter("bug=started_by_the_hosts_clock");
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let (_, started, finished) = times(&world, &agent).await;
    assert!(started > finished, "{started} {finished}");
    world.stop().await;
}
