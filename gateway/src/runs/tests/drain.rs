//! Drained hosts: runs there finish, no new ones start, and every waiting run says why.

use longhaul_proto::api::DrainBody;

use super::*;
use crate::runs::DrainError;
use RunState::{Queued, Running, Succeeded};

fn hosts(patterns: &[&str]) -> DrainBody {
    let reason = Some("kernel update".to_owned());
    DrainBody { hosts: patterns.iter().map(|p| (*p).to_owned()).collect(), reason }
}

fn resumed(patterns: &[&str]) -> DrainBody {
    DrainBody { reason: None, ..hosts(patterns) }
}

#[tokio::test]
async fn a_drained_host_finishes_and_takes_nothing_new_until_it_is_resumed() {
    let mut world = World::new().await;
    let own = |name: &str| name.to_owned();
    let mut one = Fake::with("stata1", |i| (i.pool, i.pool_seats) = (own("one"), 8), SECRET).join(world.addr()).await;
    let first = world.submit(text("display 1\n")).await;
    one.got(first).await;
    one.prints(first, b"x");
    world.state(first, Running).await;

    let drained = world.runs().drain(&root(), hosts(&["stata?"])).await.unwrap();
    let view = &drained.hosts[0];
    assert_eq!((view.name.as_str(), view.state.as_str(), view.running), ("stata1", "draining", 1));
    assert_eq!(
        view.draining.as_ref().map(|d| (d.by.as_str(), d.reason.as_deref())),
        Some(("root", Some("kernel update")))
    );
    let second = world.submit(text("display 2\n")).await;
    let why = |v: &RunView| {
        let why = v.waiting.as_deref().unwrap_or_default();
        v.state == Queued && why.starts_with("agent stata1 is draining (by root since") && why.contains("kernel update")
    };
    world.until(second, "why it waits", why).await;

    // A restart keeps the drain: the agent comes back first, and still gets no run.
    world.restart().await;
    one.register(world.addr()).await;
    world.until(second, "why it waits after the restart", why).await;
    one.ends(first, Succeeded, Cause::Completed);
    world.state(first, Succeeded).await;
    world.until(second, "why it waits on an empty host", why).await;
    assert_eq!(one.shared.state().run_calls, [(first.to_string(), 1)]);

    // A run that may use another host starts there.
    let two = Fake::with("other2", |i| i.pool = own("two"), SECRET).join(world.addr()).await;
    two.got(second).await;
    let picky = SubmitRequest { host: Some(own("stata1")), ..text("display 3\n") };
    let third = world.submit(picky).await;
    world.until(third, "the reason of its one host", why).await;

    world.runs().resume(&root(), resumed(&["*"])).await.unwrap();
    one.got(third).await;
    assert_eq!(world.ledger().drains().await.unwrap(), []);
    world.stop().await;
}

#[tokio::test]
async fn a_path_that_only_a_draining_host_has_waits_for_it() {
    let world = World::new().await;
    let one = Fake::with("stata1", |i| i.pool = "one".to_owned(), SECRET).join(world.addr()).await;
    let two = Fake::with("stata2", |i| i.pool = "two".to_owned(), SECRET).join(world.addr()).await;
    two.shared.change(|s| s.missing.insert("/home/ann/a.do".to_owned(), "no such file".to_owned()));
    world.until_up(2).await;
    world.runs().drain(&root(), hosts(&["stata1"])).await.unwrap();
    let path = SubmitRequest { path: Some("/home/ann/a.do".to_owned()), ..SubmitRequest::default() };
    let run = world.submit(path).await;
    let why = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.starts_with("agent stata1 is draining"));
    world.until(run, "waits for the host that has the file", why).await;
    world.runs().resume(&root(), resumed(&["stata1"])).await.unwrap();
    one.got(run).await;
    assert!(two.shared.state().run_calls.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn who_may_drain_what() {
    let world = World::new().await;
    let forbidden = world.runs().drain(&ann(), hosts(&["stata1"])).await.unwrap_err();
    assert!(matches!(forbidden, DrainError::Forbidden), "{forbidden}");
    let nobody = world.runs().drain(&root(), hosts(&["stata1"])).await.unwrap_err();
    assert_eq!(nobody.to_string(), "no host is named `stata1`: no agent has joined yet");
    let _one = Fake::new("stata1").join(world.addr()).await;
    let _two = Fake::new("stata2").join(world.addr()).await;
    let unknown = world.runs().drain(&root(), hosts(&["stata1", "sas*"])).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no host is named `sas*`: there are stata1, stata2");
    assert_eq!(world.ledger().drains().await.unwrap(), [], "nothing has changed");
    let empty = world.runs().drain(&root(), hosts(&[])).await.unwrap_err();
    assert!(matches!(empty, DrainError::Malformed(_)), "{empty}");
    let long = DrainBody { reason: Some("x".repeat(201)), ..hosts(&["stata1"]) };
    assert!(world.runs().drain(&root(), long).await.is_err());
    assert_eq!(world.runs().drain(&root(), hosts(&["stata*", "stata1"])).await.unwrap().hosts.len(), 2);
    world.stop().await;
}
