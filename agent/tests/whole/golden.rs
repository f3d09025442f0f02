//! Spools that other versions wrote: the first format in every state, as its first and its last version wrote it, a
//! supervisor of it under this agent, and a later format.
//!
//! The folders in `tests/golden` are real ones, kept byte for byte. The supervisor is played here from their own bytes,
//! not with today's record types: so what it writes and what it receives stay what they were.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use longhaul_agent::{
    Agent, os,
    spool::{Layout, Meta},
};
use longhaul_proto::{
    state::{Cause, RunState},
    wire,
};
use serde_json::Value;

use crate::{
    Test,
    kit::{Followed, Gateway, Place, block_on, text, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("golden_spools_with_an_end_are_told_as_they_are", ends),
    ("golden_spools_without_an_end_are_taken_up", unfinished),
    ("golden_supervisor_ends_its_run_under_this_agent", supervisor),
    ("golden_supervisor_understands_this_agents_request", request),
    ("golden_spool_of_a_later_format_is_left_alone", later),
    ("golden_records_are_what_is_written_today", written),
    ("golden_format_2_is_laid_out_as_it_was_published", laid_out),
];

fn golden(state: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1").join(state);
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

/// Lays a golden spool into the data folder, without some files; returns the run.
fn lay(place: &Place, state: &str, boot: &str, but: &[&str]) -> String {
    let from = golden(state);
    let run = from.file_name().unwrap().to_str().unwrap().to_owned();
    let spools = Agent::spools(&place.data());
    fs::create_dir_all(&spools).unwrap();
    let to = fs::canonicalize(spools).unwrap().join(&run);
    fs::create_dir_all(to.join("work")).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(&from).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !but.contains(&name.as_str()) {
            copy(&from, &to, &name, boot);
        }
    }
    run
}

/// Writes one file of a golden spool, as a supervisor of its version would: whole, by rename.
fn copy(from: &Path, to: &Path, name: &str, boot: &str) {
    let mut bytes = fs::read(from.join(name)).unwrap();
    if let Ok(text) = std::str::from_utf8(&bytes) {
        bytes = text.replace("@SPOOL@", to.to_str().unwrap()).replace("@BOOT@", boot).into_bytes();
    }
    let aside = to.join(format!("{name}.aside"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside).unwrap();
    file.write_all(&bytes).unwrap();
    fs::rename(aside, to.join(name)).unwrap();
}

async fn followed(gateway: &Gateway, run: &str) -> Followed {
    let mut followed = gateway.follow(run, 0, 0).await.unwrap();
    followed.rest().await;
    followed
}

fn log_of(state: &str) -> Vec<u8> {
    let folder = golden(state);
    let short = folder.to_str().unwrap();
    fs::read(folder.join(format!("lh-{}.log", &short[short.len() - 8..]))).unwrap()
}

fn ends() {
    block_on(async {
        let place = Place::new();
        let cases = [
            ("succeeded", RunState::Succeeded, Cause::Completed, None),
            ("failed-unjudged", RunState::Failed, Cause::StataError, Some(9)),
            ("cancelled", RunState::Cancelled, Cause::CancelRequested, None),
            ("last-succeeded", RunState::Succeeded, Cause::Completed, None),
            ("last-ended", RunState::Succeeded, Cause::Completed, None),
            // The host was restarted meanwhile.
            ("running", RunState::Errored, Cause::HostRebooted, None),
        ];
        let runs = cases.map(|(state, ..)| lay(&place, state, "another boot", &[]));
        let (_agent, gateway) = place.agent().await;
        for ((state, end, cause, rc), run) in cases.into_iter().zip(runs) {
            let followed = followed(&gateway, &run).await;
            let outcome = followed.expect(end, cause);
            assert_eq!(outcome.rc, rc, "{state}");
            assert_eq!(followed.log, log_of(state), "{state}: every byte");
            let submission = followed.first.unwrap().submission.unwrap();
            assert_eq!((submission.run_id, submission.principal.as_str()), (run, "root"), "{state}");
        }
    });
}

fn unfinished() {
    block_on(async {
        let place = Place::new();
        // Accepted, and nothing started: it is started now. Ended without a record: a supervisor of today reads the
        // plan.
        let starting = lay(&place, "starting", &os::boot_id(), &[]);
        let revoked = lay(&place, "revoked", &os::boot_id(), &[]);
        let ended = lay(&place, "ended", &os::boot_id(), &["exit.json"]);
        let last = lay(&place, "last-ended", &os::boot_id(), &["exit.json", "outcome.json"]);
        let (_agent, gateway) = place.agent().await;
        let first = followed(&gateway, &starting).await;
        first.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(first.log_text().matches("\none\n").count(), 1, "begun once: {}", first.log_text());
        let second = followed(&gateway, &ended).await;
        second.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(second.log, log_of("ended"));
        let third = followed(&gateway, &last).await;
        third.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(third.log, log_of("last-ended"));
        for run in [&starting, &ended, &last] {
            let spool = place.spool(run);
            assert_eq!(spool.layout(), Layout::Flat, "it ends in the format in which it began");
            let meta: Meta = spool.read(&spool.submission_json()).unwrap().unwrap();
            assert_eq!(meta.format, 1);
        }
        assert!(gateway.revoke(&revoked, 1).await, "its proof still counts");
        let refused = gateway.run(wire::Submission { run_id: revoked, ..text("display 1\n") }, 1).await;
        assert!(refused.is_err_and(|s| s.message().contains("revoked")));
    });
}

fn supervisor() {
    block_on(async {
        ends_under_its_supervisor("running", "ended").await;
        ends_under_its_supervisor("last-running", "last-ended").await;
    });
}

async fn ends_under_its_supervisor(running: &str, ended: &str) {
    let place = Place::new();
    let run = lay(&place, running, &os::boot_id(), &[]);
    let spool = place.spool(&run);
    let held = os::FileLock::try_take(&spool.lock()).unwrap().unwrap();
    let (_agent, gateway) = place.agent().await;
    let mut live = gateway.follow(&run, 0, 0).await.unwrap();
    live.until_log("up\n").await;
    assert_eq!(live.first.as_ref().unwrap().state, i32::from(RunState::Running.to_wire()));

    let whole = log_of(ended);
    let rest = whole.strip_prefix(log_of(running).as_slice()).expect("the golden log only grows");
    fs::OpenOptions::new().append(true).open(spool.log()).unwrap().write_all(rest).unwrap();
    live.until_log("over\n").await;
    for name in ["sentinel", "exit.json"] {
        copy(&golden(ended), spool.path(), name, &os::boot_id());
    }
    drop(held);
    live.rest().await;
    live.expect(RunState::Succeeded, Cause::Completed);
    assert_eq!(live.log, whole);
    assert!(!spool.supervisor_log().exists() || fs::read(spool.supervisor_log()).unwrap().is_empty());
}

fn request() {
    block_on(async {
        let place = Place::new();
        let later = ["cancel.json", "ending.json", "exit.json", "outcome.json"];
        let run = lay(&place, "cancelled", &os::boot_id(), &later);
        let spool = place.spool(&run);
        let held = os::FileLock::try_take(&spool.lock()).unwrap().unwrap();
        let (_agent, gateway) = place.agent().await;
        until("the run is known", || spool.log().exists()).await;
        let mut live = gateway.follow(&run, 0, 0).await.unwrap();
        assert!(gateway.cancel(&run, wire::CancelMode::Break).await.known);
        // What that supervisor reads: only these three fields.
        let request: serde_json::Value = serde_json::from_slice(&fs::read(spool.cancel()).unwrap()).unwrap();
        assert_eq!((&request["mode"], &request["by"]), (&"break".into(), &"ada".into()), "{request}");
        assert!(request["at_ms"].is_i64(), "{request}");
        for name in ["ending.json", "exit.json"] {
            copy(&golden("cancelled"), spool.path(), name, &os::boot_id());
        }
        drop(held);
        live.rest().await;
        assert_eq!(live.expect(RunState::Cancelled, Cause::CancelRequested).ended_by, "root");
    });
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    entries.filter(|p| p.is_file()).map(|p| (p.clone(), fs::read(p).unwrap())).collect()
}

fn later() {
    block_on(async {
        let place = Place::new();
        let runs = ["running", "succeeded", "failed-unjudged"].map(|state| lay(&place, state, &os::boot_id(), &[]));
        for run in &runs {
            let spool = place.spool(run);
            for path in [spool.submission_json(), spool.plan()] {
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.contains("\"format\":1,"), "{text}");
                fs::write(&path, text.replace("\"format\":1,", "\"format\":9,")).unwrap();
            }
            fs::write(spool.path().join("facts-9.bin"), [9, 9]).unwrap();
        }
        let before = runs.each_ref().map(|run| files(place.spool(run).path()));
        // A control beside them, that this agent can read.
        let (_agent, gateway) = place.agent().await;
        let control = gateway.complete(text("display 1\n")).await;
        control.expect(RunState::Succeeded, Cause::Completed);
        for run in &runs {
            let refused = gateway.follow(run, 0, 0).await.err().expect("it cannot be followed");
            assert_eq!(refused.code(), tonic::Code::DataLoss, "{refused:?}");
            for words in ["format 9", "run the version that wrote it"] {
                assert!(refused.message().contains(words), "{refused:?}");
            }
            let again = wire::Submission { run_id: run.clone(), ..text("display 2\n") };
            assert!(gateway.run(again, 2).await.is_err(), "it is not begun again");
            assert!(gateway.try_revoke(run, 2).await.is_err(), "and nobody is told that it never began");
            assert!(!gateway.cancel(run, wire::CancelMode::Kill).await.known);
            let forget = wire::ForgetRequest { run_id: run.clone(), ..Default::default() };
            assert!(!gateway.forget(forget).await.forgotten);
        }
        assert_eq!(runs.each_ref().map(|run| files(place.spool(run).path())), before, "not a byte was touched");
    });
}

/// What a reader of the golden record would miss or misread in today's: every field must be there and mean the same
/// kind of value. More fields are growth. `null` stands for any value.
fn missed(at: &str, golden: &Value, today: &Value, found: &mut Vec<String>) {
    match (golden, today) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(golden), Value::Object(today)) => {
            for (name, golden) in golden {
                let at = format!("{at}.{name}");
                match today.get(name) {
                    Some(today) => missed(&at, golden, today, found),
                    None => found.push(format!("{at} is gone")),
                }
            }
        }
        (Value::Array(golden), Value::Array(today)) => {
            if let (Some(golden), Some(today)) = (golden.first(), today.first()) {
                missed(&format!("{at}[]"), golden, today, found);
            }
        }
        _ if std::mem::discriminant(golden) == std::mem::discriminant(today) => {}
        _ => found.push(format!("{at} was {golden} and is {today}")),
    }
}

