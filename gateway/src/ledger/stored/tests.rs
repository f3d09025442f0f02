//! The stored form keeps its names, and details come back as they were.

use super::*;
use crate::model::Death;

fn last(number: u32) -> Option<LastAttempt> {
    let at = Placement { agent_id: "a".into(), host: "h".into(), pool: "p".into() };
    Attempt::known(number).map(|number| LastAttempt { number, at })
}

fn comes_back(detail: &Detail) {
    let last = detail.attempts.last().map(|last| LastAttempt { number: last.number, at: last.at.clone() });
    assert_eq!(read(&write(detail).unwrap(), last).unwrap(), *detail);
}

#[test]
fn a_detail_comes_back_as_it_was() {
    let asked = Asked {
        source: "/p/a.do".into(),
        name: "nightly".into(),
        note: "with the new weights".into(),
        file_name: "a.do".into(),
        working_dir: "/p".into(),
        found_sha256: "found".into(),
        queue_timeout_ms: 7,
        tracestate: "vendor=1".into(),
        retry: api::Retry::IfProvenDead,
        ..Asked::default()
    };
    let mut detail = Detail { asked, ..Detail::default() };
    comes_back(&detail);
    detail.end.diagnosis = Diagnosis {
        kind: "a_word_of_tomorrow".into(),
        before: vec![". bad".into()],
        suppressed: vec![api::SuppressedError { code: Some(111), ..Default::default() }],
        left_out: 2,
        ..Diagnosis::default()
    };
    comes_back(&detail);
    for number in 1..4 {
        let given = last(number).unwrap();
        detail.give(given.number, given.at);
        comes_back(&detail);
        let attempt = detail.present_mut().unwrap();
        attempt.execution.code_sha256 = format!("executed {number}");
        attempt.execution.running_ms = 5;
        attempt.execution.process = Some(api::ProcessView { signal: Some(9), ..api::ProcessView::default() });
        attempt.execution.profile_ran = true;
        attempt.recorded = Some(OutputLengths { log: 9, console: 1 });
        attempt.log_sha256 = "log".into();
        comes_back(&detail);
        detail.conditions.set(crate::model::Condition::Trouble, "t");
        detail.end.message = "killed".into();
        comes_back(&detail);
        let output = OutputLengths { log: 10 * u64::from(number), console: 2 };
        detail.attempt_died(Death { how: "killed".into(), complete: number > 1 }, output);
        comes_back(&detail);
        assert_eq!((detail.base(), detail.working_dir()), (output, "/p"));
        assert_eq!((detail.code_sha256(), &*detail.asked.found_sha256), (&*format!("executed {number}"), "found"));
    }
    assert_eq!(detail.dead().count(), 3);
}

#[test]
fn what_an_earlier_version_wrote_keeps_its_meaning() {
    let json = r#"{"source": "text", "wanted_dir": "/w", "working_dir": "/w/x", "code_sha256": "c", "log_base": 8,
        "log_len": 20, "log_sha256": "d", "running_ms": 4, "complete": true, "told": {"log_len": 12},
        "conditions": {"of_tomorrow": "x"}, "imported": true, "retry": "if_proven_dead", "files_removed": null,
        "earlier": [{"attempt": 1, "agent_id": "b", "host": "g", "how": "killed", "log_len": 8, "complete": true}]}"#;
    let detail = read(json, last(3)).unwrap();
    let (dead, present) = (&detail.attempts[0], detail.present().unwrap());
    assert_eq!((dead.number.number(), &*dead.at.host, dead.kept().log_len, detail.attempts.len()), (1, "g", 8, 2));
    assert_eq!((present.number.number(), &*present.at.pool, present.base.log), (3, "p", 8));
    assert_eq!((detail.working_dir(), detail.code_sha256(), &*detail.asked.found_sha256), ("/w/x", "c", "c"));
    assert_eq!((detail.origin.clone(), present.recorded.unwrap().log), (Origin::Imported, 12));
    // Between two attempts the last one is dead, and the columns still have it.
    let waiting = read(json, last(1)).unwrap();
    assert_eq!((waiting.present(), waiting.attempts.len(), &*waiting.attempts[0].at.pool), (None, 1, "p"));
    assert_eq!(read("{}", None).unwrap(), Detail::default());
}

/// An earlier version reads what this one writes.
#[test]
fn the_names_of_the_first_version_are_kept() {
    let mut detail = Detail::default();
    let given = last(1).unwrap();
    detail.give(given.number, given.at);
    let json: serde_json::Value = serde_json::from_str(&write(&detail).unwrap()).unwrap();
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut first = vec![
        "source",
        "args",
        "need",
        "path",
        "wanted_dir",
        "wanted_sha256",
        "client",
        "timeout_ms",
        "queue_timeout_ms",
        "waited_ms",
        "waited_for",
        "traceparent",
        "queued_ms",
        "queue_limit_from_ms",
        "running_ms",
        "started_ms",
        "host_running_ms",
        "host_ended_ms",
        "rc",
        "message",
        "command",
        "location",
        "engine",
        "engine_note",
        "working_dir",
        "code_sha256",
        "view",
        "log_len",
        "log_sha256",
        "console_len",
        "console_sha256",
        "complete",
        "duration_ms",
        "note",
        "leftovers",
        "artifacts",
        "ended_by",
        "imported",
        "unverified",
        "claims",
        "contested",
        "retry",
        "earlier",
        "log_base",
        "console_base",
    ];
    first.sort_unstable();
    let mut names = names;
    names.sort_unstable();
    assert_eq!(names, first);
}
