//! The command line on one machine: a do-file's output and verdict, where a failure happened, and the shipped files.

use longhaul_proto::{
    api::RunView,
    state::{Cause, RunState},
};
use longhaul_tests::lab;

#[tokio::test]
async fn a_short_run_ends_with_its_output_and_verdict() {
    let lab = lab!();
    let file = lab.examples().join("short.do");
    let ran = lab.run(["run", "--engine", "standin", file.to_str().unwrap()]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert!(ran.out.contains("after 5: 15\n"), "{ran:#?}");
    assert!(ran.out.contains("succeeded") || ran.err.contains("succeeded"), "{ran:#?}");
    assert!(
        !ran.out.contains("SENTINEL") && !ran.out.contains("file open"),
        "the wrapper is no part of the view: {ran:#?}"
    );
}

#[tokio::test]
async fn every_result_of_the_stand_in_says_so_in_its_first_line() {
    let lab = lab!();
    let file = lab.file("a.do", "display 1\n");
    let ran = lab.run(["run", "--engine", "standin", file.to_str().unwrap()]).await;
    let first = format!("{}{}", ran.err, ran.out).lines().next().unwrap_or_default().to_lowercase();
    assert!(first.contains("stand-in") || first.contains("standin"), "{ran:#?}");
}

/// Checks the report of the nested failure, however the do-file got there.
fn check_nested(ran: &longhaul_tests::lab::Ran) {
    assert_eq!(ran.status, 1, "{ran:#?}");
    let all = format!("{}{}", ran.out, ran.err);
    for words in ["r(9)", "assertion is false", "steps/check.do", "4"] {
        assert!(all.contains(words), "{words:?} is missing: {ran:#?}");
    }
    assert!(!all.contains("this line is never reached\n"), "{ran:#?}");
}

#[tokio::test]
async fn a_failure_deep_in_nested_do_files_names_code_message_file_and_line() {
    let lab = lab!();
    let file = lab.examples().join("nested-failure.do");
    check_nested(&lab.run(["run", "--engine", "standin", file.to_str().unwrap()]).await);

    let ran = lab.run(["run", "--engine", "standin", "--json", file.to_str().unwrap()]).await;
    assert_eq!(ran.status, 1, "{ran:#?}");
    let last = ran.out.lines().last().unwrap_or_default();
    let view: RunView = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {ran:#?}"));
    assert_eq!((view.state, view.cause, view.rc), (RunState::Failed, Cause::StataError, Some(9)));
    assert_eq!(view.command.as_deref(), Some("assert income <= `limit'"));
    let place = view.location.expect("a place");
    assert!(place.file.ends_with("steps/check.do"), "{place:?}");
    assert_eq!(place.line, 4, "{place:?}");
    let callers: Vec<bool> =
        place.callers.iter().zip(["nested-failure.do:6", "prepare.do:4"]).map(|(c, end)| c.ends_with(end)).collect();
    assert_eq!(callers, [true, true], "{place:?}");
}

#[tokio::test]
async fn a_bundle_carries_the_nested_files_to_a_host_that_has_none_of_them() {
    let mut lab = lab!();
    let examples = lab.examples();
    let gateway = lab.up(&[]).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let file = examples.join("nested-failure.do");
    let (file, folder) = (file.to_str().unwrap(), examples.to_str().unwrap());
    check_nested(&lab.run(["run", "--with", folder, file]).await);
    // The bundle was unpacked into the run's own folder, instead of being run where the client has it.
    let run = &gateway.api.list().await.unwrap().runs[0];
    assert!(run.working_dir.as_deref().is_some_and(|w| w.ends_with("/work") && w.contains("agent/runs")), "{run:#?}");
}

#[tokio::test]
async fn wait_log_and_runs_find_a_detached_run_by_its_short_name() {
    let mut lab = lab!();
    let gateway = lab.up(&[]).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let file = lab.gated();
    let file = file.to_str().unwrap();
    let ran = lab.run(["run", "--detach", "--json", file, "detached"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let view: RunView = serde_json::from_str(ran.out.trim()).unwrap_or_else(|e| panic!("{e}: {ran:#?}"));
    let id = view.run_id.to_string();
    let short = &id[id.len() - 8..];
    gateway.api.wait_output(view.run_id, "started detached").await;
    // As the do-file itself could ask, by `shell longhaul runs`: its processes carry the run's mark.
    lab.env("LONGHAUL_RUN_ID", &id);
    assert!(lab.run(["runs"]).await.out.contains(short));
    lab.open_gate("detached");
    let waited = lab.run(["wait", short]).await;
    assert_eq!(waited.status, 0, "{waited:#?}");
    let log = lab.run(["log", short]).await;
    assert!(log.out.contains("finished detached\n"), "{log:#?}");
    assert_eq!(lab.executions("detached"), 1);
}

#[tokio::test]
async fn a_long_simulation_shows_how_far_it_is() {
    let lab = lab!();
    let file = lab.examples().join("simulation.do");
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let run = gateway.api.submit_path(&file, &["500", "10"]).await;
    let limit = longhaul_tests::wait::SOON;
    let seen = gateway.api.wait_run(run.run_id, limit, "a percent", |v| {
        v.progress.as_ref().is_some_and(|p| p.percent.is_some_and(|x| x > 0.0 && x < 100.0))
    });
    seen.await;
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
}

/// Units are text that only systemd reads; what can be checked here is what the design guarantees.
#[test]
fn the_units_keep_runs_alive_over_a_restart_of_the_agent() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    for unit in ["longhaul-agent@.service", "longhaul-up.service"] {
        let text = std::fs::read_to_string(folder.join(unit)).unwrap();
        for line in ["KillMode=process", "OOMPolicy=continue", "Delegate=yes", "PrivateTmp=no"] {
            assert!(text.lines().any(|l| l == line), "{unit}: {line}");
        }
    }
}

/// Every flag that a unit gives must be one that the program takes.
#[tokio::test]
async fn the_units_start_the_program_with_flags_it_has() {
    let lab = lab!();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let entries = [folder.join("user"), folder].map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let services =
        entries.into_iter().flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "service"));
    for unit in services {
        let text = std::fs::read_to_string(unit.path()).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("ExecStart=")).unwrap();
        let mut words = line.split_whitespace().skip(1);
        let help = lab.run([words.next().unwrap(), "--help"]).await;
        assert_eq!(help.status, 0, "{help:#?}");
        for flag in words.filter(|w| w.starts_with("--")) {
            assert!(help.out.contains(flag), "{}: {flag}: {}", unit.path().display(), help.out);
        }
    }
}

#[tokio::test]
async fn a_name_without_an_extension_is_that_of_a_do_file_as_in_stata() {
    let lab = lab!();
    lab.file("project/main.do", "display \"this is main\"\n");
    let name = lab.work().join("project/main");
    let ran = lab.run(["run", "--engine", "standin", name.to_str().unwrap()]).await;
    assert!(ran.status == 0 && ran.out.contains("this is main"), "{ran:#?}");
    let folder = lab.work().join("project");
    let with = ["run", "--engine", "standin", "--with", folder.to_str().unwrap(), "main"];
    let ran = lab.run(with).await;
    assert!(ran.status == 0 && ran.out.contains("this is main"), "{ran:#?}");
    let missing = lab.work().join("project/mein");
    let ran = lab.run(["run", "--engine", "standin", missing.to_str().unwrap()]).await;
    assert!(ran.status != 0 && ran.err.contains("mein: there is no such file"), "{ran:#?}");
}