fn written() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let fine = text("display \"one\"\n");
        gateway.complete(fine.clone()).await.expect(RunState::Succeeded, Cause::Completed);
        let failing = text("display \"before\"\nerror 9\n");
        gateway.complete(failing.clone()).await.expect(RunState::Failed, Cause::StataError);
        let cancelled = text("display \"up\"\nsleep 600000\n");
        let mut live = gateway.run(cancelled.clone(), 1).await.unwrap();
        live.until_log("up\n").await;
        gateway.cancel(&cancelled.run_id, wire::CancelMode::Break).await;
        live.rest().await;
        let mut compared = 0;
        for (state, run) in [("succeeded", fine), ("failed-unjudged", failing), ("cancelled", cancelled)] {
            let spool = place.spool(&run.run_id);
            let from = golden(state);
            let (old, new) = (from.to_str().unwrap(), run.run_id.as_str());
            for entry in fs::read_dir(&from).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                // Names carry the end of the run's id.
                let today = name.replace(&old[old.len() - 8..], &new[new.len() - 8..]);
                let folders = [spool.path(), spool.control_folder(), spool.run_folder()];
                let today = folders.map(|folder| folder.join(&today)).into_iter().find(|path| path.exists());
                let today = today.unwrap_or_else(|| panic!("{state}: {name} is written no more"));
                if name.ends_with(".json") {
                    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
                    let mut found = Vec::new();
                    missed(&name, &read(&entry.path()), &read(&today), &mut found);
                    assert!(found.is_empty(), "{state}: an agent of before would misread this: {found:?}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 15, "{compared}");
        // The control: what a break looks like.
        let golden: Value = serde_json::json!({"a": 1, "b": {"c": "x"}, "d": [{"e": true}], "f": null});
        let cases = [
            (serde_json::json!({"a": 2, "b": {"c": "y", "new": 1}, "d": [], "f": 3, "new": 1}), ""),
            (serde_json::json!({"b": {"c": "y"}, "d": [], "f": 3}), "r.a is gone"),
            (serde_json::json!({"a": "2", "b": {"c": "y"}, "d": [], "f": 3}), "r.a was 1 and is \"2\""),
            (serde_json::json!({"a": 2, "b": {"cc": "y"}, "d": [], "f": 3}), "r.b.c is gone"),
            (serde_json::json!({"a": 2, "b": {"c": "y"}, "d": [{"e": 1}], "f": 3}), "r.d[].e was true and is 1"),
        ];
        for (today, said) in cases {
            let mut found = Vec::new();
            missed("r", &golden, &today, &mut found);
            assert_eq!(found.join(" "), said);
        }
    });
}

