//! Strangers on the same host, other people's tokens, and secrets that a run might read.

mod agents;
mod attacks;
mod certificates;
mod invitations;
mod own_tokens;
mod refusals;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use longhaul_proto::{
    state::RunState,
    transport::Role,
    wire::{self, agent_client::AgentClient},
};
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab, finish},
    mcp::Mcp,
    need, processes,
    trust::Side,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn up(lab: &Lab) -> Gateway {
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    gateway
}

/// A command as a user who owns nothing here.
fn somebody_else(lab: &Lab) -> Option<u32> {
    const NOBODY: u32 = 65534;
    if !need::root() {
        need::skip("second-user", "only the superuser can become somebody else");
        return None;
    }
    // The way to the data folders is open, so that their own modes are what is tested.
    for folder in [lab.path().to_owned(), lab.path().join("home"), lab.work()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    Some(NOBODY)
}

fn can_read(uid: u32, path: &Path) -> bool {
    use std::os::unix::process::CommandExt;
    let kind = if path.is_dir() { "ls" } else { "cat" };
    Command::new(kind).arg(path).uid(uid).gid(uid).output().unwrap().status.success()
}

#[tokio::test]
async fn another_user_of_the_host_can_neither_submit_nor_read_nor_cancel() {
    let mut lab = lab!();
    let Some(uid) = somebody_else(&lab) else { return };
    let gateway = up(&lab).await;
    let run = gateway.api.submit_path(&lab.gated(), &["mine"]).await.run_id;
    gateway.api.wait_output(run, "started mine").await;

    let data = &gateway.daemon.data;
    let spool = Lab::spool(&gateway.daemon, run);
    for secret in ["credentials.json", "join-secret", "gateway", "gateway/ledger.sqlite", "agent", "agent/runs"] {
        assert!(data.join(secret).exists(), "{secret}");
        assert!(!can_read(uid, &data.join(secret)), "{secret}");
    }
    for entry in fs::read_dir(&spool).unwrap().flatten() {
        assert!(!can_read(uid, &entry.path()), "{entry:?}");
    }
    // The control: it is the mode that refuses.
    assert!(can_read(uid, &lab.file("public.txt", "hello")));

    // The program is copied to where that user can start it; the way to the checkout may be closed.
    let program = lab.path().join("longhaul");
    fs::copy(env!("CARGO_BIN_EXE_longhaul-under-test"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let home = lab.path().join("nobody");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(uid), Some(uid)).unwrap();
    lab.env("LONGHAUL_GATEWAY", gateway.api.url());
    let id = run.to_string();
    for args in [vec!["run", "public.do"], vec!["runs"], vec!["log", &id], vec!["wait", &id], vec!["cancel", &id]] {
        let prepared = lab.command(&args);
        let mut command = tokio::process::Command::new(&program);
        command.args(&args).env_clear().current_dir(lab.work()).uid(uid).gid(uid);
        command.envs(prepared.as_std().get_envs().filter_map(|(k, v)| Some((k, v?)))).env("HOME", &home);
        lab.file("public.do", "display 1\n");
        let ran = finish(command).await;
        assert_eq!(ran.status, 4, "{args:?}: {ran:#?}");
        assert!(ran.err.contains("token"), "{args:?}: {ran:#?}");
        assert!(!format!("{}{}", ran.out, ran.err).contains("started mine"), "{args:?}: {ran:#?}");
    }
    let view = gateway.api.get(run).await.unwrap();
    assert!(view.state == RunState::Running && view.cancel_requested.is_none(), "{view:#?}");
    assert_eq!(gateway.api.list().await.unwrap().runs.len(), 1);
}

#[tokio::test]
async fn without_a_token_only_probes_are_answered_and_with_another_principals_nothing_of_mine() {
    let lab = lab!();
    let gateway = up(&lab).await;
    let run = gateway.api.submit_path(&lab.gated(), &["mine"]).await.run_id;
    gateway.api.wait_output(run, "started mine").await;
    let http = reqwest::Client::new();
    let paths = [
        (Method::GET, "/healthz".to_owned(), 200),
        (Method::GET, "/readyz".into(), 200),
        (Method::GET, "/metrics".into(), 401),
        (Method::GET, "/api/v1/runs".into(), 401),
        (Method::POST, "/api/v1/runs".into(), 401),
        (Method::GET, format!("/api/v1/runs/{run}"), 401),
        (Method::GET, format!("/api/v1/runs/{run}/output?stream=log"), 401),
        (Method::GET, format!("/api/v1/runs/{run}/events"), 401),
        (Method::POST, format!("/api/v1/runs/{run}/cancel"), 401),
        (Method::GET, "/api/v1/hosts".into(), 401),
        (Method::GET, "/api/v1/tokens".into(), 401),
        (Method::POST, "/mcp".into(), 401),
    ];
    for (method, path, want) in paths {
        for token in [None, Some("lh_not_a_token")] {
            let mut request = http.request(method.clone(), format!("{}{path}", gateway.api.url()));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let status = request.send().await.unwrap().status();
            assert_eq!(status.as_u16(), want, "{method} {path} with {token:?}");
        }
    }
    let made =
        gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "visitor"})).send().await.unwrap();
    let made: Value = longhaul_tests::api::read(made).await.unwrap();
    let visitor = gateway.api.with_token(made["token"].as_str().unwrap());
    assert_eq!(visitor.list().await.unwrap().runs.len(), 0, "the token works, and shows none of my runs");
    assert_eq!(visitor.get(run).await.unwrap_err().status, 404);
    assert_eq!(visitor.output(run, "log").await.unwrap_err().status, 404);
    assert_eq!(visitor.cancel(run, Default::default()).await.unwrap_err().status, 404);
    assert_eq!(visitor.request(Method::GET, "/api/v1/tokens").send().await.unwrap().status(), 403);
    let waited =
        Mcp::new(&visitor, "claude-code", "2.1.330").call("stata_wait", json!({"runs": run.to_string()})).await;
    assert!(!waited.text.contains("started mine"), "{waited:#?}");
    assert_eq!(gateway.api.get(run).await.unwrap().state, RunState::Running);
}

