//! Commands are careful with tokens, with files that are there, and with a gateway that is another one.

use std::fs;

use longhaul_proto::{api::SubmitRequest, tasks::Tasks};
use longhaul_tests::{api::read, lab, need};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn no_token_goes_in_the_clear_to_another_machine() {
    // Who listens there keeps what he gets.
    async fn sent(bug: &str, more: &[(&str, &str)]) -> (String, String) {
        let mut lab = lab!();
        let Some(address) = need::second_address() else { return (String::new(), "skipped".into()) };
        lab.env("LONGHAUL_FAULTS", bug).env("LONGHAUL_TOKEN", "lh_secret_of_ana");
        for (name, value) in more {
            lab.env(name, value);
        }
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        let heard = tasks.spawn(async move {
            let Ok((mut stream, _)) = listener.accept().await else { return String::new() };
            let mut bytes = vec![0; 4096];
            let n = tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await.unwrap_or(0);
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        });
        let ran = lab.run(["runs", "--gateway", &url]).await;
        heard.abort();
        (heard.await.unwrap_or_default(), ran.err)
    }
    let (heard, told) = sent("", &[]).await;
    if told == "skipped" {
        return;
    }
    assert!(heard.is_empty(), "{heard}");
    assert!(told.contains("in the clear") && told.contains("Nothing was sent") && told.contains("https"), "{told}");
    for (bug, more) in [("bug=token_in_the_clear", vec![]), ("", vec![("LONGHAUL_INSECURE_NETWORK", "true")])] {
        let (heard, _) = sent(bug, &more).await;
        assert!(heard.contains("lh_secret_of_ana"), "the control, and where it is allowed: {heard}");
    }
}

