//! Nothing is sent to an address that the operator did not allow: not by another notation, another name, a redirect, a proxy,
//! or because it was allowed once.

use longhaul_proto::api::CancelMode;
use longhaul_tests::{lab, lab::Lab, port::free_port, wait};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Receiver, add, allowing, list, submit, telling, up, wait_told};

#[tokio::test]
async fn without_a_rule_nothing_is_taken() {
    let lab = lab!();
    let gateway = up(&lab).await;
    let refused = gateway.api.submit(&telling("display 1", &["https://hooks.lab.org/".to_owned()])).await.unwrap_err();
    assert!(refused.status == 403 && refused.detail.contains("`notify_allow`"), "{refused:?}");
    let refused = gateway.api.submit(&telling("display 1", &["mailto:ana@lab.org".to_owned()])).await.unwrap_err();
    assert!(refused.status == 403 && refused.detail.contains("`smtp_relay`"), "{refused:?}");
    assert!(gateway.api.list().await.unwrap().runs.is_empty(), "no run was made");
    let said =
        lab.run(["notify", "add", "https://hooks.lab.org/", "--data", gateway.daemon.data.to_str().unwrap()]).await;
    assert!(said.status != 0 && said.err.contains("`notify_allow`"), "{said:?}");
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_when_it_is_named() {
    let mut lab = lab!();
    let inside = Receiver::answering("200 OK").await;
    let port = inside.port;
    // The name of this machine's loopback is allowed, and its addresses are not: they would have to be listed.
    allowing(
        &mut lab,
        &[format!("http://localhost:{port}"), "hooks.lab.org".to_owned(), "http://192.0.2.0/24".to_owned()],
    );
    let gateway = up(&lab).await;
    for (url, status, want) in [
        (format!("http://localhost:{port}/"), 403, "no public address"),
        (format!("http://LOCALHOST.:{port}/"), 403, "no public address"),
        (format!("http://127.0.0.1:{port}/"), 403, "does not allow 127.0.0.1"),
        (format!("http://2130706433:{port}/"), 403, "does not allow 127.0.0.1"),
        (format!("http://0x7f.1:{port}/"), 403, "does not allow 127.0.0.1"),
        (format!("http://0177.0.0.1:{port}/"), 403, "does not allow 127.0.0.1"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), 403, "does not allow"),
        (format!("http://[::1]:{port}/"), 403, "does not allow"),
        (format!("http://0.0.0.0:{port}/"), 403, "does not allow 0.0.0.0"),
        (format!("http://localhost:{port}@127.0.0.1:{port}/"), 400, "a user or a password"),
        (format!("http://hooks.lab.org@127.0.0.1:{port}/"), 400, "a user or a password"),
        (format!("http://127.0.0.1:{port}/#@localhost"), 400, "after #"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), 403, "does not allow 169.254.169.254"),
        ("https://evil.hooks.lab.org/".to_owned(), 403, "does not allow evil.hooks.lab.org"),
        ("https://hooks.lab.org:22/".to_owned(), 403, "at port 22"),
        ("file:///etc/passwd".to_owned(), 400, "another scheme"),
        ("gopher://127.0.0.1/".to_owned(), 400, "another scheme"),
        ("mailto:ana@lab.org".to_owned(), 403, "`smtp_relay`"),
    ] {
        let refused = gateway.api.submit(&telling("display 1", std::slice::from_ref(&url))).await.unwrap_err();
        assert!(refused.status == status && refused.detail.contains(want), "{url}: {refused:?}");
        let body = json!({"address": url});
        let added = gateway.api.request(Method::POST, "/api/v1/notify/receivers").json(&body).send().await.unwrap();
        assert_eq!(added.status().as_u16(), status, "{url}");
    }
    let many: Vec<_> = (0..9).map(|n| format!("http://192.0.2.1/{n}")).collect();
    let refused = gateway.api.submit(&telling("display 1", &many)).await.unwrap_err();
    assert!(refused.detail.contains("at most 8"), "{refused:?}");
    assert!(gateway.api.list().await.unwrap().runs.is_empty(), "no run was made");
    assert!(list(&gateway.api).await.receivers.is_empty());
    assert_eq!(inside.got().len(), 0);
    let audit = gateway.api.request(Method::GET, "/api/v1/audit?event=receiver_refused").send().await.unwrap();
    let lines: Value = audit.json().await.unwrap();
    assert!(lines.as_array().unwrap().len() >= 10, "{lines}");
}

