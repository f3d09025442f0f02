//! The laws of principals: a subject of two issuers is two.

use super::*;

pub(super) async fn one_subject_of_two_issuers_is_two_principals(ledger: &dyn Ledger) {
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
            let which = RunFilter::in_state(state);
            let query = ListQuery { principal: Some(principal.clone()), which, limit: 9, ..ListQuery::default() };
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
        token_and_stash_of(ledger, principal).await;
    }
    let mut called = ledger.principals_called("two").await.unwrap();
    called.sort();
    assert_eq!(called, [there.clone(), here.clone()]);
    assert_eq!(ledger.principals_called("nobody of that name").await.unwrap(), []);
    is_adopted_by(ledger, &here, &there).await;
}

async fn token_and_stash_of(ledger: &dyn Ledger, principal: &Principal) {
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
    let stash = Stash {
        kind: "two".to_owned(),
        name: principal.to_string(),
        principal: principal.clone(),
        created_ms: 1,
        body: "{}".to_owned(),
    };
    ledger.stash_put(stash.clone()).await.unwrap();
    assert_eq!(ledger.stash_get("two", &stash.name).await.unwrap(), Some(stash));
}

/// An unverified run is adopted by the principal that its spool names.
async fn is_adopted_by(ledger: &dyn Ledger, here: &Principal, there: &Principal) {
    let mut found = run_of(&Principal::default());
    found.record.detail.origin = Origin::Unverified { claims: there.clone() };
    let found = running(ledger, found).await;
    assert_eq!(ledger.get(found).await.unwrap().unwrap().detail.origin.claims(), *there);
    let key = Some(("of an adopted one".to_owned(), "body".to_owned()));
    let adoption = Adoption { run: found, principal: there.clone(), key, dedupe: Dedupe::default() };
    assert!(ledger.adopt(adoption).await.unwrap());
    assert_eq!(ledger.get(found).await.unwrap().unwrap().principal, *there);
    assert_eq!(ledger.by_key(there, "of an adopted one").await.unwrap().map(|(run, _)| run), Some(found));
    assert_eq!(ledger.by_key(here, "of an adopted one").await.unwrap(), None);
}