#[tokio::test]
async fn another_root_than_the_pinned_one_is_told_as_such() {
    let lab = lab!();
    let gateway = lab.up(&["--tls", "auto"]).await;
    let (data, token) = (lab.path().join("elsewhere"), lab.path().join("token"));
    fs::write(&token, gateway.api.token()).unwrap();
    let (data, token) = (data.to_str().unwrap().to_owned(), token.to_str().unwrap().to_owned());
    let url = format!("https://{}", gateway.api.address());
    let unknown = lab.run(["runs", "--gateway", &url, "--data", &data]).await;
    for words in ["longhaul login", "gateway_ca", "SSL_CERT_FILE"] {
        assert_eq!(unknown.err.matches(words).count(), 1, "{words}: {unknown:#?}");
    }
    assert!(!unknown.err.contains("rustls_platform_verifier"), "{unknown:#?}");
    let printed = gateway.daemon.printed();
    let print = printed.split_once("--ca-fingerprint ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    let login = ["login", &url, "--ca-fingerprint", &print, "--token-file", &token, "--data", &data];
    assert_eq!(lab.run(login).await.status, 0);
    assert_eq!(lab.run(["runs", "--gateway", &url, "--data", &data]).await.status, 0);
    // Another gateway answers where the first did.
    let other = lab.serving("other", &["gateway", "--tls", "auto"]).await;
    let kept = std::path::Path::new(&data).join("logins.json");
    let moved = fs::read_to_string(&kept).unwrap().replace(gateway.api.address(), other.api.address());
    fs::write(&kept, moved).unwrap();
    let url = format!("https://{}", other.api.address());
    let refused = lab.run(["runs", "--gateway", &url, "--data", &data]).await;
    assert!(refused.status == 4 && refused.err.contains("not the gateway that was pinned"), "{refused:#?}");
    assert!(refused.err.contains(&format!("longhaul logout {url}")), "{refused:#?}");
    let out = lab.run(["logout", &url, "--data", &data]).await;
    assert!(out.status == 0 && out.err.contains("are forgotten here"), "{out:#?}");
    let again = lab.run(["logout", &url, "--data", &data]).await;
    assert!(again.err.contains("nothing was kept"), "{again:#?}");
    let after = lab.run(["runs", "--gateway", &url, "--data", &data]).await;
    assert!(after.err.contains("no root that is trusted here"), "{after:#?}");
}

#[tokio::test]
async fn a_file_that_is_there_is_not_replaced() {
    async fn asked(bug: &str, force: bool) -> (u8, String, String) {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", bug);
        let gateway = lab.up(&[]).await;
        gateway.api.wait_host_up().await;
        let saves = lab.file("save.do", "set obs 3\ngenerate x = _n\nsave saved.dta\n");
        gateway.api.wait_end(gateway.api.submit_path(&saves, &[]).await.run_id).await;
        let out = lab.file("out.csv", "precious");
        let saved = lab.work().join("saved.dta");
        let data = gateway.daemon.data.to_str().unwrap().to_owned();
        let mut args = vec!["data", saved.to_str().unwrap(), "--csv", "-o", out.to_str().unwrap(), "--data", &data];
        args.extend(force.then_some("--force"));
        let ran = lab.run(args).await;
        (u8::try_from(ran.status).unwrap(), ran.err, fs::read_to_string(out).unwrap())
    }
    let (status, told, is) = asked("", false).await;
    assert!(status == 2 && told.contains("is there already") && told.contains("--force"), "{told}");
    assert_eq!(is, "precious");
    let (status, told, is) = asked("", true).await;
    assert!(status == 0 && is.starts_with('x'), "{told}: {is}");
    assert!(asked("bug=data_overwrites", false).await.2.starts_with('x'), "the control");
}

/// When a token was last used, before and after a restart.
async fn last_use(bug: &str) -> (Option<String>, Option<String>) {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", bug);
    let mut gateway = lab.gateway().await;
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ana"}));
    let made: Value = read(made.send().await.unwrap()).await.unwrap();
    gateway.api.with_token(made["token"].as_str().unwrap()).list().await.unwrap();
    let used = async |api: &longhaul_tests::api::Api| {
        let all: Vec<Value> = read(api.request(Method::GET, "/api/v1/tokens").send().await.unwrap()).await.unwrap();
        let ana = all.into_iter().find(|token| token["name"] == "ana").unwrap();
        ana["last_used_at"].as_str().map(str::to_owned)
    };
    let before = used(&gateway.api).await;
    gateway.daemon.terminate().await;
    gateway.daemon.restart();
    lab::ready(&mut gateway.daemon).await;
    let after = used(&gateway.api).await;
    (before, after)
}

#[tokio::test]
async fn the_last_use_of_a_token_is_known_after_a_restart() {
    let (before, after) = last_use("").await;
    assert!(before.is_some() && before == after, "{before:?} {after:?}");
    let (before, after) = last_use("bug=token_uses_forgotten").await;
    assert!(before.is_some() && after.is_none(), "the control: {after:?}");
}

#[tokio::test]
async fn a_rotation_within_another_one_warns() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let cli = async |args: &[&str]| lab.run(args.iter().copied().chain(["--data", &data])).await;
    assert_eq!(cli(&["token", "add", "ci"]).await.status, 0);
    let first = cli(&["token", "rotate", "ci"]).await;
    assert!(first.status == 0 && !first.err.contains("warning"), "{first:#?}");
    let list = cli(&["token", "list"]).await;
    assert!(list.out.contains("ci: the secret before is accepted until"), "{list:#?}");
    let second = cli(&["token", "rotate", "ci"]).await;
    assert!(
        second.err.contains("warning: it was rotated before") && second.err.contains("worthless now"),
        "{second:#?}"
    );
}

#[tokio::test]
async fn a_token_for_a_folder_says_that_its_agent_is_away() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &["--serve-all"]);
    gateway.api.wait_host("stata1", "up").await;
    let root = lab.work().canonicalize().unwrap();
    let body = json!({"name": "job", "limits": {"roots": [root]}});
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&body).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    let job = gateway.api.with_token(made["token"].as_str().unwrap());
    let file = lab.file("nightly.do", "display 1\n");
    let request = SubmitRequest {
        path: Some(file.display().to_string()),
        text: Some("display 1\n".into()),
        ..SubmitRequest::default()
    };
    assert!(job.submit(&request).await.is_ok(), "while it is there");
    agent.terminate().await;
    gateway.api.wait_host("stata1", "silent").await;
    let refused = job.submit(&SubmitRequest { again: true, ..request }).await.unwrap_err().detail;
    assert!(refused.contains("is the agent away") && refused.contains("try again when it is back"), "{refused}");
}
