//! The JSON of runs in the API stays as it was given out: every record below has a line in `golden/runs.jsonl`.

use std::{collections::BTreeMap, time::Duration};

use longhaul_proto::{
    api::{ArtifactView, CancelMode, FilesRemoved, LocationView, ProcessView, Retry, RunView, ViewRange},
    ids::RunId,
    state::{Cause, RunState},
};

use crate::{
    frontend::run_view::run_view,
    model::{
        Activity, Asked, Attempt, AttemptRecord, CancelIntent, Condition, Conditions, Contact, ContactState, Death,
        Detail, End, Execution, Origin, OutputLengths, Placement, Principal, Progress, QueueReason, QueueRecord,
        Record, UnixMs, Wait,
    },
    runs::snapshot::{Live, snapshot},
};

const GOLDEN: &str = include_str!("golden/runs.jsonl");
const NOW: i64 = 1_790_000_000_000;

fn shown(record: &Record, live: &Live) -> RunView {
    run_view(&snapshot(record, live))
}

fn at(number: u32) -> AttemptRecord {
    let at = Placement { agent_id: "a-1".into(), host: "stata1".into(), pool: "lab".into() };
    AttemptRecord::given(Attempt::known(number).unwrap(), at)
}

/// A record in this state; one that was given to an agent and has no attempt yet gets its first.
fn record(state: RunState, cause: Cause, detail: Detail) -> Record {
    let run: RunId = "019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21".parse().unwrap();
    let queued = Record::queued(run, Principal::new("https://id.example", "ana"), NOW - 600_000, Asked::default());
    let mut record = Record { state, cause, finished_ms: if state.is_end() { NOW } else { 0 }, detail, ..queued };
    if !matches!(state, RunState::Queued | RunState::Rejected) && record.attempt().is_none() {
        record.detail.attempts.push(at(1));
    }
    record
}

fn asked() -> Detail {
    let asked = Asked {
        source: "/p/main.do".into(),
        args: vec!["a b".into(), "2".into()],
        client: "claude-code 2.1.330".into(),
        timeout_ms: 3_600_000,
        queue_timeout_ms: 1_500,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        retry: Retry::IfProvenDead,
        ..Asked::default()
    };
    Detail { asked, ..Detail::default() }
}

fn execution() -> Execution {
    Execution {
        running_ms: NOW - 500_000,
        host_running_ms: NOW - 500_100,
        engine: "standin".into(),
        engine_note: "stand-in 1".into(),
        working_dir: "/p".into(),
        code_sha256: "ab12".into(),
        ..Execution::default()
    }
}

fn ran(mut detail: Detail) -> Detail {
    detail.queue =
        QueueRecord { waited_ms: 12_345, waited_for: "waiting for a seat of pool lab".into(), ..Default::default() };
    let number = u32::try_from(detail.attempts.len()).unwrap() + 1;
    let user_part = Some(ViewRange { start: 850, end: None, safe_end: Some(900) });
    detail.attempts.push(AttemptRecord { user_part, execution: execution(), ..at(number) });
    detail
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
    let intent = CancelIntent { by: "ana".into(), at_ms: NOW - 1_000, mode: CancelMode::Break };
    busy.cancel = Some(intent);
    let live = Live {
        log_len: 1_234,
        console_len: 5,
        cancel_delivered: true,
        progress: Some(Progress { percent: Some(12.5), text: "rep 120 of 1000".into() }),
        activity: Some(Activity { quiet: Duration::from_millis(31_500), cpus: Some(0.98) }),
        ..Live::default()
    };
    let mut away = record(RunState::Starting, Cause::Dispatched, asked());
    away.detail.conditions.set(Condition::Trouble, "agent stata1 does not know this run");
    away.detail.end.note = "noted".into();
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
    let done = |detail: Detail| {
        let mut detail = ran(detail);
        detail.end =
            End { rc: Some(0), output: OutputLengths { log: 950, console: 10 }, complete: true, ..End::default() };
        let attempt = detail.present_mut().unwrap();
        attempt.user_part = Some(ViewRange { start: 850, end: Some(900), safe_end: Some(900) });
        (attempt.execution.host_ended_ms, attempt.execution.duration_ms) = (NOW - 200, Some(499_900));
        detail
    };
    let mut good = record(RunState::Succeeded, Cause::Completed, done(asked()));
    let artifacts = vec![ArtifactView { path: "/p/fit.png".into(), bytes: 4_096 }];
    good.detail.present_mut().unwrap().execution.artifacts = artifacts;
    let location = LocationView {
        file: "/p/sub.do".into(),
        line: 12,
        callers: vec!["/p/main.do:3".into(), ":4".into(), "x:0".into()],
    };
    let mut failed = record(RunState::Failed, Cause::StataError, done(asked()));
    failed.detail.end = End {
        rc: Some(111),
        message: "bad_var not found".into(),
        command: "gen y = bad_var + 1".into(),
        location: Some(location),
        complete: false,
        ..failed.detail.end
    };
    failed.detail.contested = vec!["agent b says otherwise".into()];
    failed.detail.present_mut().unwrap().execution.leftovers = vec!["4711 python".into()];
    let newer = BTreeMap::from([("a_kind_of_tomorrow".into(), "from a newer version".into())]);
    failed.detail.conditions = Conditions::from_names(newer);
    failed.detail.conditions.set(Condition::Incomplete, "the copy differs");
    let dead = AttemptRecord {
        user_part: Some(ViewRange { start: 10, end: Some(800), safe_end: Some(800) }),
        recorded: Some(OutputLengths { log: 800, console: 0 }),
        death: Some(Death { how: "host rebooted".into(), complete: false }),
        ..at(1)
    };
    let again = done(Detail { attempts: vec![dead], ..asked() });
    let again = record(RunState::Lost, Cause::AgentGone, again);
    let returned = Live { runs_again: true, ..Live::of(&again) };
    let removed = FilesRemoved { at: "2026-11-26T13:00:00.000Z".into(), bytes: 9, why: "for room".into() };
    let mut gone = record(RunState::Errored, Cause::Killed, done(asked()));
    gone.detail.end.files_removed = Some(removed);
    gone.principal = Principal::default();
    gone.detail.origin = Origin::Unverified { claims: Principal::new("local", "bob") };
    gone.detail.asked.retry = Retry::default();
    let nameless = LocationView { file: String::new(), line: 3, callers: vec![] };
    gone.detail.end.location = Some(nameless);
    let all = [good, failed, gone].map(|record| (Live::of(&record), record));
    let mut all: Vec<_> = all.into_iter().map(|(live, record)| (record, live)).collect();
    all.push((again, returned));
    let process = ProcessView {
        exit_code: None,
        signal: Some(15),
        max_rss_bytes: Some(73_400_320),
        cpu: Some(1.5),
        ..ProcessView::default()
    };
    let mut stopped = record(RunState::Cancelled, Cause::CancelRequested, done(asked()));
    let execution = &mut stopped.detail.present_mut().unwrap().execution;
    (execution.ended_by, execution.process, execution.profile_ran) = ("ana".into(), Some(process), true);
    all.push((stopped.clone(), Live::of(&stopped)));
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
