//! Runs that agents bring without this gateway's seal, and second results for the same attempt.

use longhaul_proto::{
    api::{CancelMode, DrainBody, Joined},
    wire,
};

use super::{returning::old_request, *};
use crate::runs::{ControlError, ListFilter, seal::SealKey};
use RunState::{Failed, Running, Succeeded};

/// Puts a run into an agent's spool that no gateway sent there.
pub(super) fn bring(agent: &Fake, submission: wire::Submission) {
    let run_id = submission.run_id.clone();
    let found = fake::FakeRun { submission, attempt: 1, log: b"from the spool\n".to_vec(), ..Default::default() };
    agent.shared.change(|s| s.runs.insert(run_id, found));
}

async fn hidden(world: &World, run: RunId) {
    let (who, runs) = (ann(), world.runs());
    assert!(runs.find(&who, &run.to_string()).await.is_err() && runs.find(&who, &run.short()).await.is_err());
    assert!(runs.get(&who, run).await.is_err() && runs.watch(&who, run).await.is_err());
    assert!(runs.read(&who, run, Stream::Log, 0, 100).await.is_err());
    assert!(runs.cancel(&who, run, CancelMode::Kill).await.is_err());
    let listed = runs.list(&who, ListFilter { limit: 100, ..ListFilter::default() }).await.unwrap().runs;
    assert!(listed.iter().all(|other| other.run != run), "{listed:#?}");
}

async fn imports(world: &World, bugs: bool) -> (RunId, RunId, Fake) {
    let mut agent = Fake::new("stata1");
    let (live, done) = (Ids::system().run(), Ids::system().run());
    // One without a seal, one with the seal of another gateway.
    bring(&agent, old_request(live));
    let mut forged = old_request(done);
    SealKey::of([9; 32]).seal(&mut forged);
    bring(&agent, forged);
    agent.ends(done, Succeeded, Cause::Completed);
    agent.listen().await;
    agent.register(world.addr()).await;
    let view = world.until_known(done, Succeeded).await;
    assert_eq!(view.unverified, !bugs, "{view:#?}");
    world.until_known(live, Running).await;
    (live, done, agent)
}

#[tokio::test]
async fn a_run_without_this_gateway_s_seal_is_nobody_s_until_an_operator_adopts_it() {
    let mut world = World::new().await;
    let (live, done, mut agent) = imports(&world, false).await;
    for run in [live, done] {
        hidden(&world, run).await;
        let key = format!("key of {}", run.short());
        assert!(world.ledger().by_key(&Principal::local("ann"), &key).await.unwrap().is_none());
        let view = world.get(&root(), run).await;
        assert_eq!((view.unverified, view.principal.as_str(), view.claims.as_deref()), (true, "", Some("ann")));
    }
    assert_eq!(world.log(done).await, b"from the spool\n", "its output is fetched all the same");
    // It does not answer the call that it names either.
    let mut call = text("display 1\n");
    call.key = Some(format!("key of {}", done.short()));
    let all = || DrainBody { hosts: vec!["*".to_owned()], reason: None };
    world.runs().drain(&root(), all()).await.unwrap();
    let own = world.try_submit(call).await.unwrap();
    assert_eq!(own.joined, None);
    world.runs().cancel(&ann(), own.run.run, CancelMode::Break).await.unwrap();
    world.runs().resume(&root(), all()).await.unwrap();

    // It stays unverified over a restart, and when its agent registers again.
    world.restart().await;
    agent.register(world.addr()).await;
    world.state(live, Running).await;
    hidden(&world, live).await;
    let refused = world.runs().adopt(&ann(), live).await.unwrap_err();
    assert!(matches!(refused, ControlError::Forbidden(_)), "{refused}");

    let adopted = world.runs().adopt(&root(), live).await.unwrap();
    assert_eq!(
        (adopted.principal.to_string().as_str(), adopted.unverified, adopted.claims.is_none()),
        ("ann", false, true)
    );
    assert!(matches!(world.runs().adopt(&root(), live).await, Err(ControlError::WrongState(_))), "once");
    hidden(&world, done).await;
    let rest = world.runs().adopt_from(&root(), "stata1").await.unwrap();
    assert_eq!(rest.iter().map(|run| run.run).collect::<Vec<_>>(), [done]);
    assert!(world.runs().adopt_from(&root(), "stata1").await.unwrap().is_empty());
    assert_eq!(world.gateway().core.metrics.adopted.load(Ordering::Relaxed), 2);

    // From then on both are like runs that were imported with a seal.
    agent.prints(live, b"and on\n");
    agent.ends(live, Succeeded, Cause::Completed);
    world.state(live, Succeeded).await;
    for run in [live, done] {
        let view = world.get(&ann(), run).await;
        assert_eq!((view.state, view.principal.as_str(), view.unverified), (Succeeded, "ann", false));
    }
    let mut call = text("display 1\n");
    call.key = Some(format!("key of {}", live.short()));
    let again = world.try_submit(call).await.unwrap();
    assert_eq!((again.run.run, again.joined), (live, Some(Joined::Key)), "its key is its");
    let own_key = world.ledger().by_key(&Principal::local("ann"), &format!("key of {}", done.short())).await.unwrap();
    assert_eq!(own_key.map(|(run, _)| run), Some(own.run.run), "a key that was used meanwhile stays where it is");
    world.stop().await;
}

