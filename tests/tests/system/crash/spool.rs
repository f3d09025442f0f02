//! A run's spool through crashes of its host: acknowledged content stays, the rest is whole or absent.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use longhaul_agent::{
    executor::local::{mark_spawning, ready_mark},
    spool::{
        Attempt, AttemptKind, CancelMode, CancelRecord, Decision, Exit, Incoming, Placed, Spool, SpoolRoot, file_facts,
    },
};
use longhaul_proto::{
    digest::ContentDigest,
    faults::{Op, did, recorded},
    ids::RunId,
    wire::{self, submission::Source},
};

use super::disk::Disk;
use crate::chance::Chance;

/// What was acknowledged and must hold.
#[derive(Default)]
struct Promised {
    attempts: Vec<(u32, AttemptKind)>,
    spawning: bool,
    cancel: bool,
    exit: Option<Exit>,
    removed: bool,
}

/// A bundle of two files that come before the run.
const FILES: [&[u8]; 2] = [b"display 1\n", b"1,2\n3,4\n"];

fn submission(run: RunId) -> wire::Submission {
    let file = |content: &&[u8]| wire::StoredFile {
        path: format!("{}.do", content.len()),
        sha256: ContentDigest::of(content).to_string(),
        bytes: content.len() as u64,
        mode: 0,
    };
    let code = wire::StoredCode { files: FILES.iter().map(file).collect(), entry: "10.do".to_owned() };
    let source = Some(Source::Stored(code));
    wire::Submission { run_id: run.to_string(), principal: "ann".to_owned(), source, ..Default::default() }
}

/// One seed; `Err` says what was broken.
pub(crate) fn trial(seed: u64) -> Result<(), String> {
    let caught = catch_unwind(AssertUnwindSafe(|| story(seed)));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
    })
}

fn story(seed: u64) -> Result<(), String> {
    let mut chance = Chance::new(seed);
    let home = super::folder();
    let run: RunId = "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21".parse().unwrap();
    let mut promised = Promised::default();
    let mut root = home.path().join("0");
    fs::create_dir(&root).unwrap();
    fs::create_dir(root.join("runs")).unwrap();
    for crash in 1..=1 + chance.below(4) {
        let mut disk = Disk::of(&root);
        let spool = SpoolRoot::open(root.join("runs")).unwrap().of(run);
        for _ in 0..chance.below(12) {
            if !step(&spool, &mut disk, &mut promised, &mut chance)? {
                break;
            }
        }
        root = home.path().join(crash.to_string());
        disk.crash(&mut chance, &root);
        look(&root, run, &promised)?;
    }
    Ok(())
}

/// What is in the spool before a call.
struct Before {
    started: bool,
    next: u32,
    exit: Option<Exit>,
    removed: bool,
}

/// One call of the real code. `Ok(false)`: the host crashed in it.
fn step(spool: &Spool, disk: &mut Disk, promised: &mut Promised, chance: &mut Chance) -> Result<bool, String> {
    let last = spool.last_attempt().map_err(|e| format!("the attempts cannot be read: {e}"))?;
    let before = Before {
        started: last.is_some_and(|a| a.kind == AttemptKind::Started),
        next: last.map_or(1, |a| a.number + 1),
        exit: spool.read::<Exit>(&spool.exit()).map_err(|e| format!("the exit record is torn: {e}"))?,
        removed: promised.removed,
    };
    let (now, ops) = recorded(|| act(spool, &before, chance));
    let whole = chance.below(5) > 0;
    let done = if whole { ops.len() } else { usize::try_from(chance.below(ops.len() as u64 + 1)).unwrap() };
    for op in &ops[..done] {
        disk.apply(op);
    }
    if !whole {
        // The removal was not acknowledged, but one that started may be completed.
        if now.removed {
            *promised = Promised { removed: true, ..Promised::default() };
        }
        return Ok(false);
    }
    promised.attempts.extend(now.attempts);
    promised.spawning |= now.spawning;
    promised.cancel |= now.cancel;
    promised.exit = promised.exit.take().or(now.exit);
    if now.removed {
        *promised = Promised { removed: true, ..Promised::default() };
    }
    Ok(true)
}

