//! The store over a real ledger: uploads that break off, wrong digests, restarts; and uploads, submissions and sweeps that
//! meet.

use std::{path::PathBuf, sync::Arc, time::Duration};

use longhaul_proto::{
    ids::{Ids, RunId},
    state::{Cause, RunState},
    tasks::Tasks,
};

use super::*;
use crate::{
    ledger::{Dedupe, LeaseChange, Ledger, LedgerError, NewRun, sqlite::SqliteLedger},
    model::{Asked, Record},
};

fn limits() -> BlobLimits {
    BlobLimits {
        largest: 1_000,
        of_principal: BlobBounds { count: 10, bytes: 3_000 },
        min_free: MinFree { bytes: 0, percent: 0 },
        quotas: Arc::default(),
    }
}

struct World {
    folder: tempfile::TempDir,
    ledger: Arc<dyn Ledger>,
    blobs: Blobs,
}

impl World {
    async fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap()).await
    }

    async fn at(folder: tempfile::TempDir) -> Self {
        let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(folder.path(), "c1", &Tasks::new()).await.unwrap());
        let root = folder.path().join("blobs");
        let deps = Deps { clock: Clock::system(), ids: Ids::system(), tasks: Tasks::new() };
        let blobs = Blobs::new(&root, ledger.clone(), limits(), &deps);
        Self { folder, ledger, blobs }
    }

    /// As another process would, after this one died.
    async fn again(self) -> Self {
        let Self { folder, ledger, blobs } = self;
        ledger.close().await;
        drop((ledger, blobs));
        Self::at(folder).await
    }

    /// All files below the folder of blobs.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in std::fs::read_dir(self.folder.path().join("blobs")).into_iter().flatten() {
            found.extend(std::fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
        }
        found
    }

    async fn submit(&self, who: &Principal, blobs: Vec<ContentDigest>) -> Result<RunId, LedgerError> {
        let mut record = Record::queued(Ids::system().run(), who.clone(), 1, Asked::default());
        (record.state, record.cause, record.finished_ms) = (RunState::Succeeded, Cause::Completed, 1);
        let (run, submission) = (record.run, Default::default());
        let dedupe = Dedupe { shape: run.to_string(), ..Dedupe::default() };
        let new =
            NewRun { record, submission, key: None, dedupe, lease: LeaseChange::Keep, blobs, receivers: Vec::new() };
        self.ledger.insert(new).await.map(|_| run)
    }

    /// What is wrong with a blob that a run holds.
    async fn wrong_with(&self, run: RunId, content: &[u8]) -> Option<String> {
        let opened = match self.blobs.held(run).await {
            Ok(held) => held.open(ContentDigest::of(content)).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(reader) => match reader.read(0, 1_000).await {
                Ok(read) if read == content => None,
                read => Some(format!("{run} holds other bytes: {read:?}")),
            },
            other => Some(format!("{run} holds what is not there: {other:?}")),
        }
    }
}

fn ann() -> Principal {
    Principal::local("ann")
}

fn bob() -> Principal {
    Principal::local("bob")
}

