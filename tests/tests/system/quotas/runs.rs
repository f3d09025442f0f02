//! Waiting runs, submissions, kept bytes and streams: what is over them is refused, and nothing is lost.

use longhaul_proto::api::QuotaKind;
use longhaul_tests::{lab, mcp::Mcp, wait};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{principal, reached, text, used};

#[tokio::test]
async fn a_run_more_than_may_wait_is_refused_everywhere_in_the_same_words() {
    let mut lab = lab!();
    lab.config("quotas = { \"*\" = \"queued=1\" }\n");
    let mut gateway = lab.gateway().await;
    let ana = principal(&gateway, "ana").await;
    let first = ana.submit(&text("display 1")).await.unwrap().run.run_id;
    for restarted in [false, true] {
        if restarted {
            gateway.kill_and_restart().await;
        }
        let refused = ana.request(Method::POST, "/api/v1/runs").json(&text("display 2")).send().await.unwrap();
        assert_eq!(
            (refused.status(), refused.headers()["retry-after"].to_str().unwrap()),
            (StatusCode::TOO_MANY_REQUESTS, "30")
        );
        let problem = longhaul_tests::api::read::<serde_json::Value>(refused).await.unwrap_err();
        let quota = reached(&problem);
        assert_eq!((quota.of.as_str(), quota.kind, quota.limit, quota.used), ("ana", QuotaKind::Queued, 1, 1));
        let client = Mcp::new(&ana, "claude-code", "2.1.330");
        let told = client.call("stata_submit", json!({"text": "display 2"})).await;
        assert!(told.is_error && told.text == format!("nothing was run: {}", problem.detail), "{told:#?}");
        let error = &told.raw["result"]["structuredContent"]["error"];
        assert_eq!((&error["kind"], &error["quota"]["kind"]), (&json!("quota"), &json!("queued")), "{error}");
        assert_eq!(ana.list().await.unwrap().runs.len(), 1, "nothing was started");
        assert_eq!(used(&ana, QuotaKind::Queued).await, (1, Some(1)));
    }
    // On the command line; of another principal, whose quota is its own.
    gateway.api.submit(&text("display 1")).await.unwrap();
    let file = lab.file("two.do", "display 2\n");
    let data = gateway.daemon.data.display().to_string();
    let ran = lab.run(["run", file.to_str().unwrap(), "--detach", "--data", &data]).await;
    assert!(
        ran.status == 4 && ran.err.contains("quota `queued` of") && ran.err.contains("1 runs wait, of 1"),
        "{ran:?}"
    );
    // The earlier run still answers an equal request, and its end makes room.
    let equal = longhaul_proto::api::SubmitRequest { again: false, ..text("display 1") };
    assert_eq!(ana.submit(&equal).await.unwrap().run.run_id, first);
    ana.cancel(first, longhaul_proto::api::CancelMode::Break).await.unwrap();
    ana.wait_end(first).await;
    ana.submit(&text("display 2")).await.unwrap();
}

/// The control: a gateway that does not look at them takes all.
#[tokio::test]
async fn without_the_quotas_of_runs_all_are_taken() {
    let mut lab = lab!();
    lab.config("quotas = { \"*\" = \"queued=1 submissions=1\" }\n")
        .env("LONGHAUL_FAULTS", "bug=quotas_of_runs_ignored");
    let gateway = lab.gateway().await;
    let ana = principal(&gateway, "ana").await;
    for n in 0..3 {
        ana.submit(&text(&format!("display {n}"))).await.unwrap();
    }
}

#[tokio::test]
async fn so_many_runs_within_a_minute_also_over_a_restart() {
    let mut lab = lab!();
    lab.config("quotas = { \"@econ\" = \"submissions=2\" }\ngroups = { econ = \"ana, ben\" }\n");
    let mut gateway = lab.gateway().await;
    let (ana, ben) = (principal(&gateway, "ana").await, principal(&gateway, "ben").await);
    ana.submit(&text("display 1")).await.unwrap();
    ben.submit(&text("display 2")).await.unwrap();
    gateway.kill_and_restart().await;
    let refused = ana.request(Method::POST, "/api/v1/runs").json(&text("display 3")).send().await.unwrap();
    let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    let quota = reached(&longhaul_tests::api::read::<serde_json::Value>(refused).await.unwrap_err());
    assert_eq!((quota.of.as_str(), quota.kind, quota.used), ("group econ", QuotaKind::Submissions, 2));
    gateway.api.submit(&text("display 3")).await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_kept_are_counted_with_the_records() {
    let mut lab = lab!();
    lab.config("quotas = { ana = \"kept=2KiB\" }\n");
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--serve-all"]);
    gateway.api.wait_host("stata1", "up").await;
    let ana = principal(&gateway, "ana").await;
    let upload = async |content: &str| {
        let digest = longhaul_proto::sha256_hex(content.as_bytes());
        ana.request(Method::PUT, &format!("/api/v1/blobs/{digest}")).body(content.to_owned()).send().await.unwrap()
    };
    assert!(upload(&"a".repeat(200)).await.status().is_success());
    let lines = ana.submit(&text("forvalues i = 1/200 {\n display \"a line of some length `i'\"\n}\n")).await.unwrap();
    let lines = ana.wait_end(lines.run.run_id).await;
    assert!(lines.output_bytes > 2_048, "{lines:#?}");
    for restarted in [false, true] {
        if restarted {
            gateway.kill_and_restart().await;
        }
        let problem = ana.submit(&text("display 2")).await.unwrap_err();
        let quota = reached(&problem);
        assert_eq!((problem.status, quota.kind, quota.limit), (507, QuotaKind::Kept, 2_048));
        assert!(quota.used >= lines.output_bytes + 200, "{quota:?}");
        let refused = upload(&"b".repeat(2_000)).await;
        assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
        assert_eq!(
            reached(&longhaul_tests::api::read::<serde_json::Value>(refused).await.unwrap_err()).kind,
            QuotaKind::Kept
        );
        assert!(upload(&"a".repeat(200)).await.status().is_success(), "what counts already is no more");
        // The run and the upload, by this process.
        let metrics = gateway.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("longhaul_quota_refused_total{kind=\"kept\"} 2\n"), "{metrics}");
    }
    gateway.api.submit(&text("display 2")).await.unwrap();
}

