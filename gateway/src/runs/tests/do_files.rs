//! The do-files of ended runs: fetched once, compared with their digests, tried again, and gone with the last record that
//! names them.

use longhaul_proto::{digest::ContentDigest, sha256_hex, wire};
use tonic::Status;

use super::{release::DAY, *};
use crate::{ledger::DoFiles, runs::DoFileError};

/// An agent that keeps do-files.
async fn keeping(world: &World) -> Fake {
    let tell = |info: &mut wire::AgentInfo| (info.keeps_do_files, info.pool_seats) = (true, 8);
    Fake::with("stata1", tell, SECRET).join(world.addr()).await
}

/// The agent says that a run entered these, by path, digest and content.
fn entered(agent: &Fake, run: RunId, files: &[(&str, &str, &str)]) {
    let list = files.iter().map(|(path, sha256, content)| wire::EnteredFile {
        path: (*path).to_owned(),
        bytes: content.len() as u64,
        sha256: (*sha256).to_owned(),
        ..Default::default()
    });
    let reply = wire::DoFilesReply { known: true, files: list.collect(), ..Default::default() };
    let contents = files.iter().map(|(_, sha256, content)| ((*sha256).to_owned(), content.as_bytes().to_vec()));
    agent.shared.change(|s| s.do_files.insert(run.to_string(), (reply, contents.collect())));
}

/// Ends a run that entered these, by path and content.
async fn ends(world: &World, agent: &Fake, code: &str, files: &[(&str, &str)]) -> RunId {
    let run = world.submit(text(code)).await;
    agent.got(run).await;
    let digests: Vec<_> = files.iter().map(|(_, content)| sha256_hex(content.as_bytes())).collect();
    let files: Vec<_> =
        files.iter().zip(&digests).map(|((path, content), sha256)| (*path, &**sha256, *content)).collect();
    entered(agent, run, &files);
    agent.prints(run, b"x");
    agent.ends(run, RunState::Succeeded, Cause::Completed);
    world.state(run, RunState::Succeeded).await;
    run
}

