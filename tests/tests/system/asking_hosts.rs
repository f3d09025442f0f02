//! One host asks for a person's word before it runs risky commands, and another does not.

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{
    api::bundle,
    lab,
    lab::{Gateway, Lab},
    wait,
};
use reqwest::Method;
use serde_json::json;

fn risky(host: Option<&str>) -> SubmitRequest {
    let text = Some("capture erase no.dta\n".to_owned());
    SubmitRequest { text, again: true, host: host.map(str::to_owned), ..SubmitRequest::default() }
}

/// The host that a risky run goes to unasked; `None` = it is refused.
async fn unasked(gateway: &Gateway) -> Option<String> {
    let run = gateway.api.submit(&risky(None)).await.ok()?.run;
    assert_eq!(run.confirmed, None);
    let end = gateway.api.wait_end(run.run_id).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    end.host
}

async fn both(lab: &Lab) -> (Gateway, [longhaul_tests::daemon::Daemon; 2]) {
    let gateway = lab.gateway().await;
    let agents = [lab.agent("asks", &gateway, &["--confirm", "erase"]), lab.agent("takes", &gateway, &[])];
    gateway.api.wait_host("asks", "up").await;
    gateway.api.wait_host("takes", "up").await;
    (gateway, agents)
}

#[tokio::test]
async fn a_host_that_asks_stops_no_run_that_another_takes() {
    let mut lab = lab!();
    let (gateway, mut agents) = both(&lab).await;
    assert_eq!(unasked(&gateway).await.as_deref(), Some("takes"));
    let asked = async |host| gateway.api.submit(&risky(host)).await.unwrap_err();
    let refused = asked(Some("asks")).await;
    assert!(refused.status == 409 && refused.detail.contains("asks wants a person to agree"), "{refused:?}");
    // It waits for the host that takes it, and does not slip to the one that asks.
    let gated = SubmitRequest {
        path: Some(lab.gated().display().to_string()),
        args: vec!["busy".into()],
        host: Some("takes".into()),
        ..SubmitRequest::default()
    };
    let busy = gateway.api.submit(&gated).await.unwrap().run.run_id;
    gateway.api.wait_output(busy, "started busy").await;
    let waits = gateway.api.submit(&risky(None)).await.unwrap().run.run_id;
    let words = |view: &longhaul_proto::api::RunView| view.waiting.as_ref().is_some_and(|why| why.contains("takes"));
    gateway.api.wait_run(waits, wait::SOON, "it waits for the other host", words).await;
    assert_eq!(gateway.api.get(waits).await.unwrap().state, RunState::Queued);
    lab.open_gate("busy");
    assert_eq!(gateway.api.wait_end(waits).await.host.as_deref(), Some("takes"));
    // With that one drained there is none that takes it, and a person is asked, whose word opens all hosts.
    let drain = gateway.api.request(Method::POST, "/api/v1/hosts/drain").json(&json!({"hosts": ["takes"]}));
    assert_eq!(drain.send().await.unwrap().status(), 200);
    agents[1].terminate().await;
    gateway.api.wait_host("takes", "silent").await;
    assert_eq!(asked(None).await.status, 409);
    let agreed = SubmitRequest { confirm: true, ..risky(None) };
    let run = gateway.api.submit(&agreed).await.unwrap().run.run_id;
    assert_eq!(gateway.api.wait_end(run).await.host.as_deref(), Some("asks"));

    drop((gateway, agents));
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=one_host_asks_for_all");
    assert_eq!(unasked(&both(&lab).await.0).await, None, "the control");
}

#[tokio::test]
async fn files_of_a_bundle_are_named_in_the_question_however_they_are_written() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("asks", &gateway, &["--confirm", "erase"]);
    gateway.api.wait_host("asks", "up").await;
    let files = [("main.do", "display 1\n"), ("Sub/CLEAN.DO", "\u{feff}erase x.dta\n"), ("notes.txt", "erase y.dta\n")];
    let bundle = Some(bundle("main.do", &files));
    let refused = gateway.api.submit(&SubmitRequest { bundle, ..SubmitRequest::default() }).await.unwrap_err();
    assert!(refused.status == 409 && refused.detail.contains("CLEAN.DO"), "{refused:?}");
    assert!(refused.detail.contains("line 1") && !refused.detail.contains("y.dta"), "{refused:?}");
}

#[tokio::test]
async fn a_makefile_says_that_a_person_has_agreed() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("asks", &gateway, &["--confirm", "erase"]);
    gateway.api.wait_host("asks", "up").await;
    lab.file("clean.do", "capture erase no.dta\n");
    let data = gateway.daemon.data.to_str().unwrap();
    let stata = async |words: &[&str]| lab.run([&["--data", data, "stata"], words].concat()).await;
    let refused = stata(&["-b", "do", "clean.do"]).await;
    assert!(refused.status != 0 && refused.err.contains("longhaul stata --confirm -b do"), "{refused:#?}");
    assert!(!lab.work().join("clean.log").exists(), "nothing ran");
    let ran = stata(&["--confirm", "-b", "do", "clean.do"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert!(lab.work().join("clean.log").exists());
}
