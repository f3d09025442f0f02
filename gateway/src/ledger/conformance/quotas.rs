//! What principals use, and the room that a new run needs.

use longhaul_proto::api::QuotaKind;

use super::*;
use crate::ledger::quotas::{MINUTE, Room};

fn room(of: &[&Principal]) -> Room {
    Room {
        of: "x".to_owned(),
        members: of.iter().map(|one| (*one).clone()).collect(),
        now_ms: 1_000,
        ..Room::default()
    }
}

async fn refused(ledger: &dyn Ledger, rooms: Vec<Room>, new: NewRun) -> Option<(QuotaKind, u64, Option<u32>)> {
    let dedupe = Dedupe { rooms, ..new.dedupe };
    match ledger.insert(NewRun { dedupe, ..new }).await {
        Err(LedgerError::OverQuota(over)) => Some((over.reached.kind, over.reached.used, over.retry_after)),
        inserted => {
            inserted.unwrap();
            None
        }
    }
}

pub(super) async fn room_for_new_runs(ledger: &dyn Ledger) {
    let (ann, bob) = (Principal::local("quota-ann"), Principal::local("quota-bob"));
    let at = |who: &str, created_ms: i64| {
        let new = new_run(who);
        NewRun { record: Record { created_ms, ..new.record.clone() }, ..new }
    };
    let queued = |of: &[&Principal], most| vec![Room { queued: Some(most), ..room(of) }];
    assert_eq!(refused(ledger, queued(&[&ann], 1), at("quota-ann", 900)).await, None);
    assert_eq!(refused(ledger, queued(&[&ann], 1), at("quota-ann", 900)).await, Some((QuotaKind::Queued, 1, Some(30))));
    // Another's run counts for a group alone.
    assert_eq!(refused(ledger, queued(&[&bob], 1), at("quota-bob", 500)).await, None);
    assert_eq!(
        refused(ledger, queued(&[&ann, &bob], 2), at("quota-ann", 900)).await,
        Some((QuotaKind::Queued, 2, Some(30)))
    );
    let minute = |now_ms, most| vec![Room { submissions: Some(most), now_ms, ..room(&[&ann, &bob]) }];
    assert_eq!(
        refused(ledger, minute(1_000, 2), at("quota-ann", 1_000)).await,
        Some((QuotaKind::Submissions, 2, Some(60)))
    );
    // The older of both is over a minute old.
    assert_eq!(refused(ledger, minute(MINUTE + 600, 2), at("quota-bob", MINUTE + 600)).await, None);
    let used = ledger.usage(vec![ann.clone(), bob.clone()], 600, 9).await.unwrap();
    assert_eq!((used.queued, used.running, used.recorded_ms), (3, 0, vec![MINUTE + 600, 900]));
}

pub(super) async fn kept_bytes_follow_the_records(ledger: &dyn Ledger) {
    let who = Principal::local("quota-eve");
    let kept = async || ledger.usage(vec![who.clone()], 0, 0).await.unwrap().kept;
    let run = running(ledger, new_run("quota-eve")).await;
    let used = ledger.usage(vec![who.clone()], 0, 0).await.unwrap();
    assert_eq!((used.running, used.kept), (1, 0));
    end(ledger, run, 1_030, true).await;
    assert_eq!(kept().await, 7);
    let over = vec![Room { kept: Some(7), ..room(&[&who]) }];
    assert_eq!(refused(ledger, over, new_run("quota-eve")).await, Some((QuotaKind::Kept, 7, None)));
    assert!(ledger.remove(run, 0).await.unwrap());
    assert_eq!(kept().await, 0);
}
