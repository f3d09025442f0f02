//! Which earlier run may answer a request: each clause of the rule, with its control.

use longhaul_proto::{
    api::{CancelMode, Joined},
    wire,
};

use super::*;
use crate::ledger::CALL;
use RunState::{Cancelled, Failed, Running, Succeeded, TimedOut};

impl World {
    /// A call with its client's own name for it.
    async fn call(&self, name: &str, submit: SubmitRequest) -> Result<Accepted, SubmitError> {
        let request = Request { submit, call: Some(format!("{CALL}{name}")), max_code: 1 << 20, ..Request::default() };
        self.runs().submit(&ann(), request).await
    }

    /// Which run answers, and why.
    async fn answer(&self, submit: SubmitRequest) -> (RunId, Option<Joined>) {
        let submitted = self.try_submit(submit).await.unwrap();
        (submitted.run.run, submitted.joined)
    }

    /// Runs a request to its end.
    async fn ended(&self, agent: &Fake, submit: SubmitRequest, state: RunState, cause: Cause) -> RunId {
        let run = self.submit(submit).await;
        agent.got(run).await;
        agent.prints(run, b"1\n");
        agent.ends(run, state, cause);
        self.state(run, state).await;
        run
    }
}

async fn with_agent() -> (World, Fake) {
    let world = World::with(|o| o.changed_timeout = Duration::from_millis(500)).await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 9, SECRET).join(world.addr()).await;
    (world, agent)
}

#[tokio::test]
async fn an_equal_request_joins_until_its_end_was_seen() {
    let (world, agent) = with_agent().await;
    let run = world.submit(text("display 1\n")).await;
    assert_eq!(world.answer(text("display 1\n")).await, (run, Some(Joined::Unfinished)));
    agent.got(run).await;
    world.runs().seen(vec![run]);
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    assert_eq!(world.answer(text("display 1\n")).await, (run, Some(Joined::Undelivered)), "only an end can be seen");
    world.runs().seen(vec![run]);
    // At once: an end that was shown counts before it is noted in the ledger.
    let (second, joined) = world.answer(text("display 1\n")).await;
    assert_eq!(joined, None);
    assert_ne!(second, run);
    world.stop().await;
}

#[tokio::test]
async fn an_equal_request_joins_an_end_for_a_quarter_of_an_hour() {
    let (world, agent) = with_agent().await;
    let run = world.ended(&agent, text("display 1\n"), Failed, Cause::StataError).await;
    world.ahead(Duration::from_secs(14 * 60));
    world.until_up(1).await;
    assert_eq!(world.answer(text("display 1\n")).await, (run, Some(Joined::Undelivered)));
    world.ahead(Duration::from_secs(61));
    world.until_up(1).await;
    assert_eq!(world.answer(text("display 1\n")).await.1, None);
    world.stop().await;
}

#[tokio::test]
async fn the_same_call_is_its_run_for_two_minutes_after_the_end() {
    let (world, agent) = with_agent().await;
    let submit = || text("display 1\n");
    let run = world.call("functions.run:0", submit()).await.unwrap().run.run;
    let again = world.call("functions.run:0", submit()).await.unwrap();
    assert_eq!((again.run.run, again.joined), (run, Some(Joined::Call)), "unfinished");
    agent.got(run).await;
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    world.runs().seen(vec![run]);
    world.ahead(Duration::from_secs(110));
    world.until_up(1).await;
    let again = world.call("functions.run:0", submit()).await.unwrap();
    assert_eq!((again.run.run, again.joined), (run, Some(Joined::Call)), "ended, and seen");
    assert_eq!(world.call("functions.run:1", submit()).await.unwrap().joined, None, "another call");
    world.ahead(Duration::from_secs(11));
    world.until_up(1).await;
    // The equal run under the other name is unfinished and answers; the earlier run does not.
    let later = world.call("functions.run:0", submit()).await.unwrap();
    assert_eq!(later.joined, Some(Joined::Unfinished));
    assert_ne!(later.run.run, run, "the name came again, and means another call");
    world.stop().await;
}

