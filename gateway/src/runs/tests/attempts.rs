//! One attempt and what may happen to it.

use longhaul_proto::wire;
use tonic::Status;

use super::*;
use RunState::{Cancelled, Errored, Queued, Running, Starting, Succeeded};

const FIRST: [(RunState, Cause, u32); 3] =
    [(Queued, Cause::Submitted, 0), (Starting, Cause::Dispatched, 1), (Running, Cause::FirstOutput, 1)];

#[tokio::test]
async fn a_run_goes_out_and_its_result_comes_back() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    world.until(run, "starting on stata1", |v| v.state == Starting && v.host.as_deref() == Some("stata1")).await;
    agent.prints(run, b". display 1\n");
    let view = world.until(run, "its first line", |v| v.state == Running).await;
    assert_eq!(view.output_bytes, 12);
    let seen = world.runs().read(&ann(), run, Stream::Log, 2, 7).await.unwrap();
    assert_eq!((&seen.bytes[..], seen.next, seen.complete), (&b"display"[..], 9, false));
    agent.prints(run, b"1\n");
    agent.ends(run, Succeeded, Cause::Completed);
    let view = world.state(run, Succeeded).await;
    assert!(view.output_complete);
    assert_eq!((view.output_bytes, view.duration, view.exit_status), (14, Some(1.5), Some(0)));
    assert_eq!(world.log(run).await, b". display 1\n1\n");
    assert!(world.runs().read(&ann(), run, Stream::Log, 14, 9).await.unwrap().complete);
    let past = world.runs().read(&ann(), run, Stream::Log, 15, 9).await.unwrap_err();
    assert_eq!(past.to_string(), "offset 15 is past the end: the output has 14 bytes so far");
    assert_eq!(world.history(run).await, [&FIRST[..], &[(Succeeded, Cause::Completed, 1)]].concat());
    let sent = agent.shared.state().runs[&run.to_string()].submission.clone();
    assert_eq!(sent.source, Some(wire::submission::Source::Text(b"display 1\n".to_vec())));
    assert_eq!((sent.principal.as_str(), sent.cluster_id.as_str()), ("ann", world.ledger().cluster_id()));
    assert_eq!(agent.shared.state().run_calls, [(run.to_string(), 1)]);
    let pools = world.runs().hosts(&ann()).await.pools;
    assert_eq!((pools[0].name.as_str(), pools[0].seats, pools[0].in_use), ("lab", 1, 0));
    world.stop().await;
}

#[tokio::test]
async fn a_broken_stream_loses_no_byte_and_changes_no_state() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| s.break_after = vec![1, 70_000, 1, 200_000]);
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    let all: Vec<u8> = (0..900_000u32).flat_map(|n| [b'a' + (n % 26) as u8, (n % 251) as u8]).collect();
    for part in all.chunks(100_000) {
        agent.prints(run, part);
        let sofar = world.log(run).await;
        assert!(all.starts_with(&sofar), "always a prefix");
    }
    agent.ends(run, Succeeded, Cause::Completed);
    let view = world.state(run, Succeeded).await;
    assert!(view.output_complete);
    assert!(world.log(run).await == all, "byte for byte");
    assert_eq!(world.history(run).await, [&FIRST[..], &[(Succeeded, Cause::Completed, 1)]].concat());
    assert!(agent.shared.state().break_after.is_empty(), "it did break");
    assert_eq!(agent.shared.state().run_calls.len(), 1, "followed, not run again");
    world.stop().await;
}

#[tokio::test]
async fn an_output_that_differs_is_fetched_again() {
    differs(false).await;
}

#[tokio::test]
async fn so_it_is_from_an_agent_of_an_earlier_version() {
    differs(true).await;
}

async fn differs(earlier: bool) {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| (s.corrupt, s.earlier) = (1, earlier));
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"the truth");
    agent.ends(run, Succeeded, Cause::Completed);
    assert!(world.state(run, Succeeded).await.output_complete);
    assert_eq!(world.log(run).await, b"the truth");
    assert_eq!(world.gateway().core.metrics.mirror_refetched.load(Ordering::Relaxed), 1);
    // An agent whose bytes never match its digest: the record says so, and the run still ends.
    agent.shared.change(|s| s.corrupt = 100);
    let run = world.submit(text("display 2\n")).await;
    agent.got(run).await;
    agent.prints(run, b"the truth");
    agent.ends(run, Succeeded, Cause::Completed);
    let view = world.state(run, Succeeded).await;
    assert!(!view.output_complete);
    assert!(view.note.unwrap().contains("differs from the digest"));
    world.stop().await;
}

