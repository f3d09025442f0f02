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
