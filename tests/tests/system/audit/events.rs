//! Each kind of event, by the real programs; and what happens when lines cannot be written.

use std::{collections::BTreeSet, fs, time::Duration};

use longhaul_gateway::audit::Kind;
use longhaul_proto::api::{CancelMode, SubmitRequest};
use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::{Gateway, json, ready},
    mcp::Mcp,
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{lines, of, wrong};

async fn token(api: &Api, name: &str) -> Api {
    let made = api.request(Method::POST, "/api/v1/tokens").json(&json!({ "name": name })).send().await.unwrap();
    let made: Value = read(made).await.unwrap();
    api.with_token(made["token"].as_str().unwrap())
}

async fn post(api: &Api, path: &str, body: Value) -> u16 {
    api.request(Method::POST, path).json(&body).send().await.unwrap().status().as_u16()
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() }
}

/// Loses all of the gateway's own but the audit log, so that the agent brings its runs back.
async fn lose_the_ledger(gateway: &mut Gateway, agent: &mut longhaul_tests::daemon::Daemon) {
    gateway.daemon.kill();
    fs::remove_dir_all(gateway.daemon.data.join("gateway")).unwrap();
    for lost in ["seal-key", "task-key", "credentials.json"] {
        fs::remove_file(gateway.daemon.data.join(lost)).unwrap();
    }
    agent.terminate().await;
    for lost in ["cluster-id", "gateway-key"] {
        let _ = fs::remove_file(agent.data.join("agent").join(lost));
    }
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    let credentials = json(&gateway.daemon.data.join("credentials.json")).unwrap();
    gateway.api = Api::new(gateway.api.url(), credentials["token"].as_str().unwrap());
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
}

/// An agent joins by an invitation, and another is refused with it.
async fn joins_once(lab: &longhaul_tests::lab::Lab, gateway: &Gateway) {
    let made = gateway.api.request(Method::POST, "/api/v1/agents/invitations").json(&json!({ "name": "guest" }));
    let made: Value = read(made.send().await.unwrap()).await.unwrap();
    let token = made["token"].as_str().unwrap();
    for (name, words) in [("guest", "registered gateway="), ("thief", "used before, by another agent")] {
        let data = lab.path().join(name);
        let mut spec = lab.agent_spec("guest", gateway, &["--join", token, "--data", data.to_str().unwrap()]);
        spec.log = lab.path().join(format!("logs/{name}.log"));
        let mut agent = longhaul_tests::daemon::Daemon::start(name, &data, spec);
        wait::until_now(wait::SOON, words, || agent.printed().contains(words).then_some(())).await;
        agent.terminate().await;
    }
}

