//! What is removed with time, and what never is.

use super::*;
use RunState::{Queued, Succeeded};

#[tokio::test]
async fn spools_go_first_and_records_later() {
    let world = World::new().await;
    let waiting = world.submit(SubmitRequest { engine: Some("stata".to_owned()), ..text("display 1\n") }).await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    let run = world.submit(text("display 2\n")).await;
    agent.got(run).await;
    agent.prints(run, b"kept\n");
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    assert!(agent.shared.state().forgets.is_empty());

    world.ahead(Duration::from_secs(25 * 3600));
    agent.until("it may forget", |s| !s.forgets.is_empty()).await;
    let asked = agent.shared.state().forgets[0].clone();
    assert_eq!((asked.run_id, asked.log_len), (run.to_string(), 5));
    assert_eq!(asked.log_sha256, longhaul_proto::sha256_hex(b"kept\n"));
    assert_eq!(world.log(run).await, b"kept\n", "the record and its output stay");

    let mirror = world.folder.path().join("gateway/mirror").join(&run.short()[6..]).join(run.to_string());
    assert!(mirror.exists());
    world.ahead(Duration::from_secs(31 * 24 * 3600));
    let gone = async {
        while mirror.exists() || world.runs().get(&root(), run).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("it is removed");
    assert_eq!(world.get(&ann(), waiting).await.state, Queued, "unfinished is never removed");
    world.stop().await;
}

#[tokio::test]
async fn a_returning_agent_is_told_what_it_may_forget() {
    use longhaul_proto::wire::Verdict;
    let world = World::with(|o| o.sweep_every = Duration::from_secs(3600)).await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 2\n")).await;
    agent.got(run).await;
    agent.prints(run, b"kept\n");
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    let verdict = agent.register(world.addr()).await.verdicts[0].clone();
    assert_eq!(verdict.verdict(), Verdict::Keep, "not so soon");
    world.ahead(Duration::from_secs(25 * 3600));
    let verdicts = agent.register(world.addr()).await.verdicts;
    // What the registration before began may look at the clock only now, and then a call said it already.
    let by_call = agent.shared.state().forgets.first().cloned();
    let told = match verdicts.first() {
        Some(verdict) => {
            assert_eq!(verdict.verdict(), Verdict::Forget);
            verdict.forget.clone()
        }
        None => by_call,
    };
    assert_eq!(told.unwrap().log_sha256, longhaul_proto::sha256_hex(b"kept\n"));
    world.stop().await;
}

/// A run that printed this many bytes and ended.
async fn ended(world: &World, agent: &Fake, code: &str, bytes: usize) -> RunId {
    let run = world.submit(text(code)).await;
    agent.got(run).await;
    agent.prints(run, &vec![b'x'; bytes]);
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    run
}

#[tokio::test]
async fn the_oldest_go_when_output_takes_too_much_and_unfinished_ones_never() {
    let world = World::with(|o| (o.max_kept, o.sweep_every) = (250_000, Duration::from_millis(20))).await;
    let mut agent = Fake::with("stata1", |i| i.pool_seats = 8, SECRET).join(world.addr()).await;
    let unfinished = world.submit(text("sleep\n")).await;
    agent.got(unfinished).await;
    agent.prints(unfinished, &[b'x'; 100_000]);
    let (old, mid) =
        (ended(&world, &agent, "display 1\n", 100_000).await, ended(&world, &agent, "display 2\n", 100_000).await);
    // Too much output, but all of it too young: a client may just be asking for it.
    assert!(world.runs().get(&root(), old).await.is_ok());
    world.ahead(Duration::from_secs(20 * 60));
    let new = ended(&world, &agent, "display 3\n", 40_000).await;
    let counted = || world.gateway().core.metrics.removed_for_room.load(Ordering::Relaxed);
    let gone = async {
        // It is counted when all that belonged to the record is gone too.
        while world.runs().get(&root(), old).await.is_ok() || counted() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the oldest is removed");
    assert_eq!(agent.shared.state().forgets[0].run_id, old.to_string(), "its spool went before, or it would come back");
    for kept in [unfinished, mid, new] {
        assert!(world.runs().get(&root(), kept).await.is_ok(), "{kept}");
    }
    assert_eq!(world.log(mid).await.len(), 100_000);
    assert_eq!(counted(), 1);
    let verdicts = agent.register(world.addr()).await.verdicts;
    assert!(verdicts.iter().all(|v| v.run_id != old.to_string()), "nothing of it is left anywhere");
    world.stop().await;
}

#[tokio::test]
async fn an_agent_whose_spools_take_too_much_lets_go_of_the_oldest() {
    let world = World::new().await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 8, SECRET).join(world.addr()).await;
    let runs = [
        ended(&world, &agent, "display 1\n", 1 << 20).await,
        ended(&world, &agent, "display 2\n", 1 << 20).await,
        ended(&world, &agent, "display 3\n", 1 << 20).await,
    ];
    assert!(agent.shared.state().forgets.is_empty());
    agent.shared.change(|s| s.spool = (10 << 20, 9 << 20));
    agent.until("the oldest goes", |s| !s.forgets.is_empty()).await;
    assert_eq!(agent.shared.state().forgets[0].run_id, runs[0].to_string());
    assert!(world.get(&ann(), runs[0]).await.output_complete, "the record and the output stay");
    world.stop().await;
}

/// A run that left files of this many bytes.
async fn ended_with_files(world: &World, agent: &Fake, code: &str, bytes: u64) -> RunId {
    let run = world.submit(text(code)).await;
    agent.got(run).await;
    agent.shared.change(|s| s.files.insert(run.to_string(), bytes));
    agent.prints(run, b"kept\n");
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    run
}

#[tokio::test]
async fn files_stay_as_long_as_their_record() {
    let world = World::new().await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    let run = ended_with_files(&world, &agent, "display 1\n", 1000).await;
    world.ahead(Duration::from_secs(25 * 3600));
    agent.until("the log goes", |s| !s.forgets.is_empty()).await;
    assert!(agent.shared.state().forgets[0].keep_work, "and the files stay");
    // Asked once, not at every sweep.
    let looks = world.gateway().core.deps.clock.monotonic() + Duration::from_millis(300);
    while world.gateway().core.deps.clock.monotonic() < looks {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(agent.shared.state().forgets.len(), 1);
    let view = world.get(&root(), run).await;
    assert!(view.files_removed.is_none() && view.artifacts.len() == 1, "{view:#?}");
    world.ahead(Duration::from_secs(31 * 24 * 3600));
    agent.until("the files go with the record", |s| s.forgets.len() > 1).await;
    let last = agent.shared.state().forgets[1].clone();
    assert!(!last.keep_work && last.run_id == run.to_string(), "{last:?}");
    world.stop().await;
}

/// A gateway that sweeps only when the test says so: an agent that has not beaten yet since the clock moved would count as
/// silent.
async fn sweeps_by_hand() -> World {
    World::with(|o| o.sweep_every = Duration::from_secs(24 * 3600)).await
}

/// Time passes, the agent beats, and the gateway sweeps.
async fn sweep_after(world: &World, agent: &Fake, by: Duration) {
    world.ahead(by);
    agent.beats(3).await;
    crate::runs::upkeep::look(&world.runs().0, &mut None).await.unwrap();
}

/// A run of which only files are left, at an agent that cannot be asked to delete them when the record is old.
async fn old_with_files(world: &World, agent: &Fake) -> RunId {
    let run = ended_with_files(world, agent, "display 1\n", 1000).await;
    sweep_after(world, agent, Duration::from_secs(25 * 3600)).await;
    agent.until("the log goes", |s| !s.forgets.is_empty()).await;
    agent.shared.change(|s| s.forget_fails = Some(tonic::Status::unavailable("busy")));
    sweep_after(world, agent, Duration::from_secs(31 * 24 * 3600)).await;
    run
}

#[tokio::test]
async fn a_record_waits_for_the_files_that_a_connected_agent_keeps() {
    let world = sweeps_by_hand().await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    let run = old_with_files(&world, &agent).await;
    sweep_after(&world, &agent, Duration::ZERO).await;
    assert!(world.runs().get(&root(), run).await.is_ok(), "the agent was not asked yet");
    agent.shared.change(|s| s.forget_fails = None);
    sweep_after(&world, &agent, Duration::ZERO).await;
    world.until_removed(run).await;
    assert!(agent.shared.state().files.is_empty(), "the files went first");
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_record_that_does_not_wait_for_files() {
    let _bug = longhaul_proto::faults::enter("bug=records_go_before_files");
    let world = sweeps_by_hand().await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    let run = old_with_files(&world, &agent).await;
    world.until_removed(run).await;
    assert!(!agent.shared.state().files.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn the_largest_files_go_first_for_room_and_their_records_say_so() {
    // Long enough that between two sweeps a heartbeat reports what the first one freed.
    let world = World::with(|o| o.sweep_every = Duration::from_secs(3)).await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 8, SECRET).join(world.addr()).await;
    const MIB: u64 = 1 << 20;
    let small = ended_with_files(&world, &agent, "display 1\n", 20 * MIB).await;
    let large = ended_with_files(&world, &agent, "display 2\n", 90 * MIB).await;
    let mid = ended_with_files(&world, &agent, "display 3\n", 60 * MIB).await;
    let unfinished = world.submit(text("sleep\n")).await;
    agent.got(unfinished).await;
    agent.shared.change(|s| {
        s.files.insert(unfinished.to_string(), 500 * MIB);
        s.spool = (270 * MIB, 150 * MIB);
    });
    agent.until("there is room", |s| s.spool.0 <= s.spool.1).await;
    let removed = async |run| world.get(&root(), run).await.files_removed;
    let told = async {
        while removed(large).await.is_none() || removed(mid).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, told).await.expect("the records say so");
    let what = removed(large).await.unwrap();
    assert!(what.bytes == 90 * MIB && what.why.contains("max_spool") && what.at.starts_with("20"), "{what:?}");
    assert!(removed(small).await.is_none(), "no more than is needed");
    let files = agent.shared.state().files.keys().cloned().collect::<Vec<_>>();
    assert!(files.contains(&small.to_string()) && files.contains(&unfinished.to_string()), "{files:?}");
    assert_eq!(world.log(large).await, b"kept\n", "the output stays");
    world.stop().await;
}

#[tokio::test]
async fn one_gateway_per_folder() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deps = Deps { clock: Clock::system(), ids: Ids::system(), tasks: Tasks::new() };
    let refused = crate::start(world.options.clone(), listener, deps).await.err().unwrap().to_string();
    let holder = format!("another gateway (process {})", std::process::id());
    assert!(refused.starts_with(&holder), "{refused}");
    world.stop().await;
}

#[tokio::test]
async fn files_that_are_found_gone_are_noted_in_their_record() {
    let world = World::new().await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    let run = ended_with_files(&world, &agent, "display 1\n", 1000).await;
    // As when the answer to an earlier request was lost, or a person removed them.
    agent.shared.change(|s| s.forget_fails = Some(tonic::Status::not_found("this agent has no such run")));
    world.ahead(Duration::from_secs(25 * 3600));
    let told = async {
        while world.get(&root(), run).await.files_removed.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, told).await.expect("the record says so");
    let what = world.get(&root(), run).await.files_removed.unwrap();
    assert!(what.why.contains("found gone"), "{what:?}");
    world.stop().await;
}

/// A run whose record is old and whose files are at an agent that sends heartbeats but cannot be called.
async fn old_and_not_linked(world: &World) -> (Fake, RunId) {
    let mut agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    let run = ended_with_files(world, &agent, "display 1\n", 1000).await;
    world.ahead(Duration::from_secs(25 * 3600));
    agent.until("the log goes", |s| !s.forgets.is_empty()).await;
    agent.unreachable().await;
    while !world.gateway().core.runs.0.fleet.connected_agents().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.ahead(Duration::from_secs(31 * 24 * 3600));
    (agent, run)
}

#[tokio::test]
async fn a_record_waits_for_an_agent_that_beats_and_cannot_be_called() {
    // The clock is made to jump here, which must not count as silence.
    let world = World::with(|o| o.silent_after = Duration::from_secs(90 * 24 * 3600)).await;
    let (agent, run) = old_and_not_linked(&world).await;
    agent.beats(10).await;
    assert!(world.runs().get(&root(), run).await.is_ok(), "the agent was not asked yet, and would not register again");
    world.stop().await;
}

/// How many of 201 spools an agent deletes in one sweep.
async fn freed_in_one_look() -> usize {
    let world = World::with(|o| o.sweep_every = Duration::from_secs(365 * 24 * 3600)).await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    for n in 0..201 {
        ended(&world, &agent, &format!("display {n}\n"), 1).await;
    }
    world.ahead(Duration::from_secs(25 * 3600));
    crate::runs::upkeep::look(&world.runs().0, &mut None).await.unwrap();
    let freed = agent.shared.state().forgets.len();
    world.stop().await;
    freed
}

#[tokio::test]
async fn one_look_frees_all_spools_that_are_old() {
    assert_eq!(freed_in_one_look().await, 201);
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_one_look_that_frees_a_batch() {
    let _bug = longhaul_proto::faults::enter("bug=forget_one_batch");
    assert_eq!(freed_in_one_look().await, 200);
}
