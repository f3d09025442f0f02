//! The laws of the records of runs.

use super::*;

pub(super) async fn a_run_keeps_what_it_was_given(ledger: &dyn Ledger) {
    let new = new_run("ann");
    let (record, submission) = (new.record.clone(), new.submission.clone());
    let run = record.run;
    ledger.insert(new).await.unwrap();
    assert_eq!(ledger.get(run).await.unwrap(), Some(record));
    assert_eq!(ledger.submission(run).await.unwrap(), Some(submission));
    assert_eq!(ledger.get(Ids::system().run()).await.unwrap(), None);
    assert!(ledger.unfinished().await.unwrap().iter().any(|r| r.run == run));
}

pub(super) async fn a_run_is_recorded_once(ledger: &dyn Ledger) {
    let new = new_run("ann");
    let run = new.record.run;
    ledger.insert(new.clone()).await.unwrap();
    // Another request under the same id, which no other law keeps out.
    let mut second = new_run("ann");
    (second.record.run, second.record.created_ms, second.lease) = (run, 2_000, LeaseChange::Take);
    (second.record.state, second.record.cause, second.record.detail) = (Starting, Cause::Dispatched, after(1));
    second.key = Some((format!("key of {run}"), "body".to_owned()));
    let refused = ledger.insert(second).await;
    assert!(matches!(refused, Err(LedgerError::Lost(r)) if r == run), "{refused:?}");
    assert_eq!(ledger.get(run).await.unwrap(), Some(new.record.clone()));
    assert_eq!(ledger.submission(run).await.unwrap(), Some(new.submission));
    assert_eq!((ledger.history(run).await.unwrap().len(), ledger.attempts(run).await.unwrap().len()), (1, 0));
    assert!(ledger.leases().await.unwrap().iter().all(|lease| lease.holder.as_run() != Some(run)));
    assert_eq!(ledger.by_key(&new.record.principal, &format!("key of {run}")).await.unwrap(), None);
}

pub(super) async fn a_step_names_what_it_expects(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    let lost = |result: Result<(), LedgerError>| assert!(matches!(result, Err(LedgerError::Lost(r)) if r == run));
    lost(ledger.transition(step(run, (Starting, 1), (Running, 1), Cause::FirstOutput, 2)).await);
    lost(ledger.transition(step(run, (Running, 2), (Succeeded, 2), Cause::Completed, 2)).await);
    assert!(matches!(
        ledger.transition(step(run, (Running, 1), (Queued, 1), Cause::Returned, 2)).await,
        Err(LedgerError::NoSuchEdge { from: Running, to: Queued })
    ));
    end(ledger, run, 2_000, true).await;
    let record = ledger.get(run).await.unwrap().unwrap();
    assert_eq!((record.state, record.cause, record.attempt_number()), (Succeeded, Cause::Completed, 1));
    assert_eq!((record.host(), record.pool(), record.finished_ms), ("stata1", "lab", 2_000));
    assert_eq!(record.detail.end.output.log, 7);
    let history = ledger.history(run).await.unwrap();
    let states: Vec<_> = history.iter().map(|row| (row.n, row.state, row.attempt.map_or(0, Attempt::number))).collect();
    assert_eq!(states, [(0, Queued, 0), (1, Starting, 1), (2, Running, 1), (3, Succeeded, 1)]);
    assert!(ledger.unfinished().await.unwrap().iter().all(|r| r.run != run));
}