async fn noted(world: &World, run: RunId) -> DoFiles {
    let noted = async {
        loop {
            let entered = world.runs().do_files(&ann(), run).await.unwrap();
            if entered.complete {
                return entered.do_files;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, noted).await.expect("its do-files are noted")
}

async fn content(world: &World, run: RunId, text: &str) -> Result<String, DoFileError> {
    let reader = world.runs().do_file(&ann(), run, ContentDigest::of(text.as_bytes())).await?;
    Ok(String::from_utf8(reader.read(0, 1 << 20).await.unwrap().to_vec()).unwrap())
}

/// How many files blobs have.
fn files(world: &World) -> usize {
    let folders = std::fs::read_dir(world.folder.path().join("gateway/blobs"));
    let folders = folders.into_iter().flatten();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
}

async fn until_files(world: &World, n: usize) {
    let so = async {
        while files(world) != n {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, so).await.unwrap_or_else(|_| panic!("{n} files, and there are {}", files(world)));
}

#[tokio::test]
async fn they_go_with_the_last_record_that_names_them() {
    let world = World::new().await;
    let mut agent = keeping(&world).await;
    let first = ends(&world, &agent, "display 1\n", &[("/main.do", "one"), ("/lib.do", "both")]).await;
    assert_eq!(noted(&world, first).await.files.len(), 2);
    world.ahead(DAY * 20);
    let second = ends(&world, &agent, "display 2\n", &[("/main.do", "two"), ("/lib.do", "both")]).await;
    noted(&world, second).await;
    until_files(&world, 3).await;
    agent.vanish().await;
    world.ahead(DAY * 15);
    world.until_removed(first).await;
    until_files(&world, 2).await;
    assert_eq!(content(&world, second, "both").await.unwrap(), "both");
    assert!(matches!(content(&world, first, "both").await, Err(DoFileError::Find(_))));
    world.ahead(DAY * 20);
    world.until_removed(second).await;
    until_files(&world, 0).await;
    world.stop().await;
}

/// No digest that an agent only names lets anybody read what another principal has.
#[tokio::test]
async fn bytes_that_are_not_those_of_their_digest_are_not_taken() {
    let world = World::new().await;
    let agent = keeping(&world).await;
    let secret = "bob's own";
    let bob = Principal::local("bob");
    world.gateway().core.blobs.keep(&bob, secret.into()).await.unwrap();
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    let digest = sha256_hex(secret.as_bytes());
    entered(&agent, run, &[("/good.do", &sha256_hex(b"good"), "good"), ("/bob.do", &digest, "not bob's")]);
    agent.ends(run, RunState::Succeeded, Cause::Completed);
    world.state(run, RunState::Succeeded).await;
    let noted = noted(&world, run).await;
    assert!(noted.files[0].missing.is_empty() && noted.files[1].missing.contains("other bytes"), "{noted:?}");
    assert_eq!(content(&world, run, "good").await.unwrap(), "good");
    assert!(matches!(content(&world, run, secret).await, Err(DoFileError::Unknown { .. })));
    assert!(world.ledger().blob(ann_principal(), ContentDigest::of(secret.as_bytes())).await.unwrap().is_none());
    world.stop().await;
}

fn ann_principal() -> &'static Principal {
    static ANN: std::sync::LazyLock<Principal> = std::sync::LazyLock::new(|| Principal::local("ann"));
    &ANN
}

/// The end is told at once, and the spool stays until they have come.
#[tokio::test]
async fn what_fails_is_tried_again_and_the_spool_waits_for_it() {
    let world = World::new().await;
    let agent = keeping(&world).await;
    agent.shared.change(|s| s.do_files_fail = Some(Status::unavailable("busy")));
    let run = ends(&world, &agent, "display 1\n", &[("/main.do", "one")]).await;
    agent.until("it is tried", |s| s.do_files_calls > 0).await;
    let entered = world.runs().do_files(&ann(), run).await.unwrap();
    assert!(!entered.complete && entered.do_files.note.contains("have not come from host stata1 yet"), "{entered:?}");
    world.ahead(DAY + DAY / 24);
    agent.beats(10).await;
    assert_eq!(agent.shared.state().forget_calls, 0, "they would be lost with it");
    agent.shared.change(|s| s.do_files_fail = None);
    agent.until("the spool goes", |s| s.forgets.len() == 1).await;
    assert_eq!(noted(&world, run).await.files.len(), 1);
    assert_eq!(content(&world, run, "one").await.unwrap(), "one");
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_spool_that_does_not_wait() {
    let _bug = longhaul_proto::faults::enter("bug=do_files_go_unfetched");
    let world = World::new().await;
    let agent = keeping(&world).await;
    agent.shared.change(|s| s.do_files_fail = Some(Status::unavailable("busy")));
    ends(&world, &agent, "display 1\n", &[("/main.do", "one")]).await;
    world.ahead(DAY + DAY / 24);
    agent.until("the spool goes", |s| s.forgets.len() == 1).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_bytes_that_are_not_compared() {
    let _bug = longhaul_proto::faults::enter("bug=do_files_unchecked");
    let world = World::new().await;
    let agent = keeping(&world).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    entered(&agent, run, &[("/bob.do", &sha256_hex(b"bob's own"), "not bob's")]);
    agent.ends(run, RunState::Succeeded, Cause::Completed);
    world.state(run, RunState::Succeeded).await;
    // They are kept, under a digest that is not theirs, and the ledger does not find the one that was named.
    agent.until("it is tried", |s| s.do_files_calls > 2).await;
    until_files(&world, 1).await;
    world.stop().await;
}

/// Whether an old spool goes, within this time, when its do-files come with a later try and no pass of upkeep is near.
async fn late_do_files_release(within: Duration) -> bool {
    let world = World::with(|o| (o.keep_spool, o.sweep_every) = (Duration::ZERO, Duration::from_secs(24 * 3600))).await;
    let agent = keeping(&world).await;
    agent.shared.change(|s| s.do_files_fail = Some(Status::unavailable("not now")));
    let run = ends(&world, &agent, "display 1\n", &[("/main.do", "one")]).await;
    agent.until("it was asked", |s| s.do_files_calls > 0).await;
    assert_eq!(agent.shared.state().forgets.len(), 0);
    agent.shared.change(|s| s.do_files_fail = None);
    noted(&world, run).await;
    let goes = agent.until("its spool goes", |s| s.forgets.len() == 1);
    let gone = tokio::time::timeout(within, goes).await.is_ok();
    world.stop().await;
    gone
}

#[tokio::test]
async fn what_comes_late_lets_go_of_the_spool_that_waited_for_it() {
    assert!(late_do_files_release(SOON).await);
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_late_do_files_that_hold_their_spool() {
    let _bug = longhaul_proto::faults::enter("bug=late_do_files_hold_their_spool");
    assert!(!late_do_files_release(Duration::from_secs(2)).await);
}

#[cfg(feature = "faults")]
/// Whether the do-files of a run come in a pass of upkeep although those of an earlier one cannot be read.
async fn come_beside_damaged_ones(within: Duration) -> bool {
    let world = World::new().await;
    let agent = keeping(&world).await;
    agent.shared.change(|s| s.do_files_fail = Some(Status::unavailable("not now")));
    let damaged = ends(&world, &agent, "display 1\n", &[("/main.do", "one")]).await;
    let run = ends(&world, &agent, "display 2\n", &[("/main.do", "two")]).await;
    agent.shared.change(|s| (s.do_files_fail, s.do_files_damaged) = (None, Some(damaged.to_string())));
    let come = tokio::time::timeout(within, noted(&world, run)).await.is_ok();
    assert!(!world.runs().do_files(&ann(), damaged).await.unwrap().complete);
    world.stop().await;
    come
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn what_an_agent_cannot_read_holds_up_no_other_run() {
    let _bug = longhaul_proto::faults::enter("bug=do_files_wait_for_upkeep");
    assert!(come_beside_damaged_ones(SOON).await);
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_the_first_failure_ends_the_pass() {
    let _bug = longhaul_proto::faults::enter("bug=do_files_wait_for_upkeep;bug=do_files_stop_at_damage");
    assert!(!come_beside_damaged_ones(Duration::from_secs(2)).await);
}
