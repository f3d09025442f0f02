//! The laws of attempts, leases and owners.

use super::*;

fn at() -> Placement {
    Placement { agent_id: "agent".to_owned(), host: "stata1".to_owned(), pool: "lab".to_owned() }
}

/// The lease that a run has.
async fn lease(ledger: &dyn Ledger, run: RunId) -> Option<LeaseRecord> {
    ledger.leases().await.unwrap().into_iter().find(|lease| lease.holder == LeaseHolder::run(run))
}

fn expected(run: RunId, attempt: u32, since_ms: i64) -> Option<LeaseRecord> {
    Some(LeaseRecord { holder: LeaseHolder::run(run), attempt: Attempt::known(attempt), at: at(), since_ms })
}

fn row(number: u32, given_ms: i64, ended: Option<(RunState, Cause, i64)>) -> AttemptRow {
    let ended = ended.map(|(state, cause, at_ms)| AttemptEnd { state, cause, at_ms });
    AttemptRow { number: Attempt::known(number).unwrap(), at: at(), given_ms, ended }
}

pub(super) async fn each_attempt_has_a_row_and_a_lease_as_long_as_it_may_run(ledger: &dyn Ledger) {
    let new = new_run("ann");
    let run = new.record.run;
    ledger.insert(new).await.unwrap();
    assert_eq!((ledger.attempts(run).await.unwrap(), lease(ledger, run).await), (vec![], None));
    let to = async |from, to, cause, at_ms| ledger.transition(step(run, from, to, cause, at_ms)).await.unwrap();
    to((Queued, 0), (Starting, 1), Cause::Dispatched, 10).await;
    assert_eq!(ledger.attempts(run).await.unwrap(), [row(1, 10, None)]);
    assert_eq!(lease(ledger, run).await, expected(run, 1, 10));
    to((Starting, 1), (Queued, 1), Cause::Returned, 20).await;
    let returned = row(1, 10, Some((Queued, Cause::Returned, 20)));
    assert_eq!(ledger.attempts(run).await.unwrap(), std::slice::from_ref(&returned), "also one that never started");
    assert_eq!(lease(ledger, run).await, None);
    to((Queued, 1), (Starting, 2), Cause::Dispatched, 30).await;
    to((Starting, 2), (Running, 2), Cause::FirstOutput, 40).await;
    assert_eq!(ledger.attempts(run).await.unwrap(), [returned.clone(), row(2, 30, None)]);
    assert_eq!(lease(ledger, run).await, expected(run, 2, 30));
    // A step that fails changes no row.
    let late = step(run, (Starting, 2), (Lost, 2), Cause::AgentGone, 45);
    assert!(matches!(ledger.transition(late).await, Err(LedgerError::Lost(_))));
    assert_eq!(lease(ledger, run).await, expected(run, 2, 30));
    to((Running, 2), (Lost, 2), Cause::AgentGone, 50).await;
    let gone = row(2, 30, Some((Lost, Cause::AgentGone, 50)));
    assert_eq!(ledger.attempts(run).await.unwrap(), [returned.clone(), gone]);
    assert_eq!(lease(ledger, run).await, None, "a lost run holds no seat");
    to((Lost, 2), (Succeeded, 2), Cause::Completed, 60).await;
    let ended = row(2, 30, Some((Succeeded, Cause::Completed, 60)));
    assert_eq!(ledger.attempts(run).await.unwrap(), [returned, ended], "its end is corrected");
    // One that waits again has ended no further attempt.
    let waiting = new_run("ann");
    let other = waiting.record.run;
    ledger.insert(waiting).await.unwrap();
    for (from, to, cause) in [
        ((Queued, 0), (Starting, 1), Cause::Dispatched),
        ((Starting, 1), (Queued, 1), Cause::Returned),
        ((Queued, 1), (RunState::Cancelled, 1), Cause::CancelRequested),
    ] {
        ledger.transition(step(other, from, to, cause, 70)).await.unwrap();
    }
    assert_eq!(ledger.attempts(other).await.unwrap(), [row(1, 70, Some((Queued, Cause::Returned, 70)))]);
    assert!(ledger.remove(other, 80).await.unwrap());
    assert_eq!(ledger.attempts(other).await.unwrap(), []);
}

