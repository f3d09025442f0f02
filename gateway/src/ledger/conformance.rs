//! The conformance suite of the ledger, run against every implementation.

use std::sync::Arc;

use longhaul_proto::{
    api::{CancelMode, FilesRemoved, Joined},
    ids::{Ids, RunId},
    state::{Cause, RunState},
    tasks::Tasks,
    transport::Fingerprint,
    wire,
};

use super::{
    Adoption, AgentRecord, CALL, CancelWish, Dedupe, Detail, DrainRecord, Inserted, Ledger, LedgerError, ListQuery,
    NewRun, PinRecord, PinState, Record, Stash, TokenRecord, Transition, memory::MemoryLedger, sqlite::SqliteLedger,
};
use crate::model::{Principal, Scope};

fn new_run(subject: &str) -> NewRun {
    run_of(&Principal::local(subject))
}

fn run_of(principal: &Principal) -> NewRun {
    let run = Ids::system().run();
    NewRun {
        record: Record::queued(
            run,
            principal.clone(),
            1_000,
            Detail { source: "text".to_owned(), args: vec!["a b".to_owned()], ..Detail::default() },
        ),
        submission: wire::Submission {
            run_id: run.to_string(),
            principal: principal.subject().to_owned(),
            principal_issuer: principal.wire_issuer().to_owned(),
            source: Some(wire::submission::Source::Text(b"display 1\n".to_vec())),
            ..wire::Submission::default()
        },
        key: None,
        dedupe: Dedupe { shape: run.to_string(), code: "c0de".to_owned(), join_since_ms: Some(0), ..Dedupe::default() },
    }
}

fn step(run: RunId, from: (RunState, u32), to: (RunState, u32), cause: Cause, at_ms: i64) -> Transition {
    Transition {
        run,
        from: from.0,
        from_attempt: from.1,
        to: to.0,
        cause,
        attempt: to.1,
        at_ms,
        given_to: None,
        detail: None,
    }
}

use RunState::{Lost, Queued, Running, Starting, Succeeded};

/// Brings a run to `running` under attempt 1.
async fn running(ledger: &dyn Ledger, new: NewRun) -> RunId {
    let run = new.record.run;
    assert_eq!(ledger.insert(new).await.unwrap(), Inserted::New);
    let mut start = step(run, (Queued, 0), (Starting, 1), Cause::Dispatched, 1_010);
    start.given_to = Some(("agent".to_owned(), "stata1".to_owned(), "lab".to_owned()));
    ledger.transition(start).await.unwrap();
    ledger.transition(step(run, (Starting, 1), (Running, 1), Cause::FirstOutput, 1_020)).await.unwrap();
    run
}

async fn end(ledger: &dyn Ledger, run: RunId, at_ms: i64, complete: bool) {
    let mut end = step(run, (Running, 1), (Succeeded, 1), Cause::Completed, at_ms);
    end.detail = Some(Detail { log_len: 7, complete, ..Detail::default() });
    ledger.transition(end).await.unwrap();
}

async fn a_run_keeps_what_it_was_given(ledger: &dyn Ledger) {
    let new = new_run("ann");
    let (record, submission) = (new.record.clone(), new.submission.clone());
    let run = record.run;
    ledger.insert(new).await.unwrap();
    assert_eq!(ledger.get(run).await.unwrap(), Some(record));
    assert_eq!(ledger.submission(run).await.unwrap(), Some(submission));
    assert_eq!(ledger.get(Ids::system().run()).await.unwrap(), None);
    assert!(ledger.active().await.unwrap().iter().any(|r| r.run == run));
}

async fn a_step_names_what_it_expects(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    let lost = |result: Result<(), LedgerError>| assert!(matches!(result, Err(LedgerError::LostRace(r)) if r == run));
    lost(ledger.transition(step(run, (Starting, 1), (Running, 1), Cause::FirstOutput, 2)).await);
    lost(ledger.transition(step(run, (Running, 2), (Succeeded, 2), Cause::Completed, 2)).await);
    assert!(matches!(
        ledger.transition(step(run, (Running, 1), (Queued, 1), Cause::Returned, 2)).await,
        Err(LedgerError::NoSuchEdge { from: Running, to: Queued })
    ));
    end(ledger, run, 2_000, true).await;
    let record = ledger.get(run).await.unwrap().unwrap();
    assert_eq!((record.state, record.cause, record.attempt), (Succeeded, Cause::Completed, 1));
    assert_eq!((record.host.as_str(), record.pool.as_str(), record.finished_ms), ("stata1", "lab", 2_000));
    assert_eq!(record.detail.log_len, 7);
    let history = ledger.history(run).await.unwrap();
    let states: Vec<_> = history.iter().map(|row| (row.n, row.state, row.attempt)).collect();
    assert_eq!(states, [(0, Queued, 0), (1, Starting, 1), (2, Running, 1), (3, Succeeded, 1)]);
    assert!(ledger.active().await.unwrap().iter().all(|r| r.run != run));
}