#[tokio::test]
async fn a_private_address_is_told_where_it_is_listed_and_no_proxy_is_asked() {
    let mut lab = lab!();
    let inside = Receiver::answering("200 OK").await;
    let proxy = Receiver::answering("200 OK").await;
    let port = inside.port;
    let rules = ["localhost", "127.0.0.0/8", "[::1]"].map(|who| format!("http://{who}:{port}"));
    allowing(&mut lab, &rules);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        lab.env(name, proxy.url(""));
    }
    lab.env("NO_PROXY", "").env("no_proxy", "");
    let gateway = up(&lab).await;
    // It listens at one address of the two that the name may have; the connection goes to one that was checked.
    submit(&gateway.api, "display 1", &[format!("http://localhost:{port}/name"), inside.url("/address")]).await;
    let mut paths: Vec<_> = inside.wait(2).await.into_iter().map(|got| got.line).collect();
    paths.sort();
    assert_eq!(paths, ["POST /address HTTP/1.1", "POST /name HTTP/1.1"]);
    assert_eq!(proxy.got().len(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut lab = lab!();
    let other = Receiver::answering("200 OK").await;
    let answer = format!("307 Temporary Redirect\r\nlocation: {}", other.url("/stolen"));
    let first = Receiver::answering(Box::leak(answer.into_boxed_str())).await;
    // Though the other one is allowed, too.
    allowing(&mut lab, &[first.url(""), other.url("")]);
    let gateway = up(&lab).await;
    submit(&gateway.api, "display 1", &[first.url("/")]).await;
    let told = wait_told(&gateway.api, "it was tried", |one| one.tries >= 2).await;
    assert!(told.problem.unwrap().contains("not followed"));
    assert!(first.got().len() >= 2 && other.got().is_empty());
}

/// Submits under one rule, restarts the gateway under another, and lets the run end.
async fn rule_taken_away(bug: &str) -> (lab::Gateway, Lab, Receiver) {
    let mut lab = lab!();
    let receiver = Receiver::answering("200 OK").await;
    allowing(&mut lab, &[receiver.url("")]);
    let mut gateway = up(&lab).await;
    let run = submit(&gateway.api, "display \"at work\"\nsleep 3600000", &[receiver.url("/")]).await.run_id;
    add(&gateway.api, &receiver.url("/own")).await;
    gateway.api.wait_output(run, "\nat work\n").await;
    gateway.daemon.kill();
    let other = format!("http://127.0.0.1:{}", free_port());
    for (name, value) in &mut gateway.daemon.spec.env {
        if name == "LONGHAUL_NOTIFY_ALLOW" {
            *value = other.clone().into();
        }
    }
    if !bug.is_empty() {
        gateway.daemon.spec.env.push(("LONGHAUL_FAULTS".into(), format!("bug={bug}").into()));
    }
    gateway.daemon.restart();
    lab::ready(&mut gateway.daemon).await;
    gateway.api.wait_host_up().await;
    gateway.api.cancel(run, CancelMode::Kill).await.unwrap();
    gateway.api.wait_end(run).await;
    (gateway, lab, receiver)
}

#[tokio::test]
async fn a_rule_that_was_taken_away_after_the_submission_holds() {
    let (gateway, _lab, receiver) = rule_taken_away("").await;
    let told = wait_told(&gateway.api, "it was tried", |one| one.tries >= 2).await;
    assert!(told.problem.unwrap().contains("does not allow 127.0.0.1"));
    assert_eq!(list(&gateway.api).await.recent.len(), 2);
    assert_eq!(receiver.got().len(), 0);
    let tested = gateway.api.request(Method::POST, "/api/v1/notify/test").send().await.unwrap();
    assert_eq!(tested.status(), StatusCode::OK);
    let tested: Value = tested.json().await.unwrap();
    assert!(tested["receivers"][0]["delivered"] == false, "{tested}");
    assert_eq!(receiver.got().len(), 0);
    // The control: a gateway that does not look again sends it.
    let (_gateway, _lab, receiver) = rule_taken_away("receivers_unchecked").await;
    receiver.wait(2).await;
    wait::until_now(wait::SOON, "both came", || (receiver.got().len() >= 2).then_some(())).await;
}
