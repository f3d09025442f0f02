//! The laws of blobs: who may name one, what holds it, and when it goes.

use longhaul_proto::digest::ContentDigest;

use super::*;
use crate::ledger::{Blob, BlobBounds, BlobFile, BlobsSwept, Finished, NewUpload, Upload, UploadBegun};

const ROOM: BlobBounds = BlobBounds { count: 100, bytes: 1_000 };

pub(super) fn digest(text: &str) -> ContentDigest {
    ContentDigest::of(text.as_bytes())
}

/// An upload of this text; each has a file of its own.
fn upload_of(who: &str, text: &str, file: &str) -> Upload {
    let file = BlobFile { digest: digest(text), name: file.to_owned() };
    Upload { principal: Principal::local(who), file, bytes: text.len() as u64 }
}

async fn begin(ledger: &dyn Ledger, upload: &Upload, at_ms: i64) -> UploadBegun {
    ledger.begin_upload(NewUpload { upload: upload.clone(), at_ms, bounds: ROOM }).await.unwrap()
}

pub(super) async fn uploaded(ledger: &dyn Ledger, who: &str, text: &str, file: &str, at_ms: i64) -> Finished {
    let upload = upload_of(who, text, file);
    assert_eq!(begin(ledger, &upload, at_ms).await, UploadBegun::Open(upload.clone()));
    ledger.finish_upload(upload, at_ms).await.unwrap().unwrap()
}

fn holding(who: &str, texts: &[&str]) -> NewRun {
    NewRun { blobs: texts.iter().map(|text| digest(text)).collect(), ..new_run(who) }
}

pub(super) async fn may_name(ledger: &dyn Ledger, who: &str, text: &str) -> bool {
    ledger.blob(&Principal::local(who), digest(text)).await.unwrap().is_some()
}

/// The names of the files that a sweep finds, of all its rounds.
pub(super) async fn swept(ledger: &dyn Ledger, before_ms: i64) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let BlobsSwept { files, more } = ledger.blob_sweep(before_ms, 2).await.unwrap();
        names.extend(files.into_iter().map(|file| file.name));
        if !more {
            names.sort();
            return names;
        }
    }
}

pub(super) async fn an_upload_is_its_principals_until_it_is_finished(ledger: &dyn Ledger) {
    let upload = upload_of("ann", "one", "f1");
    assert_eq!(begin(ledger, &upload, 10).await, UploadBegun::Open(upload.clone()));
    // It is found again, by whatever name it is begun a second time.
    assert_eq!(begin(ledger, &upload_of("ann", "one", "f2"), 11).await, UploadBegun::Open(upload.clone()));
    let (ann, bob) = (Principal::local("ann"), Principal::local("bob"));
    assert_eq!(ledger.upload(&ann, digest("one")).await.unwrap(), Some(upload.clone()));
    assert_eq!(ledger.use_upload(ann.clone(), digest("one"), 12).await.unwrap(), Some(upload.clone()));
    assert_eq!(ledger.upload(&bob, digest("one")).await.unwrap(), None);
    assert!(!may_name(ledger, "ann", "one").await, "its bytes are not there yet");
    let refused = ledger.insert(holding("ann", &["one"])).await;
    assert!(matches!(refused, Err(LedgerError::NoSuchBlobs(missing)) if missing == [digest("one")]));
    assert!(ledger.end_upload(upload.clone()).await.unwrap());
    assert!(!ledger.end_upload(upload.clone()).await.unwrap());
    assert_eq!(ledger.finish_upload(upload.clone(), 13).await.unwrap(), None, "it was ended");
    let blob = Blob { file: upload.file.clone(), bytes: 3 };
    let finished = uploaded(ledger, "ann", "one", "f1", 14).await;
    assert_eq!(finished, Finished { blob: blob.clone(), spare: None });
    assert_eq!(ledger.finish_upload(upload.clone(), 14).await.unwrap(), Some(finished), "as often as it is asked");
    assert_eq!(begin(ledger, &upload, 15).await, UploadBegun::Kept(blob.clone()));
    // A digest is no permission: another principal sends the bytes, and they are kept once.
    assert!(!may_name(ledger, "bob", "one").await);
    let refused = ledger.insert(holding("bob", &["one"])).await;
    assert!(matches!(refused, Err(LedgerError::NoSuchBlobs(missing)) if missing == [digest("one")]));
    let theirs = uploaded(ledger, "bob", "one", "f3", 16).await;
    assert_eq!(theirs.blob, blob);
    assert_eq!(theirs.spare.map(|file| file.name), Some("f3".to_owned()));
    assert!(may_name(ledger, "bob", "one").await);
    let files = ledger.blob_files(&digest("one").to_string()[..2]).await.unwrap();
    assert!(files.contains(&upload.file));
    assert_eq!(swept(ledger, 15).await, Vec::<String>::new(), "used since");
    assert_eq!(swept(ledger, 16).await, Vec::<String>::new(), "bob may name it");
    assert!(!may_name(ledger, "ann", "one").await);
    assert_eq!(swept(ledger, 17).await, ["f1"]);
    assert!(!may_name(ledger, "bob", "one").await);
}

