//! Who is told of the ends of runs, and what is still to be told.

use super::*;

fn receiver(who: &str, address: &str) -> ReceiverRecord {
    ReceiverRecord { principal: Principal::local(who), address: address.to_owned(), created_ms: 5 }
}

fn ends(run: RunId, to: RunState, cause: Cause, at_ms: i64) -> Transition {
    Transition { told: Some(format!("told at {at_ms}")), ..step(run, (Running, 1), (to, 1), cause, at_ms) }
}

async fn due(ledger: &dyn Ledger, now_ms: i64) -> Vec<Notification> {
    let mut due = ledger.notifications_due(now_ms, 100).await.unwrap();
    due.sort_by(|a, b| a.key.cmp(&b.key));
    due
}

fn tried(state: NotificationState, at_ms: i64) -> Tried {
    let problem = if state == NotificationState::Delivered { "" } else { "it is away" };
    Tried { state, at_ms, due_ms: at_ms + 100, tries: 1, problem: problem.to_owned() }
}

/// What is told is written with the end, once for each receiver, and waits until it is told or given up.
pub(super) async fn an_end_is_told_with_its_record(ledger: &dyn Ledger) {
    let (own, of_run, both) = ("https://own.lab/", "https://run.lab/", "mailto:both@lab.org");
    for address in [own, both] {
        assert_eq!(ledger.receiver_add(receiver("told-ann", address), 9).await.unwrap(), ReceiverAdded::New);
    }
    ledger.receiver_add(receiver("told-bob", "https://bob.lab/"), 9).await.unwrap();
    let new = NewRun { receivers: vec![of_run.to_owned(), both.to_owned()], ..new_run("told-ann") };
    let run = running(ledger, new).await;
    assert!(due(ledger, i64::MAX).await.is_empty(), "no step but an end is told");
    assert_eq!(ledger.notifications_waiting().await.unwrap(), super::super::Waiting::default());
    // A step that another writer was faster with tells nothing.
    let late = Transition { from: Starting, ..ends(run, Succeeded, Cause::Completed, 50) };
    ledger.transition(late).await.unwrap_err();
    assert!(due(ledger, i64::MAX).await.is_empty());
    // A joining request is told too, as long as the run has not ended.
    assert!(ledger.tell(run, vec!["https://joined.lab/".to_owned(), of_run.to_owned()]).await.unwrap());
    ledger.transition(ends(run, Lost, Cause::DeclaredDead, 2_000)).await.unwrap();
    let first = due(ledger, i64::MAX).await;
    let told: Vec<_> = first.iter().map(|one| (one.key.address.as_str(), one.key.n)).collect();
    assert_eq!(told, [("https://joined.lab/", 3), (own, 3), (of_run, 3), (both, 3)]);
    let whole = |one: &Notification| (one.body == "told at 2000", one.made_ms, one.due_ms, one.principal.to_string());
    assert!(first.iter().all(|one| whole(one) == (true, 2_000, 2_000, "told-ann".to_owned())), "{first:?}");
    assert!(due(ledger, 1_999).await.is_empty(), "nothing is due before its time");
    // What was lost may end once more, and that is told as well.
    let returned = Transition { from: Lost, ..ends(run, Succeeded, Cause::Completed, 3_000) };
    ledger.transition(returned).await.unwrap();
    assert!(!ledger.tell(run, vec!["https://late.lab/".to_owned()]).await.unwrap());
    let all = due(ledger, i64::MAX).await;
    assert_eq!((all.len(), all.iter().filter(|one| one.key.n == 4).count()), (8, 4));
    let waiting = ledger.notifications_waiting().await.unwrap();
    assert_eq!((waiting.count, waiting.oldest_ms, waiting.next_ms), (8, 2_000, 2_000));

    let [delivered, later, given_up, ..] = &all[..] else { panic!("{all:?}") };
    for (one, state) in [
        (delivered, NotificationState::Delivered),
        (later, NotificationState::Waiting),
        (given_up, NotificationState::GivenUp),
    ] {
        assert!(ledger.notification_tried(one.key.clone(), tried(state, 9_000)).await.unwrap(), "{state:?}");
    }
    assert!(!ledger.notification_tried(delivered.key.clone(), tried(NotificationState::Waiting, 1)).await.unwrap());
    let now: Vec<_> = due(ledger, 9_000).await.into_iter().map(|one| one.key).collect();
    assert!(![delivered, later, given_up].iter().any(|one| now.contains(&one.key)), "{now:?}");
    let later = due(ledger, 9_100).await.into_iter().find(|one| one.key == later.key).unwrap();
    assert_eq!((later.tries, later.problem.as_str(), later.ended_ms), (1, "it is away", 0));
    // Both are seen by their principal, the newest first, until they are swept.
    let seen = ledger.notifications_of(&Principal::local("told-ann"), 100).await.unwrap();
    assert_eq!((seen.len(), seen[0].made_ms, seen[7].made_ms), (8, 3_000, 2_000));
    assert_eq!(ledger.notifications_of(&Principal::local("told-ann"), 3).await.unwrap(), seen[..3]);
    assert!(ledger.notifications_of(&Principal::local("told-bob"), 9).await.unwrap().is_empty());
    assert_eq!(ledger.notification_sweep(9_000, 9).await.unwrap(), 0);
    assert_eq!(ledger.notification_sweep(9_001, 9).await.unwrap(), 2);
    assert_eq!(ledger.notifications_of(&Principal::local("told-ann"), 100).await.unwrap().len(), 6);
    // A message outlasts the record of its run, and goes.
    assert!(ledger.remove(run, 0).await.unwrap());
    for one in due(ledger, i64::MAX).await {
        assert!(ledger.notification_tried(one.key, tried(NotificationState::Delivered, 9_500)).await.unwrap());
    }
    ledger.notification_sweep(i64::MAX, 100).await.unwrap();
}

