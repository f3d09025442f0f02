//! The laws of the cursor over changes.

use super::*;

/// All changes after `seq`, read page by page, and the cursor after them.
async fn since(ledger: &dyn Ledger, mut seq: u64) -> (Vec<RunId>, u64) {
    let mut runs = Vec::new();
    loop {
        let page = ledger.changes_since(seq, 3).await.unwrap();
        assert!(page.windows(2).all(|w| w[0].seq < w[1].seq) && page.iter().all(|change| change.seq > seq));
        let Some(last) = page.last() else { return (runs, seq) };
        seq = last.seq;
        runs.extend(page.iter().map(|change| change.run));
    }
}

pub(super) async fn no_change_is_missed(ledger: &dyn Ledger) {
    let (all, before) = since(ledger, 0).await;
    let recorded = ledger.list(ListQuery { limit: 1_000, ..ListQuery::default() }).await.unwrap();
    assert!(recorded.iter().all(|record| all.contains(&record.run)), "from the beginning each run is named");
    let first = running(ledger, new_run("ann")).await;
    let second = running(ledger, new_run("ann")).await;
    let (named, cursor) = since(ledger, before).await;
    assert_eq!(named, [first, second]);
    assert_eq!(since(ledger, cursor).await, (vec![], cursor), "nothing has changed since");
    // Whatever changes in a record is a change.
    let intent = CancelIntent { by: "ann".to_owned(), at_ms: 10, mode: CancelMode::Break };
    assert!(ledger.request_cancel(first, intent).await.unwrap());
    let (named, cursor) = since(ledger, cursor).await;
    assert_eq!(named, [first]);
    end(ledger, first, 20, true).await;
    assert!(ledger.contest(second, "another result".to_owned()).await.unwrap());
    ledger.mark_shown(vec![first], 30).await.unwrap();
    let (named, cursor) = since(ledger, cursor).await;
    assert_eq!(named, [second, first], "each once, with its latest change");
    ledger.files_removed(first, FilesRemoved::default()).await.unwrap();
    ledger.spool_gone(second, Some("gone".to_owned())).await.unwrap();
    let (named, cursor) = since(ledger, cursor).await;
    assert_eq!(named, [first, second]);
    // What changes nothing is none, and numbers do not come back when the newest run is removed.
    ledger.mark_shown(vec![first], 40).await.unwrap();
    assert!(!ledger.contest(second, "another result".to_owned()).await.unwrap());
    assert!(since(ledger, cursor).await.0.is_empty());
    let newest = running(ledger, new_run("ann")).await;
    end(ledger, newest, 50, true).await;
    let (_, cursor) = since(ledger, cursor).await;
    assert!(ledger.remove(newest, 60).await.unwrap());
    let next = running(ledger, new_run("ann")).await;
    assert_eq!(since(ledger, cursor).await.0, [next]);
}

/// All steps after a place, read in pages of two, and the place of the last.
async fn steps(ledger: &dyn Ledger, mut at: StepCursor) -> (Vec<StepRow>, StepCursor) {
    let mut all = Vec::new();
    loop {
        let page = ledger.steps_since(at, 2).await.unwrap();
        assert!(page.windows(2).all(|w| w[0].cursor() < w[1].cursor()) && page.iter().all(|step| step.cursor() > at));
        let Some(last) = page.last() else { return (all, at) };
        at = last.cursor();
        all.extend(page);
    }
}

pub(super) async fn each_step_is_told_once(ledger: &dyn Ledger) {
    let from = ledger.latest_step().await.unwrap();
    assert_eq!(steps(ledger, from).await, (vec![], from), "nothing comes after the latest");
    let first = running(ledger, new_run("ann")).await;
    let second = running(ledger, new_run("ben")).await;
    let (told, at) = steps(ledger, from).await;
    let mut wanted = Vec::new();
    for (run, whose) in [(first, "ann"), (second, "ben")] {
        let attempts = ledger.attempts(run).await.unwrap();
        for step in ledger.history(run).await.unwrap() {
            let given = attempts.iter().find(|attempt| Some(attempt.number) == step.attempt);
            wanted.push((run, Principal::local(whose), given.map_or("", |given| &given.at.host).to_owned(), step));
        }
    }
    let told: Vec<_> = told.into_iter().map(|row| (row.run, row.principal, row.host, row.step)).collect();
    assert_eq!(told, wanted);
    assert_eq!(ledger.latest_step().await.unwrap(), at);
    assert_eq!(at.to_string().parse(), Ok(at));
    // What is no step has no place among them.
    ledger
        .request_cancel(first, CancelIntent { by: "ann".to_owned(), at_ms: 10, mode: CancelMode::Break })
        .await
        .unwrap();
    assert!(steps(ledger, at).await.0.is_empty());
    end(ledger, first, 20, true).await;
    let (told, at) = steps(ledger, at).await;
    assert!(told.len() == 1 && told[0].run == first && told[0].step.state.is_end(), "{told:?}");
    // Those of a removed run are gone, and later ones come after the same place.
    assert!(ledger.remove(first, 30).await.unwrap());
    assert!(steps(ledger, from).await.0.iter().all(|step| step.run == second));
    end(ledger, second, 40, true).await;
    assert_eq!(steps(ledger, at).await.0.len(), 1);
}