pub(super) async fn a_run_may_begin_as_it_is_recorded(ledger: &dyn Ledger) {
    let mut new = new_run("ann");
    let run = new.record.run;
    (new.record.state, new.record.cause, new.record.detail) = (Starting, Cause::Dispatched, after(1));
    new.lease = LeaseChange::Take;
    let record = new.record.clone();
    ledger.insert(new).await.unwrap();
    assert_eq!(ledger.get(run).await.unwrap(), Some(record));
    let steps = |history: Vec<crate::ledger::TransitionRow>| -> Vec<_> {
        history.iter().map(|row| (row.n, row.state, row.attempt.map_or(0, Attempt::number))).collect()
    };
    assert_eq!(steps(ledger.history(run).await.unwrap()), [(0, Queued, 0), (1, Starting, 1)]);
    let leases = ledger.leases().await.unwrap();
    assert!(leases.iter().any(|lease| lease.holder.as_run() == Some(run) && lease.at.host == "stata1"));
    let attempts = ledger.attempts(run).await.unwrap();
    assert_eq!(attempts.iter().map(|row| (row.number.number(), row.ended.is_some())).collect::<Vec<_>>(), [(1, false)]);
    // From there it goes on as one that had waited.
    ledger.transition(step(run, (Starting, 1), (Running, 1), Cause::FirstOutput, 2)).await.unwrap();
    assert_eq!(steps(ledger.history(run).await.unwrap())[2], (2, Running, 1));
}

pub(super) async fn of_many_who_want_the_same_step_one_gets_it(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    let tries = (0..16).map(|_| ledger.transition(step(run, (Running, 1), (Succeeded, 1), Cause::Completed, 5)));
    let won = futures_util::future::join_all(tries).await.iter().filter(|r| r.is_ok()).count();
    assert_eq!(won, 1);
}

pub(super) async fn lost_may_be_corrected_once(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    ledger.transition(step(run, (Running, 1), (Lost, 1), Cause::DeclaredDead, 5)).await.unwrap();
    ledger.transition(step(run, (Lost, 1), (Succeeded, 1), Cause::Completed, 6)).await.unwrap();
    assert!(ledger.transition(step(run, (Succeeded, 1), (Lost, 1), Cause::AgentGone, 7)).await.is_err());
}