async fn send(
    world: &World,
    content: &'static [u8],
    start: Start,
    piece: &'static [u8],
) -> Result<Progress, BlobError> {
    let mut receiving = world.blobs.receive(&ann(), ContentDigest::of(content), start).await?;
    receiving.take(Bytes::from_static(piece)).await?;
    receiving.end().await
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let world = World::new().await;
    let content = b"0123456789";
    let digest = ContentDigest::of(content);
    assert!(matches!(send(&world, content, Start::At(0), b"01").await, Err(BlobError::NoUpload(_))));
    let begun = world.blobs.begin(&ann(), digest, 10).await.unwrap();
    assert_eq!(begun, Progress::Open { offset: 0, bytes: 10 });
    // A request that breaks off: what has come stays.
    let mut receiving = world.blobs.receive(&ann(), digest, Start::At(0)).await.unwrap();
    receiving.take(Bytes::from_static(b"0123")).await.unwrap();
    assert!(matches!(world.blobs.receive(&ann(), digest, Start::At(4)).await, Err(BlobError::Receiving)));
    drop(receiving);
    let world = world.again().await;
    assert_eq!(world.blobs.sweep_leftovers().await.unwrap(), 0);
    let open = Some(Progress::Open { offset: 4, bytes: 10 });
    assert_eq!(world.blobs.progress(&ann(), digest).await.unwrap(), open);
    assert_eq!(world.blobs.progress(&bob(), digest).await.unwrap(), None);
    assert!(world.blobs.open(&ann(), digest).await.unwrap().is_none());
    assert!(matches!(send(&world, content, Start::At(3), b"3").await, Err(BlobError::Offset { offset: 4 })));
    assert_eq!(send(&world, content, Start::At(4), b"45").await.unwrap(), Progress::Open { offset: 6, bytes: 10 });
    assert!(matches!(send(&world, content, Start::At(6), b"67890").await, Err(BlobError::TooLong { bytes: 10 })));
    assert_eq!(send(&world, content, Start::At(6), b"6789").await.unwrap(), Progress::Kept { bytes: 10 });
    let reader = world.blobs.open(&ann(), digest).await.unwrap().unwrap();
    assert_eq!(&reader.read(3, 4).await.unwrap()[..], b"3456");
    assert_eq!((reader.bytes(), reader.read(10, 4).await.unwrap().len()), (10, 0));
    assert!(world.blobs.open(&bob(), digest).await.unwrap().is_none(), "a digest is no permission");
    // Once more, from another principal: its bytes are compared, and kept once.
    world.blobs.keep(&bob(), Bytes::from_static(content)).await.unwrap();
    assert!(world.blobs.open(&bob(), digest).await.unwrap().is_some());
    assert_eq!(world.files().len(), 1);
    assert_eq!(world.blobs.sweep(i64::MAX).await.unwrap(), 1);
    assert!(world.files().is_empty());
    assert_eq!(&reader.read(0, 4).await.unwrap()[..], b"0123", "who reads it reads on");
    world.ledger.close().await;
}

#[tokio::test]
async fn of_a_wrong_digest_nothing_stays() {
    let world = World::new().await;
    let content = b"right";
    world.blobs.begin(&ann(), ContentDigest::of(content), 5).await.unwrap();
    let refused = send(&world, content, Start::At(0), b"wrong").await;
    assert!(matches!(refused, Err(BlobError::Mismatch { found, .. }) if found == ContentDigest::of(b"wrong")));
    assert!(world.files().is_empty());
    assert_eq!(world.blobs.progress(&ann(), ContentDigest::of(content)).await.unwrap(), None);
    world.blobs.keep(&ann(), Bytes::from_static(content)).await.unwrap();
    // Bytes that a crash damaged are found too.
    world.blobs.begin(&ann(), ContentDigest::of(b"other"), 5).await.unwrap();
    send(&world, b"other", Start::At(0), b"oth").await.unwrap();
    let partial = world.files().into_iter().find(|path| path.extension().is_some_and(|end| end == "part")).unwrap();
    let world = world.again().await;
    std::fs::write(partial, b"\0\0\0").unwrap();
    assert!(matches!(send(&world, b"other", Start::At(3), b"er").await, Err(BlobError::Mismatch { .. })));
    assert_eq!(world.files().len(), 1);
    // And one may start over.
    world.blobs.begin(&ann(), ContentDigest::of(b"other"), 5).await.unwrap();
    send(&world, b"other", Start::At(0), b"oXX").await.unwrap();
    assert_eq!(send(&world, b"other", Start::Over, b"other").await.unwrap(), Progress::Kept { bytes: 5 });
    world.ledger.close().await;
}