#[tokio::test]
async fn nobody_reaches_an_agent_without_the_gateways_key() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let address = gateway.api.hosts().await.unwrap().hosts[0].advertise.clone();
    let request = || wire::RunRequest {
        submission: Some(wire::Submission {
            run_id: "01900000-0000-7000-8000-000000000000".into(),
            principal: "thief".into(),
            source: Some(wire::submission::Source::Text(b"display 1\n".to_vec())),
            ..wire::Submission::default()
        }),
        attempt: 1,
        cluster_id: String::new(),
        trace: None,
    };
    // Refused with a guess at the secret, and with the secret itself.
    let secret = fs::read_to_string(gateway.daemon.data.join("join-secret")).unwrap();
    for side in [Side::stranger(Role::Gateway), Side::with_secret(Role::Gateway, &secret)] {
        let refused = side.call_agent(&address).await.expect_err("a refusal");
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused:?}");
        // Refused also without `Hello`.
        let mut client = AgentClient::new(side.dial(&address).await.unwrap().transport);
        for status in [
            client.run(request()).await.map(drop).unwrap_err(),
            client.describe(wire::DescribeRequest {}).await.map(drop).unwrap_err(),
            client.follow(wire::FollowRequest::default()).await.map(drop).unwrap_err(),
            client.cancel(wire::CancelRequest::default()).await.map(drop).unwrap_err(),
            client.revoke(wire::RevokeRequest::default()).await.map(drop).unwrap_err(),
            client.forget(wire::ForgetRequest::default()).await.map(drop).unwrap_err(),
            client.inspect(wire::InspectRequest::default()).await.map(drop).unwrap_err(),
            client.artifact(wire::ArtifactRequest::default()).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status:?}");
        }
    }
    assert!(fs::read_dir(agent.data.join("agent/runs")).map_or(0, Iterator::count) == 0, "nothing was begun");
    // The control: with the gateway's key it answers.
    let mut right = Side::gateway(&gateway.daemon.data).call_agent(&address).await.unwrap();
    assert!(right.describe(wire::DescribeRequest {}).await.unwrap().into_inner().agent.is_some());
}

#[tokio::test]
async fn a_run_sees_no_secret_of_ours() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let secret = fs::read_to_string(gateway.daemon.data.join("join-secret")).unwrap().trim().to_owned();
    let mine = ["AWS_SECRET_ACCESS_KEY", "OTEL_EXPORTER_OTLP_HEADERS", "SSH_AUTH_SOCK"];
    for name in mine {
        lab.env(name, "not-for-runs");
    }
    lab.env("LONGHAUL_JOIN_SECRET", &secret).env("LONGHAUL_STANDIN_TIME_SCALE", "1").env("STATATMP", "/tmp");
    let mut spec = lab.agent_spec("stata1", &gateway, &[]);
    let at = spec.args.iter().position(|a| a == "--join-secret-file").unwrap();
    spec.args.drain(at..at + 2);
    let agent = longhaul_tests::daemon::Daemon::start("stata1", &lab.path().join("stata1"), spec);
    let run = gateway.api.submit_path(&lab.gated(), &["env"]).await.run_id;
    gateway.api.wait_output(run, "started env").await;

    let environment =
        |pid: i32| String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap()).into_owned();
    // The control: the agent's own environment has them.
    assert!(environment(agent.pid()).contains(&secret));
    let engine = processes::engines(lab.path())[0].pid;
    let seen = environment(engine);
    let names: Vec<&str> = seen.split('\0').filter_map(|v| v.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.contains(&"PATH") && names.contains(&"HOME"), "{names:?}");
    assert!(!names.iter().any(|n| mine.contains(n)), "{names:?}");
    // The run's own id is a name and no secret.
    let ours = |n: &str| n.starts_with("LONGHAUL_") && !n.starts_with("LONGHAUL_STANDIN_") && n != "LONGHAUL_RUN_ID";
    assert!(!names.iter().any(|n| ours(n)), "{names:?}");
    for value in [secret.as_str(), gateway.api.token(), "not-for-runs"] {
        assert!(!seen.contains(value), "{seen:?}");
        for process in processes::below(lab.path()) {
            assert!(!process.command.contains(value), "anybody can read a command line: {process:?}");
        }
    }
    lab.open_gate("env");
    gateway.api.wait_end(run).await;
}
