//! The JSON of runs in the API stays as it was given out: every record below has a line in `golden/runs.jsonl`.

use std::time::Duration;

use longhaul_proto::{
    api::{ArtifactView, CancelMode, FilesRemoved, LocationView, Retry, RunView, ViewRange},
    ids::RunId,
    state::{Cause, RunState},
};

use crate::{
    face::run_view::run_view,
    ledger::{CancelIntent, Detail, Earlier, Record},
    model::{Activity, Condition, Contact, ContactState, Principal, Progress, QueueReason, UnixMs, Wait},
    runs::snapshot::{Live, snapshot},
};

const GOLDEN: &str = include_str!("golden/runs.jsonl");
const NOW: i64 = 1_790_000_000_000;

fn shown(record: &Record, live: &Live) -> RunView {
    run_view(&snapshot(record, live))
}

fn record(state: RunState, cause: Cause, detail: Detail) -> Record {
    let run: RunId = "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21".parse().unwrap();
    let queued = Record::queued(run, Principal::new("https://id.example", "ana"), NOW - 600_000, detail);
    let given = !matches!(state, RunState::Queued | RunState::Rejected);
    Record {
        state,
        cause,
        attempt: u32::from(given),
        agent_id: if given { "a-1".into() } else { String::new() },
        host: if given { "stata1".into() } else { String::new() },
        pool: if given { "lab".into() } else { String::new() },
        finished_ms: if state.is_end() { NOW } else { 0 },
        ..queued
    }
}

fn asked() -> Detail {
    Detail {
        source: "/p/main.do".into(),
        args: vec!["a b".into(), "2".into()],
        client: "claude-code 2.1.330".into(),
        timeout_ms: 3_600_000,
        queue_timeout_ms: 1_500,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        retry: Retry::IfProvenDead,
        ..Detail::default()
    }
}

fn ran(detail: Detail) -> Detail {
    Detail {
        waited_ms: 12_345,
        waited_for: "waiting for a seat of pool lab".into(),
        running_ms: NOW - 500_000,
        host_running_ms: NOW - 500_100,
        engine: "standin".into(),
        engine_note: "stand-in 1".into(),
        working_dir: "/p".into(),
        code_sha256: "ab12".into(),
        view: Some(ViewRange { start: 850, end: None, safe_end: Some(900) }),
        ..detail
    }
}

fn contact(state: ContactState) -> Contact {
    Contact { state, lasts: Duration::from_millis(76_250), words: "agent stata1 is silent for 1 min 16 s".into() }
}

fn unfinished() -> Vec<(Record, Live)> {
    let waits = Live {
        waiting: Some(Wait::Queued(QueueReason::lasting("no agent is connected: start one".into()))),
        no_end_since: UnixMs::stored(NOW - 61_000),
        ..Live::default()
    };
    let mut busy = record(RunState::Running, Cause::FirstOutput, ran(asked()));
    let wish = CancelIntent { by: "ana".into(), at_ms: NOW - 1_000, mode: CancelMode::Break };
    busy.cancel = Some(wish);
    let live = Live {
        log_len: 1_234,
        console_len: 5,
        cancel_delivered: true,
        progress: Some(Progress { percent: Some(12.5), text: "rep 120 of 1000".into() }),
        activity: Some(Activity { quiet: Duration::from_millis(31_500), cpus: Some(0.98) }),
        ..Live::default()
    };
    let mut away = record(RunState::Starting, Cause::Dispatched, asked());
    away.detail.set(Condition::Trouble, "agent stata1 does not know this run");
    away.detail.note = "noted".into();
    let silent = Live {
        waiting: Some(Wait::Unclear(Contact {
            words: "agent stata1 is silent".into(),
            ..contact(ContactState::Silent)
        })),
        silent_for: Some(Duration::from_millis(76_250)),
        contact: Some(contact(ContactState::Silent)),
        no_end_since: UnixMs::stored(NOW - 76_250),
        ..Live::default()
    };
    let cut_off = Live { contact: Some(contact(ContactState::Unreachable)), ..live.clone() };
    let awaited = Live { contact: Some(contact(ContactState::Awaited)), ..live.clone() };
    vec![
        (record(RunState::Queued, Cause::Submitted, asked()), waits),
        (busy.clone(), live),
        (busy.clone(), cut_off),
        (busy, awaited),
        (away, silent),
    ]
}

fn ended() -> Vec<(Record, Live)> {
    let done = |detail: Detail| Detail {
        rc: Some(0),
        host_ended_ms: NOW - 200,
        duration_ms: Some(499_900),
        view: Some(ViewRange { start: 850, end: Some(900), safe_end: Some(900) }),
        log_len: 950,
        console_len: 10,
        complete: true,
        ..ran(detail)
    };
    let artifacts = vec![ArtifactView { path: "/p/fit.png".into(), bytes: 4_096 }];
    let good = record(RunState::Succeeded, Cause::Completed, Detail { artifacts, ..done(asked()) });
    let location = LocationView {
        file: "/p/sub.do".into(),
        line: 12,
        callers: vec!["/p/main.do:3".into(), ":4".into(), "x:0".into()],
    };
    let mut failed = record(
        RunState::Failed,
        Cause::StataError,
        Detail {
            rc: Some(111),
            message: "bad_var not found".into(),
            command: "gen y = bad_var + 1".into(),
            location: Some(location),
            leftovers: vec!["4711 python".into()],
            complete: false,
            contested: vec!["agent b says otherwise".into()],
            ..done(asked())
        },
    );
    failed.detail.set(Condition::Incomplete, "the copy differs");
    failed.detail.conditions.insert("a_kind_of_tomorrow".into(), "from a newer version".into());
    let dead = Earlier {
        attempt: 1,
        agent_id: "a-1".into(),
        host: "stata1".into(),
        how: "host rebooted".into(),
        log_len: 800,
        complete: false,
        view: Some(ViewRange { start: 10, end: Some(800), safe_end: Some(800) }),
        ..Earlier::default()
    };
    let mut again = record(RunState::Lost, Cause::AgentGone, Detail { earlier: vec![dead], ..done(asked()) });
    again.attempt = 2;
    let returned = Live { runs_again: true, ..Live::of(&again) };
    let removed = FilesRemoved { at: "2026-11-26T13:00:00.000Z".into(), bytes: 9, why: "for room".into() };
    let mut gone = record(RunState::Errored, Cause::Killed, Detail { files_removed: Some(removed), ..done(asked()) });
    gone.principal = Principal::default();
    gone.detail.unverified = true;
    gone.detail.claims = Principal::new("local", "bob");
    gone.detail.retry = Retry::default();
    let nameless = LocationView { file: String::new(), line: 3, callers: vec![] };
    gone.detail.location = Some(nameless);
    let all = [good, failed, gone].map(|record| (Live::of(&record), record));
    let mut all: Vec<_> = all.into_iter().map(|(live, record)| (record, live)).collect();
    all.push((again, returned));
    all
}

#[test]
fn the_json_of_runs_stays_as_it_was_given_out() {
    let all = unfinished().into_iter().chain(ended());
    let lines: Vec<String> = all.map(|(r, live)| serde_json::to_string(&shown(&r, &live)).unwrap()).collect();
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        std::fs::write("src/runs/tests/golden/runs.jsonl", lines.join("\n") + "\n").unwrap();
        return;
    }
    assert_eq!(lines, GOLDEN.lines().collect::<Vec<_>>());
}