pub(super) async fn what_a_run_holds_stays_with_its_record(ledger: &dyn Ledger) {
    for (n, text) in ["a", "b", "c"].into_iter().enumerate() {
        uploaded(ledger, "ann", text, &format!("h{n}"), 10).await;
    }
    let first = running(ledger, holding("ann", &["a", "b"])).await;
    let second = running(ledger, holding("ann", &["b"])).await;
    let held = ledger.blobs_of(first).await.unwrap();
    let mut names: Vec<_> = held.iter().map(|blob| blob.file.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["h0", "h1"]);
    assert_eq!(swept(ledger, 11).await, ["h2"], "no run took it");
    // Its principal may name it, for another run too, although the upload is long ago; no other may.
    assert!(may_name(ledger, "ann", "a").await && !may_name(ledger, "bob", "a").await);
    let third = running(ledger, holding("ann", &["a"])).await;
    for run in [first, second] {
        end(ledger, run, 20, true).await;
        assert!(ledger.remove(run, 30).await.unwrap());
    }
    assert_eq!(swept(ledger, 11).await, ["h1"]);
    assert!(ledger.blobs_of(first).await.unwrap().is_empty());
    end(ledger, third, 20, true).await;
    // One transaction removes the records and what they held.
    uploaded(ledger, "bob", "a", "h3", 40).await;
    ledger.sweep(21, 100, vec![], 50).await.unwrap();
    assert!(ledger.get(third).await.unwrap().is_none());
    assert!(!may_name(ledger, "ann", "a").await);
    assert_eq!(swept(ledger, 11).await, Vec::<String>::new(), "bob uploaded it meanwhile");
    assert_eq!(swept(ledger, 41).await, ["h0"]);
}

pub(super) async fn one_principal_has_so_many_blobs_and_bytes(ledger: &dyn Ledger) {
    let begin = async |who: &str, text: &str, bounds: BlobBounds| {
        let upload = upload_of(who, text, &format!("q-{text}"));
        ledger.begin_upload(NewUpload { upload, at_ms: 10, bounds }).await.unwrap()
    };
    let bounds = BlobBounds { count: 3, bytes: 20 };
    uploaded(ledger, "eve", "0123456789", "q0", 10).await;
    let holder = running(ledger, holding("eve", &["0123456789"])).await;
    assert_eq!(swept(ledger, 11).await, Vec::<String>::new());
    // What a run holds counts on, and so does what is not whole yet.
    assert!(matches!(begin("eve", "01234567", bounds).await, UploadBegun::Open(_)));
    let full = |count, bytes| UploadBegun::Full(BlobBounds { count, bytes });
    assert_eq!(begin("eve", "abc", bounds).await, full(2, 18));
    assert!(matches!(begin("eve", "ab", bounds).await, UploadBegun::Open(_)));
    assert_eq!(begin("eve", "", bounds).await, full(3, 20));
    assert!(matches!(begin("eve", "01234567", bounds).await, UploadBegun::Open(_)), "that goes on");
    assert!(
        matches!(begin("fay", "abc", bounds).await, UploadBegun::Open(_)),
        "another principal's bounds are its own"
    );
    end(ledger, holder, 20, true).await;
    assert!(ledger.remove(holder, 30).await.unwrap());
    assert_eq!(swept(ledger, 11).await, ["q-01234567", "q-ab", "q-abc", "q0"]);
    assert!(matches!(begin("eve", "abc", bounds).await, UploadBegun::Open(_)));
    assert_eq!(swept(ledger, 11).await, ["q-abc"]);
}

pub(super) async fn an_adopted_run_brings_what_it_holds(ledger: &dyn Ledger) {
    let text = "adopted";
    uploaded(ledger, "", text, "a0", 10).await;
    let run = running(ledger, holding("", &[text])).await;
    assert_eq!(swept(ledger, 11).await, Vec::<String>::new());
    let adoption = Adoption { run, principal: Principal::local("gil"), key: None, dedupe: Dedupe::default() };
    assert!(ledger.adopt(adoption).await.unwrap());
    assert!(may_name(ledger, "gil", text).await && !may_name(ledger, "", text).await);
    end(ledger, run, 20, true).await;
    assert!(ledger.remove(run, 30).await.unwrap());
    assert_eq!(swept(ledger, 0).await, ["a0"]);
}

/// Leaves a blob with one principal, an upload and a blob that a run holds with another.
pub(super) async fn some_are_left(ledger: &dyn Ledger) {
    uploaded(ledger, "ann", "left", "l0", 10).await;
    uploaded(ledger, "zoe", "held", "l1", 10).await;
    running(ledger, holding("zoe", &["held"])).await;
    let open = upload_of("zoe", "open", "l2");
    assert_eq!(begin(ledger, &open, 11).await, UploadBegun::Open(open));
    assert_eq!(swept(ledger, 10).await, Vec::<String>::new());
}
