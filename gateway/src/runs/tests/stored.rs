//! Code that is kept as blobs: an agent gets the code itself, also from a gateway that started again; and it goes with the
//! last record that holds it.

use longhaul_proto::wire::submission::Source;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// More than stays with a record.
fn long() -> String {
    "display 1\n".repeat(10_000)
}

/// How many files blobs have.
fn files(world: &World) -> usize {
    let folders = std::fs::read_dir(world.folder.path().join("gateway/blobs")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test]
async fn an_agent_gets_the_code_and_it_goes_with_the_last_record() {
    let mut world = World::new().await;
    let run = world.submit(text(&long())).await;
    let stored = world.ledger().submission(run).await.unwrap().unwrap();
    assert!(matches!(stored.source, Some(Source::Stored(_))), "{:?}", stored.source);
    world.restart().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    agent.got(run).await;
    let sent = agent.shared.state().runs[&run.to_string()].submission.clone();
    assert_eq!(sent.source, Some(Source::Text(long().into_bytes())));
    agent.ends(run, RunState::Succeeded, Cause::Completed);
    world.state(run, RunState::Succeeded).await;
    agent.vanish().await;
    // Long after its upload it is there, for the run has it.
    world.ahead(DAY * 2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(files(&world), 1);
    world.ahead(DAY * 40);
    world.until_removed(run).await;
    let gone = async {
        while files(&world) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("its code is deleted");
    world.stop().await;
}
