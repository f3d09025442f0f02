//! Agents that fall silent and return, with runs that the ledger knows and with runs that it does not.

use longhaul_proto::{api::CancelMode, wire};

use super::*;
use crate::{
    ledger::{Dedupe, LeaseChange, NewRun},
    model::Placement,
    runs::{
        ControlError,
        seal::SealKey,
        supervise::{LeaseCell, Start},
    },
};
use RunState::{Cancelled, Lost, Queued, Running, Starting, Succeeded};

async fn running(world: &World, agent: &Fake, code: &str) -> RunId {
    let run = world.submit(text(code)).await;
    agent.got(run).await;
    agent.prints(run, b"first\n");
    world.state(run, Running).await;
    run
}

#[tokio::test]
async fn what_is_between_a_run_and_the_gateway_is_named() {
    let mut world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"1\n");
    let fine = world.until(run, "it runs", |v| v.state == Running).await;
    assert_eq!(fine.contact, None);
    let is = |state: &'static str, words: &'static str| {
        move |v: &RunView| v.contact.as_ref().is_some_and(|c| c.state == state && c.words.starts_with(words))
    };

    // The gateway itself was away: that does not count as silence of the agent.
    agent.quiet().await;
    world.restart().await;
    let view = world.until(run, "awaited", is("awaited", "the gateway restarted")).await;
    assert_eq!((view.state, view.agent_silent_for), (Running, None));
    agent.register(world.addr()).await;
    world.until(run, "all is well", |v| v.contact.is_none()).await;

    // Its heartbeats arrive, but it cannot be dialled.
    agent.vanish().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    agent.advertise(&format!("http://{free}"));
    agent.register(world.addr()).await;
    let unreachable = is("unreachable", "agent stata1 sends heartbeats and cannot be reached for");
    let view = world.until(run, "unreachable", unreachable).await;
    assert!(view.contact.unwrap().words.contains("cannot be dialled"), "with the reason");
    assert_eq!(view.agent_silent_for, None);

    // No heartbeat arrives any more.
    agent.vanish().await;
    world.ahead(Duration::from_secs(250));
    let view = world.until(run, "silent", is("silent", "agent stata1 is silent for 4 min")).await;
    assert_eq!(view.state, Running, "silence is not death");
    agent.come_back(world.addr()).await;
    world.until(run, "all is well again", |v| v.contact.is_none() && v.agent_silent_for.is_none()).await;
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    world.stop().await;
}

#[tokio::test]
async fn silence_is_not_death() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let spare = Fake::with("stata2", |i| i.pool = "spare".to_owned(), SECRET).join(world.addr()).await;
    let run = world.submit(SubmitRequest { host: Some("stata1".to_owned()), ..text("display 1\n") }).await;
    agent.got(run).await;
    world.state(run, Starting).await;
    agent.vanish().await;
    world.ahead(Duration::from_secs(12));
    let view = world.until(run, "words about the silence", |v| v.agent_silent_for.is_some_and(|s| s >= 12.0)).await;
    assert_eq!(view.state, Starting);
    assert!(view.waiting.unwrap().starts_with("agent stata1 is silent for 1"));
    let waiting = world.submit(SubmitRequest { host: Some("stata1".to_owned()), ..text("display 2\n") }).await;
    world.until(waiting, "why", |v| v.waiting.as_deref().is_some_and(|w| w.contains("stata1 is silent for"))).await;

    agent.come_back(world.addr()).await;
    agent.prints(run, b"1\n");
    let view = world.state(run, Running).await;
    assert_eq!((view.attempt, view.agent_silent_for), (1, None));
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    assert_eq!(agent.shared.state().run_calls.iter().filter(|(r, _)| *r == run.to_string()).count(), 1);
    assert!(spare.shared.state().run_calls.is_empty(), "no second attempt anywhere");
    world.stop().await;
}

#[tokio::test]
async fn gateway_and_agent_away_at_once_and_not_a_byte_less() {
    let mut world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    agent.vanish().await;
    world.restart().await;
    agent.prints(run, b"while nobody listened\n");
    let reply = agent.come_back(world.addr()).await;
    assert_eq!(reply.verdicts[0].verdict(), wire::Verdict::Keep);
    agent.ends(run, Succeeded, Cause::Completed);
    assert!(world.state(run, Succeeded).await.output_complete);
    assert_eq!(world.log(run).await, b"first\nwhile nobody listened\n");
    assert_eq!(world.history(run).await.len(), 4, "no state but its own");
    world.stop().await;
}

