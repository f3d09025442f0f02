//! The laws of what runs left: noted once, held with the do-files, and gone with the last record that names it.

use super::{
    blobs::{digest, may_name, swept, uploaded},
    do_files::{ended, sent},
    *,
};
use crate::ledger::{DoFile, DoFiles, RunFile, RunFiles};

/// Files with these contents, which are kept, and one that is not.
fn left(texts: &[&str]) -> RunFiles {
    let file = |text: &&str| RunFile {
        path: format!("/work/{text}.csv"),
        bytes: text.len() as u64,
        sha256: digest(text).to_string(),
        of_run: true,
        kept: true,
        ..RunFile::default()
    };
    let users =
        RunFile { path: "/home/ann/a.csv".to_owned(), sha256: digest("users").to_string(), ..RunFile::default() };
    let files = texts.iter().map(file).chain([users]).collect();
    RunFiles { files, shared_with: vec!["another".to_owned()], ..RunFiles::default() }
}

pub(super) async fn what_a_run_left_stays_with_its_record(ledger: &dyn Ledger) {
    let [first, second] = [ended(ledger, "ann").await, ended(ledger, "bob").await];
    assert_eq!(ledger.files(first).await.unwrap(), None);
    uploaded(ledger, "bob", "secret", "f0", 10).await;
    let refused = ledger.note_files(first, left(&["secret"])).await;
    assert!(matches!(refused, Err(LedgerError::NoSuchBlobs(missing)) if missing == [digest("secret")]));
    // What a run entered and left is held once.
    let both = DoFile { path: "/both.do".into(), bytes: 4, sha256: digest("both").to_string(), ..DoFile::default() };
    for (run, text, file) in [(first, "both", "f1"), (first, "own", "f2"), (second, "both", "f3")] {
        sent(ledger, text, file).await;
        assert!(ledger.get(run).await.unwrap().is_some());
    }
    let entered = DoFiles { files: vec![both], ..DoFiles::default() };
    assert!(ledger.note_do_files(first, entered).await.unwrap());
    sent(ledger, "both", "f4").await;
    assert!(ledger.note_files(first, left(&["both", "own"])).await.unwrap());
    sent(ledger, "both", "f5").await;
    assert!(ledger.note_files(second, left(&["both"])).await.unwrap());
    assert!(may_name(ledger, "ann", "own").await && !may_name(ledger, "bob", "own").await);
    assert_eq!(ledger.blobs_of(first).await.unwrap().len(), 2);
    // What is noted stays.
    assert!(ledger.note_files(first, RunFiles::default()).await.unwrap());
    assert_eq!(ledger.files(first).await.unwrap(), Some(left(&["both", "own"])));
    assert!(ledger.remove(first, 30).await.unwrap());
    assert_eq!(ledger.files(first).await.unwrap(), None);
    assert_eq!(swept(ledger, 0).await, ["f2"]);
    assert!(ledger.remove(second, 30).await.unwrap());
    assert_eq!(swept(ledger, 11).await, ["f0", "f1"], "the last record that named it is gone");
    assert!(!ledger.note_files(first, RunFiles::default()).await.unwrap(), "there is no record");
}

pub(super) async fn they_are_due_until_they_are_noted(ledger: &dyn Ledger) {
    let agent = after(1).attempts[0].at.agent_id.clone();
    let due = async || ledger.files_due(&agent, 1_000).await.unwrap();
    let run = running(ledger, new_run("ann")).await;
    assert!(!due().await.contains(&run), "it goes on");
    end(ledger, run, 20, true).await;
    assert!(due().await.contains(&run));
    assert_eq!(ledger.files_due("another", 1_000).await.unwrap(), []);
    assert!(ledger.note_files(run, RunFiles::default()).await.unwrap());
    assert!(!due().await.contains(&run));
    assert!(ledger.remove(run, 30).await.unwrap());
}
