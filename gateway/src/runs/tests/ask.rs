//! Idempotency keys, equal requests, limits, names, and what waiting clients are told.

use longhaul_proto::{
    api::{CancelMode, Joined},
    sha256_hex,
};

use super::*;
use crate::runs::{ControlError, FindError, ListFilter};
use RunState::{Cancelled, Queued, Succeeded, TimedOut};

#[tokio::test]
async fn the_same_key_is_the_same_run() {
    let mut world = World::new().await;
    let keyed = |code: &str| SubmitRequest { key: Some("toolu_7".to_owned()), ..text(code) };
    let run = world.submit(keyed("display 1\n")).await;
    let again = world.try_submit(SubmitRequest { again: true, ..keyed("display 1\n") }).await.unwrap();
    assert_eq!((again.run.run, again.joined), (run, Some(Joined::Key)), "a key is stronger than `again`");
    let error = world.try_submit(keyed("display 2\n")).await.unwrap_err();
    assert!(matches!(&error, SubmitError::KeyTaken { run: r, .. } if *r == run));
    assert!(error.to_string().contains("was used for another request"), "{error}");
    world.restart().await;
    assert_eq!(world.try_submit(keyed("display 1\n")).await.unwrap().run.run, run, "also after a restart");
    let bob = Identity::local("bob", Scopes::USE);
    let request = Request { submit: keyed("display 1\n"), max_code: 100, ..Request::default() };
    assert_ne!(world.runs().submit(&bob, request).await.unwrap().run.run, run, "keys belong to a principal");
    world.stop().await;
}

#[tokio::test]
async fn what_makes_two_requests_equal() {
    let world = World::with(|o| o.max_per_principal = 3).await;
    let run = world.submit(text("display 1\n")).await;
    let again = world.submit(SubmitRequest { again: true, ..text("display 1\n") }).await;
    let with_args = world.submit(SubmitRequest { args: vec!["1".to_owned()], ..text("display 1\n") }).await;
    assert!(again != run && ![run, again].contains(&with_args), "other arguments are another run");
    world.stop().await;
}

#[tokio::test]
async fn limits_say_when_to_come_again() {
    let world = World::with(|o| (o.max_per_principal, o.max_queued) = (1, 2)).await;
    world.submit(text("display 1\n")).await;
    let error = world.try_submit(text("display 2\n")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Busy { retry_after: 1.., .. }), "{error}");
    assert!(error.to_string().contains("1 unfinished runs"), "{error}");
    let bob = Identity::local("bob", Scopes::USE);
    let request = |code: &str| Request { submit: text(code), max_code: 100, ..Request::default() };
    world.runs().submit(&bob, request("display 3\n")).await.unwrap();
    let eve = Identity::local("eve", Scopes::USE);
    let error = world.runs().submit(&eve, request("display 4\n")).await.unwrap_err();
    assert!(error.to_string().contains("2 runs are waiting"), "{error}");
    assert!(error.to_string().contains("try again in 30 s"), "{error}");
    let again = world.try_submit(text("display 1\n")).await.unwrap();
    assert!(again.joined.is_some(), "a call that was lost and is made again costs no room");
    assert_eq!(world.gateway().core.metrics.over_limit.load(Ordering::Relaxed), 2);
    assert_eq!(world.runs().list(&root(), ListFilter { limit: 9, ..Default::default() }).await.unwrap().runs.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn of_many_that_come_at_once_no_more_than_the_limit_are_let_in() {
    let world = World::with(|o| o.max_per_principal = 5).await;
    let all = (0..40).map(|n| world.try_submit(text(&format!("display {n}\n"))));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 5);
    assert!(all.iter().all(|one| matches!(one, Ok(_) | Err(SubmitError::Busy { .. }))));
    world.stop().await;
}