#[tokio::test]
async fn a_cancel_waits_for_the_agent_to_return() {
    let mut world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    agent.vanish().await;
    let view = run_view(&world.runs().cancel(&ann(), run, CancelMode::Terminate).await.unwrap());
    assert_eq!(view.state, Running, "a wish is no state");
    world.restart().await;
    let reply = agent.come_back(world.addr()).await;
    assert_eq!((reply.verdicts[0].verdict(), reply.verdicts[0].by.as_str()), (wire::Verdict::Cancel, "ann"));
    agent.until("the cancel itself", |s| !s.cancels.is_empty()).await;
    assert_eq!(agent.shared.state().cancels[0].1, wire::CancelMode::Terminate);
    agent.ends(run, Cancelled, Cause::CancelRequested);
    world.state(run, Cancelled).await;
    world.stop().await;
}

#[tokio::test]
async fn lost_by_the_horizon_and_found_again() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    agent.vanish().await;
    world.ahead(Duration::from_secs(23 * 3600));
    world.until(run, "its silence", |v| v.agent_silent_for.is_some_and(|s| s > 80_000.0)).await;
    world.ahead(Duration::from_secs(2 * 3600));
    let view = world.state(run, Lost).await;
    assert_eq!((view.cause, view.output_bytes, view.exit_status), (Cause::AgentGone, 6, Some(4)));
    assert_eq!(world.log(run).await, b"first\n", "the output so far is kept");
    assert_eq!(world.runs().hosts(&ann()).await.pools.iter().map(|p| p.in_use).sum::<u32>(), 0, "its seat is free");

    // The run had gone on all the time. Its own record counts, once.
    agent.come_back(world.addr()).await;
    let pool = world.runs().hosts(&ann()).await.pools[0].clone();
    assert_eq!(pool.in_use, 1, "what still runs holds its seat");
    agent.prints(run, b"last\n");
    agent.ends(run, Succeeded, Cause::Completed);
    world.until_ended(run, Succeeded).await;
    assert_eq!(world.log(run).await, b"first\nlast\n");
    let states: Vec<_> = world.history(run).await.into_iter().map(|(s, ..)| s).collect();
    assert_eq!(states, [Queued, Starting, Running, Lost, Succeeded]);
    world.stop().await;
}

#[tokio::test]
async fn only_a_silent_agent_can_be_declared_dead() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    let refused = world.runs().declare_dead(&root(), run).await.unwrap_err();
    assert!(matches!(&refused, ControlError::WrongState(text) if text.contains("is connected")), "{refused}");
    agent.vanish().await;
    world.ahead(Duration::from_secs(10));
    let view = run_view(&world.runs().declare_dead(&root(), run).await.unwrap());
    assert_eq!((view.state, view.cause), (Lost, Cause::DeclaredDead));
    assert!(view.message.unwrap().starts_with("root declared agent stata1 dead"));
    assert!(world.runs().declare_dead(&root(), run).await.is_err(), "once");
    world.stop().await;
}

#[tokio::test]
async fn an_agent_that_forgot_a_run_leaves_it_to_a_person() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = running(&world, &agent, "display 1\n").await;
    agent.vanish().await;
    agent.shared.change(|s| s.runs.clear());
    agent.come_back(world.addr()).await;
    let so = |v: &RunView| v.note.as_deref().is_some_and(|n| n.contains("does not know this run"));
    let view = world.until(run, "words", so).await;
    assert_eq!(view.state, Running, "its word alone is no end");
    let view = run_view(&world.runs().declare_dead(&root(), run).await.unwrap());
    assert_eq!((view.state, view.output_bytes), (Lost, 6));
    world.stop().await;
}