pub(super) async fn many_are_read_as_each(ledger: &dyn Ledger) {
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

pub(super) async fn a_run_without_a_principal_is_adopted_once(ledger: &dyn Ledger) {
    let mut new = new_run("");
    new.record.detail.origin = Origin::Unverified { claims: Principal::local("ann") };
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
    assert!(!ledger.adopt(adoption(&taken)).await.unwrap(), "it has a principal");
    assert!(!ledger.adopt(Adoption { run: Ids::system().run(), ..adoption(&free) }).await.unwrap());
    let record = ledger.get(run).await.unwrap().unwrap();
    assert_eq!((record.principal, record.detail.origin), (Principal::local("ann"), Origin::Imported));
    assert_eq!(ledger.by_key(&Principal::local("ann"), &free).await.unwrap().map(|(run, _)| run), Some(run));
    assert_eq!(ledger.by_key(&Principal::local("ann"), &taken).await.unwrap().map(|(run, _)| run), Some(other));
    let mut equal = new_run("ann");
    equal.dedupe = Dedupe { join_since_ms: Some(0), ..adoption("").dedupe };
    assert_eq!(ledger.insert(equal).await.unwrap(), Inserted::Joined(run, Joined::Unfinished));
    // A key that names another run keeps doing so.
    let mut second = new_run("");
    second.record.detail.origin = Origin::Unverified { claims: Principal::default() };
    let second = running(ledger, second).await;
    assert!(ledger.adopt(Adoption { run: second, ..adoption(&taken) }).await.unwrap());
    assert_eq!(ledger.by_key(&Principal::local("ann"), &taken).await.unwrap().map(|(run, _)| run), Some(other));
}

pub(super) async fn another_result_is_noted_once(ledger: &dyn Ledger) {
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
    assert_eq!(record.detail.end.output.log, 7);
}

pub(super) async fn the_first_request_names_who_asked(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    let intent = |by: &str, at_ms, mode| CancelIntent { by: by.to_owned(), at_ms, mode };
    assert!(ledger.request_cancel(run, intent("ann", 10, CancelMode::Break)).await.unwrap());
    assert!(ledger.request_cancel(run, intent("root", 20, CancelMode::Kill)).await.unwrap());
    let kept = ledger.get(run).await.unwrap().unwrap().cancel;
    assert_eq!(kept, Some(intent("ann", 10, CancelMode::Kill)));
    end(ledger, run, 30, true).await;
    assert!(!ledger.request_cancel(run, intent("ann", 40, CancelMode::Break)).await.unwrap());
    let lost = running(ledger, new_run("ann")).await;
    ends_as(ledger, lost, RunState::Lost, Cause::DeclaredDead, 50).await;
    assert!(
        ledger.request_cancel(lost, intent("ann", 60, CancelMode::Kill)).await.unwrap(),
        "it may go on out of sight"
    );
    assert_eq!(ledger.get(lost).await.unwrap().unwrap().cancel, Some(intent("ann", 60, CancelMode::Kill)));
}

pub(super) async fn names_and_pages(ledger: &dyn Ledger) {
    let mut runs = Vec::new();
    for _ in 0..5 {
        let new = new_run("pages");
        runs.push(new.record.run);
        ledger.insert(new).await.unwrap();
    }
    runs.reverse();
    let page = async |before: Option<RunId>, state: Option<RunState>, limit: u32| -> Vec<RunId> {
        let query = ListQuery {
            principal: Some(Principal::local("pages")),
            which: RunFilter::in_state(state),
            before,
            limit,
            ..ListQuery::default()
        };
        ledger.list(query).await.unwrap().iter().map(|r| r.run).collect()
    };
    assert_eq!(page(None, None, 3).await, runs[..3]);
    assert_eq!(page(Some(runs[2]), None, 3).await, runs[3..]);
    assert_eq!(page(None, Some(Queued), 9).await, runs);
    assert!(page(None, Some(Running), 9).await.is_empty());
    // A list that is shown may be older, and catches up.
    let query =
        ListQuery { principal: Some(Principal::local("pages")), limit: 9, read: Read::Showing, ..ListQuery::default() };
    let shown = async || ledger.list(query.clone()).await.unwrap().iter().map(|r| r.run).collect::<Vec<_>>();
    let mut looks = 0;
    while shown().await != runs {
        looks += 1;
        assert!(looks < 1_000, "it never catches up");
    }
    let all = ledger.list(ListQuery { limit: 1000, ..ListQuery::default() }).await.unwrap();
    assert!(all.len() > 5);
    assert!(all.windows(2).all(|w| w[0].run > w[1].run));
    let in_state = ledger
        .list(ListQuery { limit: 1000, which: RunFilter::in_state(Queued), ..ListQuery::default() })
        .await
        .unwrap();
    assert!(in_state.iter().all(|r| r.state == Queued));

    let full = runs[0].to_string().replace('-', "");
    for tail in [runs[0].short(), full[full.len() - 12..].to_owned()] {
        assert_eq!(ledger.by_tail(Some(&Principal::local("pages")), &tail, 2).await.unwrap(), [runs[0]]);
        assert_eq!(ledger.by_tail(None, &tail, 2).await.unwrap(), [runs[0]]);
        assert!(ledger.by_tail(Some(&Principal::local("ann")), &tail, 2).await.unwrap().is_empty());
    }
}

pub(super) async fn parts_of_ids_name_runs(ledger: &dyn Ledger) {
    let parts = Principal::local("parts");
    let mut runs: Vec<RunId> = [
        "01a20000-0000-7000-8000-00000abc1111",
        "01a20000-0001-7000-8000-00000abc2222",
        "01a20000-0001-7000-8000-0000abc10000",
        "0abc0000-0000-7000-8000-000012345678",
    ]
    .map(|id| id.parse().unwrap())
    .to_vec();
    for run in &runs {
        let mut new = new_run("parts");
        new.record.run = *run;
        new.submission.run_id = run.to_string();
        new.dedupe.shape = run.to_string();
        ledger.insert(new).await.unwrap();
    }
    runs.sort_by(|a, b| b.cmp(a));
    for (part, want) in [
        ("0abc1111", &[3][..]), // the whole short form
        ("0abc11", &[3]),
        ("0abc", &[0, 2, 3]), // the beginning of two short forms and of an id
        ("abc1", &[1]),
        ("01a200000001", &[1, 2]),
        ("01a2000000017000800000000abc2222", &[2]),
        ("12345678", &[0]),
        ("00012345678", &[0]),
        ("2345678", &[]),
        ("ffff", &[]),
    ] {
        let want: Vec<RunId> = want.iter().map(|at| runs[*at]).collect();
        assert_eq!(ledger.by_tail(Some(&parts), part, 9).await.unwrap(), want, "{part}");
        assert!(ledger.by_tail(Some(&Principal::local("others")), part, 9).await.unwrap().is_empty(), "{part}");
    }
    assert_eq!(ledger.by_tail(Some(&parts), "01a2", 2).await.unwrap().len(), 2);
}

pub(super) async fn lists_are_filtered(ledger: &dyn Ledger) {
    let mut runs = Vec::new();
    for n in 0..6_i64 {
        let mut new = new_run("filters");
        new.record.created_ms = 1_000 + n;
        let asked = &mut new.record.detail.asked;
        asked.name = if n % 2 == 0 { "nightly".to_owned() } else { String::new() };
        asked.note = if n == 3 { "mit GR\u{d6}SSE".to_owned() } else { String::new() };
        asked.source = format!("/p/{}.do", ["clean", "fit", "tables"][usize::try_from(n % 3).unwrap()]);
        let run = new.record.run;
        let asked = asked.clone();
        ledger.insert(new).await.unwrap();
        if n >= 4 {
            let mut taken = step(run, (Queued, 0), (Starting, 1), Cause::Dispatched, 2_000);
            taken.detail.asked = asked.clone();
            ledger.transition(taken).await.unwrap();
        }
        if n == 5 {
            let mut failed = step(run, (Starting, 1), (RunState::Failed, 1), Cause::StataError, 3_000);
            failed.detail.asked = asked;
            failed.detail.end.message = "variable income not found".to_owned();
            ledger.transition(failed).await.unwrap();
        }
        runs.push(run);
    }
    let text = |text: &str| RunFilter { text: Some(text.to_owned()), ..RunFilter::default() };
    let name = |name: &str| RunFilter { name: Some(name.to_owned()), ..RunFilter::default() };
    for (which, want) in [
        (RunFilter::default(), &[5, 4, 3, 2, 1, 0][..]),
        (RunFilter { states: vec![RunState::Failed, Starting], ..RunFilter::default() }, &[5, 4]),
        (RunFilter { states: vec![Queued, RunState::Failed], ..RunFilter::default() }, &[5, 3, 2, 1, 0]),
        (name("nightly"), &[4, 2, 0]),
        (name("night"), &[]),
        (RunFilter { host: Some("stata1".to_owned()), ..RunFilter::default() }, &[5, 4]),
        (RunFilter { host: Some("stata2".to_owned()), ..RunFilter::default() }, &[]),
        (RunFilter { since_ms: Some(1_003), ..RunFilter::default() }, &[5, 4, 3]),
        (RunFilter { since_ms: Some(9_003), ..RunFilter::default() }, &[]),
        (text("FIT.do"), &[4, 1]),
        (text("gr\u{f6}sse"), &[3]),
        (text("Income not"), &[5]),
        (text("a b"), &[5, 4, 3, 2, 1, 0]),
        (text("%"), &[]),
        (RunFilter { states: vec![Queued], ..text("clean") }, &[3, 0]),
        (RunFilter { states: vec![Queued, Starting], since_ms: Some(1_001), ..name("nightly") }, &[4, 2]),
    ] {
        let want: Vec<RunId> = want.iter().map(|at| runs[*at]).collect();
        let query = ListQuery { principal: Some(Principal::local("filters")), which, limit: 9, ..ListQuery::default() };
        let found = async |query: ListQuery| -> Vec<RunId> {
            ledger.list(query).await.unwrap().iter().map(|record| record.run).collect()
        };
        assert_eq!(found(query.clone()).await, want, "{query:?}");
        // Page by page it is the same.
        let mut paged = Vec::new();
        loop {
            let page = found(ListQuery { before: paged.last().copied(), limit: 2, ..query.clone() }).await;
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, want, "{query:?}");
        let others = ListQuery { principal: Some(Principal::local("nobody")), ..query };
        assert!(found(others).await.is_empty());
    }
}