#[tokio::test]
async fn a_waiting_run_can_be_cancelled_and_can_run_out_of_time() {
    let world = World::new().await;
    let run = world.submit(text("display 1\n")).await;
    let view = world.until(run, "a reason", |v| v.waiting.is_some()).await;
    let advice = format!("no agent is connected: start one with `longhaul agent --gateway {}`, ", world.gateway().url);
    assert!(view.waiting.as_ref().is_some_and(|why| why.starts_with(&advice)), "{:?}", view.waiting);
    let view = run_view(&world.runs().cancel(&ann(), run, CancelMode::Break).await.unwrap());
    assert_eq!((view.state, view.cause, view.waiting), (Cancelled, Cause::CancelRequested, None));
    let hurried = world.submit(SubmitRequest { queue_timeout: Some(60.0), ..text("display 2\n") }).await;
    let patient = world.submit(text("display 3\n")).await;
    world.ahead(Duration::from_secs(59));
    assert_eq!(world.get(&ann(), hurried).await.state, Queued);
    world.ahead(Duration::from_secs(2));
    let view = world.state(hurried, TimedOut).await;
    assert_eq!(view.cause, Cause::QueueTimeout);
    assert_eq!(world.get(&ann(), patient).await.state, Queued, "no limit is the default");
    world.stop().await;
}

#[tokio::test]
async fn a_run_is_found_by_its_owner_and_nobody_else() {
    let world = World::new().await;
    let run = world.submit(text("display 1\n")).await;
    let bob = Identity::local("bob", Scopes::USE);
    for name in [run.to_string(), run.short(), run.short().to_uppercase()] {
        assert_eq!(world.runs().find(&ann(), &name).await.unwrap(), run, "{name}");
        assert_eq!(world.runs().find(&root(), &name).await.unwrap(), run, "{name}");
        assert!(matches!(world.runs().find(&bob, &name).await, Err(FindError::Unknown(_))), "{name}");
    }
    for name in ["", "zzzzzzzz", "1234567", "01a20414-9a15-75b4-a358-f5375a0ce4cd"] {
        assert!(matches!(world.runs().find(&ann(), name).await, Err(FindError::Unknown(_))), "{name}");
    }
    assert!(world.runs().get(&bob, run).await.is_err());
    assert!(world.runs().watch(&bob, run).await.is_err());
    assert!(world.runs().read(&bob, run, Stream::Log, 0, 1).await.is_err());
    assert!(matches!(world.runs().cancel(&bob, run, CancelMode::Kill).await, Err(ControlError::Find(_))));
    assert!(world.runs().list(&bob, ListFilter { limit: 9, ..Default::default() }).await.unwrap().runs.is_empty());
    assert!(world.runs().hosts(&bob).await.queue.is_empty());
    assert_eq!(world.runs().hosts(&ann()).await.queue[0].run_id, run);
    assert!(matches!(world.runs().declare_dead(&ann(), run).await, Err(ControlError::Forbidden(_))));
    assert_eq!(world.get(&ann(), run).await.state, Queued, "and nothing happened to it");
    world.stop().await;
}

#[tokio::test]
async fn a_path_is_looked_at_before_the_answer() {
    let world = World::new().await;
    let on_path = |path: &str| SubmitRequest { path: Some(path.to_owned()), ..SubmitRequest::default() };
    let early = world.submit(on_path("/home/ann/later.do")).await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    // Recorded before any agent could inspect the path.
    agent.got(early).await;
    agent.ends(early, Succeeded, Cause::Completed);
    world.state(early, Succeeded).await;

    agent.shared.change(|s| {
        s.missing.insert("/home/ann/gone.do".to_owned(), "no file /home/ann/gone.do on stata1".to_owned());
        s.digest = sha256_hex(b"display 1\n");
    });
    let error = world.try_submit(on_path("/home/ann/gone.do")).await.unwrap_err();
    assert!(matches!(&error, SubmitError::NotThere(_)), "{error}");
    assert!(error.to_string().contains("no file /home/ann/gone.do"), "{error}");
    let wrong = SubmitRequest { sha256: Some("0".repeat(64)), ..on_path("/home/ann/a.do") };
    assert!(world.try_submit(wrong).await.unwrap_err().to_string().contains("other bytes"));
    assert_eq!(world.runs().list(&ann(), ListFilter { limit: 9, ..Default::default() }).await.unwrap().runs.len(), 1);

    // Path and text together: the path if an agent finds the same bytes there, else the text.
    let source = async |path: &str, code: &str| {
        let run = world.submit(SubmitRequest { again: true, path: Some(path.to_owned()), ..text(code) }).await;
        agent.got(run).await;
        agent.ends(run, Succeeded, Cause::Completed);
        world.state(run, Succeeded).await.source
    };
    assert_eq!(source("/home/ann/a.do", "display 1\n").await, "/home/ann/a.do");
    assert_eq!(source("/home/ann/a.do", "display 2\n").await, "text");
    assert_eq!(source("/home/ann/gone.do", "display 1\n").await, "text");
    world.stop().await;
}