#[tokio::test]
async fn every_event_has_its_line() {
    let mut lab = lab!();
    lab.env("LONGHAUL_AUDIT_FILE", "6KiB").env("LONGHAUL_AUDIT_KEEP", "1MiB");
    lab.env("LONGHAUL_NOTIFY_ALLOW", "http://127.0.0.1:9");
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &["--serve-all"]);
    gateway.api.wait_host("stata1", "up").await;
    let data = gateway.daemon.data.clone();
    let ana = token(&gateway.api, "ana").await;
    let quick = ana.submit(&SubmitRequest { key: Some("k".into()), ..text("display 1") }).await.unwrap().run.run_id;
    let again = ana.submit(&SubmitRequest { key: Some("k".into()), ..text("display 1") }).await.unwrap();
    assert!(again.joined.is_some(), "an earlier run answers");
    ana.wait_end(quick).await;
    let missing = SubmitRequest { path: Some("/nowhere/at/all.do".into()), ..SubmitRequest::default() };
    assert!(ana.submit(&missing).await.is_err());
    let slow = ana.submit_path(&lab.gated(), &["slow"]).await.run_id;
    ana.wait_output(slow, "started slow").await;
    gateway.api.get(slow).await.unwrap();
    gateway.api.list().await.unwrap();
    let told = Mcp::new(&ana, "claude-code", "2.1.330").call("stata_log", json!({"run": quick.to_string()})).await;
    assert!(!told.is_error, "{told:#?}");
    ana.cancel(slow, CancelMode::Kill).await.unwrap();
    ana.wait_end(slow).await;
    // What had ended is left as it is, and that is told.
    ana.cancel(slow, CancelMode::Kill).await.unwrap();
    assert_eq!(gateway.api.with_token("lh_wrong").list().await.unwrap_err().status, 401);
    let invitations = "/api/v1/agents/invitations";
    assert_eq!(post(&gateway.api, invitations, json!({"name": "stata2"})).await, 201);
    let withdrawn = gateway.api.request(Method::DELETE, &format!("{invitations}/stata2")).send().await.unwrap();
    assert_eq!(withdrawn.status(), 200);
    joins_once(&lab, &gateway).await;
    assert_eq!(post(&ana, "/api/v1/hosts/drain", json!({"hosts": ["stata1"]})).await, 403);
    assert_eq!(post(&gateway.api, "/api/v1/hosts/drain", json!({"hosts": ["stata1"], "reason": "a test"})).await, 200);
    assert_eq!(post(&gateway.api, "/api/v1/hosts/resume", json!({"hosts": ["stata1"]})).await, 200);
    assert_eq!(post(&gateway.api, "/api/v1/clock/trust", json!({})).await, 200);
    assert_eq!(post(&gateway.api, &format!("/api/v1/runs/{quick}/release"), json!({})).await, 200);
    assert_eq!(post(&gateway.api, "/api/v1/agents/stata1/revoke", json!({})).await, 200);
    assert_eq!(post(&gateway.api, "/api/v1/agents/stata1/approve", json!({})).await, 200);
    gateway.api.wait_host("stata1", "up").await;
    let receivers = "/api/v1/notify/receivers";
    assert_eq!(post(&ana, receivers, json!({"address": "http://127.0.0.1:9/s3cret"})).await, 201);
    assert_eq!(post(&ana, receivers, json!({"address": "http://127.0.0.1:10/"})).await, 403);
    assert_eq!(post(&ana, "/api/v1/notify/secret", json!({})).await, 200);
    assert_eq!(post(&ana, "/api/v1/notify/secret", json!({"rotate": true})).await, 200);
    let removed =
        ana.request(Method::DELETE, &format!("{receivers}?address=http://127.0.0.1:9/s3cret")).send().await.unwrap();
    assert_eq!(removed.status(), 204);
    assert_eq!(post(&gateway.api, "/api/v1/tokens/ana/rotate", json!({})).await, 200);
    let revoked = gateway.api.request(Method::DELETE, "/api/v1/tokens/ana").send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    // Back by an agent that has a run of this gateway, which has lost its ledger and its key.
    let going = gateway.api.submit_path(&lab.gated(), &["going"]).await.run_id;
    gateway.api.wait_output(going, "started going").await;
    lose_the_ledger(&mut gateway, &mut agent).await;
    gateway.api.wait_output(going, "started going").await;
    assert_eq!(post(&gateway.api, &format!("/api/v1/runs/{going}/adopt"), json!({})).await, 200);
    agent.kill();
    gateway.api.wait_host("stata1", "silent").await;
    assert_eq!(post(&gateway.api, &format!("/api/v1/runs/{going}/declare-dead"), json!({})).await, 200);
    assert_eq!(post(&gateway.api, "/api/v1/hosts/forget", json!({"hosts": ["stata1"]})).await, 200);
    let by_http = gateway.api.request(Method::GET, &format!("/api/v1/audit?event=import&run={going}"));
    let by_http: Vec<Value> = read(by_http.send().await.unwrap()).await.unwrap();
    assert_eq!((by_http.len(), &by_http[0]["detail"]["verified"]), (1, &json!(false)), "{by_http:#?}");
    gateway.daemon.terminate().await;

    let all = lines(&lab, &data, &[]).await;
    let seen: BTreeSet<&str> = all.iter().filter_map(|line| line["event"].as_str()).collect();
    // These three have tests of their own below.
    let elsewhere = [Kind::Lost, Kind::Removed, Kind::Broken];
    let due: BTreeSet<&str> =
        Kind::ALL.iter().filter(|kind| !elsewhere.contains(kind)).map(|kind| kind.as_str()).collect();
    assert!(due.is_subset(&seen), "without a line: {:?}", due.difference(&seen).collect::<Vec<_>>());
    assert_eq!(wrong(&lab, &data).await, None);

    let submit = of(&all, "submit").into_iter().find(|line| line["run"] == quick.to_string()).unwrap().clone();
    assert_eq!(
        (&submit["principal"], &submit["token"], &submit["address"]),
        (&json!("ana"), &json!("ana"), &json!("127.0.0.1"))
    );
    assert!(submit["request"].is_string() && submit["trace"].is_string() && submit["at"].is_string(), "{submit:#}");
    let answer = of(&all, "answer")[0];
    assert_eq!((&answer["detail"]["tool"], &answer["run"]), (&json!("stata_log"), &json!(quick.to_string())));
    assert!(answer["detail"]["bytes"].as_u64().unwrap() > 50, "{answer:#}");
    let refusals: BTreeSet<u64> =
        of(&all, "refused").iter().filter_map(|line| line["detail"]["status"].as_u64()).collect();
    assert!(refusals.is_superset(&BTreeSet::from([401, 403])), "{refusals:?}");
    let start = of(&all, "start")[0];
    assert_eq!(start["detail"]["settings_sha256"].as_str().unwrap().len(), 64);
    assert!(start["detail"]["settings"].as_str().unwrap().contains("max_queued"));
    let raw = fs::read_dir(data.join("audit")).unwrap().flatten();
    let raw: String = raw.map(|file| fs::read_to_string(file.path()).unwrap()).collect();
    let secrets = [fs::read_to_string(data.join("join-secret")).unwrap(), ana.token().to_owned()];
    assert!(
        secrets.iter().all(|secret| !raw.contains(secret.trim()))
            && !raw.contains("display 1")
            && !raw.contains("s3cret"),
        "no secret, no code"
    );
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(&data.join("audit")), mode(&data.join("audit/audit-000001.jsonl"))), (0o700, 0o600));

    let ran = lab.run(["audit", "--data", data.to_str().unwrap(), "--run", &quick.short(), "--event", "submit"]).await;
    assert!(ran.out.contains("by ana") && ran.out.contains(&format!("run {}", quick.short())), "{ran:#?}");
    let none = lines(&lab, &data, &["--principal", "ben"]).await;
    assert!(none.is_empty());
}

