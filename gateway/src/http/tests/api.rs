//! The HTTP API.

use serde_json::json;

use super::{
    client::{messages, send},
    *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_from_submission_to_its_end() {
    let world = World::new(quick()).await;
    let client = world.client();
    let id = world.waiting_run(&client, "display 1").await;
    let short = &id[id.len() - 8..];
    for name in [id.as_str(), short] {
        let (status, run) = client.api("GET", &format!("/api/v1/runs/{name}"), "").await;
        assert_eq!((status, &run["run_id"]), (200, &id.as_str().into()), "{run}");
    }
    // The scheduler tells the run's task why it waits, a moment after the run is recorded.
    let path = format!("/api/v1/runs/{id}");
    let reason = async {
        while !client.api("GET", &path, "").await.1["waiting"].is_string() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reason).await.expect("it says why it waits");
    let (_, list) = client.api("GET", "/api/v1/runs?limit=5&state=queued", "").await;
    assert_eq!(list["runs"].as_array().unwrap().len(), 1);
    let (status, run) = client.api("POST", &format!("/api/v1/runs/{short}/cancel"), "").await;
    assert_eq!((status, &run["state"]), (200, &"cancelled".into()), "{run}");
    assert_eq!(run["exit_status"], 3);
    let (status, history) = client.api("GET", &format!("/api/v1/runs/{short}/history"), "").await;
    let steps: Vec<_> = history["steps"].as_array().unwrap().iter().map(|step| step["state"].clone()).collect();
    assert_eq!((status, steps), (200, vec!["queued".into(), "cancelled".into()]), "{history}");
    assert_eq!((&history["run_id"], &history["attempts"]), (&id.as_str().into(), &json!([])));
    assert!(history["steps"][1]["at"].is_string(), "{history}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_principals_see_nothing() {
    let world = World::new(quick()).await;
    let (anna, ben) = (world.other("anna").await, world.other("ben").await);
    sees_nothing(&world, &anna, &ben).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_the_same_subject_of_another_issuer() {
    let world = World::new(quick()).await;
    let (anna, theirs) = (world.other("anna").await, world.foreign("idp", "anna").await);
    sees_nothing(&world, &anna, &theirs).await;
    sees_nothing(&world, &theirs, &anna).await;
    world.stop().await;
}

/// Of a run of `anna`, nothing is shown to `ben`.
async fn sees_nothing(world: &World, anna: &Client, ben: &Client) {
    let id = world.waiting_run(anna, "display 1").await;
    let base = format!("/api/v1/runs/{id}");
    let all = [("GET", ""), ("POST", "/cancel"), ("GET", "/output"), ("GET", "/events")];
    for (method, path) in all {
        let (status, body) = ben.api(method, &format!("{base}{path}"), "").await;
        assert_eq!((status, &body["type"]), (404, &"unknown-run".into()), "{path}: {body}");
    }
    assert_eq!(ben.api("POST", &format!("{base}/declare-dead"), "").await.0, 403);
    let (_, listed) = ben.api("GET", "/api/v1/runs", "").await;
    assert!(!listed.to_string().contains(&id), "{listed}");
    assert_eq!(world.client().api("GET", &base, "").await.0, 200, "an operator does");
    let (text, is_error) = ben.tool("stata_log", json!({ "run": id })).await;
    assert!(is_error && text.contains("no run"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_alone_names_a_local_principal_or_is_ambiguous() {
    let world = World::new(quick()).await;
    let client = world.client();
    let make = async |name: &str, principal: &str| {
        client.api("POST", "/api/v1/tokens", &json!({"name": name, "principal": principal}).to_string()).await
    };
    let theirs = world.foreign("https://idp.example", "ana").await;
    let (status, made) = make("one", "ana").await;
    assert_eq!((status, &made["principal"]), (201, &"ana".into()), "no other issuer's is meant: {made}");
    let (status, problem) = make("two", "ana").await;
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert_eq!(status, 400, "{problem}");
    assert!(detail.contains("`ana` may mean https://idp.example:ana or local:ana"), "{detail}");
    let (status, made) = make("two", "local:ana").await;
    assert_eq!((status, &made["principal"]), (201, &"ana".into()), "{made}");
    let (status, problem) = make("three", "https://idp.example:ana").await;
    assert_eq!(status, 400, "a token of ours is of a principal of ours: {problem}");
    let (_, me) = theirs.api("GET", "/api/v1/whoami", "").await;
    assert_eq!((&me["principal"], &me["issuer"]), (&"https://idp.example:ana".into(), &"https://idp.example".into()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_say_what_to_do() {
    let world = World::new(quick()).await;
    let client = world.client();
    let check = async |method: &str, path: &str, body: &str, status: u16, words: &[&str]| {
        let (got, problem) = client.api(method, path, body).await;
        assert_eq!(got, status, "{path} {body}: {problem}");
        let detail = problem["detail"].as_str().unwrap_or_else(|| panic!("{path}: {problem}"));
        for word in words {
            assert!(detail.contains(word), "{path}: {detail}");
        }
    };
    let runs = "/api/v1/runs";
    check("POST", runs, "{", 400, &["not JSON"]).await;
    check("POST", runs, r#"{"pth": "/a.do"}"#, 400, &["`pth`", "`path`"]).await;
    check("POST", runs, r#"{"text": "di 1", "timeout": "5"}"#, 400, &["`timeout`"]).await;
    check("POST", runs, "{}", 400, &["path", "text"]).await;
    check("GET", "/api/v1/runs?limit=0", "", 400, &["limit"]).await;
    check("GET", "/api/v1/runs?limt=1", "", 400, &["limt"]).await;
    check("GET", "/api/v1/runs?state=done", "", 400, &["state", "succeeded"]).await;
    check("GET", "/api/v1/runs/0000000a", "", 404, &["no run `0000000a`"]).await;
    check("GET", "/api/v1/nothing", "", 404, &["/api/v1"]).await;
    check("DELETE", runs, "", 405, &["method"]).await;
    check("POST", "/api/v1/tokens", r#"{"name": "a b"}"#, 400, &["`name`"]).await;
    check("POST", "/api/v1/tokens", r#"{"name": "a", "scope": "all"}"#, 400, &["`scope`", "`operate`"]).await;
    let id = world.waiting_run(&client, "display 2").await;
    let run = format!("/api/v1/runs/{id}");
    check("POST", &format!("{run}/cancel"), r#"{"mode": "hard"}"#, 400, &["`mode`", "`kill`"]).await;
    check("GET", &format!("{run}/output?offset=9"), "", 416, &["offset 9", "0 bytes"]).await;
    check("GET", &format!("{run}/output?offset=0&tail=1"), "", 400, &["not both"]).await;
    check("GET", &format!("{run}/events?offset=9"), "", 416, &["offset 9"]).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_the_state_and_end_with_the_run() {
    let world = World::new(quick()).await;
    let client = world.client();
    let id = world.waiting_run(&client, "display 3").await;
    let bearer = format!("Bearer {}", client.token);
    let path = format!("/api/v1/runs/{id}/events");
    let mut answer = send(client.addr, "GET", &path, &[("Authorization", &bearer)], "").await;
    assert!(answer.head.contains("text/event-stream"), "{}", answer.head);
    answer.until("event: state").await;
    answer.until("\n:\n\n").await;
    client.api("POST", &format!("/api/v1/runs/{id}/cancel"), "").await;
    let (_, body) = answer.whole().await;
    assert!(body.contains("event: end\ndata: "), "{body}");
    let last = messages(&body).pop().unwrap();
    assert_eq!((&last["run_id"], &last["state"]), (&id.as_str().into(), &"cancelled".into()));

    let (status, text) = client.api("GET", &format!("/api/v1/runs/{id}/output?wait=5"), "").await;
    assert_eq!((status, text), (200, json!("")), "an ended run does not make anybody wait");
    let (_, numbers) = client.api("GET", "/metrics", "").await;
    let numbers = numbers.as_str().unwrap();
    let ended = "longhaul_runs_ended_total{cause=\"cancel_requested\",result=\"cancellation\",state=\"cancelled\"} 1\n";
    assert!(numbers.contains(ended), "{numbers}");
    assert!(numbers.contains("longhaul_followers 0"), "{numbers}");
    world.stop().await;
}
