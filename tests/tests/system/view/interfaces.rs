//! No interface shows the banner or the wrapper, at any moment of a run.

use std::fs;

use longhaul_proto::{api::RunView, ids::RunId, state::RunState};
use longhaul_tests::{lab, mcp::Mcp, wait};
use serde_json::json;

use super::{Background, Site, check_clean, user_text};

async fn every_interface(profile: bool) {
    let site = Site::new().await;
    if profile {
        site.lab.file("profile.do", "set more off\n");
    }
    let run = site.submit("mine", profile).await;
    site.banner_shows(run).await;
    for (who, text, alone) in site.interfaces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text.is_empty(), "{who} shows what is not there yet: {text}");
    }
    assert_eq!(site.api().get(run).await.unwrap().view, None, "the user's part has not started");

    site.let_start();
    let live = wait::until(wait::SOON, "the user's output is shown", async || {
        let text = user_text(site.api(), run).await;
        text.contains("started mine\n").then_some(text)
    })
    .await;
    assert!(live.starts_with(". file open count using"), "{live}");
    for (who, text, alone) in site.interfaces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text.starts_with(". file open count using"), "{who}: {text}");
        assert!(who == "progress" || text.contains("started mine"), "{who}: {text}");
    }

    site.lab.open_gate("mine");
    let end = site.api().wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    let part = end.view.expect("the user's part");
    let raw = site.api().output(run, "log").await.unwrap();
    let whole = String::from_utf8(raw[part.start as usize..part.end.unwrap() as usize].to_vec()).unwrap();
    assert!(whole.starts_with(&live) && whole.ends_with("end of do-file\n"), "{whole}");
    for (who, text, alone) in site.interfaces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text == whole, "{who}: {text}");
    }
}

#[tokio::test]
async fn no_interface_shows_the_banner_or_the_wrapper() {
    every_interface(false).await;
}

#[tokio::test]
async fn a_profile_changes_nothing_of_that() {
    every_interface(true).await;
}

/// A run of an agent that sends no safe end: what is shown of it while it runs, and once it has ended.
async fn of_an_earlier_version(more: &str) -> (Site, RunId, String) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", format!("bug=views_of_an_earlier_version{more}"));
    let site = Site::of(lab).await;
    site.let_start();
    let run = site.submit("mine", false).await;
    site.api().wait_output(run, "started mine").await;
    let started = |v: &RunView| v.view.is_some();
    let view = site.api().wait_run(run, wait::SOON, "its part has started", started).await;
    assert_eq!(view.view.unwrap().safe_end, None, "{view:#?}");
    let live = user_text(site.api(), run).await;
    (site, run, live)
}

#[tokio::test]
async fn a_run_of_an_older_agent_is_shown_when_it_has_ended() {
    let (site, run, live) = of_an_earlier_version("").await;
    let (lab, api) = (&site.lab, site.api());
    assert_eq!(live, "", "which lines are the wrapper's cannot be told yet");
    for (who, text, alone) in site.interfaces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text.is_empty(), "{who}: {text}");
    }
    let mut log = Background::start(lab, "log", &["log", "-f", &run.to_string()]);
    log.says("of an earlier version").await;
    lab.open_gate("mine");
    let end = api.wait_end(run).await;
    let (raw, part) = (api.output(run, "log").await.unwrap(), end.view.unwrap());
    let whole = String::from_utf8(raw[part.start as usize..part.end.unwrap() as usize].to_vec()).unwrap();
    assert!(whole.contains("started mine") && whole.ends_with("end of do-file\n"), "{whole}");
    for (who, text, alone) in site.interfaces(run).await {
        check_clean(&who, &text);
        assert!(!alone || text == whole, "{who}: {text}");
    }
    assert!(log.end().await.success());
    assert_eq!(log.out(), whole);
}

#[tokio::test]
async fn shown_at_once_it_would_show_too_much() {
    let (_site, _, live) = of_an_earlier_version(";bug=view_ignores_safe_end").await;
    assert_ne!(live, "", "the control");
}

#[tokio::test]
async fn who_followed_before_the_start_sees_the_users_part_alone() {
    let site = Site::new().await;
    let (lab, api) = (&site.lab, site.api());
    site.let_start();
    let busy = site.submit("busy", false).await;
    api.wait_output(busy, "started busy").await;
    fs::remove_file(&site.hold).unwrap();
    let run = site.submit("mine", false).await;
    let mut log = Background::start(lab, "log", &["log", "-f", &run.to_string()]);
    log.says("queued").await;
    lab.open_gate("busy");
    site.banner_shows(run).await;
    log.says("running on").await;
    assert_eq!(log.out(), "");
    site.let_start();
    log.says("started mine\n").await;
    lab.open_gate("mine");
    assert!(log.end().await.success());
    assert_eq!(log.out(), user_text(api, run).await);
    check_clean("log -f", &(log.out() + &log.err()));
}

#[tokio::test]
async fn run_shows_the_users_part_alone_with_a_profile_and_a_slow_engine() {
    let site = Site::new().await;
    site.lab.file("profile.do", "set more off\nsleep 100\n");
    let file = site.lab.file("a.do", "display \"mine\"\n");
    let mut ran = Background::start(&site.lab, "run", &["run", "--project-profile", file.to_str().unwrap()]);
    let run = wait::until(wait::SOON, "it is there", async || {
        site.api().list().await.unwrap().runs.first().map(|r| r.run_id)
    })
    .await;
    site.banner_shows(run).await;
    ran.says("running on").await;
    site.let_start();
    assert!(ran.end().await.success());
    assert_eq!(ran.out(), ". display \"mine\"\nmine\n\n. \nend of do-file\n");
    check_clean("run", &(ran.out() + &ran.err()));
}

#[tokio::test]
async fn progress_is_never_a_line_of_the_banner() {
    let site = Site::new().await;
    let file = site.lab.gated();
    let client = Mcp::new(site.api(), "client", "1");
    let mut call = client.start("stata_run_file", json!({"file_path": file, "args": ["mine"]}), json!({})).await;
    let running = call.progress("it is running", |p| p.message.starts_with("running")).await;
    check_clean("progress", &running.message);
    let run = site.api().list().await.unwrap().runs[0].run_id;
    site.banner_shows(run).await;
    // The first message to a client that starts to wait now.
    let waiting = client.start("stata_wait", json!({"runs": run.to_string(), "seconds": 1}), json!({})).await;
    let (progress, result) = waiting.all().await;
    assert!(!progress.is_empty(), "it is said that the run is alive");
    progress.iter().for_each(|p| check_clean("progress", &p.message));
    check_clean("stata_wait", &result.expect("a result").text);
    site.let_start();
    site.lab.open_gate("mine");
    let (progress, result) = call.all().await;
    progress.iter().for_each(|p| check_clean("progress", &p.message));
    check_clean("the result", &result.expect("a result").text);
}
