//! How long a run waits, and what is reported of it: each wait counts for itself.

use longhaul_proto::api::{DrainBody, Retry};

use super::*;
use RunState::{Queued, Running, Succeeded, TimedOut};

const HOUR: Duration = Duration::from_secs(3600);

async fn drain(world: &World, on: bool) {
    let body = DrainBody { hosts: vec!["stata1".to_owned()], reason: None };
    let done = if on { world.runs().drain(&root(), body).await } else { world.runs().resume(&root(), body).await };
    done.unwrap();
}

/// A run with a queue limit of one hour that ran for five hours, then lost its host, and waits for another attempt.
async fn waits_again(world: &World, agent: &Fake) -> RunId {
    let submit = SubmitRequest { queue_timeout: Some(3600.0), retry: Some(Retry::IfProvenDead), ..text("display 1\n") };
    let run = world.submit(submit).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.state(run, Running).await;
    world.ahead(HOUR * 5);
    drain(world, true).await;
    agent.ends(run, RunState::Errored, Cause::HostRebooted);
    world
        .until(run, "the end of its second wait, or the reason for it", |v| {
            v.state.is_end() || (v.state == Queued && v.waiting.as_deref().is_some_and(|w| w.contains("draining")))
        })
        .await;
    run
}

/// What the queue metric has counted, seconds.
fn waited(world: &World) -> f64 {
    let text = world.gateway().core.metrics.meters.text();
    let sum = text.lines().find_map(|line| line.strip_prefix("longhaul_queue_seconds_sum "));
    sum.and_then(|sum| sum.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn the_limit_on_waiting_counts_anew_for_an_attempt_after_one_that_began() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = waits_again(&world, &agent).await;
    world.ahead(HOUR / 2);
    // Long enough for many checks of the deadline.
    agent.beats(20).await;
    assert_eq!(world.get(&root(), run).await.state, Queued);
    drain(&world, false).await;
    agent.until("attempt 2", |s| s.run_calls.len() == 2).await;
    agent.prints(run, b"two\n");
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    let waited = waited(&world);
    assert!((1700.0..2500.0).contains(&waited), "half an hour, and not the time that attempt 1 ran: {waited}");
    world.stop().await;
}

#[tokio::test]
async fn a_second_wait_that_is_too_long_says_what_was_before_it() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = waits_again(&world, &agent).await;
    world.ahead(HOUR + HOUR / 2);
    let view = world.state(run, TimedOut).await;
    let message = view.message.unwrap();
    assert!(message.starts_with("attempt 1 on stata1 died: host_rebooted"), "{message}");
    assert!(message.contains("waited for 3600 s for another") && !message.contains("never began"), "{message}");
    world.stop().await;
}

#[tokio::test]
async fn the_limit_on_waiting_does_not_count_anew_for_an_attempt_that_never_began() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    agent.shared.change(|s| s.fail_run = vec![(tonic::Status::resource_exhausted("no room"), false); 999]);
    let run = world.submit(SubmitRequest { queue_timeout: Some(3600.0), ..text("display 1\n") }).await;
    world.until(run, "it was given back", |v| v.attempt >= 1 && v.state == Queued).await;
    world.ahead(HOUR + HOUR / 2);
    let message = world.state(run, TimedOut).await.message.unwrap();
    assert!(message.contains("the code never began"), "{message}");
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_deadline_that_survives_the_first_attempt_ends_the_run() {
    let _bug = longhaul_proto::faults::enter("bug=queue_deadline_survives");
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = waits_again(&world, &agent).await;
    assert_eq!(world.state(run, TimedOut).await.cause, Cause::QueueTimeout);
    world.stop().await;
}