#[tokio::test]
async fn an_attempt_that_never_began_is_revoked_and_made_anew() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| s.fail_run = vec![(Status::unavailable("no idea"), false)]);
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"x");
    agent.ends(run, Succeeded, Cause::Completed);
    let view = world.state(run, Succeeded).await;
    assert_eq!(view.attempt, 2);
    assert_eq!(agent.shared.state().revoked[&run.to_string()], 1, "proved before the second left");
    assert_eq!(agent.shared.state().run_calls, [(run.to_string(), 1), (run.to_string(), 2)]);
    let causes: Vec<_> = world.history(run).await.into_iter().take(4).collect();
    assert_eq!(causes, [FIRST[0], FIRST[1], (Queued, Cause::Returned, 1), (Starting, Cause::Dispatched, 2)]);
    assert_eq!(world.gateway().core.metrics.returned.load(Ordering::Relaxed), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_attempt_that_did_begin_is_followed_and_not_repeated() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| s.fail_run = vec![(Status::unavailable("the answer was lost"), true)]);
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"x");
    agent.ends(run, Succeeded, Cause::Completed);
    assert_eq!(world.state(run, Succeeded).await.attempt, 1);
    assert_eq!(agent.shared.state().run_calls.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn what_an_agent_will_never_take_ends() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| s.fail_run = vec![(Status::invalid_argument("cannot be written into a wrapper"), false)]);
    let run = world.submit(text("display 1\n")).await;
    let view = world.state(run, Errored).await;
    assert_eq!(view.cause, Cause::SpawnFailed);
    assert_eq!(view.message.unwrap(), "agent stata1 did not take it: cannot be written into a wrapper");
    assert_eq!(agent.shared.state().run_calls.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_agent_without_room_is_not_the_only_one_asked() {
    let world = World::new().await;
    let full = Fake::with("a-full", |i| i.pool = "a".to_owned(), SECRET).join(world.addr()).await;
    full.shared.change(|s| s.fail_run = vec![(Status::resource_exhausted("no room in the spool"), false); 99]);
    world.until_up(1).await;
    let run = world.submit(text("display 1\n")).await;
    let why = "agent a-full cannot run it: no room in the spool; it is asked again soon";
    world.until(run, "why", |v| v.waiting.as_deref() == Some(why)).await;
    let roomy = Fake::with("b-roomy", |i| i.pool = "b".to_owned(), SECRET).join(world.addr()).await;
    roomy.got(run).await;
    roomy.ends(run, Succeeded, Cause::Completed);
    let attempts = world.state(run, Succeeded).await.attempt;
    assert_eq!(attempts as usize, full.shared.state().run_calls.len() + 1, "each attempt is one call");
    assert_eq!(full.shared.state().revoked[&run.to_string()], attempts - 1, "and each was proved not to have begun");
    world.stop().await;
}

#[tokio::test]
async fn what_a_crash_of_the_host_took_is_kept_here() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"first\nsecond\n");
    world.until(run, "both lines", |v| v.output_bytes == 13).await;
    agent.vanish().await;
    agent.shared.change(|s| s.runs.get_mut(&run.to_string()).unwrap().log.truncate(6));
    agent.ends(run, Errored, Cause::HostRebooted);
    agent.come_back(world.addr()).await;
    let view = world.state(run, Errored).await;
    assert_eq!(world.log(run).await, b"first\nsecond\n");
    assert!(!view.output_complete);
    assert!(view.note.unwrap().contains("the gateway has kept it"));
    world.stop().await;
}

/// After a host's crash the log is compared from its start once; later breaks are followed from the mirror's length.
async fn offsets_after_a_shorter_log(world: &World) -> Vec<u64> {
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"first\nsecond\n");
    world.until(run, "both lines", |v| v.output_bytes == 13).await;
    agent.vanish().await;
    agent.shared.change(|s| s.runs.get_mut(&run.to_string()).unwrap().log.truncate(6));
    agent.shared.change(|s| s.break_after = vec![14]);
    agent.come_back(world.addr()).await;
    agent.until("it is followed from the start", |s| s.follows == [0]).await;
    agent.prints(run, b"second\nthird\n");
    agent.until("it is followed again", |s| s.follows.len() == 2).await;
    agent.ends(run, Succeeded, Cause::Completed);
    assert!(world.state(run, Succeeded).await.output_complete);
    agent.shared.state().follows.clone()
}

#[tokio::test]
async fn a_log_is_fetched_from_its_start_once() {
    let world = World::new().await;
    assert_eq!(offsets_after_a_shorter_log(&world).await, [0, 19]);
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_log_that_is_fetched_from_its_start_at_every_break() {
    let _bug = longhaul_proto::faults::enter("bug=from_start_sticks");
    let world = World::new().await;
    assert_eq!(offsets_after_a_shorter_log(&world).await, [0, 0]);
    world.stop().await;
}

#[tokio::test]
async fn cancelling_reaches_the_agent_and_can_get_harder() {
    use longhaul_proto::api::CancelMode;
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("sleep\n")).await;
    agent.got(run).await;
    agent.prints(run, b". sleep\n");
    world.state(run, Running).await;
    let view = run_view(&world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap());
    assert_eq!(view.cancel_requested.unwrap().by, "ann");
    agent.until("a break", |s| s.cancels.len() == 1).await;
    world.runs().cancel(&root(), run, CancelMode::Kill).await.unwrap();
    agent.until("a kill", |s| s.cancels.len() == 2).await;
    let modes: Vec<_> = agent.shared.state().cancels.iter().map(|(_, mode, by)| (*mode, by.clone())).collect();
    assert_eq!(modes, [(wire::CancelMode::Break, "ann".to_owned()), (wire::CancelMode::Kill, "ann".to_owned())]);
    agent.ends(run, Cancelled, Cause::CancelRequested);
    world.state(run, Cancelled).await;
    assert_eq!(world.log(run).await, b". sleep\n", "output is kept");
    assert_eq!(world.runs().cancel(&ann(), run, CancelMode::Kill).await.unwrap().state, Cancelled);
    world.stop().await;
}

#[tokio::test]
async fn who_answers_at_an_agents_address_with_another_key_gets_no_code() {
    let world = World::new().await;
    // It has joined correctly; another agent, which holds the secret too, answers at its address.
    let (mut agent, mut thief) = (Fake::new("stata1"), Fake::new("thief"));
    thief.listen().await;
    agent.advertise(&thief.shared.info().advertise);
    agent.register(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    let view =
        world.until(run, "the reason", |v| v.waiting.as_deref().is_some_and(|w| w.contains("it shows the key"))).await;
    assert_eq!(view.state, Queued);
    for fake in [&agent, &thief] {
        assert!(fake.shared.state().run_calls.is_empty());
    }
    world.stop().await;
}
