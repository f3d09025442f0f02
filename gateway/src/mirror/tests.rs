//! Mirrors on a real disk.

use longhaul_proto::{digest::GrowingBlake3, ids::Ids, sha256_hex};

use super::*;

async fn append(mirror: &Mirror, offset: u64, data: &'static [u8]) -> Appended {
    let pieces = data.chunks(3).map(Bytes::from_static).collect();
    mirror.append(Stream::Log, offset, pieces).await.unwrap()
}

/// Compares with what agents record, and with what those of earlier versions do: the answer is the same.
async fn seal(mirror: &Mirror, len: u64, text: &[u8]) -> Sealed {
    let mut blake3 = GrowingBlake3::default();
    blake3.update(text);
    let digest = RecordedDigest::of(&blake3.text(), "not looked at");
    let sealed = seal_as(mirror, len, digest.clone()).await;
    assert_eq!(seal_as(mirror, len, RecordedDigest::of("", &sha256_hex(text))).await, sealed, "likewise");
    assert_eq!(seal_as(mirror, len, digest).await, sealed, "asking changes nothing");
    sealed
}

async fn seal_as(mirror: &Mirror, len: u64, digest: RecordedDigest) -> Sealed {
    let console = Recorded { len: 0, digest: RecordedDigest::of("", "") };
    let [(Stream::Log, log), (Stream::Console, Sealed::Same)] =
        mirror.seal(Recorded { len, digest }, console).await.unwrap()
    else {
        panic!("the log first, and an empty console is what was recorded of it")
    };
    log
}

#[tokio::test]
async fn it_is_always_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let mirrors = Mirrors::new(folder.path(), 1 << 20);
    let run = Ids::system().run();
    assert!(mirrors.find(run).await.unwrap().is_none());
    let mirror = mirrors.open(run).await.unwrap();
    assert_eq!(append(&mirror, 0, b"one ").await, Appended::Grew(4));
    assert_eq!(append(&mirror, 0, b"one ").await, Appended::Had, "repeated");
    assert_eq!(append(&mirror, 2, b"e two").await, Appended::Grew(3), "overlapping");
    assert_eq!(append(&mirror, 9, b"!").await, Appended::Gap, "a hole is never written");
    assert_eq!(&mirror.read(Stream::Log, 0, 100).await.unwrap()[..], b"one two");
    assert_eq!(&mirror.read(Stream::Log, 4, 2).await.unwrap()[..], b"tw");
    assert!(mirror.read(Stream::Log, 7, 10).await.unwrap().is_empty());
    assert!(mirror.read(Stream::Console, 0, 10).await.unwrap().is_empty());
    assert_eq!(seal(&mirror, 7, b"one two").await, Sealed::Same);
    assert_eq!(seal(&mirror, 7, b"one twO").await, Sealed::Differs);
    assert_eq!(seal(&mirror, 8, b"one two!").await, Sealed::Differs, "shorter than it should be");
    assert_eq!(seal(&mirror, 3, b"one").await, Sealed::Longer);
    assert_eq!(seal(&mirror, 3, b"two").await, Sealed::Differs);
    assert_eq!(seal(&mirror, 7, b"one two").await, Sealed::Same, "asking changes nothing");
    assert_eq!(seal_as(&mirror, 7, RecordedDigest::None).await, Sealed::Same, "the length alone");
    assert_eq!(seal_as(&mirror, 8, RecordedDigest::None).await, Sealed::Differs);
    assert_eq!(append(&mirror, 7, b" three").await, Appended::Grew(6));
    assert_eq!(seal(&mirror, 13, b"one two three").await, Sealed::Same);
    assert!(Arc::ptr_eq(&mirror, &mirrors.open(run).await.unwrap()), "one open file per run");
}

#[tokio::test]
async fn it_goes_on_after_a_restart_and_can_start_over() {
    let folder = tempfile::tempdir().unwrap();
    let run = Ids::system().run();
    let mirrors = Mirrors::new(folder.path(), 1 << 20);
    append(&mirrors.open(run).await.unwrap(), 0, b"before ").await;
    let mirrors = Mirrors::new(folder.path(), 1 << 20);
    let mirror = mirrors.find(run).await.unwrap().unwrap();
    assert_eq!(mirror.len(Stream::Log), 7);
    append(&mirror, 7, b"after").await;
    assert_eq!(seal(&mirror, 12, b"before after").await, Sealed::Same);
    mirror.restart(Stream::Log).await.unwrap();
    assert_eq!(append(&mirror, 0, b"other").await, Appended::Grew(5));
    assert_eq!(seal(&mirror, 5, b"other").await, Sealed::Same);
    mirrors.remove(run).await.unwrap();
    assert!(mirrors.find(run).await.unwrap().is_none());
    mirrors.remove(run).await.unwrap();
}