#[tokio::test]
async fn only_operators_read_it_and_a_flood_of_refusals_is_counted() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let (ana, stranger) = (token(&gateway.api, "ana").await, gateway.api.with_token("lh_wrong"));
    for _ in 0..300 {
        assert_eq!(stranger.list().await.unwrap_err().status, 401);
    }
    let refused = ana.request(Method::GET, "/api/v1/audit").send().await.unwrap();
    assert_eq!(refused.status(), 403);
    // An agent without the secret.
    let secret = lab.file("other-secret", "another secret than the gateway's");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _agent = lab.agent("stranger", &gateway, &["--join-secret-file", secret.to_str().unwrap()]);
    wait::until(wait::SOON, "an agent is refused", async || {
        let asked = gateway.api.request(Method::GET, "/api/v1/audit?event=refused").send().await.unwrap();
        let lines: Vec<Value> = read(asked).await.unwrap();
        lines.iter().any(|line| line["detail"]["asked"].as_str().unwrap().contains("longhaul.v1.Fleet")).then_some(())
    })
    .await;
    gateway.daemon.terminate().await;
    let all = lines(&lab, &gateway.daemon.data, &["--event", "refused"]).await;
    let by_http = |line: &&Value| line["detail"]["asked"].as_str().unwrap().contains("/api/v1");
    let strangers: Vec<&Value> = all.iter().filter(|line| line["detail"]["status"] == 401).filter(by_http).collect();
    let counted: u64 = strangers.iter().map(|line| line["detail"]["times"].as_u64().unwrap_or(1)).sum();
    // The minute may have changed meanwhile.
    assert!((2..=4).contains(&strangers.len()) && counted == 300, "{strangers:#?}");
}

