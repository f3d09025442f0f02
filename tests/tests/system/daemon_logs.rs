//! What daemons log for the people who answer questions: who had which run started, ended and cancelled, where.

use longhaul_proto::state::RunState;
use longhaul_tests::{daemon::Daemon, lab, lab::Lab, wait};
use reqwest::Method;
use serde_json::Value;

/// The lines of a daemon whose log is JSON: all that it writes.
fn lines(daemon: &Daemon) -> Vec<Value> {
    let printed = daemon.printed();
    printed.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn about(daemon: &Daemon, message: &str, run: &str) -> Vec<Value> {
    lines(daemon).into_iter().filter(|line| line["message"] == message && line["run"] == run).collect()
}

#[track_caller]
fn one(daemon: &Daemon, message: &str, run: &str) -> Value {
    let found = about(daemon, message, run);
    assert_eq!(found.len(), 1, "{message} of {}: {}", daemon.name, daemon.printed());
    assert_eq!(found[0]["level"], "INFO");
    assert!(found[0].get("span").is_none(), "nothing is said twice: {:#}", found[0]);
    found[0].clone()
}

#[tokio::test]
async fn who_did_what_where_is_one_line_each() {
    let mut lab = lab!();
    lab.env("LONGHAUL_LOG", "debug").env("LONGHAUL_LOG_FORMAT", "json");
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let me = gateway.api.hosts().await.unwrap().hosts[0].os_user.clone();

    let failing = lab.file("fails.do", "display 1\nerror 9\n");
    let long = "x".repeat(400);
    let failed = gateway.api.submit_path(&failing, &["a b", "z", &long]).await;
    assert_eq!(gateway.api.wait_end(failed.run_id).await.state, RunState::Failed);
    let gated = gateway.api.submit_path(&lab.gated(), &["cancelled"]).await;
    gateway.api.wait_output(gated.run_id, "started cancelled").await;
    gateway.api.cancel(gated.run_id, Default::default()).await.unwrap();
    assert_eq!(gateway.api.wait_end(gated.run_id).await.state, RunState::Cancelled);

    let (id, trace) = (failed.run_id.to_string(), failed.trace_id.clone().unwrap());
    wait::until_now(wait::SOON, "both ends are told", || {
        let told = |daemon| {
            [failed.run_id, gated.run_id].iter().all(|id| !about(daemon, "run ended", &id.to_string()).is_empty())
        };
        (told(&gateway.daemon) && told(&agent)).then_some(())
    })
    .await;
    for message in ["run submitted", "run started", "run ended"] {
        let line = one(&gateway.daemon, message, &id);
        let what = line["what"].as_str().unwrap();
        assert!(what.starts_with(&format!("{} a b z xxx", failing.display())), "{line:#}");
        assert!(what.ends_with("x…") && what.chars().count() == 161, "{line:#}");
        assert_eq!((&line["by"], &line["trace"]), (&me.clone().into(), &trace.clone().into()), "{line:#}");
        if message != "run submitted" {
            assert_eq!(line["host"], "stata1", "{line:#}");
            assert_eq!(one(&agent, message, &id)["by"], line["by"], "{line:#}");
        }
    }
    let ended = one(&gateway.daemon, "run ended", &id);
    assert_eq!((&ended["state"], &ended["cause"], &ended["rc"]), (&"failed".into(), &"stata_error".into(), &9.into()));
    let asked = one(&gateway.daemon, "end of run requested", &gated.run_id.to_string());
    assert_eq!((&asked["by"], &asked["of"], &asked["host"]), (&me.clone().into(), &me.into(), &"stata1".into()));
    one(&agent, "end of run requested", &gated.run_id.to_string());

    // `debug` is ours: the libraries' frames and statements are not in it.
    for daemon in [&gateway.daemon, &agent] {
        let chatter: Vec<_> = lines(daemon)
            .into_iter()
            .filter(|line| !line["target"].as_str().unwrap().starts_with("longhaul"))
            .filter(|line| line["level"] == "DEBUG" || line["level"] == "INFO")
            .collect();
        assert!(chatter.is_empty(), "{chatter:#?}");
    }
    assert!(lines(&agent).iter().any(|line| line["level"] == "DEBUG"), "{}", agent.printed());
}

#[tokio::test]
async fn a_stream_of_json_has_nothing_else_from_start_to_stop() {
    let mut lab = lab!();
    lab.env("LONGHAUL_LOG_FORMAT", "json");
    let mut gateway = lab.serving("up", &["up", "--stata", "/nowhere/stata-mp", "--no-auth"]).await;
    let said = |daemon: &Daemon, level: &str, words: &str| {
        let all = lines(daemon);
        let found = all.iter().find(|line| line["level"] == level && line["message"].as_str().unwrap().contains(words));
        found.cloned().unwrap_or_else(|| panic!("{words}: {}", daemon.printed()))
    };
    let all = || gateway.daemon.printed().contains("the agent takes no runs").then_some(());
    wait::until_now(wait::SOON, "it says that it serves", all).await;
    let serves = said(&gateway.daemon, "INFO", "the gateway serves");
    assert_eq!(
        (&serves["url"], &serves["mcp"]),
        (&gateway.api.url().into(), &format!("{}/mcp", gateway.api.url()).into())
    );
    said(&gateway.daemon, "WARN", "--no-auth is for trying out");
    said(&gateway.daemon, "WARN", "the agent takes no runs: no Stata");
    gateway.daemon.terminate().await;
    said(&gateway.daemon, "INFO", "stopping; runs go on");
    // What keeps a daemon from starting is an event too.
    let mut refused = lab.command(["up", "--stata", "/nowhere/stata-mp", "--listen", "1.2.3.4:1", "--data"]);
    refused.arg(lab.path().join("another"));
    let ran = longhaul_tests::lab::finish(refused).await;
    let last: Value = serde_json::from_str(ran.err.lines().last().unwrap()).expect(&ran.err);
    assert!(
        ran.status == 4 && last["level"] == "ERROR" && last["message"].as_str().unwrap().contains("1.2.3.4:1"),
        "{ran:#?}"
    );
    assert_eq!(ran.out, "");

    let mut control = lab!();
    control.env("LONGHAUL_LOG_FORMAT", "json").env("LONGHAUL_FAULTS", "bug=banner_among_json");
    let gateway = control.gateway().await;
    let plain = || gateway.daemon.printed().lines().any(|line| line.starts_with("MCP: ")).then_some(());
    wait::until_now(wait::SOON, "the control", plain).await;
}

#[tokio::test]
async fn up_says_it_once_and_directives_and_colours_are_as_asked() {
    let mut lab = lab!();
    let texts = async |lab: &Lab| {
        let mut gateway = lab.up(&[]).await;
        gateway.api.wait_host_up().await;
        let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
        gateway.api.wait_end(run).await;
        wait::until_now(wait::SOON, "the end is told", || gateway.daemon.printed().contains("run ended").then_some(()))
            .await;
        gateway.daemon.terminate().await;
        std::fs::rename(&gateway.daemon.spec.log, lab.path().join("read.log")).unwrap();
        (std::fs::read_to_string(lab.path().join("read.log")).unwrap(), run.to_string())
    };
    lab.env("LONGHAUL_LOG", "info");
    let (text, run) = texts(&lab).await;
    for message in ["run submitted", "run started", "run ended"] {
        assert_eq!(text.matches(message).count(), 1, "{text}");
    }
    let ended = text.lines().find(|line| line.contains("run ended")).unwrap();
    assert_eq!(ended.matches(&run).count(), 1, "{ended}");
    assert!(!text.contains('\u{1b}') && !text.contains("h2::"), "{text}");
    lab.env("LONGHAUL_LOG", "h2=debug").env("CLICOLOR_FORCE", "1");
    let (text, _) = texts(&lab).await;
    assert!(text.contains('\u{1b}') && text.contains("h2::") && text.contains("run ended"), "{text}");
    lab.env("LONGHAUL_LOG", "info").env("NO_COLOR", "1");
    let (text, _) = texts(&lab).await;
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn a_mistyped_log_setting_is_an_error_that_says_what_is_right() {
    let cases = [
        ("LONGHAUL_LOG", "dbug", &["`dbug`", "debug or trace", "h2=info"][..]),
        ("LONGHAUL_LOG", "h2=loud", &["`h2=loud`", "debug or trace"]),
        ("LONGHAUL_LOG_FORMAT", "yaml", &["`yaml`", "`text` or `json`"]),
    ];
    for (name, value, words) in cases {
        let mut lab = lab!();
        lab.env(name, value);
        for command in [&["gateway", "--listen", "127.0.0.1:0"][..], &["runs"]] {
            let ran = lab.run(command).await;
            assert_eq!(ran.status, 2, "{ran:#?}");
            assert!(words.iter().all(|word| ran.err.contains(word)), "{ran:#?}");
        }
    }
}

/// Balancers and monitors have no token and know an address of their own; they get nothing but the answer.
#[tokio::test]
async fn probes_need_neither_token_nor_name() {
    let lab = lab!();
    let gateway = lab.up(&[]).await;
    let http = reqwest::Client::new();
    let ask = async |path: &str, token: Option<&str>| {
        let mut request =
            http.request(Method::GET, format!("{}{path}", gateway.api.url())).header("host", "lb.internal:80");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for token in [None, Some("lh_nothing"), Some(gateway.api.token())] {
        assert_eq!(ask("/healthz", token).await, (200, "ok\n".to_owned()));
        assert_eq!(ask("/readyz", token).await, (200, "ready\n".to_owned()));
        // The control: everything else keeps its checks.
        for path in ["/metrics", "/api/v1/hosts", "/healthz/", "/readyz/x", "/mcp"] {
            let (status, _) = ask(path, token).await;
            assert_eq!(status, 421, "{path}");
        }
    }
    let (status, _) = {
        let answer = http.get(format!("{}/metrics", gateway.api.url())).send().await.unwrap();
        (answer.status().as_u16(), ())
    };
    assert_eq!(status, 401);
}
