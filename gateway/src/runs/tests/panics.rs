//! A panic inside the gateway costs a moment, and never a run, a lease or a wrong record.

#![cfg(feature = "faults")]

use longhaul_proto::{api::CancelMode, faults};

use super::*;
use RunState::{Queued, Running, Succeeded};

/// A gateway with one agent and one seat, on which `first` runs and for which `second` waits.
async fn one_seat() -> (World, Fake, RunId, RunId) {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let first = world.submit(text("display 1\n")).await;
    agent.got(first).await;
    let second = world.submit(text("display 2\n")).await;
    (world, agent, first, second)
}

#[tokio::test]
async fn a_run_whose_task_panics_is_taken_up_again_and_keeps_its_seat() {
    // The run's task panics after the answer to its `Run` call, so the agent has started the run.
    let _faults = faults::enter("point=dispatch.after_run:kill");
    let (world, agent, first, second) = one_seat().await;
    let mut followed = world.runs().watch(&root(), first).await.unwrap();
    agent.prints(first, b"one\n");
    world.until(first, "followed again", |v| v.state == Running && v.output_bytes == 4).await;
    assert!(followed.has_changed().is_ok(), "who followed it before follows it still");
    assert!(followed.borrow_and_update().log_len == 4);
    agent.beats(5).await;
    assert_eq!(agent.shared.state().run_calls.len(), 1, "its seat was held meanwhile");
    assert_eq!(world.get(&root(), second).await.state, Queued);
    assert_eq!(world.gateway().core.metrics.tasks_panicked.load(Ordering::Relaxed), 1);
    assert!(world.runs().cancel(&ann(), first, CancelMode::Break).await.unwrap().cancel.is_some());
    agent.ends(first, Succeeded, Cause::Completed);
    world.state(first, Succeeded).await;
    agent.got(second).await;
    world.stop().await;
}

#[tokio::test]
async fn a_run_whose_task_panics_at_its_end_ends_once() {
    let _faults = faults::enter("point=end.before_commit:kill");
    let (world, agent, first, second) = one_seat().await;
    agent.prints(first, b"one\n");
    agent.ends(first, Succeeded, Cause::Completed);
    assert!(world.state(first, Succeeded).await.output_complete);
    agent.got(second).await;
    agent.ends(second, Succeeded, Cause::Completed);
    world.state(second, Succeeded).await;
    assert_eq!(world.history(first).await.iter().filter(|(state, ..)| *state == Succeeded).count(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_run_whose_task_panics_behind_its_last_commit_has_ended() {
    let _faults = faults::enter("point=end.after_commit:kill");
    let (world, agent, first, second) = one_seat().await;
    agent.ends(first, Succeeded, Cause::Completed);
    world.state(first, Succeeded).await;
    agent.got(second).await;
    agent.ends(second, Succeeded, Cause::Completed);
    world.state(second, Succeeded).await;
    let gone = async {
        while world.runs().0.registry.get(first).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("it is among the unfinished no more");
    world.stop().await;
}

#[tokio::test]
async fn control_without_supervision_a_panic_frees_the_seat_under_a_running_stata() {
    let _faults = faults::enter("point=dispatch.after_run:kill; bug=run_task_unsupervised");
    let (world, agent, first, second) = one_seat().await;
    agent.got(second).await;
    assert!(!world.get(&root(), first).await.state.is_end(), "two at once in a pool of one");
    let _ = world.gateway.unwrap().shutdown(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_panic_while_a_run_is_recorded_is_told_as_such_and_leaves_no_run_alone() {
    for point in ["submit.before_commit", "submit.after_commit"] {
        let _faults = faults::enter(&format!("point={point}:kill"));
        let world = World::new().await;
        let agent = Fake::new("stata1").join(world.addr()).await;
        let error = world.try_submit(text("display 1\n")).await.unwrap_err().to_string();
        assert!(error.contains("failed inside this submission") && error.contains("stata_runs"), "{error}");
        assert!(!error.contains("stopping"), "{error}");
        if point == "submit.after_commit" {
            agent.until("the run that is recorded", |s| s.run_calls.len() == 1).await;
        }
        world.stop().await;
    }
}