#[tokio::test]
async fn what_a_crash_leaves_is_finished_or_deleted() {
    let world = World::new().await;
    let digest = ContentDigest::of(b"whole");
    world.blobs.begin(&ann(), digest, 5).await.unwrap();
    // All bytes came, and the gateway died before it compared them.
    let mut receiving = world.blobs.receive(&ann(), digest, Start::At(0)).await.unwrap();
    receiving.take(Bytes::from_static(b"whole")).await.unwrap();
    drop(receiving);
    let world = world.again().await;
    assert_eq!(world.blobs.progress(&ann(), digest).await.unwrap(), Some(Progress::Kept { bytes: 5 }));
    // They were in place, and the ledger did not get to know it.
    let digest = ContentDigest::of(b"placed");
    world.blobs.begin(&ann(), digest, 6).await.unwrap();
    let upload = world.ledger.upload(&ann(), digest).await.unwrap().unwrap();
    let place = world.blobs.folder.whole(&upload.file);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, b"placed").unwrap();
    let world = world.again().await;
    assert_eq!(world.blobs.sweep_leftovers().await.unwrap(), 0);
    assert_eq!(world.blobs.progress(&ann(), digest).await.unwrap(), Some(Progress::Kept { bytes: 6 }));
    // The ledger knows neither of these any more.
    let folder = place.parent().unwrap();
    for name in [format!("{digest}.gone"), format!("{digest}.gone.part"), "x".to_owned()] {
        std::fs::write(folder.join(name), b"left").unwrap();
    }
    assert_eq!(world.blobs.sweep_leftovers().await.unwrap(), 3);
    assert_eq!(world.files().len(), 2);
    world.ledger.close().await;
}

#[tokio::test]
async fn there_are_bounds() {
    let world = World::new().await;
    let begin = async |n: u8, bytes| world.blobs.begin(&ann(), ContentDigest::of(&[n]), bytes).await;
    assert!(matches!(begin(0, 1_001).await, Err(BlobError::TooLarge { .. })));
    for n in 0..3 {
        begin(n, 1_000).await.unwrap();
    }
    let error = begin(3, 1).await.unwrap_err().to_string();
    assert!(error.starts_with("you have 3 blobs with"), "{error}");
    assert!(matches!(begin(2, 999).await, Err(BlobError::OtherLength { bytes: 1_000, .. })));
    assert!(world.blobs.end_upload(&ann(), ContentDigest::of(&[2])).await.unwrap());
    assert!(!world.blobs.end_upload(&ann(), ContentDigest::of(&[2])).await.unwrap());
    begin(3, 1).await.unwrap();
    // An empty file is a blob too.
    let empty = world.blobs.keep(&bob(), Bytes::new()).await.unwrap();
    assert_eq!(world.blobs.open(&bob(), empty).await.unwrap().unwrap().bytes(), 0);
    world.ledger.close().await;
}

/// Contents that are uploaded, held and swept at the same time.
const CONTENTS: [&[u8]; 3] = [b"one", b"two", b"three"];

/// Between the steps of a sweep, and between two sweeps: long enough that others go on meanwhile.
const PAUSE: Duration = Duration::from_millis(30);

/// Uploads each content again and again.
async fn uploads(world: &World, who: Principal, rounds: usize) {
    for n in 0..rounds {
        // A sweep may end an upload that it finds unfinished: then there is nothing, and the caller is told so.
        if let Err(error @ BlobError::Ledger(_)) = world.blobs.keep(&who, Bytes::from_static(CONTENTS[n % 3])).await {
            panic!("{error}");
        }
        tokio::task::yield_now().await;
    }
}

/// Looks at what runs hold, and removes them.
async fn look_at(world: &World, held: &mut Vec<(RunId, &'static [u8])>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (run, content) in held.drain(..) {
        wrong.extend(world.wrong_with(run, content).await);
        assert!(world.ledger.remove(run, 1).await.unwrap());
    }
    wrong
}

/// Submits what may be there; returns what was wrong with it.
async fn submissions(world: &World, rounds: usize) -> Vec<String> {
    let (mut held, mut wrong) = (Vec::new(), Vec::new());
    for n in 0..rounds {
        let content = CONTENTS[(n * 7 + 1) % 3];
        match world.submit(&ann(), vec![ContentDigest::of(content)]).await {
            Ok(run) => held.push((run, content)),
            Err(LedgerError::NoSuchBlobs(_)) => {}
            Err(error) => panic!("{error}"),
        }
        if n % 8 == 0 {
            tokio::time::sleep(PAUSE).await;
            wrong.extend(look_at(world, &mut held).await);
        }
    }
    tokio::time::sleep(PAUSE * 2).await;
    wrong.extend(look_at(world, &mut held).await);
    wrong
}

