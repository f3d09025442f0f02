//! What removed runs and dead attempts left with agents: it is deleted when its agent can be called again, or for room.

use super::release::{DAY, ended, printed_once, until_note};
use super::*;
use RunState::Succeeded;

/// What became of the output of an attempt that died.
#[derive(PartialEq)]
enum Died {
    /// All of it is in the mirror.
    Whole,
    /// Its host has lost a part of it.
    Damaged,
}

/// A run of two attempts, of which the first one died on another host.
async fn twice(world: &World, died: Died) -> (Fake, Fake, RunId) {
    let (first, run) = printed_once(world).await;
    if died == Died::Damaged {
        first.shared.change(|s| s.stall = true);
        first.prints(run, b"two\n");
    }
    first.ends(run, RunState::Errored, Cause::HostRebooted);
    first.shared.change(|s| s.runs.get_mut(&run.to_string()).unwrap().log.truncate(4));
    first.shared.change(|s| s.stall = false);
    let second = Fake::with("stata2", |i| i.pool = "new".to_owned(), SECRET).join(world.addr()).await;
    second.got(run).await;
    second.prints(run, b"three\n");
    second.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    (first, second, run)
}

/// Upkeep passes quickly, and the clock, which is made to jump here, makes no agent silent.
fn swept_often(options: &mut Options) {
    (options.sweep_every, options.silent_after) = (Duration::from_millis(20), DAY * 90);
}

