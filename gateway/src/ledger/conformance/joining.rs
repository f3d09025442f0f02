//! The laws of joining: which earlier run answers a request.

use super::*;

pub(super) async fn a_key_is_one_run(ledger: &dyn Ledger) {
    let keyed = |body: &str, principal: &str| NewRun {
        key: Some(("tool-7".to_owned(), body.to_owned())),
        ..new_run(principal)
    };
    let first = keyed("b", "keys");
    let run = first.record.run;
    assert_eq!(ledger.insert(first).await.unwrap(), Inserted::New);
    assert_eq!(ledger.insert(keyed("b", "keys")).await.unwrap(), Inserted::Joined(run, Joined::Key));
    assert!(matches!(ledger.insert(keyed("other", "keys")).await, Err(LedgerError::KeyTaken(r)) if r == run));
    assert_eq!(ledger.insert(keyed("b", "somebody else")).await.unwrap(), Inserted::New, "keys belong to a principal");
    assert_eq!(ledger.by_key(&Principal::local("keys"), "tool-7").await.unwrap(), Some((run, "b".to_owned())));
    assert_eq!(ledger.by_key(&Principal::local("keys"), "tool-8").await.unwrap(), None);
}

/// A request equal to others of that shape.
fn equal(shape: &str, code: &str, since: Option<i64>) -> NewRun {
    let dedupe = Dedupe {
        shape: shape.to_owned(),
        code: code.to_owned(),
        join_since_ms: since,
        call_since_ms: i64::MAX,
        ..Dedupe::default()
    };
    NewRun { dedupe, ..new_run("ann") }
}

pub(super) async fn an_equal_request_joins_what_goes_on_and_what_was_not_shown(ledger: &dyn Ledger) {
    let insert = async |new: NewRun| ledger.insert(new).await.unwrap();
    let run = running(ledger, equal("equal", "1", Some(0))).await;
    assert_eq!(insert(equal("equal", "1", Some(0))).await, Inserted::Joined(run, Joined::Unfinished));
    assert_eq!(
        insert(equal("equal", "", Some(0))).await,
        Inserted::Joined(run, Joined::Unfinished),
        "unknown equals any"
    );
    ledger.mark_shown(vec![run], 4_999).await.unwrap();
    assert_eq!(ledger.get(run).await.unwrap().unwrap().shown_ms, 0, "an end that is not there cannot be seen");
    end(ledger, run, 5_000, true).await;
    let ended = || equal("equal", "1", Some(5_000));
    assert_eq!(insert(ended()).await, Inserted::Joined(run, Joined::Undelivered));
    let ruled_out = |new: NewRun| NewRun { dedupe: Dedupe { not: vec![run], only_join: true, ..new.dedupe }, ..new };
    assert!(matches!(ledger.insert(ruled_out(ended())).await, Err(LedgerError::Full)), "it was ruled out");
    ledger.mark_shown(vec![Ids::system().run(), run], 5_500).await.unwrap();
    ledger.mark_shown(vec![run], 9_999).await.unwrap();
    assert_eq!(ledger.get(run).await.unwrap().unwrap().shown_ms, 5_500, "the first time counts");
    assert_eq!(insert(ended()).await, Inserted::New, "seen");
    assert_eq!(insert(equal("equal", "2", Some(0))).await, Inserted::New, "another code");
    assert_eq!(insert(equal("equal", "1", None)).await, Inserted::New, "again");
}

pub(super) async fn an_end_answers_an_equal_request_only_by_its_own_verdict_and_for_a_while(ledger: &dyn Ledger) {
    let ends = [
        (RunState::Succeeded, Cause::Completed, true),
        (RunState::Failed, Cause::StataError, true),
        (RunState::Errored, Cause::Killed, false),
        (RunState::TimedOut, Cause::RunTimeout, false),
        (RunState::Cancelled, Cause::CancelRequested, false),
        (RunState::Lost, Cause::AgentGone, false),
    ];
    for (state, cause, answers) in ends {
        let shape = format!("verdict {state}");
        let run = running(ledger, equal(&shape, "1", Some(0))).await;
        ends_as(ledger, run, state, cause, 5_000).await;
        let want = if answers { Inserted::Joined(run, Joined::Undelivered) } else { Inserted::New };
        assert_eq!(ledger.insert(equal(&shape, "1", Some(5_000))).await.unwrap(), want, "{state}");
    }
    let run = running(ledger, equal("late", "1", Some(0))).await;
    end(ledger, run, 5_000, true).await;
    assert_eq!(ledger.insert(equal("late", "1", Some(5_001))).await.unwrap(), Inserted::New, "too long ago");
}

