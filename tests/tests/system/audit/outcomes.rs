//! What a line says, for people: commands that changed nothing, answers that are polled, and words instead of codes.

use longhaul_proto::api::{CancelMode, SubmitRequest};
use longhaul_tests::{api::read, lab, mcp::Mcp, wait};
use reqwest::Method;
use serde_json::{Value, json};

use super::{lines, of};

#[tokio::test]
async fn a_command_that_changed_nothing_says_so() {
    async fn said(bug: &str) -> Vec<Value> {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", bug);
        let gateway = lab.up(&[]).await;
        gateway.api.wait_host_up().await;
        let text = SubmitRequest { text: Some("display 1".into()), ..SubmitRequest::default() };
        let run = gateway.api.submit(&text).await.unwrap().run.run_id;
        gateway.api.wait_end(run).await;
        gateway.api.cancel(run, CancelMode::Break).await.unwrap();
        let all = lines(&lab, &gateway.daemon.data, &["--run", &run.to_string()]).await;
        assert_eq!(of(&all, "cancel").len(), 1);
        of(&all, "outcome").into_iter().cloned().collect()
    }
    let told = said("").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let detail = &told[0]["detail"];
    assert_eq!(detail["of"], "cancel");
    assert!(detail["why"].as_str().unwrap().contains("had ended already: succeeded"), "{detail}");
    assert!(said("bug=outcomes_untold").await.is_empty(), "the control");
}

#[tokio::test]
async fn lists_and_completions_of_clients_have_lines() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    for _ in 0..3 {
        let params = json!({"ref": {"type": "ref/prompt", "name": "run_and_explain"}, "argument": {"name": "host", "value": ""}});
        assert!(client.request("completion/complete", params).send().await.unwrap().status().is_success());
    }
    assert!(client.request("resources/list", json!({})).send().await.unwrap().status().is_success());
    let data = gateway.daemon.data.clone();
    let found = async |tool: &str| {
        let all = lines(&lab, &data, &["--event", "answer"]).await;
        all.iter().filter(|line| line["detail"]["tool"].as_str().unwrap().starts_with(tool)).count()
    };
    assert_eq!(found("resources/list").await, 1);
    let counted = async || (found("completion/complete").await == 1).then_some(());
    wait::until(wait::SOON, "one line for all three", counted).await;
}

#[tokio::test]
async fn the_table_is_for_people() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let stranger = longhaul_tests::trust::Side::stranger(longhaul_proto::transport::Role::Agent);
    assert!(stranger.call_gateway(gateway.api.url()).await.is_err());
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ci", "principal": "ana"}));
    let made: Value = read(made.send().await.unwrap()).await.unwrap();
    let ana = gateway.api.with_token(made["token"].as_str().unwrap());
    assert!(ana.submit(&SubmitRequest { path: Some("/no.do".into()), ..SubmitRequest::default() }).await.is_ok());
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let table = lab.run(["audit", "--data", &data]).await;
    assert!(table.out.contains("by ana (token ci)"), "the token's name: {}", table.out);
    let refused = table.out.lines().find(|line| line.contains("agent=true")).unwrap_or_default();
    assert!(refused.contains("join secret") && !refused.contains("%20"), "{refused}");
    let start = table.out.lines().find(|line| line.contains("settings=")).unwrap();
    assert!(start.contains("max_queued = 10000 (default)") && !start.contains("Options {"), "{start}");
    assert!(!table.out.contains(gateway.api.token()));
}

/// The lines about two equal requests, of which the first one's run answers the second.
async fn joined(faults: &str) -> Vec<String> {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let mut gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let ask = || longhaul_proto::api::SubmitRequest { text: Some("display 1".into()), ..Default::default() };
    let first = gateway.api.submit(&ask()).await.unwrap();
    let again = gateway.api.submit(&ask()).await.unwrap();
    assert!(first.joined.is_none() && again.joined.is_some(), "{again:#?}");
    gateway.daemon.terminate().await;
    let all = lines(&lab, &gateway.daemon.data, &[]).await;
    let asked =
        all.iter().filter_map(|line| line["event"].as_str()).filter(|event| ["submit", "joined"].contains(event));
    asked.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_request_that_an_earlier_run_answers_has_that_line_alone() {
    assert_eq!(joined("").await, ["submit", "joined"]);
    assert_eq!(joined("bug=joined_after_its_line").await, ["submit", "submit", "joined"], "the control");
}