#[tokio::test]
async fn a_run_the_ledger_does_not_know_is_imported() {
    let world = World::new().await;
    let mut agent = Fake::new("stata1");
    let (live, done, never) = (Ids::system().run(), Ids::system().run(), Ids::system().run());
    for run in [live, done] {
        let mut submission = old_request(run);
        world.seal().seal(&mut submission);
        let found = fake::FakeRun { submission, attempt: 3, log: b"from the spool\n".to_vec(), ..Default::default() };
        agent.shared.change(|s| s.runs.insert(run.to_string(), found));
    }
    agent.ends(done, RunState::Failed, Cause::StataError);
    agent.shared.change(|s| s.revoked.insert(never.to_string(), 1));
    agent.listen().await;
    let reply = agent.register(world.addr()).await;
    assert!(reply.verdicts.iter().all(|v| v.verdict() == wire::Verdict::Keep), "never cancelled, never forgotten");
    assert_eq!(world.runs().hosts(&ann()).await.pools[0].in_use, 1, "its seat counts from the start");

    let view = world.until_known(done, RunState::Failed).await;
    assert_eq!((view.principal.as_str(), view.source.as_str(), view.attempt), ("ann", "/home/ann/old.do", 3));
    assert_eq!(world.log(done).await, b"from the spool\n");
    world.until_known(live, Running).await;
    agent.register(world.addr()).await;
    agent.prints(live, b"and on\n");
    agent.ends(live, Succeeded, Cause::Completed);
    world.until_known(live, Succeeded).await;
    assert_eq!(world.log(live).await, b"from the spool\nand on\n");
    assert!(world.runs().get(&ann(), never).await.is_err(), "what never began is no run");
    assert!(agent.shared.state().run_calls.is_empty(), "nothing was started again");
    world.stop().await;
}

#[tokio::test]
async fn an_unfinished_record_without_a_keeper_is_not_the_whole_truth() {
    let world = World::new().await;
    let run = Ids::system().run();
    let submission = wire::Submission { run_id: run.to_string(), principal: "ann".to_owned(), ..Default::default() };
    let need = crate::model::Need::default();
    let mut record = crate::runs::new_record::new_record(run, &submission, "text".to_owned(), need, "");
    (record.state, record.created_ms) = (Running, 1_000);
    let nowhere = Placement { agent_id: String::new(), host: String::new(), pool: String::new() };
    record.detail.give(Attempt::after(None), nowhere);
    let (dedupe, lease, blobs) = (Dedupe::default(), LeaseChange::Keep, Vec::new());
    let new = NewRun { record: record.clone(), submission, key: None, dedupe, lease, blobs, receivers: Vec::new() };
    world.ledger().insert(new).await.unwrap();

    // Called after the record was made and before the task starts, as can happen during an import.
    let (who, runs) = (ann(), world.runs().clone());
    let mut asks = std::pin::pin!(runs.watch(&who, run));
    let mut cancels = std::pin::pin!(runs.cancel(&who, run, CancelMode::Break));
    tokio::select! {
        view = &mut asks => panic!("a view that nobody changes: {view:?}"),
        wish = &mut cancels => panic!("a wish that nobody hears: {wish:?}"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    runs.0.start_task(Start::recorded(record, LeaseCell::default()));
    assert!(asks.await.unwrap().has_changed().is_ok(), "its keeper tells it what comes");
    assert!(cancels.await.unwrap().cancel.is_some());
    world.stop().await;
}

#[tokio::test]
async fn an_attempt_behind_the_ledger_s_back_is_adopted() {
    let world = World::new().await;
    let run = world.submit(text("display 1\n")).await;
    let mut agent = Fake::new("stata1");
    let mut submission = wire::Submission { run_id: run.to_string(), principal: "ann".into(), ..Default::default() };
    world.seal().seal(&mut submission);
    let found = fake::FakeRun { submission, attempt: 1, log: b"began\n".to_vec(), ..Default::default() };
    agent.shared.change(|s| s.runs.insert(run.to_string(), found));
    agent.listen().await;
    agent.register(world.addr()).await;
    world.state(run, Running).await;
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    assert!(agent.shared.state().run_calls.is_empty(), "a ledger put back from a copy starts nothing twice");
    world.stop().await;
}

/// A request of ann's, as her gateway made it.
pub(super) fn old_request(run: RunId) -> wire::Submission {
    wire::Submission {
        run_id: run.to_string(),
        principal: "ann".to_owned(),
        key: format!("key of {}", run.short()),
        source: Some(wire::submission::Source::Path("/home/ann/old.do".to_owned())),
        created_at_ms: 1_000,
        ..Default::default()
    }
}

impl World {
    /// The key that this gateway seals with.
    pub(super) fn seal(&self) -> SealKey {
        SealKey::ensure(&crate::key_store::Folder::new(self.folder.path())).unwrap()
    }

    /// Waits for a run that the ledger does not know yet.
    pub(super) async fn until_known(&self, run: RunId, state: RunState) -> RunView {
        let known = async {
            while self.runs().get(&root(), run).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, known).await.expect("it becomes known");
        self.state(run, state).await
    }

    /// Waits for the correction of a run that had ended, by its record.
    pub(super) async fn until_ended(&self, run: RunId, state: RunState) {
        let ended = async {
            while self.ledger().get(run).await.unwrap().unwrap().state != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, ended).await.expect("it is corrected");
    }
}