async fn ready_says(api: &Api) -> (u16, String) {
    let answer = api.request(Method::GET, "/readyz").send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn what_must_be_in_it_is_refused_while_it_cannot_be_written() {
    for (bug, required) in [("", true), ("", false), (";bug=audit_not_required", true)] {
        let mut lab = lab!();
        lab.env("LONGHAUL_AUDIT", if required { "required" } else { "on" });
        let mut gateway = lab.gateway().await;
        gateway.api.submit(&text("display 1")).await.expect("a run while it can be written");
        gateway.daemon.terminate().await;
        let faults = format!("point=audit.write:error=enospc@1+{bug}");
        gateway.daemon.spec.env.push(("LONGHAUL_FAULTS".into(), faults.into()));
        gateway.daemon.restart();
        // Its first line fails, so that it may not say that it is ready.
        wait::until(wait::SOON, "it is there", async || {
            let probe = gateway.api.request(Method::GET, "/healthz").timeout(Duration::from_secs(1)).send().await;
            probe.is_ok().then_some(())
        })
        .await;
        let told = wait::until(wait::SOON, "it says that its log cannot be written", async || {
            Some(ready_says(&gateway.api).await).filter(|(_, text)| text.contains("audit log cannot be written"))
        })
        .await;
        assert_eq!(told.0, if required { 503 } else { 200 }, "{told:?}");
        let submitted = gateway.api.submit(&text("display 2")).await;
        let made =
            gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ben"})).send().await.unwrap();
        if required && bug.is_empty() {
            let refused = submitted.unwrap_err();
            assert!(refused.status == 503 && refused.detail.contains("audit = required"), "{refused:?}");
            assert_eq!(made.status(), 503);
            let said = Mcp::new(&gateway.api, "mcp", "1").call("stata_submit", json!({"text": "display 3"})).await;
            assert!(said.is_error && said.text.contains("nothing was run: the gateway cannot write"), "{}", said.text);
            assert_eq!(gateway.api.list().await.unwrap().runs.len(), 1, "nothing was recorded");
        } else {
            assert!(submitted.is_ok() && made.status() == 201, "the control, and the default");
        }
        let metrics = gateway.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let lost = metrics.lines().find_map(|line| line.strip_prefix("longhaul_audit_lost_total ")).unwrap();
        assert!(lost.parse::<u64>().unwrap() >= 1 && metrics.contains("longhaul_audit_failing 1"), "{metrics}");
    }
}

#[tokio::test]
async fn lost_lines_have_a_line_when_there_is_room_again() {
    let mut lab = lab!();
    let faults = lab.path().join("faults");
    fs::create_dir(&faults).unwrap();
    lab.env("LONGHAUL_FAULTS", format!("dir={}", faults.display()));
    let mut gateway = lab.gateway().await;
    gateway.api.submit(&text("display 1")).await.unwrap();
    fs::write(faults.join("audit.write"), "error=enospc").unwrap();
    let lost = gateway.api.submit(&text("display 2")).await.expect("by default it goes on").run.run_id;
    wait::until(wait::SOON, "it is written again", async || {
        Some(ready_says(&gateway.api).await).filter(|(_, text)| !text.contains("audit")).map(drop)
    })
    .await;
    let kept = gateway.api.submit(&text("display 3")).await.unwrap().run.run_id;
    gateway.daemon.terminate().await;
    let data = gateway.daemon.data.clone();
    let all = lines(&lab, &data, &[]).await;
    let runs: BTreeSet<&str> = of(&all, "submit").iter().filter_map(|line| line["run"].as_str()).collect();
    assert!(runs.contains(kept.to_string().as_str()) && !runs.contains(lost.to_string().as_str()), "{runs:?}");
    assert_eq!(of(&all, "lost")[0]["detail"]["lines"], 1);
    assert_eq!(wrong(&lab, &data).await, None, "nothing of the failed write is in the file");
}