async fn of_many_who_want_the_same_step_one_gets_it(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    let tries = (0..16).map(|_| ledger.transition(step(run, (Running, 1), (Succeeded, 1), Cause::Completed, 5)));
    let won = futures_util::future::join_all(tries).await.iter().filter(|r| r.is_ok()).count();
    assert_eq!(won, 1);
}

async fn lost_may_be_corrected_once(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    ledger.transition(step(run, (Running, 1), (Lost, 1), Cause::DeclaredDead, 5)).await.unwrap();
    ledger.transition(step(run, (Lost, 1), (Succeeded, 1), Cause::Completed, 6)).await.unwrap();
    assert!(ledger.transition(step(run, (Succeeded, 1), (Lost, 1), Cause::AgentGone, 7)).await.is_err());
}

async fn many_are_told_as_each(ledger: &dyn Ledger) {
    let mut names = vec![Ids::system().run()];
    for n in 0..10 {
        names.push(running(ledger, new_run("ann")).await);
        if n % 3 == 0 {
            end(ledger, names[names.len() - 1], 2_000, n % 2 == 0).await;
        }
    }
    names.reverse();
    // One of them twice, and one that does not exist.
    names.push(names[3]);
    let mut each = Vec::new();
    for run in &names {
        each.extend(ledger.get(*run).await.unwrap());
    }
    each.sort_by_key(|record| record.run);
    each.dedup();
    assert_eq!(ledger.get_many(&names).await.unwrap(), each);
    assert_eq!(ledger.get_many(&[]).await.unwrap(), []);
}

async fn a_run_that_is_nobody_s_is_adopted_once(ledger: &dyn Ledger) {
    let mut new = new_run("");
    (new.record.detail.unverified, new.record.detail.claims) = (true, Principal::local("ann"));
    let run = running(ledger, new).await;
    let (taken, free) = (format!("taken {run}"), format!("free {run}"));
    let mine = NewRun { key: Some((taken.clone(), "body".to_owned())), ..new_run("ann") };
    let other = mine.record.run;
    ledger.insert(mine).await.unwrap();
    let adoption = |key: &str| Adoption {
        run,
        principal: Principal::local("ann"),
        key: Some((key.to_owned(), "body".to_owned())),
        dedupe: Dedupe { shape: format!("shape of {run}"), code: "c0de".to_owned(), ..Dedupe::default() },
    };
    assert!(ledger.adopt(adoption(&free)).await.unwrap());
    assert!(!ledger.adopt(adoption(&taken)).await.unwrap(), "it is somebody's");
    assert!(!ledger.adopt(Adoption { run: Ids::system().run(), ..adoption(&free) }).await.unwrap());
    let record = ledger.get(run).await.unwrap().unwrap();
    assert_eq!(
        (record.principal, record.detail.unverified, record.detail.claims),
        (Principal::local("ann"), false, Principal::default())
    );
    assert_eq!(ledger.by_key(&Principal::local("ann"), &free).await.unwrap().map(|(run, _)| run), Some(run));
    assert_eq!(ledger.by_key(&Principal::local("ann"), &taken).await.unwrap().map(|(run, _)| run), Some(other));
    let mut equal = new_run("ann");
    equal.dedupe = Dedupe { join_since_ms: Some(0), ..adoption("").dedupe };
    assert_eq!(ledger.insert(equal).await.unwrap(), Inserted::Joined(run, Joined::Unfinished));
    // A key that names another run keeps doing so.
    let mut second = new_run("");
    second.record.detail.unverified = true;
    let second = running(ledger, second).await;
    assert!(ledger.adopt(Adoption { run: second, ..adoption(&taken) }).await.unwrap());
    assert_eq!(ledger.by_key(&Principal::local("ann"), &taken).await.unwrap().map(|(run, _)| run), Some(other));
}

