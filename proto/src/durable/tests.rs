//! Files that are replaced and made whole, also by several at the same time.

use super::*;

#[test]
fn the_first_to_create_decides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempt-1");
    assert!(create_exclusive(&path, b"started\n").unwrap());
    assert!(!create_exclusive(&path, b"revoked\n").unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"started\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary name is left");
}

/// Whether two threads that replace one file again and again both always do.
#[cfg(feature = "faults")]
fn both_replace(bug: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results");
    let replace = |content: &'static [u8]| {
        let (path, bug) = (path.clone(), bug.to_owned());
        move || {
            let _scope = (!bug.is_empty()).then(|| faults::enter(&bug));
            (0..3000)
                .all(|_| replace_unsynced(&path, content).is_ok() && fs::read(&path).unwrap().len() == content.len())
        }
    };
    let both = [std::thread::spawn(replace(b"these")), std::thread::spawn(replace(b"those"))];
    let all = both.map(|thread| thread.join().unwrap_or(false)).iter().all(|done| *done);
    assert!(!all || fs::read_dir(folder.path()).unwrap().count() == 1, "no temporary name is left");
    all
}

#[test]
#[cfg(feature = "faults")]
fn threads_of_one_process_replace_a_file_at_the_same_time() {
    assert!(both_replace(""));
    assert!(!both_replace("bug=threads_share_a_name"), "the control");
}

#[test]
fn a_batch_is_there_before_the_decision() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let batch = |content: &[u8]| {
        let mut batch = Batch::default();
        batch.write(&path("request"), content).unwrap();
        batch.names(folder.path()).unwrap();
        batch
    };
    assert!(create_exclusive_after(&path("attempt-1"), b"started\n", batch(b"one")).unwrap());
    assert!(!create_exclusive_after(&path("attempt-1"), b"revoked\n", batch(b"two")).unwrap());
    assert_eq!(fs::read(path("attempt-1")).unwrap(), b"started\n");
    assert_eq!(fs::read(path("request")).unwrap(), b"two");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_a_killed_process_was_writing_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let (dead, alive) = (ended.id(), std::os::unix::process::parent_id());
    let names = [
        format!("head.{dead}.tmp"),
        format!("key.{dead}.ThreadId(3).new"),
        format!("head.{alive}.tmp"),
        format!("head.{}.tmp", std::process::id()),
        "notes.tmp".to_owned(),
    ];
    names.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
    remove_unfinished(folder.path());
    let left: Vec<bool> = names.iter().map(|name| folder.path().join(name).exists()).collect();
    assert_eq!(left, [false, false, true, true, true]);
}

#[test]
fn unfinished_names_are_told_from_others() {
    let mine = std::process::id();
    for (name, want) in [
        ("exit.json.1.tmp".to_owned(), true),
        ("attempt-1.1.ThreadId(5).new".to_owned(), true),
        (format!("exit.json.{mine}.tmp"), false),
        (format!("attempt-1.{mine}.ThreadId(5).new"), false),
        ("exit.json".to_owned(), false),
        ("results.new".to_owned(), false),
        ("tmp".to_owned(), false),
    ] {
        assert_eq!(is_unfinished(Path::new(&name)), want, "{name}");
    }
}

#[test]
fn replace_is_whole_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exit.json");
    replace(&path, b"one").unwrap();
    replace(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, FILE_MODE);
}