#[tokio::test]
async fn what_an_earlier_attempt_printed_stays_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let run = Ids::system().run();
    let mirrors = Mirrors::new(folder.path(), 1 << 20);
    let mirror = mirrors.open(run).await.unwrap();
    append(&mirror, 0, b"first ").await;
    assert_eq!(seal(&mirror, 6, b"first ").await, Sealed::Same);
    mirror.begin_at(6, 0);
    append(&mirror, 6, b"second").await;
    assert_eq!(seal(&mirror, 12, b"second").await, Sealed::Same, "the digest is the attempt's own");
    assert_eq!(seal(&mirror, 12, b"first second").await, Sealed::Differs);
    mirror.restart(Stream::Log).await.unwrap();
    assert_eq!(&mirror.read(Stream::Log, 0, 100).await.unwrap()[..], b"first ");
    append(&mirror, 6, b"second").await;
    drop((mirror, mirrors));
    let mirror = Mirrors::new(folder.path(), 1 << 20).open(run).await.unwrap();
    mirror.begin_at(6, 0);
    assert_eq!(seal(&mirror, 12, b"second").await, Sealed::Same, "also after a restart");
    assert_eq!(&mirror.read(Stream::Log, 0, 100).await.unwrap()[..], b"first second");
}

#[tokio::test]
async fn what_they_take_follows_what_is_written_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (root, ids) = (folder.path().join("mirror"), Ids::system());
    let runs: Vec<RunId> = (0..40).map(|_| ids.run()).collect();
    let before = Mirrors::new(&root, 1 << 20);
    for run in &runs {
        append(&before.open(*run).await.unwrap(), 0, b"from before ").await;
    }
    assert_eq!(before.taken().await, bytes_below(&root));
    drop(before);
    let mirrors = Mirrors::new(&root, 1 << 20);
    // Open, closed again, grown and removed before the count, while it goes on, and after it.
    let open = mirrors.open(runs[0]).await.unwrap();
    append(&open, 12, b"more").await;
    mirrors.remove(runs[1]).await.unwrap();
    let change = async {
        for run in runs.iter().skip(2).take(20) {
            append(&mirrors.open(*run).await.unwrap(), 12, b"meanwhile").await;
            tokio::time::sleep(REST / 2).await;
            mirrors.open(ids.run()).await.unwrap();
        }
        mirrors.remove(runs[2]).await.unwrap();
    };
    tokio::join!(change, mirrors.taken());
    assert_eq!(mirrors.taken().await, bytes_below(&root));
    append(&open, 16, b" and more").await;
    append(&mirrors.open(runs[30]).await.unwrap(), 12, b"late").await;
    let new = mirrors.open(ids.run()).await.unwrap();
    append(&new, 0, b"new").await;
    open.restart(Stream::Log).await.unwrap();
    for run in [runs[0], runs[3], runs[30], ids.run()] {
        mirrors.remove(run).await.unwrap();
    }
    assert_eq!(mirrors.taken().await, bytes_below(&root));
    drop((open, new));
    mirrors.open(runs[31]).await.unwrap();
    assert_eq!(mirrors.taken().await, bytes_below(&root));
    // No file is looked at any more.
    let sum = mirrors.taken().await;
    std::fs::rename(&root, folder.path().join("elsewhere")).unwrap();
    assert_eq!(mirrors.taken().await, sum);
}

/// A removal that the walk overtakes: in the folder where the walk is, or before it comes there.
#[tokio::test]
async fn what_is_being_removed_is_not_counted() {
    for before in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let run = Ids::system().run();
        let mirrors = Mirrors::new(folder.path(), 1 << 20);
        append(&mirrors.open(run).await.unwrap(), 0, b"from before").await;
        let (kept, runs) = (Kept::default(), folder.path().join(folder_of(run)));
        kept.begin();
        let leave = || assert_eq!(kept.leave(run), Leaving::Uncounted);
        if before {
            leave();
        }
        assert_eq!(kept.walk_into(&runs), [run.to_string()]);
        if !before {
            leave();
        }
        kept.walk_past(&runs, &run.to_string());
        mirrors.remove(run).await.unwrap();
        kept.left(run, 0, 0);
        kept.over();
        assert_eq!(kept.sum(), 0);
    }
}

/// What cannot be removed still takes its room.
#[test]
fn what_stays_in_spite_of_its_removal_counts() {
    let (kept, run) = (Kept::default(), Ids::system().run());
    kept.over();
    kept.left(run, 0, 11);
    assert_eq!(kept.leave(run), Leaving::Counted);
    kept.left(run, 11, 4);
    assert_eq!(kept.sum(), 4);
}

#[tokio::test]
async fn the_limit_cuts_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Mirrors::new(folder.path(), 6).open(Ids::system().run()).await.unwrap();
    assert_eq!(append(&mirror, 0, b"1234").await, Appended::Grew(4));
    assert!(!mirror.is_cut(Stream::Log));
    assert_eq!(append(&mirror, 4, b"5678").await, Appended::Grew(2));
    assert!(mirror.is_cut(Stream::Log));
    assert_eq!(append(&mirror, 8, b"9").await, Appended::Had);
    assert_eq!(mirror.len(Stream::Log), 6);
}