async fn another_result_is_noted_once(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    end(ledger, run, 2_000, true).await;
    assert!(ledger.contest(run, "stata2 says failed".to_owned()).await.unwrap());
    assert!(!ledger.contest(run, "stata2 says failed".to_owned()).await.unwrap());
    assert!(!ledger.contest(Ids::system().run(), "x".to_owned()).await.unwrap());
    for n in 0..20 {
        ledger.contest(run, format!("stata{n} says lost")).await.unwrap();
    }
    let record = ledger.get(run).await.unwrap().unwrap();
    assert_eq!((record.state, record.detail.contested.len()), (Succeeded, 8), "and nothing else has changed");
    assert_eq!(record.detail.log_len, 7);
}

async fn one_subject_of_two_issuers_is_two_principals(ledger: &dyn Ledger) {
    let (here, there) = (Principal::local("two"), Principal::new("https://idp.example", "two"));
    let keyed = |principal: &Principal| NewRun {
        key: Some(("theirs".to_owned(), "body".to_owned())),
        dedupe: Dedupe::default(),
        ..run_of(principal)
    };
    let (mine, theirs) = (keyed(&here), keyed(&there));
    let runs = [mine.record.run, theirs.record.run];
    for new in [mine, theirs] {
        assert_eq!(ledger.insert(new).await.unwrap(), Inserted::New, "the same key of another principal");
    }
    for (principal, run) in [&here, &there].into_iter().zip(runs) {
        assert_eq!(ledger.get(run).await.unwrap().unwrap().principal, *principal);
        assert_eq!(ledger.by_key(principal, "theirs").await.unwrap().map(|(run, _)| run), Some(run));
        for state in [None, Some(Queued)] {
            let query = ListQuery { principal: Some(principal.clone()), state, before: None, limit: 9 };
            let listed: Vec<_> = ledger.list(query).await.unwrap().iter().map(|r| r.run).collect();
            assert_eq!(listed, [run], "{principal}");
        }
        let tail = run.to_string().replace('-', "");
        let found = ledger.by_tail(Some(principal), &tail, 9).await.unwrap();
        assert_eq!((found.as_slice(), ledger.by_tail(None, &tail, 9).await.unwrap().len()), (&[run][..], 1));
        let other = if *principal == here { &there } else { &here };
        assert!(ledger.by_tail(Some(other), &tail, 9).await.unwrap().is_empty());
        let named = ("named".to_owned(), "body".to_owned());
        ledger.name_run(principal.clone(), named, run).await.unwrap();
        assert_eq!(ledger.by_key(principal, "named").await.unwrap().map(|(run, _)| run), Some(run));
        let token = TokenRecord {
            name: format!("token of {principal}"),
            principal: principal.clone(),
            sha256: format!("sha of {principal}"),
            scope: Scope::Use,
            created_ms: 1,
            expires_ms: None,
            revoked_ms: None,
        };
        assert!(ledger.token_add(token.clone()).await.unwrap());
        assert_eq!(ledger.token_find(&token.sha256).await.unwrap(), Some(token));
        let memo = Stash {
            kind: "two".to_owned(),
            name: principal.to_string(),
            principal: principal.clone(),
            created_ms: 1,
            body: "{}".to_owned(),
        };
        ledger.memo_put(memo.clone()).await.unwrap();
        assert_eq!(ledger.memo_get("two", &memo.name).await.unwrap(), Some(memo));
    }
    let mut called = ledger.principals_called("two").await.unwrap();
    called.sort();
    assert_eq!(called, [there.clone(), here.clone()]);
    assert_eq!(ledger.principals_called("nobody of that name").await.unwrap(), []);
    // An unverified run is adopted by the one that its spool names.
    let mut found = run_of(&Principal::default());
    (found.record.detail.unverified, found.record.detail.claims) = (true, there.clone());
    let found = running(ledger, found).await;
    assert_eq!(ledger.get(found).await.unwrap().unwrap().detail.claims, there);
    let key = Some(("of an adopted one".to_owned(), "body".to_owned()));
    let adoption = Adoption { run: found, principal: there.clone(), key, dedupe: Dedupe::default() };
    assert!(ledger.adopt(adoption).await.unwrap());
    assert_eq!(ledger.get(found).await.unwrap().unwrap().principal, there);
    assert_eq!(ledger.by_key(&there, "of an adopted one").await.unwrap().map(|(run, _)| run), Some(found));
    assert_eq!(ledger.by_key(&here, "of an adopted one").await.unwrap(), None);
}