#[tokio::test]
async fn a_run_goes_where_its_file_is() {
    let world = World::new().await;
    let path = "/home/ann/only-on-two.do";
    let said = format!("no file {path} on stata1");
    let one = Fake::with("stata1", |i| i.pool = "one".to_owned(), SECRET).join(world.addr()).await;
    one.shared.change(|s| s.missing.insert(path.to_owned(), said.clone()));
    world.until_up(1).await;
    let run = {
        let mut submit = SubmitRequest { path: Some(path.to_owned()), ..SubmitRequest::default() };
        submit.host = Some("stata1".to_owned());
        let error = world.try_submit(submit.clone()).await.unwrap_err();
        assert!(error.to_string().contains(&said));
        submit.host = None;
        let two = Fake::with("stata2", |i| i.pool = "two".to_owned(), SECRET).join(world.addr()).await;
        world.until_up(2).await;
        let run = world.submit(submit).await;
        two.got(run).await;
        two.ends(run, Succeeded, Cause::Completed);
        world.state(run, Succeeded).await;
        run
    };
    assert!(one.shared.state().run_calls.is_empty(), "{run} was never tried where it cannot run");
    world.stop().await;
}

impl World {
    pub(super) async fn until_up(&self, n: usize) {
        let up = async {
            while self.runs().hosts(&root()).await.hosts.iter().filter(|h| h.state == "up").count() < n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, up).await.expect("agents are up");
    }
}

/// The same subject of another issuer shares neither keys, nor runs, nor limits.
#[tokio::test]
async fn the_same_subject_of_another_issuer_is_another_principal() {
    let world = World::with(|o| o.max_per_principal = 1).await;
    let theirs = Identity::new(Principal::new("idp", "ann"), Scopes::USE);
    let keyed = || SubmitRequest { key: Some("same".to_owned()), ..text("display 1\n") };
    let run = world.submit(keyed()).await;
    let request = |submit| Request { submit, max_code: 100, ..Request::default() };
    let other = world.runs().submit(&theirs, request(keyed())).await.unwrap();
    assert!(other.run.run != run && other.joined.is_none(), "neither by its key nor as an equal one");
    assert_eq!(other.run.principal.to_string(), "idp:ann");
    assert!(world.runs().submit(&theirs, request(text("display 2\n"))).await.is_err(), "the control: its own limit");
    for (who, own, not) in [(&ann(), run, other.run.run), (&theirs, other.run.run, run)] {
        let listed = world.runs().list(who, ListFilter { limit: 9, ..Default::default() }).await.unwrap().runs;
        assert_eq!(listed.iter().map(|run| run.run).collect::<Vec<_>>(), [own]);
        assert!(matches!(world.runs().find(who, &not.to_string()).await, Err(FindError::Unknown(_))));
        assert!(matches!(world.runs().find(who, &not.short()).await, Err(FindError::Unknown(_))));
        assert!(world.runs().cancel(who, not, CancelMode::Kill).await.is_err());
    }
    world.stop().await;
}
