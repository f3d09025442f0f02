//! Each kind of evidence with its verdict.

use super::*;
use crate::{
    spool::{LimitsRecord, RunLimits},
    stata::judge::judge,
};

fn exit() -> Exit {
    Exit {
        spawned: true,
        code: Some(0),
        log: crate::spool::FileFacts { len: 10, ..Default::default() },
        ..Exit::default()
    }
}

#[test]
fn the_order_of_evidence() {
    let ok = ". display 1\n1\n\n. \nend of do-file\n";
    let bad = ". di x\nx not found\nr(111);\n\nend of do-file\nr(111);\n";
    let cut = ". sleep 1000\n";
    let break_ = ". sleep 1000\n--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n";
    let left = ". exit, STATA clear\n";
    let cancel = Ending { cause: Cause::CancelRequested, by: "ada".into(), at_ms: 1, words: String::new() };
    let late = Ending { cause: Cause::RunTimeout, by: String::new(), at_ms: 1, words: String::new() };
    let full = Ending { cause: Cause::SpoolFull, words: "too much".into(), ..late.clone() };
    let check =
        |log: &str, exit: Exit, ending: Option<&Ending>, completed: bool, want: (RunState, Cause, Option<i64>)| {
            let judgement = judge(log.as_bytes());
            let evidence = Evidence {
                exit: &exit,
                ending,
                completed,
                contradicted: false,
                judgement: &judgement,
                licence: None,
                console: String::new(),
            };
            let verdict = weigh(&evidence);
            assert_eq!((verdict.state, verdict.cause, verdict.rc), want, "{log}\n{exit:?}\n{verdict:?}");
        };
    use Cause::*;
    use RunState::*;
    check(ok, exit(), None, true, (Succeeded, Completed, None));
    check(ok, exit(), Some(&cancel), true, (Succeeded, Completed, None));
    check(ok, exit(), None, false, (Errored, Incomplete, None));
    check(bad, exit(), None, false, (Failed, StataError, Some(111)));
    check(break_, exit(), None, false, (Failed, StataError, Some(1)));
    check(break_, exit(), Some(&cancel), false, (Cancelled, CancelRequested, None));
    check(bad, exit(), Some(&late), false, (TimedOut, RunTimeout, None));
    check(bad, exit(), Some(&full), false, (Errored, SpoolFull, None));
    let large = Ending { cause: Cause::OutOfMemory, words: "too much".into(), ..late.clone() };
    let many = Ending { cause: Cause::OverLimit, words: "too many".into(), ..late.clone() };
    check(cut, exit(), Some(&large), false, (Errored, OutOfMemory, None));
    check(cut, exit(), Some(&many), false, (Errored, OverLimit, None));
    check(ok, exit(), Some(&large), true, (Succeeded, Completed, None));
    check(ok, exit(), Some(&full), true, (Succeeded, Completed, None));
    let unreadable = || Exit { unreadable: Some("x".into()), status_lost: true, code: None, ..exit() };
    check(ok, unreadable(), None, false, (Errored, Incomplete, None));
    check(bad, unreadable(), Some(&cancel), false, (Cancelled, CancelRequested, None));
    check(cut, exit(), None, false, (Errored, Incomplete, None));
    check(left, exit(), None, false, (Succeeded, CompletedUnconfirmed, None));
    check(left, Exit { code: Some(3), ..exit() }, None, false, (Failed, StataError, Some(3)));
    let signal = |n| Exit { signal: Some(n), code: None, ..exit() };
    check(cut, signal(9), None, false, (Errored, Killed, None));
    check(ok, signal(9), None, false, (Errored, Killed, None));
    check(bad, signal(9), None, false, (Failed, StataError, Some(111)));
    check(cut, signal(11), None, false, (Errored, Crashed, None));
    check(cut, Exit { out_of_memory: true, ..signal(9) }, None, false, (Errored, OutOfMemory, None));
    let limits = Some(LimitsRecord {
        limits: RunLimits { memory: 64 << 20, cpu_ms: 60_000, ..RunLimits::default() },
        memory_by_kernel: true,
        ..LimitsRecord::default()
    });
    check(cut, Exit { limits, out_of_memory: true, ..signal(9) }, None, false, (Errored, OutOfMemory, None));
    check(cut, Exit { limits, ..signal(24) }, None, false, (Errored, OverLimit, None));
    check(cut, signal(24), None, false, (Errored, Killed, None));
    // A refused process may be one whose work the result lacks.
    let limits = Some(LimitsRecord {
        limits: RunLimits { processes: 24, ..RunLimits::default() },
        processes_by_kernel: true,
        ..LimitsRecord::default()
    });
    let refused = |n| Exit { limits, refused_processes: n, ..exit() };
    check(ok, refused(1), None, true, (Errored, OverLimit, None));
    check(bad, refused(1), None, false, (Errored, OverLimit, None));
    check(ok, refused(0), None, true, (Succeeded, Completed, None));
    check(cut, Exit { disk_full: true, ..exit() }, None, false, (Errored, SpoolFull, None));
    check(bad, Exit { disk_full: true, ..exit() }, None, false, (Failed, StataError, Some(111)));
    let lost = || Exit { code: None, status_lost: true, ..exit() };
    check(ok, lost(), None, false, (Errored, Incomplete, None));
    check(bad, lost(), None, false, (Failed, StataError, Some(111)));
    check(ok, Exit { rebooted: true, ..lost() }, None, false, (Errored, HostRebooted, None));
    check(ok, Exit { rebooted: true, ..lost() }, None, true, (Succeeded, Completed, None));
    check("", Exit { spawned: false, ..Exit::default() }, Some(&cancel), false, (Cancelled, CancelRequested, None));
    check("", Exit { log: Default::default(), code: Some(1), ..exit() }, None, false, (Errored, SpawnFailed, None));
}

#[test]
fn a_log_that_contradicts_the_sentinel_is_believed() {
    let judgement = judge(b". error 459\nr(459);\n\nend of do-file\nr(459);\n\nend of do-file\nr(459);\n");
    let verdict = weigh(&Evidence {
        exit: &Exit { disk_full: true, ..exit() },
        ending: None,
        completed: false,
        contradicted: true,
        judgement: &judgement,
        licence: None,
        console: String::new(),
    });
    assert_eq!((verdict.state, verdict.cause, verdict.rc), (RunState::Failed, Cause::StataError, Some(459)));
    let note = verdict.note.unwrap();
    assert!(note.contains("was full") && note.contains("sentinel") && note.contains("r(459);"), "{note}");
}

#[test]
fn a_licence_refusal_is_told_from_any_other_start_that_failed() {
    let judgement = judge(b"");
    let mut exit = Exit { log: Default::default(), code: Some(1), ..exit() };
    let weigh_it = |exit: &Exit| {
        weigh(&Evidence {
            exit,
            ending: None,
            completed: false,
            contradicted: false,
            judgement: &judgement,
            licence: crate::stata::licence::recognise(b"License is invalid\n"),
            console: "License is invalid".into(),
        })
        .cause
    };
    assert_eq!(weigh_it(&exit), Cause::Licence);
    exit.log.len = 5;
    assert_eq!(weigh_it(&exit), Cause::Incomplete, "with a log, the console's words may be the user's own");
}