async fn a_key_is_one_run(ledger: &dyn Ledger) {
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

async fn ends_as(ledger: &dyn Ledger, run: RunId, to: RunState, cause: Cause, at_ms: i64) {
    ledger.transition(step(run, (Running, 1), (to, 1), cause, at_ms)).await.unwrap();
}

async fn an_equal_request_joins_what_goes_on_and_what_nobody_saw_end(ledger: &dyn Ledger) {
    let insert = async |new: NewRun| ledger.insert(new).await.unwrap();
    let run = running(ledger, equal("equal", "1", Some(0))).await;
    assert_eq!(insert(equal("equal", "1", Some(0))).await, Inserted::Joined(run, Joined::Unfinished));
    assert_eq!(
        insert(equal("equal", "", Some(0))).await,
        Inserted::Joined(run, Joined::Unfinished),
        "unknown equals any"
    );
    ledger.seen(vec![run], 4_999).await.unwrap();
    assert_eq!(ledger.get(run).await.unwrap().unwrap().seen_ms, 0, "an end that is not there cannot be seen");
    end(ledger, run, 5_000, true).await;
    let ended = || equal("equal", "1", Some(5_000));
    assert_eq!(insert(ended()).await, Inserted::Joined(run, Joined::Undelivered));
    let ruled_out = |new: NewRun| NewRun { dedupe: Dedupe { not: vec![run], only_join: true, ..new.dedupe }, ..new };
    assert!(matches!(ledger.insert(ruled_out(ended())).await, Err(LedgerError::Full)), "it was ruled out");
    ledger.seen(vec![Ids::system().run(), run], 5_500).await.unwrap();
    ledger.seen(vec![run], 9_999).await.unwrap();
    assert_eq!(ledger.get(run).await.unwrap().unwrap().seen_ms, 5_500, "the first time counts");
    assert_eq!(insert(ended()).await, Inserted::New, "seen");
    assert_eq!(insert(equal("equal", "2", Some(0))).await, Inserted::New, "another code");
    assert_eq!(insert(equal("equal", "1", None)).await, Inserted::New, "again");
}

async fn an_end_answers_an_equal_request_only_by_its_own_verdict_and_for_a_while(ledger: &dyn Ledger) {
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

async fn what_is_being_ended_answers_nothing(ledger: &dyn Ledger) {
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
    let wish = CancelWish { by: "ann".to_owned(), at_ms: 10, mode: CancelMode::Break };
    ledger.want_cancel(run, wish).await.unwrap();
    assert_eq!(ledger.insert(call(0)).await.unwrap(), Inserted::New, "neither by its call nor as an equal one");
}

async fn the_same_call_is_the_same_run_for_a_while(ledger: &dyn Ledger) {
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
        ledger.seen(vec![run], 5_001).await.unwrap();
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

async fn the_first_wish_names_who_asked(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    let wish = |by: &str, at_ms, mode| CancelWish { by: by.to_owned(), at_ms, mode };
    assert!(ledger.want_cancel(run, wish("ann", 10, CancelMode::Break)).await.unwrap());
    assert!(ledger.want_cancel(run, wish("root", 20, CancelMode::Kill)).await.unwrap());
    let kept = ledger.get(run).await.unwrap().unwrap().cancel;
    assert_eq!(kept, Some(wish("ann", 10, CancelMode::Kill)));
    end(ledger, run, 30, true).await;
    assert!(!ledger.want_cancel(run, wish("ann", 40, CancelMode::Break)).await.unwrap());
    let lost = running(ledger, new_run("ann")).await;
    ends_as(ledger, lost, RunState::Lost, Cause::DeclaredDead, 50).await;
    assert!(ledger.want_cancel(lost, wish("ann", 60, CancelMode::Kill)).await.unwrap(), "it may go on out of sight");
    assert_eq!(ledger.get(lost).await.unwrap().unwrap().cancel, Some(wish("ann", 60, CancelMode::Kill)));
}

async fn names_and_pages(ledger: &dyn Ledger) {
    let mut runs = Vec::new();
    for _ in 0..5 {
        let new = new_run("pages");
        runs.push(new.record.run);
        ledger.insert(new).await.unwrap();
    }
    runs.reverse();
    let page = async |before: Option<RunId>, state: Option<RunState>, limit: u32| -> Vec<RunId> {
        let query = ListQuery { principal: Some(Principal::local("pages")), state, before, limit };
        ledger.list(query).await.unwrap().iter().map(|r| r.run).collect()
    };
    assert_eq!(page(None, None, 3).await, runs[..3]);
    assert_eq!(page(Some(runs[2]), None, 3).await, runs[3..]);
    assert_eq!(page(None, Some(Queued), 9).await, runs);
    assert!(page(None, Some(Running), 9).await.is_empty());
    let all = ledger.list(ListQuery { limit: 1000, ..ListQuery::default() }).await.unwrap();
    assert!(all.len() > 5);
    assert!(all.windows(2).all(|w| w[0].run > w[1].run));
    let in_state = ledger.list(ListQuery { limit: 1000, state: Some(Queued), ..ListQuery::default() }).await.unwrap();
    assert!(in_state.iter().all(|r| r.state == Queued));

    let full = runs[0].to_string().replace('-', "");
    for tail in [runs[0].short(), full[full.len() - 12..].to_owned()] {
        assert_eq!(ledger.by_tail(Some(&Principal::local("pages")), &tail, 2).await.unwrap(), [runs[0]]);
        assert_eq!(ledger.by_tail(None, &tail, 2).await.unwrap(), [runs[0]]);
        assert!(ledger.by_tail(Some(&Principal::local("ann")), &tail, 2).await.unwrap().is_empty());
    }
}

async fn only_the_ended_and_old_is_swept(ledger: &dyn Ledger) {
    let open = new_run("ann");
    let unfinished = open.record.run;
    ledger.insert(NewRun { record: Record { created_ms: -900, ..open.record.clone() }, ..open }).await.unwrap();
    let older = running(ledger, new_run("ann")).await;
    end(ledger, older, 1, false).await;
    assert_eq!(ledger.removed(older).await.unwrap(), None);
    // A run whose spool or files a connected agent keeps stays until that agent was asked.
    let its = vec!["x".to_owned(), ledger.get(older).await.unwrap().unwrap().agent_id];
    assert!(ledger.sweep(2, 100, its.clone(), 7_000).await.unwrap().is_empty());
    ledger.only_files_kept(older).await.unwrap();
    assert!(ledger.sweep(2, 100, its.clone(), 7_000).await.unwrap().is_empty());
    let released = running(ledger, new_run("ann")).await;
    end(ledger, released, 1, false).await;
    ledger.spool_gone(released, None).await.unwrap();
    assert_eq!(ledger.sweep(2, 100, its, 7_000).await.unwrap(), [released]);
    assert_eq!(ledger.sweep(2, 100, vec!["x".to_owned()], 7_000).await.unwrap(), [older], "its agent is away");
    // What an agent may still report of it is remembered, for a limited time and number.
    let kept = ledger.removed(older).await.unwrap().unwrap().kept;
    assert!(kept.is_empty(), "what the agent recorded was not known: {kept:?}");
    ledger.removed_sweep(7_000, 100).await.unwrap();
    assert!(ledger.removed(older).await.unwrap().is_some());
    ledger.removed_sweep(7_001, 100).await.unwrap();
    assert_eq!(ledger.removed(older).await.unwrap(), None);
    assert!(ledger.get(older).await.unwrap().is_none());
    assert!(ledger.submission(older).await.unwrap().is_none());
    assert!(ledger.history(older).await.unwrap().is_empty());
    assert!(ledger.get(unfinished).await.unwrap().is_some());
    assert!(ledger.sweep(2, 100, vec![], 7_000).await.unwrap().is_empty());
}

async fn spools_are_known_until_they_are_gone(ledger: &dyn Ledger) {
    let whole = running(ledger, new_run("ann")).await;
    end(ledger, whole, 10, true).await;
    let torn = running(ledger, new_run("ann")).await;
    end(ledger, torn, 10, false).await;
    let held = async |agent: &str, before_ms, whole| ledger.spools_held(agent, before_ms, whole, 1000).await.unwrap();
    assert!(held("agent", 11, true).await.contains(&whole));
    assert!(!held("agent", 11, true).await.contains(&torn), "a spool is the only copy while the mirror is not whole");
    assert!(held("agent", 11, false).await.contains(&torn), "and is there all the same");
    assert!(!held("agent", 11, false).await.contains(&whole));
    assert!(!held("agent", 10, true).await.contains(&whole), "not before its time");
    assert!(held("another", 11, true).await.is_empty());
    ledger.spool_gone(whole, None).await.unwrap();
    assert!(!held("agent", 11, true).await.contains(&whole));
    assert!(ledger.get(whole).await.unwrap().unwrap().detail.conditions.is_empty());
    ledger.spool_gone(torn, Some("gone for room".to_owned())).await.unwrap();
    assert!(!held("agent", 11, false).await.contains(&torn));
    assert_eq!(ledger.get(torn).await.unwrap().unwrap().detail.words(), "gone for room", "and the record says so");
    let lost = running(ledger, new_run("ann")).await;
    ledger.transition(step(lost, (Running, 1), (Lost, 1), Cause::DeclaredDead, 10)).await.unwrap();
    assert!(!held("agent", 11, false).await.contains(&lost), "it may come back");
    let waiting = new_run("ann");
    let cancelled = waiting.record.run;
    ledger.insert(waiting).await.unwrap();
    ledger
        .transition(step(cancelled, (Queued, 0), (RunState::Cancelled, 0), Cause::CancelRequested, 10))
        .await
        .unwrap();
    assert!(!held("", 11, false).await.contains(&cancelled), "no agent had it");
    assert!(ledger.ended_count().await.unwrap() >= 4);
    assert!(ledger.newest_ms().await.unwrap() >= 1_000);
}

async fn files_are_kept_longer_than_spools(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    end(ledger, run, 10, true).await;
    let held = async || ledger.spools_held("agent", 11, true, 1000).await.unwrap().contains(&run);
    let files = async || ledger.files_held("agent", 11, 1000).await.unwrap().contains(&run);
    let ended = async || ledger.ended(11, 1000).await.unwrap().into_iter().find(|e| e.run == run).unwrap().spool_held;
    assert!(held().await && !files().await && ended().await);
    ledger.only_files_kept(run).await.unwrap();
    assert!(!held().await && files().await && ended().await, "something of it is still there");
    assert!(ledger.files_held("agent", 10, 1000).await.unwrap().is_empty() && !files_went(ledger, run).await);
    let what = FilesRemoved { at: "2026-11-26T03:00:00.000Z".to_owned(), bytes: 7, why: "to make \"room\"".to_owned() };
    ledger.files_removed(run, what.clone()).await.unwrap();
    ledger.spool_gone(run, None).await.unwrap();
    assert!(!held().await && !files().await && !ended().await);
    let detail = ledger.get(run).await.unwrap().unwrap().detail;
    assert_eq!(detail.files_removed, Some(what));
    assert!(detail.complete, "the rest of the record stays");
    // Neither for a spool that is gone nor for an unfinished run.
    ledger.only_files_kept(run).await.unwrap();
    assert!(!files().await);
    let open = running(ledger, new_run("ann")).await;
    ledger.files_removed(open, FilesRemoved::default()).await.unwrap();
    assert!(!files_went(ledger, open).await);
}

async fn files_went(ledger: &dyn Ledger, run: RunId) -> bool {
    ledger.get(run).await.unwrap().unwrap().detail.files_removed.is_some()
}

async fn tokens_and_agents(ledger: &dyn Ledger) {
    let token = |name: &str, sha256: &str| TokenRecord {
        name: name.to_owned(),
        principal: Principal::local("ann"),
        sha256: sha256.to_owned(),
        scope: Scope::Operate,
        created_ms: 5,
        expires_ms: Some(9),
        revoked_ms: None,
    };
    assert!(ledger.token_add(token("laptop", "aa")).await.unwrap());
    assert!(!ledger.token_add(token("laptop", "bb")).await.unwrap(), "a name is one token");
    assert_eq!(ledger.token_find("aa").await.unwrap(), Some(token("laptop", "aa")));
    assert_eq!(ledger.token_find("bb").await.unwrap(), None);
    assert!(ledger.token_revoke("laptop", 7).await.unwrap());
    assert!(!ledger.token_revoke("laptop", 8).await.unwrap());
    assert_eq!(ledger.token_list().await.unwrap(), [TokenRecord { revoked_ms: Some(7), ..token("laptop", "aa") }]);

    let mut agent = AgentRecord {
        info: wire::AgentInfo { agent_id: "a".to_owned(), name: "stata1".to_owned(), ..wire::AgentInfo::default() },
        seen_ms: 1,
    };
    ledger.put_agent(agent.clone()).await.unwrap();
    agent.seen_ms = 2;
    ledger.put_agent(agent.clone()).await.unwrap();
    assert_eq!(ledger.agents().await.unwrap(), [agent]);
}

async fn memos_are_kept_and_bounded(ledger: &dyn Ledger) {
    let memo = |kind: &str, name: &str, created_ms: i64| Stash {
        kind: kind.to_owned(),
        name: name.to_owned(),
        principal: Principal::local("ann"),
        created_ms,
        body: format!("{{\"made\":{created_ms}}}"),
    };
    for (name, at) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("a", 5)] {
        ledger.memo_put(memo("call", name, at)).await.unwrap();
    }
    ledger.memo_put(memo("session", "a", 6)).await.unwrap();
    assert_eq!(ledger.memo_get("call", "a").await.unwrap(), Some(memo("call", "a", 5)), "replaced");
    assert_eq!(ledger.memo_get("session", "a").await.unwrap(), Some(memo("session", "a", 6)), "another kind");
    assert_eq!(ledger.memo_get("call", "x").await.unwrap(), None);
    ledger.memo_remove("session", "a").await.unwrap();
    ledger.memo_remove("session", "a").await.unwrap();
    assert_eq!(ledger.memo_get("session", "a").await.unwrap(), None);
    let left = async || {
        let mut left = String::new();
        for name in ["a", "b", "c", "d"] {
            left.push_str(ledger.memo_get("call", name).await.unwrap().map_or("", |_| name));
        }
        left
    };
    ledger.memo_sweep(3, 100).await.unwrap();
    assert_eq!(left().await, "acd", "the old are gone");
    ledger.memo_sweep(0, 2).await.unwrap();
    assert_eq!(left().await, "ad", "the newest stay");
}

async fn without_room_an_equal_run_answers_and_nobody_else(ledger: &dyn Ledger) {
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

async fn only_what_has_ended_is_removed(ledger: &dyn Ledger) {
    let waiting = new_run("ann");
    let queued = waiting.record.run;
    ledger.insert(waiting).await.unwrap();
    assert!(!ledger.remove(queued, 1).await.unwrap() && ledger.get(queued).await.unwrap().is_some());
    let before = ledger.ended(i64::MAX, 100).await.unwrap();
    assert!(before.iter().all(|ended| ended.run != queued));
    let cancel = step(queued, (RunState::Queued, 0), (RunState::Cancelled, 0), Cause::CancelRequested, 1);
    ledger.transition(cancel).await.unwrap();
    let ended = ledger.ended(i64::MAX, 1).await.unwrap();
    assert_eq!((ended[0].run, ended[0].spool_held), (queued, false), "the oldest end comes first");
    assert!(ledger.remove(queued, 1).await.unwrap() && ledger.get(queued).await.unwrap().is_none());
    assert!(!ledger.remove(queued, 1).await.unwrap());
    assert_eq!(ledger.removed(queued).await.unwrap(), None, "no agent can show what never left");
    assert!(ledger.history(queued).await.unwrap().is_empty());
    assert!(ledger.ended(i64::MIN, 9).await.unwrap().is_empty());
}

async fn drained_hosts_are_remembered(ledger: &dyn Ledger) {
    let drain = |host: &str, reason: &str| DrainRecord {
        host: host.to_owned(),
        by: "ops".to_owned(),
        reason: reason.to_owned(),
        at_ms: 7,
    };
    ledger.drain(vec![drain("b", "kernel"), drain("a", "")]).await.unwrap();
    ledger.drain(vec![drain("b", "disk")]).await.unwrap();
    assert_eq!(ledger.drains().await.unwrap(), [drain("a", ""), drain("b", "disk")], "the newest word counts");
    ledger.resume(vec!["a".to_owned(), "nobody".to_owned()]).await.unwrap();
    assert_eq!(ledger.drains().await.unwrap(), [drain("b", "disk")]);
}

async fn keys_of_agents_are_kept(ledger: &dyn Ledger) {
    let pin = |n: u8, state| PinRecord {
        key: Fingerprint([n; 32]),
        agent_id: format!("agent {n}"),
        name: "stata1".to_owned(),
        state,
        at_ms: i64::from(n),
        by: "ops".to_owned(),
    };
    for state in [PinState::Waiting, PinState::Accepted, PinState::Revoked] {
        ledger.put_pin(pin(2, state)).await.unwrap();
        assert_eq!(ledger.pins().await.unwrap(), [pin(2, state)], "the newest word counts");
    }
    ledger.put_pin(pin(1, PinState::Accepted)).await.unwrap();
    assert_eq!(ledger.pins().await.unwrap(), [pin(1, PinState::Accepted), pin(2, PinState::Revoked)]);
}

async fn all(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    assert_eq!(ledger.cluster_id(), "c1");
    a_run_keeps_what_it_was_given(ledger).await;
    a_step_names_what_it_expects(ledger).await;
    of_many_who_want_the_same_step_one_gets_it(ledger).await;
    lost_may_be_corrected_once(ledger).await;
    a_key_is_one_run(ledger).await;
    an_equal_request_joins_what_goes_on_and_what_nobody_saw_end(ledger).await;
    an_end_answers_an_equal_request_only_by_its_own_verdict_and_for_a_while(ledger).await;
    what_is_being_ended_answers_nothing(ledger).await;
    the_same_call_is_the_same_run_for_a_while(ledger).await;
    many_are_told_as_each(ledger).await;
    a_run_that_is_nobody_s_is_adopted_once(ledger).await;
    another_result_is_noted_once(ledger).await;
    the_first_wish_names_who_asked(ledger).await;
    names_and_pages(ledger).await;
    only_the_ended_and_old_is_swept(ledger).await;
    spools_are_known_until_they_are_gone(ledger).await;
    files_are_kept_longer_than_spools(ledger).await;
    tokens_and_agents(ledger).await;
    memos_are_kept_and_bounded(ledger).await;
    drained_hosts_are_remembered(ledger).await;
    keys_of_agents_are_kept(ledger).await;
    without_room_an_equal_run_answers_and_nobody_else(ledger).await;
    only_what_has_ended_is_removed(ledger).await;
    one_subject_of_two_issuers_is_two_principals(ledger).await;
    ledger.check().await.unwrap();
    ledger.close().await;
}

#[tokio::test]
async fn the_model_keeps_the_laws() {
    all(Arc::new(MemoryLedger::new("c1"))).await;
}

#[tokio::test]
async fn sqlite_keeps_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    all(Arc::new(SqliteLedger::open(folder.path(), "c1", &tasks).await.unwrap())).await;
}

#[tokio::test]
async fn sqlite_comes_back_as_it_was_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let ledger = SqliteLedger::open(folder.path(), "c1", &tasks).await.unwrap();
    let run = running(&ledger, new_run("ann")).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    ledger.close().await;
    assert!(matches!(ledger.check().await, Err(LedgerError::Closed)));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["ledger.sqlite"], "a closed ledger is one file, and all of it");
    let ledger = SqliteLedger::open(folder.path(), "another", &tasks).await.unwrap();
    assert_eq!(ledger.cluster_id(), "c1", "a ledger keeps its name");
    assert_eq!(ledger.active().await.unwrap()[0].run, run);
    ledger.close().await;
    let raw =
        sqlx::SqlitePool::connect(&format!("sqlite:{}", folder.path().join("ledger.sqlite").display())).await.unwrap();
    sqlx::query("PRAGMA user_version = 99").execute(&raw).await.unwrap();
    raw.close().await;
    assert!(matches!(
        SqliteLedger::open(folder.path(), "c1", &tasks).await,
        Err(LedgerError::TooNew { found: 99, .. })
    ));
}