/// Sweeps for ever, as `Blobs::sweep` does but slowly.
async fn sweeps(world: &World) {
    loop {
        let swept = world.ledger.blob_sweep(i64::MAX, 100).await.unwrap();
        tokio::time::sleep(PAUSE).await;
        for file in &swept.files {
            world.blobs.remove(file).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Uploads, submits and sweeps at the same time; returns what went wrong.
async fn race(rounds: usize) -> Vec<String> {
    let world = World::new().await;
    let all = async {
        let all = (uploads(&world, ann(), rounds), uploads(&world, bob(), rounds), submissions(&world, rounds));
        tokio::join!(all.0, all.1, all.2).2
    };
    let mut wrong = tokio::select! {
        wrong = all => wrong,
        () = sweeps(&world) => Vec::new(),
    };
    world.blobs.sweep(i64::MAX).await.unwrap();
    world.blobs.sweep_leftovers().await.unwrap();
    wrong.extend(world.files().iter().map(|file| format!("{} stays", file.display())));
    world.ledger.close().await;
    wrong
}

#[tokio::test]
async fn uploads_submissions_and_sweeps_cannot_race() {
    assert_eq!(Box::pin(race(100)).await, Vec::<String>::new());
}

/// A sweep that decided before an upload of the same bytes, and deletes after it. Returns what is then wrong with a run
/// that holds them.
async fn a_late_deletion() -> Option<String> {
    let world = World::new().await;
    let digest = world.blobs.keep(&ann(), Bytes::from_static(b"late")).await.unwrap();
    let swept = world.ledger.blob_sweep(i64::MAX, 100).await.unwrap();
    assert_eq!(swept.files.len(), 1);
    world.blobs.keep(&ann(), Bytes::from_static(b"late")).await.unwrap();
    let run = world.submit(&ann(), vec![digest]).await.unwrap();
    world.blobs.remove(&swept.files[0]).await;
    let wrong = world.wrong_with(run, b"late").await;
    world.ledger.close().await;
    wrong
}

/// A submission that looked before a sweep, and is recorded after it. Returns what is then wrong with its run.
async fn a_late_submission() -> Option<String> {
    let world = World::new().await;
    let digest = world.blobs.keep(&ann(), Bytes::from_static(b"late")).await.unwrap();
    assert!(world.ledger.blob(&ann(), digest).await.unwrap().is_some());
    assert_eq!(world.blobs.sweep(i64::MAX).await.unwrap(), 1);
    let wrong = match world.submit(&ann(), vec![digest]).await {
        Err(LedgerError::NoSuchBlobs(missing)) if missing == [digest] => None,
        Ok(run) => world.wrong_with(run, b"late").await,
        Err(error) => panic!("{error}"),
    };
    world.ledger.close().await;
    wrong
}

#[tokio::test]
async fn late_deletions_and_submissions_do_no_harm() {
    assert_eq!(a_late_deletion().await, None);
    assert_eq!(a_late_submission().await, None);
}

/// The control: a submission that does not look at what it may hold in the transaction that records it, and files whose
/// names are used again. Each is found in the order that it needs, and among all orders.
#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_race_is_found() {
    /// Races, until one finds it.
    const RACES: usize = 20;
    for bug in ["holds_are_not_checked", "one_file_for_a_digest"] {
        let _bug = longhaul_proto::faults::enter(&format!("bug={bug}"));
        let found = match bug {
            "one_file_for_a_digest" => a_late_deletion().await,
            _ => a_late_submission().await,
        };
        assert!(found.is_some(), "{bug} is not found");
        let mut races = 0;
        while Box::pin(race(100)).await.is_empty() {
            races += 1;
            assert!(races < RACES, "{bug} is not found in {races} races");
        }
    }
}
