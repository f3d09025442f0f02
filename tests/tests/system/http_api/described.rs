//! The API's description: served without a token, and what every answer that these tests read is compared with.

use longhaul_gateway::api::openapi::DOCUMENT;
use longhaul_tests::{api::Api, described::Described, lab};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_description_is_served_without_a_token() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let anyone = gateway.api.with_token("");
    let answer = anyone.request(Method::GET, "/api/v1/openapi.json").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), DOCUMENT, "the description that answers are compared with here");
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let needs = |method: &str, path: &str| document["paths"][path][method]["security"].clone();
    assert_eq!(needs("get", "/api/v1/runs"), json!([{"token": ["read_own"]}, {"token": ["read_all"]}]));
    assert_eq!(needs("post", "/api/v1/tokens"), json!([{"token": ["operate"]}]));
    assert_eq!(needs("get", "/healthz"), json!([]));
}

/// What is wrong with an answer, as the clients of these tests find it.
async fn wrong(api: &Api, path: &str) -> Option<String> {
    let described = Described::own();
    let operation = described.operation(&Method::GET, path).unwrap();
    let answer = api.raw(Method::GET, path).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = answer.bytes().await.unwrap();
    described.wrong_head(&operation, status, &headers).or(described.wrong_body(&operation, status, &kind, &body))
}

#[tokio::test]
async fn an_answer_that_is_not_described_is_found() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    assert_eq!(wrong(&gateway.api, "/api/v1/whoami").await, None);
    assert_eq!(wrong(&gateway.api, "/api/v1/runs/none").await, None, "a problem is described too");
    lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=answers_undescribed");
    let gateway = lab.gateway().await;
    let found = wrong(&gateway.api, "/api/v1/whoami").await.expect("the control");
    for part in ["7 is not of type", "'unknown' was unexpected", "\"issuer\" is a required property"] {
        assert!(found.contains(part), "{part}: {found}");
    }
    // So does a status, a type, or an event that nothing describes.
    let described = Described::own();
    let operation = described.operation(&Method::GET, "/api/v1/runs/x/history").unwrap();
    assert_eq!(operation.name, "GET /api/v1/runs/{run}/history");
    let answer = gateway.api.raw(Method::GET, "/metrics").send().await.unwrap();
    let found = described.wrong_head(&operation, answer.status(), answer.headers()).unwrap();
    assert!(found.contains("text/plain"), "{found}");
    let found = described.wrong_head(&operation, reqwest::StatusCode::IM_A_TEAPOT, answer.headers()).unwrap();
    assert!(found.contains("the status is not described"), "{found}");
    let events = described.operation(&Method::GET, "/api/v1/events").unwrap();
    assert_eq!(described.wrong_event(&events, "ready", r#"{"resumed": true}"#), None);
    assert!(described.wrong_event(&events, "ready", r#"{"resumed": 1}"#).is_some());
    assert!(described.wrong_event(&events, "news", "{}").is_some());
    assert!(described.operation(&Method::GET, "/api/v1/runs/x/files/tables/a.csv").is_some(), "names have slashes");
}
