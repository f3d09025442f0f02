//! The laws of upkeep: what is removed, and what agents still keep.

use super::*;
use crate::ledger::Ended;

pub(super) async fn only_the_ended_and_old_is_swept(ledger: &dyn Ledger) {
    let open = new_run("ann");
    let unfinished = open.record.run;
    ledger.insert(NewRun { record: Record { created_ms: -900, ..open.record.clone() }, ..open }).await.unwrap();
    let older = running(ledger, new_run("ann")).await;
    end(ledger, older, 1, false).await;
    assert_eq!(ledger.removed(older).await.unwrap(), None);
    // A run whose spool or files a connected agent keeps stays until that agent was asked.
    let its = vec!["x".to_owned(), ledger.get(older).await.unwrap().unwrap().agent_id().to_owned()];
    assert!(ledger.sweep(2, 100, its.clone(), 7_000).await.unwrap().is_empty());
    ledger.only_files_kept(older).await.unwrap();
    assert!(ledger.sweep(2, 100, its.clone(), 7_000).await.unwrap().is_empty());
    let released = running(ledger, new_run("ann")).await;
    end(ledger, released, 1, false).await;
    ledger.spool_gone(released, None).await.unwrap();
    let ended = |run, spool_held| Ended { run, agent_id: its[1].clone(), spool_held };
    assert_eq!(ledger.sweep(2, 100, its.clone(), 7_000).await.unwrap(), [ended(released, false)]);
    let swept = ledger.sweep(2, 100, vec!["x".to_owned()], 7_000).await.unwrap();
    assert_eq!(swept, [ended(older, true)], "its agent is away");
    // What an agent may still report of it is remembered, for a limited time and number.
    let kept = ledger.removed(older).await.unwrap().unwrap().kept;
    assert!(kept.is_empty(), "what the agent recorded was not known: {kept:?}");
    assert_eq!(ledger.removed_since(7_001).await.unwrap(), []);
    assert!(ledger.removed_since(7_000).await.unwrap().contains(&older));
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

pub(super) async fn spools_are_known_until_they_are_gone(ledger: &dyn Ledger) {
    let whole = running(ledger, new_run("ann")).await;
    end(ledger, whole, 10, true).await;
    let torn = running(ledger, new_run("ann")).await;
    end(ledger, torn, 10, false).await;
    let held = async |agent: &str, before_ms, copy| ledger.spools_held(agent, before_ms, copy, 1000).await.unwrap();
    assert!(held("agent", 11, MirrorCopy::Whole).await.contains(&whole));
    assert!(
        !held("agent", 11, MirrorCopy::Whole).await.contains(&torn),
        "a spool is the only copy while the mirror is not whole"
    );
    assert!(held("agent", 11, MirrorCopy::Incomplete).await.contains(&torn), "and is there all the same");
    assert!(!held("agent", 11, MirrorCopy::Incomplete).await.contains(&whole));
    assert!(!held("agent", 10, MirrorCopy::Whole).await.contains(&whole), "not before its time");
    assert!(held("another", 11, MirrorCopy::Whole).await.is_empty());
    ledger.spool_gone(whole, None).await.unwrap();
    assert!(!held("agent", 11, MirrorCopy::Whole).await.contains(&whole));
    assert!(ledger.get(whole).await.unwrap().unwrap().detail.conditions.is_empty());
    ledger.spool_gone(torn, Some("gone for room".to_owned())).await.unwrap();
    assert!(!held("agent", 11, MirrorCopy::Incomplete).await.contains(&torn));
    let remarks: Vec<_> = ledger.get(torn).await.unwrap().unwrap().detail.conditions.remarks().collect();
    let released = Remark { condition: Some(Condition::Released), words: "gone for room".to_owned() };
    assert_eq!(remarks, [released], "and the record says so");
    let more = "and so was that of attempt 1".to_owned();
    for _ in 0..2 {
        ledger.earlier_spool_gone(torn, more.clone()).await.unwrap();
    }
    let remarks: Vec<_> = ledger.get(torn).await.unwrap().unwrap().detail.conditions.remarks().collect();
    assert_eq!(remarks[0].words, format!("gone for room; {more}"), "added once");
    ledger.earlier_spool_gone(whole, more.clone()).await.unwrap();
    let lost = running(ledger, new_run("ann")).await;
    ledger.transition(step(lost, (Running, 1), (Lost, 1), Cause::DeclaredDead, 10)).await.unwrap();
    assert!(!held("agent", 11, MirrorCopy::Incomplete).await.contains(&lost), "it may come back");
    let waiting = new_run("ann");
    let cancelled = waiting.record.run;
    ledger.insert(waiting).await.unwrap();
    ledger
        .transition(step(cancelled, (Queued, 0), (RunState::Cancelled, 0), Cause::CancelRequested, 10))
        .await
        .unwrap();
    assert!(!held("", 11, MirrorCopy::Incomplete).await.contains(&cancelled), "no agent had it");
    assert!(ledger.ended_count().await.unwrap() >= 4);
    assert!(ledger.newest_ms().await.unwrap() >= 1_000);
}

pub(super) async fn files_are_kept_longer_than_spools(ledger: &dyn Ledger) {
    let run = running(ledger, new_run("ann")).await;
    end(ledger, run, 10, true).await;
    let held = async || ledger.spools_held("agent", 11, MirrorCopy::Whole, 1000).await.unwrap().contains(&run);
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
    assert_eq!(detail.end.files_removed, Some(what));
    assert!(detail.end.complete, "the rest of the record stays");
    // Neither for a spool that is gone nor for an unfinished run.
    ledger.only_files_kept(run).await.unwrap();
    assert!(!files().await);
    let open = running(ledger, new_run("ann")).await;
    ledger.files_removed(open, FilesRemoved::default()).await.unwrap();
    assert!(!files_went(ledger, open).await);
}

async fn files_went(ledger: &dyn Ledger, run: RunId) -> bool {
    ledger.get(run).await.unwrap().unwrap().detail.end.files_removed.is_some()
}

pub(super) async fn only_what_has_ended_is_removed(ledger: &dyn Ledger) {
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