/// Until so many agents are connected.
async fn connected(world: &World, so: impl Fn(usize) -> bool) {
    while !so(world.gateway().core.runs.0.fleet.connected_agents().len()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A run of two attempts, of which the first one died on another host and lost some of its output there.
#[tokio::test]
async fn a_record_that_goes_for_room_takes_what_its_dead_attempt_left_along() {
    let world = World::with(|o| (o.max_kept, o.sweep_every) = (5, Duration::from_millis(20))).await;
    let (first, second, run) = twice(&world, Died::Damaged).await;
    world.ahead(Duration::from_secs(20 * 60));
    world.until_removed(run).await;
    second.until("the last attempt's spool goes", |s| s.forgets.iter().any(|f| f.run_id == run.to_string())).await;
    first.until("and what the dead one left", |s| s.forgets.iter().any(|f| f.log_len == 8)).await;
    world.stop().await;
}

/// A run of two attempts whose record goes for room while the host of the first, dead one beats and cannot be called.
/// Returns that agent, which can be called again, and has no cause to register.
async fn removed_while_unreachable() -> (World, Fake) {
    let world = World::with(|o| {
        swept_often(o);
        o.max_kept = 5;
    })
    .await;
    let (mut first, _second, run) = twice(&world, Died::Whole).await;
    first.unreachable().await;
    connected(&world, |n| n < 2).await;
    world.ahead(Duration::from_secs(20 * 60));
    world.until_removed(run).await;
    assert!(first.shared.state().forgets.is_empty(), "it could not be asked");
    first.reachable().await;
    (world, first)
}

#[tokio::test]
async fn what_a_dead_attempt_left_goes_when_its_agent_can_be_called_again() {
    let (world, first) = removed_while_unreachable().await;
    first.until("it is asked", |s| s.forgets.iter().any(|f| f.log_len == 4)).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_what_a_dead_attempt_left_waits_for_the_next_registration() {
    let _bug = longhaul_proto::faults::enter("bug=unreachable_dead_spools_stay");
    let (world, first) = removed_while_unreachable().await;
    connected(&world, |n| n == 2).await;
    first.beats(20).await;
    assert!(first.shared.state().forgets.is_empty());
    world.stop().await;
}

/// A run whose record goes by its age while its agent is silent. Returns that agent, whose heartbeats arrive again
/// afterwards, and which has no cause to register.
async fn removed_while_silent() -> (World, Fake) {
    let world = World::with(|o| o.sweep_every = Duration::from_millis(20)).await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = ended(&world, &agent, "display 1\n", 10).await;
    agent.shared.change(|s| s.silent = true);
    agent.unreachable().await;
    connected(&world, |n| n == 0).await;
    world.ahead(DAY * 31);
    world.until_removed(run).await;
    assert!(agent.shared.state().forgets.is_empty(), "it could not be asked");
    agent.reachable().await;
    agent.shared.change(|s| s.silent = false);
    (world, agent)
}

#[tokio::test]
async fn the_spool_of_a_silent_agent_goes_when_it_is_heard_again() {
    let (world, agent) = removed_while_silent().await;
    agent.until("it is asked", |s| s.forgets.iter().any(|f| f.log_len == 10)).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_the_spool_of_a_silent_agent_waits_for_its_registration() {
    let _bug = longhaul_proto::faults::enter("bug=spools_of_silent_agents_stay");
    let (world, agent) = removed_while_silent().await;
    connected(&world, |n| n == 1).await;
    agent.beats(20).await;
    assert!(agent.shared.state().forgets.is_empty());
    world.stop().await;
}

/// A run of two attempts whose spools are old enough to go; the agent of the first, dead one.
async fn old_enough() -> (World, Fake) {
    let world = World::with(swept_often).await;
    let (first, second, _) = twice(&world, Died::Whole).await;
    world.ahead(DAY + DAY / 24);
    second.until("its spool goes by its age", |s| s.forgets.len() == 1).await;
    (world, first)
}

#[tokio::test]
async fn a_dead_attempts_spool_goes_with_the_runs_own() {
    let (world, first) = old_enough().await;
    first.until("it is asked", |s| s.forgets.iter().any(|f| f.log_len == 4)).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_dead_attempts_spool_that_stays() {
    let _bug = longhaul_proto::faults::enter("bug=earlier_spools_stay");
    let (world, first) = old_enough().await;
    first.beats(20).await;
    assert!(first.shared.state().forgets.is_empty());
    world.stop().await;
}

/// A run whose spool goes by its age while the host of its first, dead attempt cannot be called. Returns that agent, which
/// can be called again.
async fn released_while_unreachable() -> (World, Fake) {
    let world = World::with(swept_often).await;
    let (mut first, second, _) = twice(&world, Died::Whole).await;
    first.unreachable().await;
    connected(&world, |n| n < 2).await;
    world.ahead(DAY + DAY / 24);
    second.until("its spool goes by its age", |s| s.forgets.len() == 1).await;
    assert!(first.shared.state().forgets.is_empty(), "it could not be asked");
    first.reachable().await;
    (world, first)
}

#[tokio::test]
async fn a_dead_attempts_spool_goes_after_the_runs_own() {
    let (world, first) = released_while_unreachable().await;
    first.until("it is asked", |s| s.forgets.iter().any(|f| f.log_len == 4)).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_dead_attempts_spool_stays_with_the_record() {
    let _bug = longhaul_proto::faults::enter("bug=unreachable_dead_spools_stay");
    let (world, first) = released_while_unreachable().await;
    connected(&world, |n| n == 2).await;
    first.beats(20).await;
    assert!(first.shared.state().forgets.is_empty());
    world.stop().await;
}

const MIB: u64 = 1 << 20;

/// The host of a run's first, dead attempt reports that its spools take too much.
async fn crowded(died: Died) -> (World, Fake, RunId) {
    let world = World::with(|o| o.sweep_every = Duration::from_millis(20)).await;
    let (first, _second, run) = twice(&world, died).await;
    first.shared.change(|s| {
        s.files.insert(run.to_string(), 5 * MIB);
        s.spool = (11 * MIB, 9 * MIB);
    });
    (world, first, run)
}

#[tokio::test]
async fn what_a_dead_attempt_left_goes_for_room() {
    let (world, first, run) = crowded(Died::Whole).await;
    first.until("room is made", |s| s.forgets.iter().any(|f| f.log_len == 4)).await;
    assert!(!world.get(&root(), run).await.note.unwrap_or_default().contains("was released"), "nothing is lost");
    world.stop().await;
}

#[tokio::test]
async fn an_only_copy_of_a_dead_attempt_goes_for_room_last_and_the_record_says_so() {
    let (world, first, run) = crowded(Died::Damaged).await;
    first.until("room is made", |s| s.forgets.iter().any(|f| f.log_len == 8)).await;
    let note = until_note(&world, run, "was released").await;
    assert!(
        note.contains("what attempt 1 left on stata1 was released for room on its host (max_spool) at 20"),
        "{note}"
    );
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_dead_attempt_takes_room_for_as_long_as_the_record() {
    let _bug = longhaul_proto::faults::enter("bug=dead_spools_take_room");
    let (world, first, _) = crowded(Died::Damaged).await;
    first.beats(10).await;
    assert!(first.shared.state().forgets.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn what_an_agent_keeps_is_not_called_released() {
    let world = World::with(|o| o.sweep_every = Duration::from_millis(20)).await;
    let (first, _second, run) = twice(&world, Died::Damaged).await;
    first.shared.change(|s| {
        s.forget_problem = Some("its log is in use".to_owned());
        s.files.insert(run.to_string(), 5 * MIB);
        s.spool = (11 * MIB, 9 * MIB);
    });
    first.until("it is asked, twice", |s| s.forget_calls >= 2).await;
    let note = world.get(&root(), run).await.note.unwrap_or_default();
    assert!(!note.contains("was released"), "{note}");
    world.stop().await;
}

/// How often an agent that does not answer is asked in one pass for what three removed runs left.
async fn asked_in_a_pass() -> u32 {
    let world = World::with(|o| o.sweep_every = DAY).await;
    let mut agent = Fake::with("stata1", |i| i.pool_seats = 8, SECRET).join(world.addr()).await;
    let mut runs = Vec::new();
    for code in ["display 1\n", "display 2\n", "display 3\n"] {
        runs.push(ended(&world, &agent, code, 10).await);
    }
    agent.shared.change(|s| s.silent = true);
    agent.unreachable().await;
    connected(&world, |n| n == 0).await;
    world.ahead(DAY * 31);
    let inner = world.gateway().core.runs.0.clone();
    crate::runs::upkeep::look(&inner, &mut None).await.unwrap();
    for run in runs {
        world.until_removed(run).await;
    }
    agent.shared.change(|s| (s.silent, s.forget_fails) = (false, Some(tonic::Status::unavailable("busy"))));
    agent.reachable().await;
    connected(&world, |n| n == 1).await;
    crate::runs::release::free_rest(&inner).await;
    let asked = agent.shared.state().forget_calls;
    // What was not asked for is not forgotten.
    agent.shared.change(|s| s.forget_fails = None);
    crate::runs::release::free_rest(&inner).await;
    assert_eq!(agent.shared.state().forgets.len(), 3);
    world.stop().await;
    asked
}

#[tokio::test]
async fn an_agent_that_does_not_answer_is_asked_once_in_a_pass() {
    assert_eq!(asked_in_a_pass().await, 1);
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_an_agent_that_does_not_answer_is_waited_for_each_time() {
    let _bug = longhaul_proto::faults::enter("bug=silent_agents_asked_on");
    assert_eq!(asked_in_a_pass().await, 3);
}
