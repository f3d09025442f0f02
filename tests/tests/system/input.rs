//! Bad input: each a clear error that says what to do, nothing lost, no process left running.

use std::{fs, path::Path};

use longhaul_proto::{
    api::{Problem, SubmitRequest},
    state::{Cause, RunState},
};
use longhaul_tests::{
    api::{Answer, ended},
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    mount::Mount,
    processes, wait,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn up(lab: &Lab) -> Gateway {
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    gateway
}

/// Checks that no process of any run is left, and no run that has not ended.
async fn nothing_left(lab: &Lab, gateway: &Gateway) {
    let left = [processes::supervisors(lab.path()), processes::engines(lab.path())].concat();
    assert!(left.is_empty(), "{left:?}");
    let runs = gateway.api.list().await.unwrap().runs;
    assert!(runs.iter().all(|r| ended(r.state)), "{runs:#?}");
}

/// The refusal of a submission: the problem in the answer, or the run's own message.
async fn refused(gateway: &Gateway, request: &SubmitRequest) -> String {
    match gateway.api.submit(request).await {
        Err(problem) => {
            assert!((400..500).contains(&problem.status) && !problem.kind.is_empty(), "{problem:#?}");
            problem.detail
        }
        Ok(submitted) => {
            let end = gateway.api.wait_end(submitted.run.run_id).await;
            assert!(matches!(end.state, RunState::Rejected | RunState::Errored), "{end:#?}");
            end.message.unwrap_or_default()
        }
    }
}

fn path(path: impl AsRef<Path>) -> SubmitRequest {
    SubmitRequest { path: Some(path.as_ref().to_str().unwrap().to_owned()), ..SubmitRequest::default() }
}

#[tokio::test]
async fn a_do_file_that_cannot_be_run_is_refused_with_what_is_wrong() {
    let lab = lab!();
    let gateway = up(&lab).await;
    let outside = lab.path().join("outside.do");
    fs::write(&outside, "display 1\n").unwrap();
    // By the command line its text is sent, which is said, and is not where the agent has the same bytes.
    let data = gateway.daemon.data.to_str().unwrap();
    let own = lab.file("own.do", "display 1\n");
    for (file, said) in [(&outside, true), (&own, false)] {
        let ran = lab.run(["run", file.to_str().unwrap(), "--data", data]).await;
        let words = ran.err.contains("its text is sent, and runs in an empty folder of its own");
        assert_eq!((ran.status, words), (0, said), "{ran:#?}");
    }
    let big = vec![b'*'; 33 << 20];
    let link = lab.work().join("link.do");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let cases: [(&str, SubmitRequest, &[&str]); 9] = [
        ("missing", path(lab.work().join("missing.do")), &["missing.do"]),
        ("empty", path(lab.file("empty.do", "")), &["empty"]),
        ("binary", path(lab.file("binary.do", b"display\0\x01\x02\xff\xfe 1\n")), &["binary"]),
        ("a folder", path(lab.work()), &["work"]),
        ("outside the roots", path(&outside), &["outside.do", "root"]),
        ("a link to outside", path(&link), &["root"]),
        ("too large", path(lab.file("big.do", &big)), &["32 MiB"]),
        ("relative", path("a.do"), &["no do-file a.do is in the folders of"]),
        ("nothing at all", SubmitRequest::default(), &["path", "text", "bundle"]),
    ];
    for (name, request, words) in cases {
        let said = refused(&gateway, &request).await;
        for word in words {
            assert!(said.contains(word), "{name}: {word:?} is missing: {said}");
        }
    }
    nothing_left(&lab, &gateway).await;
    // The control: a file like any other, in the same place, runs.
    let run = gateway.api.submit(&path(lab.file("fine.do", "display 1\n"))).await.unwrap().run;
    assert_eq!(gateway.api.wait_end(run.run_id).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn not_found_names_host_path_roots_and_the_other_ways() {
    let lab = lab!();
    let gateway = up(&lab).await;
    let missing = lab.work().join("missing.do");
    let host = gateway.api.hosts().await.unwrap().hosts[0].clone();
    let said = refused(&gateway, &path(&missing)).await;
    for word in [host.name.as_str(), missing.to_str().unwrap(), &host.roots[0], "text", "bundle"] {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let result = mcp.call("stata_run_file", json!({"file_path": missing})).await;
    assert!(result.is_error && result.text.contains(missing.to_str().unwrap()), "{result:#?}");
}

/// What is wrong, method, path, body, the statuses that report it, a word of the detail.
type HttpCase<'a> = (&'a str, Method, &'a str, Option<Value>, &'a [u16], &'a str);

#[tokio::test]
async fn the_http_api_says_what_is_wrong_with_a_request() {
    let lab = lab!();
    let gateway = up(&lab).await;
    let unknown = "/api/v1/runs/01900000-0000-7000-8000-000000000000";
    let cases: [HttpCase; 9] = [
        ("unknown run", Method::GET, unknown, None, &[404], "run"),
        ("no id at all", Method::GET, "/api/v1/runs/xyz", None, &[400, 404], "xyz"),
        ("cancel of an unknown run", Method::POST, &format!("{unknown}/cancel"), None, &[404], "run"),
        ("a number for a path", Method::POST, "/api/v1/runs", Some(json!({"path": 5})), &[400, 422], "path"),
        (
            "a text for a time",
            Method::POST,
            "/api/v1/runs",
            Some(json!({"text": "a", "timeout": "1h"})),
            &[400, 422],
            "timeout",
        ),
        (
            "a negative time",
            Method::POST,
            "/api/v1/runs",
            Some(json!({"text": "a", "timeout": -1})),
            &[400, 422],
            "timeout",
        ),
        (
            "a misspelt field",
            Method::POST,
            "/api/v1/runs",
            Some(json!({"text": "a", "timout": 5})),
            &[400, 422],
            "timout",
        ),
        ("a list", Method::POST, "/api/v1/runs", Some(json!([])), &[400, 422], ""),
        ("a page of nonsense", Method::GET, "/api/v1/runs?limit=many", None, &[400, 422], "limit"),
    ];
    for (name, method, at, body, statuses, word) in cases {
        let mut request = gateway.api.request(method, at);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let answer: Answer<Value> = longhaul_tests::api::read(response).await;
        let problem: Problem = answer.expect_err(name);
        assert!(statuses.contains(&problem.status), "{name}: {problem:#?}");
        assert_eq!(kind, "application/problem+json", "{name}");
        assert!(problem.detail.contains(word), "{name}: {problem:#?}");
    }
    nothing_left(&lab, &gateway).await;
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), 0);
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong_and_ends_with_the_right_status() {
    let mut lab = lab!();
    let gateway = up(&lab).await;
    let file = lab.file("a.do", "display 1\n");
    let file = file.to_str().unwrap().to_owned();
    let (url, token) = (gateway.api.url().to_owned(), gateway.api.token().to_owned());
    let cases: [(&str, &str, &[&str], i32, &str); 6] = [
        ("unreachable gateway", "http://127.0.0.1:1", &["runs"], 4, "127.0.0.1:1"),
        ("wrong token", &url, &["runs"], 4, "token"),
        ("unknown run", &url, &["wait", "00000000"], 4, "00000000"),
        ("missing file", &url, &["run", "missing.do"], 2, "missing.do"),
        ("unknown flag", &url, &["run", "--tiemout", "5", &file], 2, "--tiemout"),
        ("bad time", &url, &["run", "--timeout", "soon", &file], 2, "soon"),
    ];
    for (name, url, args, status, word) in cases {
        lab.env("LONGHAUL_GATEWAY", url);
        lab.env("LONGHAUL_TOKEN", if name == "wrong token" { "lh_wrong" } else { &token });
        let ran = lab.run(args).await;
        assert_eq!(ran.status, status, "{name}: {ran:#?}");
        assert!(ran.err.contains(word), "{name}: {ran:#?}");
        assert!(!ran.err.contains("panicked"), "{name}: {ran:#?}");
    }
    nothing_left(&lab, &gateway).await;
}

#[tokio::test]
async fn hostile_characters_are_data_and_never_code() {
    let lab = lab!();
    let gateway = up(&lab).await;
    let names = ["a`b'.do", "a$HOME.do", "a\"'b.do", "a\nb.do", "a b.do", "ü—é.do"];
    for name in names {
        let file = lab.file(name, "display \"reached \" 1041 + 1\n");
        match gateway.api.submit(&path(&file)).await {
            Err(problem) => assert!((400..500).contains(&problem.status), "{name:?}: {problem:#?}"),
            Ok(submitted) => {
                let end = gateway.api.wait_end(submitted.run.run_id).await;
                let log = gateway.api.output(end.run_id, "log").await.unwrap();
                let ran = String::from_utf8_lossy(&log).contains("reached 1042");
                assert!((end.state == RunState::Succeeded) == ran, "{name:?}: {end:#?}");
                assert!(ran || end.state == RunState::Rejected, "{name:?}: {end:#?}");
            }
        }
    }
    let file = lab.file("args.do", "display `\"got `1'\"'\n");
    for arg in [
        "\"' \n display 1041 + 1",
        "x\"' display 1041 + 1",
        "`=1041 + 1'",
        "$HOME",
        "a\nb",
        "; display 1041 + 1",
        "a b",
    ] {
        let request = SubmitRequest { args: vec![arg.to_owned()], ..path(&file) };
        match gateway.api.submit(&request).await {
            Err(problem) => assert!((400..500).contains(&problem.status), "{arg:?}: {problem:#?}"),
            Ok(submitted) => {
                let end = gateway.api.wait_end(submitted.run.run_id).await;
                let log = gateway.api.output(end.run_id, "log").await.unwrap();
                assert!(!String::from_utf8_lossy(&log).contains("1042"), "{arg:?} was executed: {end:#?}");
            }
        }
    }
    nothing_left(&lab, &gateway).await;
}

#[tokio::test]
async fn a_spool_without_room_takes_no_run_and_a_full_one_says_so() {
    let lab = lab!();
    let Some(mount) = Mount::new(&lab.path().join("small"), "8m") else { return };
    let gateway = lab.gateway().await;
    let mut spec = lab.agent_spec("stata1", &gateway, &[]);
    let data = mount.path().join("stata1");
    let at = spec.args.iter().position(|a| a == "--data").unwrap() + 1;
    spec.args[at] = data.clone().into();
    // As it is without settings of a lab.
    spec.env.retain(|(name, _)| !name.to_string_lossy().starts_with("LONGHAUL_MIN_FREE"));
    let mut agent = longhaul_tests::daemon::Daemon::start("stata1", &data, spec);

    // 8 MiB are less than the 2 GiB that a run may count on.
    let file = lab.file("burst.do", "display \"before\"\n*! standin: burst 600000\ndisplay \"after\"\n");
    let run = gateway.api.submit_path(&file, &[]).await.run_id;
    let waits = gateway.api.wait_run(run, wait::SOON, "a reason", |v| {
        ended(v.state) || v.waiting.as_deref().is_some_and(|w| w.contains("free"))
    });
    let waits = waits.await;
    assert_eq!(waits.attempt, 0, "{waits:#?}");
    if !ended(waits.state) {
        gateway.api.cancel(run, Default::default()).await.unwrap();
        gateway.api.wait_end(run).await;
    }

    // Configured to make do with it, the agent accepts the run; then the run fills it.
    agent.terminate().await;
    for (name, value) in [("LONGHAUL_MIN_FREE", "1MiB"), ("LONGHAUL_MIN_FREE_PERCENT", "0")] {
        agent.spec.env.push((name.into(), value.into()));
    }
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    let request = SubmitRequest { again: true, ..path(&file) };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    let end = gateway.api.wait_end(run).await;
    // The stand-in goes on without its log and comes to the do-file's end; if Stata stopped, that would be `errored`.
    assert_eq!((end.state, end.cause), (RunState::Succeeded, Cause::Completed), "{end:#?}");
    assert!(end.note.as_deref().unwrap_or_default().contains("full"), "{end:#?}");
    let log = gateway.api.output(run, "log").await.unwrap();
    assert!(String::from_utf8_lossy(&log).contains("before\n"), "the output so far is kept");

    // And while the disk stays full, the next run waits, says why, and starts when there is room.
    let next = gateway.api.submit_path(&lab.gated(), &["room"]).await.run_id;
    gateway
        .api
        .wait_run(next, wait::SOON, "a reason", |v| v.waiting.as_deref().is_some_and(|w| w.contains("free")))
        .await;
    fs::remove_file(Lab::log(&agent, run)).unwrap();
    gateway.api.wait_output(next, "started room").await;
    lab.open_gate("room");
    assert_eq!(gateway.api.wait_end(next).await.state, RunState::Succeeded);
    nothing_left(&lab, &gateway).await;
    drop(agent);
}