/// Every file below a folder, by its path from there; the names carry the end of the run's id.
fn names(folder: &Path, run: &str) -> Vec<String> {
    fn collect(folder: &Path, from: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                collect(&entry.path(), from, into);
            }
            into.push(entry.path().strip_prefix(from).unwrap().to_str().unwrap().to_owned());
        }
    }
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    let mut found: Vec<String> = found.iter().map(|name| name.replace(&run[run.len() - 8..], "SHORT")).collect();
    found.sort();
    found
}

/// Format 2: the names and places of the files of a run that has ended. An addition is recorded here; nothing moves.
fn laid_out() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let run = text("display \"one\"\n");
        gateway.complete(run.clone()).await.expect(RunState::Succeeded, Cause::Completed);
        let spool = place.spool(&run.run_id);
        until("the supervisor has left", || !os::is_locked(&spool.lock()).unwrap()).await;
        assert_eq!(names(spool.path(), &run.run_id), FORMAT_2);
        let meta: Value = serde_json::from_slice(&fs::read(spool.submission_json()).unwrap()).unwrap();
        assert_eq!((&meta["format"], &meta["kind"]), (&2.into(), &"run".into()), "{meta}");
        assert_eq!(meta["holder"], run.run_id.as_str(), "{meta}");
        let plan: Value = serde_json::from_slice(&fs::read(spool.plan()).unwrap()).unwrap();
        assert_eq!(plan["format"], 2, "{plan}");
        let handle: Value = serde_json::from_slice(&fs::read(spool.handle()).unwrap()).unwrap();
        assert_eq!(handle["executor"], "local", "{handle}");
    });
}

const FORMAT_2: [&str; 26] = [
    "attempt-1",
    "control",
    "control/do-files",
    // The digest of the code.
    "control/do-files/9e23db35e194cec7e2363d5aa43ae3a0fdd3be5f971135f94e9b835cadf5e328",
    "control/entered.json",
    "control/exit.json",
    "control/gather.do",
    "control/gathered",
    "control/handle.json",
    "control/lock",
    "control/nudge",
    "control/outcome.json",
    "control/plan.json",
    "control/running.json",
    "control/spawning",
    "control/started.json",
    "control/submission.pb",
    "control/supervisor.log",
    "run",
    "run/code.do",
    "run/console",
    "run/lh-SHORT.do",
    "run/lh-SHORT.log",
    "run/sentinel",
    "run/work",
    "submission.json",
];