/// The control: without the check a forged run is ann's at once.
#[cfg(feature = "faults")]
#[tokio::test]
async fn without_the_check_of_seals_an_invented_run_is_its_victim_s() {
    let _bug = longhaul_proto::faults::enter("bug=seal_unchecked");
    let world = World::new().await;
    let (_, done, _agent) = imports(&world, true).await;
    assert_eq!(world.get(&ann(), done).await.principal, "ann");
    world.stop().await;
}

#[tokio::test]
async fn an_unverified_run_is_started_nowhere_and_cancels_nothing() {
    let world = World::new().await;
    // A queued run of ann's, whose key an invented run names.
    let mut call = text("display 1\n");
    (call.key, call.engine) = (Some("mine".to_owned()), Some("stata".to_owned()));
    let waits = world.submit(call).await;
    let spare = Fake::with("stata2", |i| i.pool = "spare".to_owned(), SECRET).join(world.addr()).await;
    let mut agent = Fake::new("stata1");
    let run = Ids::system().run();
    let retry = wire::RetryPolicy::IfProvenDead.into();
    bring(&agent, wire::Submission { key: "mine".to_owned(), retry, ..old_request(run) });
    agent.ends(run, RunState::Errored, Cause::Killed);
    agent.listen().await;
    agent.register(world.addr()).await;
    let view = world.until_known(run, RunState::Errored).await;
    assert_eq!((view.attempt, view.unverified), (1, true), "no other attempt for an agent's word");
    assert!(spare.shared.state().run_calls.is_empty());
    assert_eq!(world.get(&ann(), waits).await.state, RunState::Queued, "not superseded");
    world.stop().await;
}

#[tokio::test]
async fn what_was_dispatched_carries_the_seal() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    let mut sent = agent.shared.state().runs[&run.to_string()].submission.clone();
    assert!(world.seal().sealed(&sent));
    sent.principal = "bob".to_owned();
    assert!(!world.seal().sealed(&sent));
    world.stop().await;
}

async fn invented(world: &World, n: usize) -> Fake {
    let mut liar = Fake::new("liar");
    for _ in 0..n {
        bring(&liar, old_request(Ids::system().run()));
    }
    liar.listen().await;
    assert_eq!(liar.register(world.addr()).await.problem, "");
    liar
}