pub(super) async fn what_is_being_ended_answers_nothing(ledger: &dyn Ledger) {
    let call = |since: i64| NewRun {
        dedupe: Dedupe {
            call: Some(format!("{CALL}c9:ab")),
            call_since_ms: since,
            ..equal("ending", "1", Some(0)).dedupe
        },
        ..new_run("ann")
    };
    let run = running(ledger, call(0)).await;
    assert_eq!(ledger.insert(call(0)).await.unwrap(), Inserted::Joined(run, Joined::Call), "the control");
    let intent = CancelIntent { by: "ann".to_owned(), at_ms: 10, mode: CancelMode::Break };
    ledger.request_cancel(run, intent).await.unwrap();
    assert_eq!(ledger.insert(call(0)).await.unwrap(), Inserted::New, "neither by its call nor as an equal one");
}

pub(super) async fn the_same_call_is_the_same_run_for_a_while(ledger: &dyn Ledger) {
    let call = |name: &str, since: i64| NewRun {
        dedupe: Dedupe { call: Some(format!("{CALL}{name}:ab")), call_since_ms: since, ..Dedupe::default() },
        ..new_run("callers")
    };
    let insert = async |new: NewRun| ledger.insert(new).await.unwrap();
    let first = call("one", 0);
    let run = running(ledger, first).await;
    assert_eq!(insert(call("one", i64::MAX)).await, Inserted::Joined(run, Joined::Call), "unfinished");
    assert_eq!(insert(call("two", 0)).await, Inserted::New, "another call");
    let ends = [(RunState::Errored, Cause::Killed), (RunState::Failed, Cause::StataError)];
    for (n, (state, cause)) in ends.into_iter().enumerate() {
        let name = format!("ends {n}");
        let run = running(ledger, call(&name, 0)).await;
        ends_as(ledger, run, state, cause, 5_000).await;
        ledger.mark_shown(vec![run], 5_001).await.unwrap();
        assert_eq!(insert(call(&name, 5_000)).await, Inserted::Joined(run, Joined::Call), "{state}, though seen");
        let anew = call(&name, 5_001);
        let second = anew.record.run;
        assert_eq!(insert(anew).await, Inserted::New, "{state}: later it is another call of that name");
        assert_eq!(insert(call(&name, i64::MAX)).await, Inserted::Joined(second, Joined::Call), "the newer one has it");
    }
    for (state, cause) in [(RunState::Cancelled, Cause::CancelRequested), (RunState::TimedOut, Cause::RunTimeout)] {
        let name = format!("ended {state}");
        let run = running(ledger, call(&name, 0)).await;
        ends_as(ledger, run, state, cause, 5_000).await;
        assert_eq!(insert(call(&name, 0)).await, Inserted::New, "{state}");
    }
    // From then on a run that answered another call also has that call's name.
    let named = call("three", 0);
    let name = named.names().remove(0);
    ledger.name_run(Principal::local("callers"), name.clone(), run).await.unwrap();
    assert_eq!(insert(named).await, Inserted::Joined(run, Joined::Call));
    ledger.name_run(Principal::local("callers"), ("on purpose".to_owned(), "b".to_owned()), run).await.unwrap();
    ledger
        .name_run(Principal::local("callers"), ("on purpose".to_owned(), "c".to_owned()), Ids::system().run())
        .await
        .unwrap();
    assert_eq!(
        ledger.by_key(&Principal::local("callers"), "on purpose").await.unwrap(),
        Some((run, "b".to_owned())),
        "a key keeps its run"
    );
    // Names of calls are removed when their runs have ended long ago; keys are not.
    end(ledger, run, 6_000, true).await;
    assert_eq!(ledger.by_key(&Principal::local("callers"), &name.0).await.unwrap().map(|(run, _)| run), Some(run));
    while ledger.call_sweep(6_001, 2).await.unwrap() > 0 {}
    assert_eq!(ledger.by_key(&Principal::local("callers"), &name.0).await.unwrap(), None);
    assert!(ledger.by_key(&Principal::local("callers"), "on purpose").await.unwrap().is_some());
}

pub(super) async fn without_room_an_equal_run_answers_and_nobody_else(ledger: &dyn Ledger) {
    let there = new_run("ann");
    let run = there.record.run;
    let shape = there.dedupe.shape.clone();
    ledger.insert(there).await.unwrap();
    let mut equal = new_run("ann");
    (equal.dedupe.shape, equal.dedupe.only_join) = (shape, true);
    assert_eq!(ledger.insert(equal).await.unwrap(), Inserted::Joined(run, Joined::Unfinished));
    let mut other = new_run("ann");
    other.dedupe.only_join = true;
    let other_run = other.record.run;
    assert!(matches!(ledger.insert(other).await, Err(LedgerError::Full)));
    assert!(ledger.get(other_run).await.unwrap().is_none(), "nothing was recorded");
}
