//! Code that is kept as blobs: an agent gets the code itself, also from a gateway that started again; and it goes with the
//! last record that holds it.

use longhaul_proto::{sha256_hex, wire::submission::Source};

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

/// The agent gets the bytes before the run, each once, although connections break in the middle.
#[tokio::test]
async fn an_agent_that_takes_blobs_gets_each_byte_once() {
    // An attempt that has not left is given up after twice the longest pause, which a busy machine may take.
    let world = World::with(|o| o.backoff.1 = SOON).await;
    let agent = Fake::with("stata1", |info| info.takes_blobs = true, SECRET);
    agent.shared.change(|s| s.break_blobs = vec![70_000, 0, 10_000]);
    let agent = agent.join(world.addr()).await;
    let code = "display 1\n".repeat(40_000);
    let run = world.submit(text(&code)).await;
    agent.got(run).await;
    {
        let state = agent.shared.state();
        let id = run.to_string();
        assert!(matches!(state.runs[&id].submission.source, Some(Source::Stored(_))), "by its digest");
        assert!(
            state.blobs[&(id.clone(), sha256_hex(code.as_bytes()))] == code.as_bytes(),
            "and its bytes came before"
        );
        assert_eq!((state.blob_bytes, state.runs[&id].attempt), (code.len() as u64, 1), "none of them twice");
    }
    agent.ends(run, RunState::Succeeded, Cause::Completed);
    world.state(run, RunState::Succeeded).await;
    world.stop().await;
}

/// A ledger that came back without the blobs' folder: the run ends with what to do, and what is uploaded heals the blob.
#[tokio::test]
async fn a_run_whose_code_is_gone_says_so_and_an_upload_heals_it() {
    let mut world = World::new().await;
    let run = world.submit(text(&long())).await;
    std::fs::remove_dir_all(world.folder.path().join("gateway/blobs")).unwrap();
    world.restart().await;
    let agent = Fake::with("stata1", |info| info.takes_blobs = true, SECRET).join(world.addr()).await;
    let message = world.state(run, RunState::Errored).await.message.unwrap_or_default();
    let digest = sha256_hex(long().as_bytes());
    assert!(message.contains(&digest) && message.contains("upload it again"), "{message}");
    // By its digest alone it is not there, and says so before a run is recorded.
    let named = SubmitRequest { text_sha256: Some(digest), ..SubmitRequest::default() };
    let refused = world.try_submit(named).await;
    assert!(matches!(refused, Err(SubmitError::MissingBlobs(missing)) if missing.len() == 1));
    // The bytes again, under the same row.
    let again = world.submit(SubmitRequest { again: true, ..text(&long()) }).await;
    agent.got(again).await;
    assert_eq!(files(&world), 1);
    world.stop().await;
}