pub(super) async fn a_principal_has_its_own_receivers_and_signature(ledger: &dyn Ledger) {
    let (ann, bob) = (Principal::local("sign-ann"), Principal::local("sign-bob"));
    let add = async |address: &str, most| ledger.receiver_add(receiver("sign-ann", address), most).await.unwrap();
    add("https://a.lab/", 2).await;
    assert_eq!(add("https://a.lab/", 2).await, ReceiverAdded::Known);
    add("https://b.lab/", 2).await;
    assert_eq!(add("https://c.lab/", 2).await, ReceiverAdded::Full);
    assert!(ledger.receivers(&bob).await.unwrap().is_empty());
    ledger.receiver_remove(bob.clone(), "https://a.lab/".to_owned()).await.unwrap();
    let both = ledger.receivers(&ann).await.unwrap();
    assert_eq!(both, [receiver("sign-ann", "https://a.lab/"), receiver("sign-ann", "https://b.lab/")]);
    ledger.receiver_remove(ann.clone(), "https://a.lab/".to_owned()).await.unwrap();
    assert_eq!(ledger.receivers(&ann).await.unwrap().len(), 1);

    let salt = |salt: &str| salt.to_owned();
    let kept = ledger.signing(ann.clone(), SigningChange::Keep { salt: salt("1"), at_ms: 10 }).await.unwrap();
    assert_eq!((kept.salt.as_str(), kept.made_ms, kept.shown_ms, kept.before.as_str()), ("1", 10, 0, ""));
    let again = ledger.signing(ann.clone(), SigningChange::Keep { salt: salt("2"), at_ms: 11 }).await.unwrap();
    assert_eq!(again, kept, "it stays");
    ledger.signing(ann.clone(), SigningChange::Show { salt: salt("3"), at_ms: 12 }).await.unwrap();
    let twice = ledger.signing(ann.clone(), SigningChange::Show { salt: salt("4"), at_ms: 13 }).await.unwrap();
    assert_eq!((twice.salt.as_str(), twice.shown_ms), ("1", 12), "it was shown before");
    let rotate = || SigningChange::Rotate { salt: salt("5"), at_ms: 20, before_until_ms: 99 };
    for _ in 0..2 {
        let other = ledger.signing(ann.clone(), rotate()).await.unwrap();
        let found = (other.salt.as_str(), other.before.as_str(), other.before_until_ms, other.shown_ms);
        assert_eq!(found, ("5", "1", 99, 20));
    }
    let bobs = ledger.signing(bob, SigningChange::Show { salt: salt("6"), at_ms: 30 }).await.unwrap();
    assert_eq!((bobs.salt.as_str(), bobs.shown_ms), ("6", 0));
}