/// Makes the call; what it promises once it is acknowledged.
fn act(spool: &Spool, before: &Before, chance: &mut Chance) -> Promised {
    let mut now = Promised::default();
    let Before { started, next, .. } = *before;
    match chance.below(8) {
        0 | 1 if !started && !before.removed => {
            let request = submission(spool.run());
            give(spool, &request);
            let decided = spool.accept(&request, next, &ready_mark(), 5).unwrap();
            assert_eq!(decided, Decision::Mine, "a new attempt");
            now.attempts.push((next, AttemptKind::Started));
        }
        2 if !started && !before.removed => {
            spool.create().unwrap();
            assert_eq!(spool.decide(next, AttemptKind::Revoked).unwrap(), Decision::Mine, "a new attempt");
            now.attempts.push((next, AttemptKind::Revoked));
        }
        3 if started && !spool.spawning().exists() => {
            mark_spawning(spool).unwrap();
            now.spawning = true;
        }
        4 if started => {
            let request = CancelRecord { mode: CancelMode::Break, by: "ann".to_owned(), at_ms: 7 };
            spool.write(&spool.cancel(), &request).unwrap();
            now.cancel = true;
        }
        5 | 6 if spool.spawning().exists() && before.exit.is_none() => now.exit = print(spool, chance),
        7 if before.exit.is_some() && chance.below(3) == 0 => {
            spool.remove().unwrap();
            now.removed = true;
        }
        _ => {}
    }
    now
}

/// The files of its code come, in pieces.
fn give(spool: &Spool, request: &wire::Submission) {
    let Some(Source::Stored(code)) = &request.source else { panic!("{request:?}") };
    let incoming = Incoming::open(spool.path().parent().unwrap().with_file_name("incoming")).unwrap();
    let mut right = Vec::new();
    for content in FILES {
        let digest = ContentDigest::of(content);
        let mut partial = incoming.append(spool.run(), digest, content.len() as u64).unwrap();
        for piece in content.chunks(4) {
            assert!(partial.write(piece).unwrap());
        }
        assert_eq!(partial.compare().unwrap(), Placed::Right);
        right.push(digest);
    }
    incoming.place(spool.run(), &right).unwrap();
    incoming.move_into(spool, &code.files).unwrap();
}

/// Stata prints, and syncs nothing; it may end then, with the exit record.
fn print(spool: &Spool, chance: &mut Chance) -> Option<Exit> {
    let text = format!("line {}\n", chance.below(1000)).into_bytes();
    let before = fs::read(spool.log()).unwrap_or_default();
    fs::write(spool.log(), [before.as_slice(), &text].concat()).unwrap();
    did(|| Op::Append(spool.log(), text));
    if chance.below(2) != 0 {
        return None;
    }
    let log = file_facts(&spool.log(), u64::MAX).unwrap();
    let exit = Exit { attempt: 1, spawned: true, code: Some(0), log, ..Exit::default() };
    spool.write_exit(&exit).unwrap();
    Some(exit)
}

/// The real recovery on what the crash left.
fn look(root: &Path, run: RunId, promised: &Promised) -> Result<(), String> {
    let spools = SpoolRoot::open(root.join("runs")).map_err(|e| e.to_string())?;
    spools.remove_forgotten().map_err(|e| e.to_string())?;
    let spool = spools.of(run);
    let last = spool.last_attempt().map_err(|e| format!("the attempts cannot be read: {e}"))?;
    let taken = spool.submission().map_err(|e| format!("the request cannot be read: {e:?}"))?;
    if let Some(Attempt { kind: AttemptKind::Started, .. }) = last
        && taken != Some(submission(run))
    {
        return Err("a run was taken and its request is not whole".to_owned());
    }
    if let Some(Attempt { kind: AttemptKind::Started, .. }) = last {
        for content in FILES {
            let digest = ContentDigest::of(content).to_string();
            if !fs::read(spool.blobs().join(digest)).is_ok_and(|kept| kept == content) {
                return Err("a run was taken and its code is not whole".to_owned());
            }
        }
    }
    let exit = spool.read::<Exit>(&spool.exit()).map_err(|e| format!("the exit record is torn: {e}"))?;
    if let Some(exit) = &exit {
        let log = file_facts(&spool.log(), exit.log.len).map_err(|e| e.to_string())?;
        if (log.len, &log.sha256) != (exit.log.len, &exit.log.sha256) {
            return Err("the exit record speaks of a log that is not there".to_owned());
        }
    }
    if promised.removed {
        // Deleted: no half of it may be left that could be taken for a run.
        return Ok(());
    }
    for (number, kind) in &promised.attempts {
        let other = if *kind == AttemptKind::Started { AttemptKind::Revoked } else { AttemptKind::Started };
        let decided = spool.decide(*number, other).map_err(|e| e.to_string())?;
        if decided != Decision::Was(*kind) {
            return Err(format!("attempt {number} was {kind:?} and was decided again: {decided:?}"));
        }
    }
    if promised.spawning && !spool.spawning().exists() {
        return Err("Stata was about to be spawned and nothing tells of it".to_owned());
    }
    let request = spool.read::<CancelRecord>(&spool.cancel()).map_err(|e| format!("the request is torn: {e}"))?;
    if promised.cancel && request.is_none() {
        return Err("a request was recorded and is gone".to_owned());
    }
    if let Some(want) = &promised.exit {
        match exit {
            Some(have) if have.log == want.log => {}
            other => return Err(format!("the exit record is gone: {other:?}")),
        }
    }
    Ok(())
}