#[tokio::test]
async fn invented_runs_hold_seats_only_while_their_agent_is_here() {
    let world = World::new().await;
    let mut liar = invented(&world, 1_200).await;
    let honest = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(SubmitRequest { host: Some("stata1".to_owned()), ..text("display 1\n") }).await;
    world.until(run, "why", |v| v.waiting.as_deref().is_some_and(|w| w.contains("of 1 in use by"))).await;
    liar.vanish().await;
    world.ahead(Duration::from_secs(10));
    honest.heartbeat(world.addr()).await;
    honest.got(run).await;
    // A heartbeat that was on its way when the agent vanished may arrive after all; it is silent soon after.
    let in_use = async || world.runs().hosts(&root()).await.pools[0].in_use;
    let only_ours = async {
        while in_use().await != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, only_ours).await.expect("only the seat that this gateway gave is in use");
    world.stop().await;
}

/// The control: without the rule they hold the pool for as long as the gateway lives.
#[cfg(feature = "faults")]
#[tokio::test]
async fn without_the_link_invented_runs_would_hold_them_for_ever() {
    let _bug = longhaul_proto::faults::enter("bug=invented_seats");
    let world = World::new().await;
    let mut liar = invented(&world, 20).await;
    let honest = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(SubmitRequest { host: Some("stata1".to_owned()), ..text("display 1\n") }).await;
    liar.vanish().await;
    world.ahead(Duration::from_secs(100));
    honest.heartbeat(world.addr()).await;
    let full = |v: &RunView| v.waiting.as_deref().is_some_and(|w| w.contains("20 of 1 in use by"));
    world.until(run, "why", full).await;
    world.stop().await;
}

#[tokio::test]
async fn a_second_result_is_noted_and_changes_nothing() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"the truth\n");
    agent.ends(run, Failed, Cause::StataError);
    world.state(run, Failed).await;
    agent.register(world.addr()).await;
    assert_eq!(world.get(&ann(), run).await.note, None, "the same again is no news");

    // Another agent reports it too.
    let mut other = Fake::new("stata2");
    let submission = agent.shared.state().runs[&run.to_string()].submission.clone();
    bring(&other, submission);
    other.ends(run, Succeeded, Cause::Completed);
    other.listen().await;
    other.register(world.addr()).await;
    other.register(world.addr()).await;
    let view = world.get(&ann(), run).await;
    let note = view.note.clone().unwrap();
    assert_eq!((view.state, view.output_bytes), (Failed, 10), "the first stands");
    assert!(
        note.starts_with("agent stata2 tells another result of attempt 1: succeeded, completed, 15 bytes"),
        "{note}"
    );
    assert!(note.contains("what stands here (failed) was told by agent stata1"), "{note}");
    assert_eq!(note.matches("another result").count(), 1, "once: {note}");

    // Then the first agent reports another result.
    agent.ends(run, Succeeded, Cause::Completed);
    agent.register(world.addr()).await;
    let view = world.get(&ann(), run).await;
    assert!(view.note.unwrap().contains("agent stata1 tells another result of attempt 1: succeeded"));
    assert_eq!(view.state, Failed);
    world.stop().await;
}

#[tokio::test]
async fn a_second_result_while_the_first_is_waited_for_is_noted_too() {
    let world = World::new().await;
    let agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"1\n");
    world.state(run, Running).await;
    let mut other = Fake::new("stata2");
    bring(&other, wire::Submission { run_id: run.to_string(), ..Default::default() });
    other.ends(run, Failed, Cause::StataError);
    other.listen().await;
    other.register(world.addr()).await;
    world.until(run, "a note", |v| v.note.as_deref().is_some_and(|n| n.contains("followed at agent stata1"))).await;
    agent.ends(run, Succeeded, Cause::Completed);
    let view = world.state(run, Succeeded).await;
    assert!(view.note.unwrap().contains("agent stata2 tells another result"), "also after the end");
    world.stop().await;
}