#[tokio::test]
async fn a_key_on_purpose_is_one_run_whatever_became_of_it() {
    let (world, agent) = with_agent().await;
    let keyed = || SubmitRequest { key: Some("mine".to_owned()), ..text("display 1\n") };
    let run = world.submit(keyed()).await;
    agent.got(run).await;
    world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap();
    agent.ends(run, Cancelled, Cause::CancelRequested);
    world.state(run, Cancelled).await;
    agent.shared.change(|s| s.changed.changed = vec!["/p/inner.do".to_owned()]);
    world.ahead(Duration::from_secs(24 * 3600));
    assert_eq!(world.answer(keyed()).await, (run, Some(Joined::Key)));
    assert!(agent.shared.state().changed_calls.is_empty(), "its agent is not asked");
    world.stop().await;
}

#[tokio::test]
async fn what_was_ended_on_purpose_answers_nothing() {
    let (world, agent) = with_agent().await;
    for (n, (state, cause)) in
        [(Cancelled, Cause::CancelRequested), (TimedOut, Cause::RunTimeout)].into_iter().enumerate()
    {
        let code = format!("display {n}\n");
        let run = world.ended(&agent, text(&code), state, cause).await;
        let (other, joined) = world.answer(text(&code)).await;
        assert_eq!(joined, None, "{state}");
        assert_ne!(other, run);
    }
    // The control is `an_equal_request_joins_until_its_end_was_seen`. A run that is being ended does not answer either.
    let run = world.submit(text("display 9\n")).await;
    agent.got(run).await;
    agent.prints(run, b"1\n");
    world.state(run, Running).await;
    world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap();
    assert_eq!(world.answer(text("display 9\n")).await.1, None);
    world.stop().await;
}

#[tokio::test]
async fn what_its_host_is_ending_answers_nothing() {
    let (world, agent) = with_agent().await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"1\n");
    world.state(run, Running).await;
    assert_eq!(world.answer(text("display 1\n")).await, (run, Some(Joined::Unfinished)), "the control");
    agent.shared.change(|s| s.changed.ending = true);
    assert_eq!(world.answer(text("display 1\n")).await.1, None);
    world.stop().await;
}