pub(super) async fn a_lease_may_be_freed_and_taken_between_steps(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    let (nobody, first) = (Owner::default(), Attempt::known(1));
    assert!(!ledger.free_lease(run, Attempt::known(2), nobody.clone()).await.unwrap(), "of another attempt");
    assert!(ledger.free_lease(run, first, nobody.clone()).await.unwrap());
    assert!(!ledger.free_lease(run, first, nobody.clone()).await.unwrap());
    assert_eq!(lease(ledger, run).await, None);
    // It ends later than its lease.
    end(ledger, run, 2_000, true).await;
    // One that is lost comes back alive, and ends.
    let lost = running(ledger, new_run("ann")).await;
    ends_as(ledger, lost, Lost, Cause::AgentGone, 5).await;
    let again = expected(lost, 1, 7).unwrap();
    ledger.take_lease(again.clone(), nobody.clone()).await.unwrap();
    ledger.take_lease(again.clone(), nobody.clone()).await.unwrap();
    assert_eq!(lease(ledger, lost).await, Some(again.clone()));
    ledger.transition(step(lost, (Lost, 1), (Succeeded, 1), Cause::Completed, 8)).await.unwrap();
    assert_eq!(lease(ledger, lost).await, None);
    // And one that was found in a spool has its lease from the first.
    let mut found = new_run("ann");
    (found.record.state, found.record.cause, found.lease) = (Running, Cause::FirstOutput, LeaseChange::Take);
    found.record.detail = after(3);
    let found_run = found.record.run;
    ledger.insert(found).await.unwrap();
    assert_eq!(lease(ledger, found_run).await, expected(found_run, 3, 1_000));
    assert_eq!(ledger.attempts(found_run).await.unwrap(), [row(3, 1_000, None)]);
    // Seats are held by others than runs too.
    let holder = LeaseHolder { kind: HolderKind::Session, id: "s1".to_owned() };
    let session = LeaseRecord { holder: holder.clone(), attempt: None, at: at(), since_ms: 9 };
    ledger.take_lease(session.clone(), nobody).await.unwrap();
    assert!(ledger.leases().await.unwrap().contains(&session));
}

pub(super) async fn a_run_is_moved_by_its_last_owner_alone(ledger: &dyn Ledger) {
    let first = ledger.take_over("first".to_owned()).await.unwrap();
    let mut new = new_run("ann");
    new.record.owner = first.clone();
    let (run, lost) = (new.record.run, running_under(ledger, &first).await);
    ledger.insert(new).await.unwrap();
    let by = |owner: &Owner, step: Transition| ledger.transition(Transition { owner: owner.clone(), ..step });
    by(&first, step(run, (Queued, 0), (Starting, 1), Cause::Dispatched, 10)).await.unwrap();
    by(&first, step(lost, (Running, 1), (Lost, 1), Cause::AgentGone, 10)).await.unwrap();
    let second = ledger.take_over("second".to_owned()).await.unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(ledger.get(run).await.unwrap().unwrap().owner, second);
    let output = || step(run, (Starting, 1), (Running, 1), Cause::FirstOutput, 20);
    let correction = || step(lost, (Lost, 1), (Succeeded, 1), Cause::Completed, 20);
    for (run, step) in [(run, output()), (lost, correction())] {
        assert!(matches!(by(&first, step).await, Err(LedgerError::Lost(r)) if r == run), "its epoch is superseded");
    }
    assert!(!ledger.free_lease(run, Attempt::known(1), first.clone()).await.unwrap());
    let taken = ledger.take_lease(expected(lost, 1, 30).unwrap(), first.clone()).await;
    assert!(matches!(taken, Err(LedgerError::Lost(r)) if r == lost));
    assert_eq!(lease(ledger, run).await, expected(run, 1, 10), "and what it tried has left nothing");
    for step in [output(), correction()] {
        by(&second, step).await.unwrap();
    }
    assert!(ledger.free_lease(run, Attempt::known(1), second).await.unwrap());
}

/// Brings a run of this owner to `running`.
async fn running_under(ledger: &dyn Ledger, owner: &Owner) -> RunId {
    let mut new = new_run("ann");
    new.record.owner = owner.clone();
    let run = new.record.run;
    ledger.insert(new).await.unwrap();
    for (from, to, cause) in
        [((Queued, 0), (Starting, 1), Cause::Dispatched), ((Starting, 1), (Running, 1), Cause::FirstOutput)]
    {
        let step = Transition { owner: owner.clone(), ..step(run, from, to, cause, 10) };
        ledger.transition(step).await.unwrap();
    }
    run
}
