//! The laws of do-files: what a run entered is noted once, its bytes are its principal's to name and count for no bounds,
//! and they go with the last record that names them.

use super::{
    blobs::{digest, may_name, swept, uploaded},
    *,
};
use crate::ledger::{
    BlobBounds, BlobFile, DoFile, DoFiles, NewUpload, Upload, UploadBegun, do_files::gateway_principal,
};

/// Do-files with these contents, all of them kept.
fn entered(texts: &[&str]) -> DoFiles {
    let file = |text: &&str| DoFile {
        path: format!("/home/ann/{text}.do"),
        bytes: text.len() as u64,
        sha256: digest(text).to_string(),
        ..DoFile::default()
    };
    let large = DoFile { path: "/large.do".to_owned(), missing: "it is too large".to_owned(), ..DoFile::default() };
    DoFiles { files: texts.iter().map(file).chain([large]).collect(), ..DoFiles::default() }
}

/// The gateway stores what an agent sent.
pub(super) async fn sent(ledger: &dyn Ledger, text: &str, file: &str) {
    let file = BlobFile { digest: digest(text), name: file.to_owned() };
    let upload = Upload { principal: gateway_principal(), file, bytes: text.len() as u64 };
    let bounds = BlobBounds { count: u64::MAX, bytes: u64::MAX };
    ledger.begin_upload(NewUpload { upload: upload.clone(), at_ms: 10, bounds }).await.unwrap();
    ledger.finish_upload(upload, 10).await.unwrap().unwrap();
}

pub(super) async fn ended(ledger: &dyn Ledger, who: &str) -> RunId {
    let run = running(ledger, new_run(who)).await;
    end(ledger, run, 20, true).await;
    run
}

pub(super) async fn what_a_run_entered_stays_with_its_record(ledger: &dyn Ledger) {
    let [first, second] = [ended(ledger, "ann").await, ended(ledger, "bob").await];
    assert_eq!(ledger.do_files(first).await.unwrap(), None);
    for (run, text, file) in [(first, "both", "d0"), (first, "one", "d1"), (second, "both", "d2")] {
        sent(ledger, text, file).await;
        assert!(ledger.get(run).await.unwrap().is_some());
    }
    assert!(ledger.note_do_files(first, entered(&["both", "one"])).await.unwrap());
    // Another run had the same bytes, and the gateway stored them again: they are there once.
    sent(ledger, "both", "d3").await;
    assert!(ledger.note_do_files(second, entered(&["both"])).await.unwrap());
    assert_eq!(swept(ledger, 0).await, Vec::<String>::new());
    assert!(!may_name(ledger, "zed", "both").await);
    assert!(may_name(ledger, "ann", "both").await && may_name(ledger, "bob", "both").await);
    assert!(may_name(ledger, "ann", "one").await && !may_name(ledger, "bob", "one").await);
    let held = ledger.blobs_of(first).await.unwrap();
    assert_eq!(held.len(), 2, "{held:?}");
    // What is noted stays, and what came a second time is not kept for it.
    sent(ledger, "again", "d4").await;
    assert!(ledger.note_do_files(first, entered(&["again"])).await.unwrap());
    assert_eq!(swept(ledger, 0).await, ["d4"]);
    assert_eq!(ledger.do_files(first).await.unwrap(), Some(entered(&["both", "one"])));
    // A run may take them as its code.
    let again = running(ledger, NewRun { blobs: vec![digest("one")], ..new_run("ann") }).await;
    assert!(ledger.remove(first, 30).await.unwrap());
    assert_eq!(ledger.do_files(first).await.unwrap(), None);
    assert!(ledger.blobs_of(first).await.unwrap().is_empty());
    assert!(!may_name(ledger, "ann", "both").await && may_name(ledger, "ann", "one").await);
    assert_eq!(swept(ledger, 0).await, Vec::<String>::new());
    end(ledger, again, 20, true).await;
    assert!(ledger.remove(again, 30).await.unwrap());
    assert_eq!(swept(ledger, 0).await, ["d1"]);
    ledger.sweep(21, 100, vec![], 50).await.unwrap();
    assert_eq!(swept(ledger, 0).await, ["d0"], "the last record that named it is gone");
    assert!(!ledger.note_do_files(first, entered(&[])).await.unwrap(), "there is no record");
}

pub(super) async fn a_digest_that_an_agent_names_is_no_permission(ledger: &dyn Ledger) {
    uploaded(ledger, "bob", "secret", "s0", 10).await;
    let (eve, nobody) = (ended(ledger, "eve").await, ended(ledger, "").await);
    for run in [eve, nobody] {
        let refused = ledger.note_do_files(run, entered(&["secret"])).await;
        assert!(matches!(refused, Err(LedgerError::NoSuchBlobs(missing)) if missing == [digest("secret")]));
        assert_eq!(ledger.do_files(run).await.unwrap(), None);
    }
    assert!(!may_name(ledger, "eve", "secret").await);
    // What her own upload has, and what came from her agent, is hers. It counts for no bounds of hers.
    uploaded(ledger, "eve", "own", "s1", 10).await;
    sent(ledger, "brought", "s2").await;
    assert!(ledger.note_do_files(eve, entered(&["own", "brought"])).await.unwrap());
    let file = BlobFile { digest: digest("more"), name: "s3".to_owned() };
    let upload = Upload { principal: Principal::local("eve"), file, bytes: 4 };
    let new = NewUpload { upload, at_ms: 10, bounds: BlobBounds { count: 1, bytes: 100 } };
    let full = UploadBegun::Full(BlobBounds { count: 1, bytes: 3 });
    assert_eq!(ledger.begin_upload(new).await.unwrap(), full, "her own upload alone");
    // What a run without a principal entered is its principal's from its adoption on.
    sent(ledger, "unverified", "s4").await;
    assert!(ledger.note_do_files(nobody, entered(&["unverified"])).await.unwrap());
    let adoption = Adoption { run: nobody, principal: Principal::local("gil"), key: None, dedupe: Dedupe::default() };
    assert!(ledger.adopt(adoption).await.unwrap());
    assert!(may_name(ledger, "gil", "unverified").await && !may_name(ledger, "", "unverified").await);
    for run in [eve, nobody] {
        assert!(ledger.remove(run, 30).await.unwrap());
    }
    assert_eq!(swept(ledger, 11).await, ["s0", "s1", "s2", "s4"]);
}

pub(super) async fn they_are_due_until_they_are_noted(ledger: &dyn Ledger) {
    let agent = after(1).attempts[0].at.agent_id.clone();
    let due = async || ledger.do_files_due(&agent, 1_000).await.unwrap();
    let run = running(ledger, new_run("ann")).await;
    assert!(!due().await.contains(&run), "it goes on");
    end(ledger, run, 20, true).await;
    assert!(due().await.contains(&run));
    assert_eq!(ledger.do_files_due("another", 1_000).await.unwrap(), []);
    let lost = running(ledger, new_run("ann")).await;
    ends_as(ledger, lost, Lost, Cause::AgentGone, 20).await;
    assert!(!due().await.contains(&lost), "it may come back");
    let gone = running(ledger, new_run("ann")).await;
    end(ledger, gone, 20, true).await;
    ledger.spool_gone(gone, None).await.unwrap();
    assert!(!due().await.contains(&gone), "there is nothing to ask for");
    assert!(ledger.note_do_files(run, DoFiles::default()).await.unwrap());
    assert!(!due().await.contains(&run));
    for run in [run, lost, gone] {
        assert!(ledger.remove(run, 30).await.unwrap());
    }
}
