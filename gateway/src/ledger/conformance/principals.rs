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
        scopes: Scopes::USE,
        limits: TokenLimits { hosts: vec!["stata1".to_owned()], ..TokenLimits::default() },
        created_ms: 1,
        expires_ms: None,
        revoked_ms: None,
        rotated_ms: None,
        before: None,
    };
    assert!(ledger.token_add(token.clone()).await.unwrap());
    assert_eq!(ledger.token_find(&token.sha256).await.unwrap(), Some(token.clone()));
    rotated(ledger, token).await;
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

/// A token whose secret is replaced is found by both; by the one before until the sooner of what was asked and its end.
async fn rotated(ledger: &dyn Ledger, token: TokenRecord) {
    let rotation =
        Rotation { sha256: format!("new {}", token.sha256), at_ms: 5, expires_ms: Some(100), before_until_ms: 50 };
    let before = SecretBefore { sha256: token.sha256.clone(), until_ms: 50 };
    let want = TokenRecord {
        sha256: rotation.sha256.clone(),
        expires_ms: Some(100),
        rotated_ms: Some(5),
        before: Some(before),
        limits: token.limits.clone(),
        ..token.clone()
    };
    for _ in 0..2 {
        let changed = ledger.token_rotate(&token.name, rotation.clone()).await.unwrap();
        assert_eq!(changed, Some(want.clone()), "once, however often it is asked for");
    }
    for sha256 in [&token.sha256, &rotation.sha256] {
        assert_eq!(ledger.token_find(sha256).await.unwrap(), Some(want.clone()));
    }
    assert_eq!((want.ends_ms(&token.sha256), want.ends_ms(&rotation.sha256)), (Some(50), Some(100)));
    let third = Rotation { sha256: format!("third {}", token.sha256), before_until_ms: 500, ..rotation };
    let third = ledger.token_rotate(&token.name, third).await.unwrap().unwrap();
    assert_eq!(third.before.map(|before| before.until_ms), Some(100), "never longer than it would have lived");
    assert_eq!(ledger.token_find(&token.sha256).await.unwrap(), None);
    assert_eq!(
        ledger.token_rotate("no such token", Rotation { sha256: "x".to_owned(), ..ROTATION }).await.unwrap(),
        None
    );
}

const ROTATION: Rotation = Rotation { sha256: String::new(), at_ms: 1, expires_ms: None, before_until_ms: 1 };

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
