//! Which principals' runs an agent takes.

use super::*;
use crate::ledger::TokenRecord;
use RunState::Queued;

fn token(subject: &str, scopes: Scopes, created_ms: i64) -> TokenRecord {
    TokenRecord {
        name: format!("token of {subject}"),
        principal: Principal::local(subject),
        sha256: longhaul_proto::sha256_hex(subject.as_bytes()),
        scopes,
        limits: TokenLimits::default(),
        created_ms,
        expires_ms: None,
        revoked_ms: None,
        rotated_ms: None,
        before: None,
    }
}

impl World {
    async fn submit_as(&self, who: &Identity, code: &str) -> RunId {
        let request = Request { submit: text(code), max_code: 1 << 20, ..Request::default() };
        self.runs().submit(who, request).await.unwrap().run.run
    }

    /// The principal of the token that the gateway made at its first start.
    async fn first(&self) -> Identity {
        let tokens = self.ledger().token_list().await.unwrap();
        Identity::new(tokens[0].principal.clone(), Scopes::OPERATE)
    }
}

#[tokio::test]
async fn the_second_principal_ends_serving_everybody() {
    let world = World::new().await;
    let first = world.first().await;
    let unsaid = Fake::with("unsaid", |i| i.host_limit = 100, SECRET).join(world.addr()).await;
    let host = async || world.runs().hosts(&root()).await.hosts.into_iter().find(|h| h.name == "unsaid").unwrap();
    assert_eq!((host().await.serves, host().await.note), (None, None));

    world.ledger().token_add(token("bob", Scopes::USE, i64::MAX)).await.unwrap();
    world.runs().principals_changed().await;
    assert_eq!(host().await.serves, Some(vec![first.principal.to_string()]));
    assert!(host().await.note.unwrap().contains("start it with --serve"));
    let bob = Identity::local("bob", Scopes::USE);
    let waits = world.submit_as(&bob, "display 1\n").await;
    let why =
        format!("agent unsaid takes the runs of {} only, since this gateway has several principals", first.principal);
    let view = world.until(waits, "why", |v| v.waiting.as_deref().is_some_and(|w| w.starts_with(&why))).await;
    assert_eq!(view.state, Queued);
    let own = world.submit_as(&first, "display 2\n").await;
    unsaid.got(own).await;

    // Nor is it asked about bob's path.
    unsaid
        .shared
        .change(|s| drop(s.missing.insert("/there.do".to_owned(), "an agent that must not be asked".to_owned())));
    let path = SubmitRequest { path: Some("/there.do".to_owned()), ..SubmitRequest::default() };
    let request = |submit| Request { submit, max_code: 1 << 20, ..Request::default() };
    assert!(world.runs().submit(&bob, request(path.clone())).await.is_ok(), "it waits");
    assert!(world.runs().submit(&first, request(path)).await.is_err(), "the control: who is served is told");

    // An agent with `--serve bob` takes it, whoever the first operator is.
    let told = Fake::with("told", |i| (i.serve, i.pool) = (vec!["bob".to_owned()], "told".to_owned()), SECRET);
    let told = told.join(world.addr()).await;
    told.got(waits).await;
    assert!(!unsaid.shared.state().runs.contains_key(&waits.to_string()));

    // With one principal left the agent takes everybody's runs again.
    world.ledger().token_revoke("token of bob", 5).await.unwrap();
    world.runs().principals_changed().await;
    assert_eq!(host().await.serves, None);
    world.stop().await;
}

#[tokio::test]
async fn serve_all_means_all_and_a_restart_changes_nothing() {
    let mut world = World::new().await;
    world.ledger().token_add(token("bob", Scopes::USE, i64::MAX)).await.unwrap();
    world.restart().await;
    let _unsaid = Fake::with("unsaid", |i| i.pool = "unsaid".to_owned(), SECRET).join(world.addr()).await;
    let bob = Identity::local("bob", Scopes::USE);
    let run = world.submit_as(&bob, "display 1\n").await;
    world.until(run, "why", |v| v.waiting.as_deref().is_some_and(|w| w.starts_with("agent unsaid takes"))).await;
    let all = Fake::with("all", |i| (i.serve_all, i.pool) = (true, "all".to_owned()), SECRET).join(world.addr()).await;
    all.got(run).await;
    world.stop().await;
}

/// The control: without the rule every agent takes everybody's runs.
#[cfg(feature = "faults")]
#[tokio::test]
async fn without_the_rule_anybody_s_code_runs_as_anybody() {
    let _bug = longhaul_proto::faults::enter("bug=serves_everybody");
    let world = World::new().await;
    world.ledger().token_add(token("bob", Scopes::USE, i64::MAX)).await.unwrap();
    world.runs().principals_changed().await;
    let agent = Fake::with("told", |i| i.serve = vec!["ann".to_owned()], SECRET).join(world.addr()).await;
    let run = world.submit_as(&Identity::local("bob", Scopes::USE), "display 1\n").await;
    agent.got(run).await;
    world.stop().await;
}
