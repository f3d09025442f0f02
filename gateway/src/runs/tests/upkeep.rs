//! What goes away with time, and what never does.

use super::*;
use RunState::{Queued, Succeeded};

#[tokio::test]
async fn spools_go_first_and_records_later() {
    let world = World::new().await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 4, SECRET).join(world.addr()).await;
    let waiting = world.submit(SubmitRequest { host: Some("nobody".to_owned()), ..text("display 1\n") }).await;
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
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it is removed");
    assert_eq!(world.runs().get(&ann(), waiting).await.unwrap().state, Queued, "unfinished is never removed");
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
    let verdict = agent.register(world.addr()).await.verdicts[0].clone();
    assert_eq!(verdict.verdict(), Verdict::Forget);
    assert_eq!(verdict.forget.unwrap().log_sha256, longhaul_proto::sha256_hex(b"kept\n"));
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