/// The control for uploads.
#[tokio::test]
async fn without_the_quota_an_upload_is_taken() {
    let mut lab = lab!();
    lab.config("quotas = { ana = \"kept=1KiB\" }\n").env("LONGHAUL_FAULTS", "bug=quotas_of_uploads_ignored");
    let gateway = lab.gateway().await;
    let (ana, content) = (principal(&gateway, "ana").await, "b".repeat(2_000));
    let path = format!("/api/v1/blobs/{}", longhaul_proto::sha256_hex(content.as_bytes()));
    assert!(ana.request(Method::PUT, &path).body(content).send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn so_many_streams_are_open_and_the_next_is_refused() {
    for bug in [false, true] {
        let mut lab = lab!();
        lab.config("quotas = { ana = \"streams=1\" }\n");
        if bug {
            lab.env("LONGHAUL_FAULTS", "bug=quotas_of_streams_ignored");
        }
        let gateway = lab.gateway().await;
        let ana = principal(&gateway, "ana").await;
        let run = ana.submit(&text("display 1")).await.unwrap().run.run_id;
        let held = ana.events(run, 0).await.expect("the first");
        let path = format!("/api/v1/runs/{run}/events?stream=log&offset=0");
        let second = ana.request(Method::GET, &path).send().await.unwrap();
        if bug {
            assert!(second.status().is_success(), "the control");
            continue;
        }
        assert_eq!(
            (second.status(), second.headers()["retry-after"].to_str().unwrap()),
            (StatusCode::TOO_MANY_REQUESTS, "5")
        );
        let quota = reached(&longhaul_tests::api::read::<serde_json::Value>(second).await.unwrap_err());
        assert_eq!((quota.kind, quota.limit, quota.used), (QuotaKind::Streams, 1, 1));
        assert_eq!(used(&ana, QuotaKind::Streams).await, (1, Some(1)));
        let metrics = gateway.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        for line in [
            "longhaul_quota_refused_total{kind=\"streams\"} 1",
            "longhaul_quota_limit{kind=\"streams\",of=\"ana\",pool=\"\"} 1",
            "longhaul_quota_used{kind=\"streams\",of=\"ana\",pool=\"\"} 1",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        drop(held);
        wait::until(wait::SOON, "the stream is given back", async || {
            ana.request(Method::GET, &path).send().await.unwrap().status().is_success().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn quotas_are_shown_to_their_holders_and_all_to_operators() {
    let mut lab = lab!();
    lab.config(
        "quotas = { \"*\" = \"seats=2\", ana = \"queued=9\", \"@econ\" = \"running=6 kept=20GiB\" }\ngroups = { econ = \"ana\" }\n",
    );
    let gateway = lab.gateway().await;
    let ana = principal(&gateway, "ana").await;
    ana.submit(&text("display 1")).await.unwrap();
    let all = ana.request(Method::GET, "/api/v1/quotas?all=true").send().await.unwrap();
    assert_eq!(all.status(), StatusCode::FORBIDDEN);
    assert_eq!(ana.request(Method::GET, "/api/v1/quotas?al=1").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let data = gateway.daemon.data.display().to_string();
    let shown = lab.run(["quotas", "--all", "--data", &data]).await;
    let row = |words: &[&str]| shown.out.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(row(&["ana", "queued", "1", "9"]) && row(&["group econ", "kept", "20.0 GiB"]), "{shown:?}");
    assert!(row(&["ana", "seats of any other pool", "2"]), "{shown:?}");
    let own = lab.run(["quotas", "--data", &data]).await;
    assert!(own.status == 0 && !own.out.contains("econ"), "{own:?}");
}

#[tokio::test]
async fn a_quota_that_cannot_be_read_is_named_at_the_start() {
    for (config, words) in [
        ("quotas = { ana = \"seats=0\" }\n", "`seats=0`: expected seats=N"),
        ("quotas = { \"@econ\" = \"seats=1\" }\n", "there is no group `econ`"),
        ("groups = { econ = \"ana\" }\n", "it has no quota"),
        ("pool_timeouts = { lab = \"max=x\" }\n", "`pool_timeouts`, pool lab: `max=x`"),
    ] {
        let mut lab = lab!();
        lab.config(config);
        let data = lab.path().join("data");
        let ran = lab.run(["gateway", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]).await;
        assert!(ran.status == 2 && ran.err.contains(words), "{words}: {ran:?}");
    }
}