#[tokio::test]
async fn sqlite_goes_on_after_a_disk_that_was_full() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let ledger = SqliteLedger::open(folder.path(), "c1", &tasks).await.unwrap();
    let before = running(&ledger, new_run("ann")).await;
    let raw =
        sqlx::SqlitePool::connect(&format!("sqlite:{}", folder.path().join("ledger.sqlite").display())).await.unwrap();
    // What SQLite does by itself when a write finds no room: the whole transaction is rolled back.
    let full = "CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(ROLLBACK, 'disk is full'); END";
    sqlx::query(full).execute(&raw).await.unwrap();
    let refused = new_run("ann");
    for _ in 0..3 {
        assert!(matches!(ledger.insert(refused.clone()).await, Err(LedgerError::Storage(_))));
    }
    ledger.check().await.expect("what needs no room is written");
    sqlx::query("DROP TRIGGER full").execute(&raw).await.unwrap();
    raw.close().await;
    assert_eq!(ledger.get(refused.record.run).await.unwrap(), None, "what was refused is not there");
    assert_eq!(ledger.insert(refused).await.unwrap(), Inserted::New);
    end(&ledger, before, 1_100, true).await;
    assert_eq!(ledger.history(before).await.unwrap().len(), 4);
    ledger.close().await;
}