/// Asserts that nothing is joined and nothing is started; returns whether the agent could not be asked, and the words.
fn refused(answer: Result<Accepted, SubmitError>) -> (bool, String) {
    match answer {
        Err(error @ SubmitError::Changed(_)) => (false, error.to_string()),
        Err(error @ SubmitError::Unasked(_)) => (true, error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_do_file_that_changed_stops_both_ways_and_names_the_ways_on() {
    let (world, agent) = with_agent().await;
    let unfinished = world.submit(text("display 1\n")).await;
    agent.got(unfinished).await;
    agent.prints(unfinished, b"1\n");
    world.state(unfinished, Running).await;
    let ended = world.ended(&agent, text("display 2\n"), Succeeded, Cause::Completed).await;
    assert_eq!(world.answer(text("display 2\n")).await, (ended, Some(Joined::Undelivered)), "the control");

    agent.shared.change(|s| s.changed.changed = vec!["/p/inner.do".to_owned()]);
    let (not_now, words) = refused(world.try_submit(text("display 1\n")).await);
    for part in ["/p/inner.do changed", "nothing was joined and nothing was started", "`again: true`", "stata_cancel"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!not_now && words.contains(&unfinished.short()), "{words}");
    let (_, words) = refused(world.try_submit(text("display 2\n")).await);
    assert!(
        words.contains("`again: true`") && words.contains(&format!("stata_wait(runs: \"{}\")", ended.short())),
        "{words}"
    );
    // Asking again gives the same answer: the question has bound no name.
    refused(world.call("c", text("display 2\n")).await);
    refused(world.call("c", text("display 2\n")).await);
    let calls = agent.shared.state().run_calls.len();
    assert_eq!(calls, 2, "nothing was started");
    // With `again` the caller gets a new run.
    let again = SubmitRequest { again: true, ..text("display 2\n") };
    assert_eq!(world.answer(again).await.1, None);
    world.stop().await;
}

#[tokio::test]
async fn the_same_call_is_asked_about_too() {
    let (world, agent) = with_agent().await;
    let run = world.call("c", text("display 1\n")).await.unwrap().run.run;
    agent.got(run).await;
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    assert_eq!(world.call("c", text("display 1\n")).await.unwrap().joined, Some(Joined::Call), "the control");
    agent.shared.change(|s| s.changed.changed = vec!["/p/inner.do".to_owned()]);
    refused(world.call("c", text("display 1\n")).await);
    // A repeated call with `again`: the same arguments, and another run if the files have changed.
    let again = || SubmitRequest { again: true, ..text("display 1\n") };
    let second = world.call("d", again()).await.unwrap();
    assert_eq!(second.joined, None);
    agent.got(second.run.run).await;
    assert_eq!(world.call("d", again()).await.unwrap().joined, None);
    agent.shared.change(|s| s.changed.changed.clear());
    assert_eq!(world.call("d", again()).await.unwrap().joined, Some(Joined::Call), "a lost call is its own run");
    world.stop().await;
}

#[tokio::test]
async fn an_agent_that_cannot_tell_counts_as_changed() {
    let (world, mut agent) = with_agent().await;
    let run = world.ended(&agent, text("display 1\n"), Succeeded, Cause::Completed).await;
    agent.shared.change(|s| s.changed.unsure = "a name that cannot be told".to_owned());
    let (not_now, words) = refused(world.try_submit(text("display 1\n")).await);
    assert!(!not_now && words.contains("a name that cannot be told"), "{words}");
    agent.shared.change(|s| {
        s.changed = wire::ChangedReply::default();
        s.changed_fails = Some(tonic::Status::unimplemented("an agent of before"));
    });
    assert!(refused(world.try_submit(text("display 1\n")).await).0, "it may be another agent soon");
    agent.vanish().await;
    world.ahead(Duration::from_secs(20));
    let (not_now, words) = refused(world.try_submit(text("display 1\n")).await);
    assert!(not_now && words.contains("agent stata1"), "{words}");
    agent.shared.change(|s| s.changed_fails = None);
    agent.come_back(world.addr()).await;
    world.until_up(1).await;
    assert_eq!(world.answer(text("display 1\n")).await, (run, Some(Joined::Undelivered)), "the control");
    agent.shared.change(|s| s.runs.clear());
    let (_, words) = refused(world.try_submit(text("display 1\n")).await);
    assert!(words.contains("does not keep the run any more"), "{words}");
    world.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_has_entered_nothing() {
    let world = World::new().await;
    let run = world.submit(text("display 1\n")).await;
    assert_eq!(world.answer(text("display 1\n")).await, (run, Some(Joined::Unfinished)), "there is no agent to ask");
    world.stop().await;
}

/// The first run is at its agent, which has no notes yet of the do-files that the run enters.
async fn begins() -> (World, Fake, RunId) {
    let (world, agent) = with_agent().await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    world.state(run, RunState::Starting).await;
    agent.shared.change(|s| s.changed.unsure = "its do-files were not noted when it ran".to_owned());
    (world, agent, run)
}

#[tokio::test]
async fn a_second_equal_call_joins_a_run_that_is_only_starting() {
    let (world, agent, run) = begins().await;
    assert_eq!(world.answer(text("display 1\n")).await, (run, Some(Joined::Unfinished)));
    let second = world.call("c", text("display 1\n")).await.unwrap();
    assert_eq!((second.run.run, second.joined), (run, Some(Joined::Unfinished)));
    // A repeated call with `again` in it is no other run either.
    let again = || SubmitRequest { again: true, ..text("display 2\n") };
    let first = world.call("d", again()).await.unwrap();
    agent.got(first.run.run).await;
    world.state(first.run.run, RunState::Starting).await;
    assert_eq!(world.call("d", again()).await.unwrap().run.run, first.run.run, "a lost call is its own run");
    assert_eq!(agent.shared.state().run_calls.len(), 2, "each was started once");
    // A changed do-file is reported even this early.
    agent.shared.change(|s| s.changed.changed = vec!["/p/main.do".to_owned()]);
    refused(world.try_submit(text("display 1\n")).await);
    agent.shared.change(|s| s.changed.changed.clear());
    // Once the run has printed, it counts that the agent cannot tell.
    agent.prints(run, b"1\n");
    world.state(run, Running).await;
    refused(world.try_submit(text("display 1\n")).await);
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_run_that_is_only_starting_would_be_started_twice() {
    let _bug = longhaul_proto::faults::enter("bug=beginning_counts_as_changed");
    let (world, agent, run) = begins().await;
    refused(world.try_submit(text("display 1\n")).await);
    let again = || SubmitRequest { again: true, ..text("display 2\n") };
    let first = world.call("d", again()).await.unwrap();
    agent.got(first.run.run).await;
    world.state(first.run.run, RunState::Starting).await;
    assert_ne!(world.call("d", again()).await.unwrap().run.run, first.run.run);
    agent.until("it was started twice", |s| s.run_calls.len() == 3).await;
    assert!(agent.shared.state().runs.contains_key(&run.to_string()));
    world.stop().await;
}