#[tokio::test]
async fn a_page_too_long_and_words_that_are_none_are_refused() {
    let world = World::new().await;
    let mut agent = Fake::with("stata1", |i| i.version = "a\nb".to_owned(), SECRET);
    agent.listen().await;
    let reply = agent.register(world.addr()).await;
    assert!(reply.problem.contains("holds a control character"), "{}", reply.problem);
    assert!(world.runs().hosts(&ann()).await.hosts.is_empty());
    let other = Fake::new("s2");
    let runs = vec![wire::RunSummary::default(); 501];
    let request = wire::RegisterRequest { agent: Some(other.shared.info()), runs, ..Default::default() };
    let mut client = other.hello(world.addr()).await;
    let reply = client.register(request).await.unwrap().into_inner();
    assert!(reply.problem.contains("501 runs on one page"), "{}", reply.problem);
    world.stop().await;
}

#[tokio::test]
async fn an_agent_is_registered_with_its_last_page() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1");
    agent.listen().await;
    let mut client = agent.hello(world.addr()).await;
    let mut page = async |runs, more| {
        let request = wire::RegisterRequest { agent: Some(agent.shared.info()), runs, more, ..Default::default() };
        client.register(request).await.unwrap().into_inner()
    };
    let summary = wire::RunSummary { run_id: Ids::system().run().to_string(), attempt: 1, ..Default::default() };
    assert_eq!(
        page(vec![summary.clone(), wire::RunSummary { revoked: true, ..summary }], true).await.verdicts.len(),
        2
    );
    assert!(world.runs().hosts(&ann()).await.hosts.iter().all(|h| h.state != "up"), "it is not here yet");
    assert!(page(Vec::new(), false).await.verdicts.is_empty());
    assert_eq!(world.runs().hosts(&ann()).await.hosts.len(), 1);
    world.stop().await;
}

/// Two of ann's runs that ended, then a flood of invented ones; returns which of hers are left after room was made.
async fn flooded() -> (World, Vec<RunId>, Fake) {
    let world = World::with(|o| o.max_kept = 300_000).await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 8, SECRET).join(world.addr()).await;
    let mut own = Vec::new();
    for n in 0..2 {
        let run = world.submit(text(&format!("display {n}\n"))).await;
        agent.got(run).await;
        agent.prints(run, &[b'x'; 100_000]);
        agent.ends(run, Succeeded, Cause::Completed);
        world.state(run, Succeeded).await;
        own.push(run);
    }
    let mut other = Fake::with("stata2", |i| i.pool = "other".to_owned(), SECRET);
    for n in 0..6 {
        let run = Ids::system().run();
        bring(&other, old_request(run));
        other.prints(run, &vec![b'y'; 60_000 + n]);
        other.ends(run, Succeeded, Cause::Completed);
        own.push(run);
    }
    let invented = own.split_off(2);
    other.listen().await;
    other.register(world.addr()).await;
    for run in &invented {
        world.until_known(*run, Succeeded).await;
    }
    world.ahead(Duration::from_secs(20 * 60));
    world.until_up(2).await;
    // The invented runs make room for each other: their limit is a tenth of what may be kept.
    let fits = async {
        while world.gateway().core.metrics.kept_bytes.load(Ordering::Relaxed) > 330_000
            || world.gateway().core.metrics.removed_for_room.load(Ordering::Relaxed) == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, fits).await.expect("room is made");
    (world, own, agent)
}

#[tokio::test]
async fn what_was_not_asked_for_pushes_out_nothing_that_was() {
    let (world, own, _agent) = flooded().await;
    // More than one pass: an agent that was just called back is asked in the next.
    let room = async {
        loop {
            let filter = ListFilter { limit: 100, ..ListFilter::default() };
            let left = world.runs().list(&root(), filter).await.unwrap().runs;
            let brought: u64 = left.iter().filter(|run| run.unverified).map(|run| run.log_len).sum();
            if brought <= 30_000 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, room).await.expect("what was not asked for takes a tenth at most");
    for run in &own {
        assert_eq!(world.log(*run).await.len(), 100_000, "a record of ann's");
    }
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_what_was_not_asked_for_would_push_out_records() {
    let _bug = longhaul_proto::faults::enter("bug=unverified_push_out");
    let (world, own, _agent) = flooded().await;
    assert!(world.runs().get(&root(), own[0]).await.is_err(), "the oldest record of ann's");
    world.stop().await;
}
