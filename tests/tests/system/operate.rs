//! What operators do while people work: drain hosts, stop daemons.

use std::{io::Read, net::TcpStream, time::Duration};

use longhaul_proto::{
    api::{Hosts, RunView, SubmitRequest},
    clock::Clock,
    ids::RunId,
    state::RunState,
    tasks::Tasks,
};
use longhaul_tests::{
    api::{Api, read},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    mcp::Mcp,
    processes, wait,
};
use reqwest::Method;
use serde_json::json;

fn draining(view: &RunView) -> bool {
    let why = view.waiting.as_deref().unwrap_or_default();
    view.state == RunState::Queued && why.contains("agent stata1 is draining") && why.contains("kernel update")
}

/// The number of connections, by the gateway's own count.
async fn connections(gateway: &Gateway) -> u64 {
    let text = gateway.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("longhaul_connections ")).unwrap();
    line.trim().parse().unwrap()
}

/// One run that requires the draining host, and one that may go anywhere: both say why they wait.
async fn two_that_wait(lab: &Lab, api: &Api) -> (RunId, RunId) {
    let file = lab.gated();
    let here = SubmitRequest {
        path: Some(file.display().to_string()),
        args: vec!["here".to_owned()],
        host: Some("stata1".to_owned()),
        ..SubmitRequest::default()
    };
    let here = api.submit(&here).await.unwrap().run.run_id;
    let anywhere = api.submit_path(&file, &["anywhere"]).await.run_id;
    for run in [here, anywhere] {
        api.wait_run(run, wait::SOON, "it says why it waits", draining).await;
    }
    (here, anywhere)
}

#[tokio::test]
async fn a_host_is_drained_while_ten_runs_are_active() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let _one = lab.agent("stata1", &gateway, &["--licence", "one", "--seats", "20"]);
    gateway.api.wait_host("stata1", "up").await;
    let file = lab.gated();
    let mut active = Vec::new();
    for n in 0..10 {
        active.push((n, gateway.api.submit_path(&file, &[&format!("active{n}")]).await.run_id));
    }
    for (n, run) in &active {
        gateway.api.wait_output(*run, &format!("started active{n}")).await;
    }

    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let ran = lab.run(["--data", &data, "drain", "stat?1", "--reason", "kernel update"]).await;
    assert_eq!((ran.status, ran.err.contains("stata1 is draining: 10 runs go on there")), (0, true), "{ran:#?}");
    let unknown = lab.run(["--data", &data, "drain", "sas*"]).await;
    assert!(unknown.status == 4 && unknown.err.contains("no host is named `sas*`: there are stata1"), "{unknown:#?}");

    let (here, anywhere) = two_that_wait(&lab, &gateway.api).await;
    let listed = lab.run(["--data", &data, "hosts"]).await.out;
    assert!(listed.contains("draining  10/20") && listed.contains("kernel update"), "{listed}");
    for zone in ["Asia/Tokyo", "UTC"] {
        for words in [&["hosts"][..], &["runs"]] {
            let mut command = lab.command([&["--data", &data], words].concat());
            command.env("TZ", zone);
            let shown = longhaul_tests::lab::finish(command).await.out;
            let name = if zone == "UTC" { " UTC)" } else { " JST)" };
            let since = shown.split("since ").nth(1).unwrap_or_else(|| panic!("{shown}"));
            let since = &since[..since.find(')').unwrap() + 1];
            assert!(since.starts_with("20") && since.ends_with(name) && !since.contains('Z'), "{since}: {shown}");
        }
    }
    let told = Mcp::new(&gateway.api, "claude-code", "2.1.330").call("stata_hosts", json!({})).await;
    assert!(told.text.contains("stata1: draining, 10 of 20 runs") && told.text.contains("kernel update"), "{told:#?}");

    gateway.kill_and_restart().await;
    gateway.api.wait_host("stata1", "draining").await;
    for run in [here, anywhere] {
        gateway.api.wait_run(run, wait::SOON, "it still says why it waits", draining).await;
    }
    for (n, run) in active {
        lab.open_gate(&format!("active{n}"));
        let end = gateway.api.wait_end(run).await;
        assert_eq!((end.state, end.attempt), (RunState::Succeeded, 1), "{end:#?}");
    }
    assert_eq!((lab.executions("here"), lab.executions("anywhere")), (0, 0), "nothing new started there");

    // The run that may go elsewhere does, the other waits for the resume.
    let _two = lab.agent("stata2", &gateway, &["--licence", "two"]);
    gateway.api.wait_output(anywhere, "started anywhere").await;
    assert_eq!(gateway.api.get(anywhere).await.unwrap().host.as_deref(), Some("stata2"));
    gateway.api.wait_run(here, wait::SOON, "it waits for its host", draining).await;
    assert_eq!(lab.executions("here"), 0);
    let ran = lab.run(["--data", &data, "resume", "*"]).await;
    assert_eq!((ran.status, ran.err.contains("stata1 takes runs again (up)")), (0, true), "{ran:#?}");
    gateway.api.wait_output(here, "started here").await;
    for name in ["here", "anywhere"] {
        lab.open_gate(name);
    }
    for run in [here, anywhere] {
        assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    }
    assert_eq!((lab.executions("here"), lab.executions("anywhere")), (1, 1));
}

#[tokio::test]
async fn only_operators_drain_and_errors_are_problems() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let drain = |api: &Api, body: serde_json::Value| {
        let request = api.request(Method::POST, "/api/v1/hosts/drain").json(&body);
        async move { read::<serde_json::Value>(request.send().await.unwrap()).await }
    };
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ann"}));
    let made: serde_json::Value = read(made.send().await.unwrap()).await.unwrap();
    let user = gateway.api.with_token(made["token"].as_str().unwrap());
    let forbidden = drain(&user, json!({"hosts": ["stata1"]})).await.unwrap_err();
    assert_eq!((forbidden.status, forbidden.kind.as_str()), (403, "forbidden"), "{forbidden:?}");
    let unknown = drain(&gateway.api, json!({"hosts": ["stata1", "x"]})).await.unwrap_err();
    assert_eq!((unknown.status, unknown.kind.as_str()), (404, "unknown-host"), "{unknown:?}");
    assert!(unknown.detail.contains("there are stata1"), "{unknown:?}");
    let strange = drain(&gateway.api, json!({"hosts": ["stata1"], "why": "x"})).await.unwrap_err();
    assert_eq!(strange.status, 400, "{strange:?}");
    let hosts: Hosts = gateway.api.hosts().await.unwrap();
    assert!(hosts.hosts[0].draining.is_none(), "nothing has changed: {hosts:?}");
    let done = drain(&gateway.api, json!({"hosts": ["*"]})).await.unwrap();
    assert_eq!(done["hosts"][0]["draining"]["by"], json!(hosts.hosts[0].os_user), "{done:#}");
}

#[tokio::test]
async fn an_operator_frees_a_spool_and_confirms_a_clock() {
    let mut lab = lab!();
    let clock = lab.path().join("clock");
    lab.env("LONGHAUL_FAULTS", format!("clock={}", clock.display()));
    let mut gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&lab.counted("quick.do", "display 1\n"), &["quick"]).await.run_id;
    gateway.api.wait_end(run).await;
    let spool = Lab::spool(&agent, run);
    assert!(spool.exists());
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let ran = lab.run(["--data", &data, "release", &run.short()]).await;
    assert_eq!((ran.status, ran.err.contains("on stata1 is gone")), (0, true), "{ran:#?}");
    assert!(!spool.exists());
    assert!(!gateway.api.output(run, "log").await.unwrap().is_empty(), "the gateway's copy stays");

    // The gateway starts again with its clock two months ahead.
    std::fs::write(&clock, (60_i64 * 24 * 3600 * 1000).to_string()).unwrap();
    gateway.kill_and_restart().await;
    let ready = async |gateway: &Gateway| {
        let answer = gateway.api.request(Method::GET, "/readyz").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = ready(&gateway).await;
    assert!(status == 200 && text.contains("nothing is removed by its age") && text.contains("trust-clock"), "{text}");
    let ran = lab.run(["--data", &data, "trust-clock"]).await;
    assert_eq!((ran.status, ran.err.contains("is trusted")), (0, true), "{ran:#?}");
    assert_eq!(ready(&gateway).await, (200, "ready\n".to_owned()));
}

/// The limit of a stop in these tests, and what a busy machine may need beside it.
const STOP: Duration = Duration::from_secs(6);
const SLACK: Duration = Duration::from_secs(10);

/// A do-file that prints some seven megabytes, more than the sockets of a reader that reads nothing hold, and then
/// waits for its gate.
fn loud(lab: &Lab) -> std::path::PathBuf {
    let gated = std::fs::read_to_string(lab.gated()).unwrap();
    lab.file(
        "loud.do",
        gated.replace("local waiting", "*! standin: burst 400000\ndisplay \"all is said\"\nlocal waiting"),
    )
}

async fn started(lab: &Lab, gateway: &Gateway, name: &str) -> (RunId, u64) {
    let run = gateway.api.submit_path(&loud(lab), &[name]).await.run_id;
    let said = |v: &RunView| v.output_bytes > 6 << 20;
    gateway.api.wait_run(run, wait::SOON * 2, "it has said much", said).await;
    gateway.api.wait_output(run, "all is said").await;
    (run, gateway.api.get(run).await.unwrap().output_bytes)
}

/// Asks for the whole output and reads none of it.
fn stalled(gateway: &Gateway, run: RunId) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.api.address()).unwrap();
    let (host, token) = (gateway.api.address(), gateway.api.token());
    let head = format!(
        "GET /api/v1/runs/{run}/output?offset=0 HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    stream
}

async fn stop_in_time(daemon: &mut Daemon) {
    let clock = Clock::system();
    let before = clock.monotonic();
    assert_eq!(daemon.terminate().await.code(), Some(0));
    let took = clock.monotonic() - before;
    assert!(took < STOP + SLACK, "{} took {took:?} to stop", daemon.name);
}

/// Stops a gateway with every kind of waiting client by SIGTERM; a stalled reader does not delay the stop.
async fn stop_under_load(lab: &Lab, gateway: &mut Gateway, name: &str) -> RunId {
    let (run, len) = started(lab, gateway, name).await;
    let mut reader = stalled(gateway, run);
    let waiting = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let call = waiting.start("stata_wait", json!({"runs": run, "seconds": 600}), json!({})).await;
    let mut events = gateway.api.events(run, len).await.unwrap();
    // On a connection of its own, so that its acceptance shows in the count.
    let before = connections(gateway).await;
    let url = format!("{}/api/v1/runs/{run}/output?offset={len}&wait=25", gateway.api.url());
    let poll = reqwest::Client::new().get(url).bearer_auth(gateway.api.token());
    let poll = Tasks::new().spawn(poll.send());
    wait::until(wait::SOON, "the poll is accepted", async || (connections(gateway).await > before).then_some(())).await;
    wait::until(wait::SOON, "the events come", async || events.next().await.map(drop)).await;

    let stopping = stop_in_time(&mut gateway.daemon);
    let answers = async {
        let said = call.result().await;
        assert!(said.text.contains("Call stata_wait again"), "{said:#?}");
        while events.next().await.is_some() {}
        let polled = poll.await.unwrap().expect("an answer, not a cut").bytes().await.expect("a whole answer");
        assert!(polled.is_empty());
    };
    futures_util::future::join(stopping, answers).await;

    // The control: that reader did stall. It gets the bytes that were under way, and the connection ends before the
    // output does.
    let mut got = Vec::new();
    let _ = reader.read_to_end(&mut got);
    assert!((got.len() as u64) < len, "it was cut off after {} of {len} bytes", got.len());
    assert!(processes::engines(lab.path()).len() == 1, "the run goes on");
    run
}

async fn goes_on(lab: &Lab, gateway: &Gateway, run: RunId, name: &str) {
    lab.open_gate(name);
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.attempt, end.output_complete), (RunState::Succeeded, 1, true), "{end:#?}");
    assert_eq!(lab.executions(name), 1);
}

#[tokio::test]
async fn a_gateway_hands_over_and_is_gone_in_time() {
    let mut lab = lab!();
    lab.config(&format!("stop_timeout = {}\n", STOP.as_secs()));
    let mut gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = stop_under_load(&lab, &mut gateway, "stopped").await;
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    goes_on(&lab, &gateway, run, "stopped").await;
}

#[tokio::test]
async fn up_hands_over_and_is_gone_in_time() {
    let mut lab = lab!();
    lab.config(&format!("stop_timeout = {}\n", STOP.as_secs()));
    let mut gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let run = stop_under_load(&lab, &mut gateway, "upped").await;
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    goes_on(&lab, &gateway, run, "upped").await;
}

/// The gateway is stopped by SIGSTOP and reads nothing: the agent ends in time all the same, and the run goes on.
#[tokio::test]
async fn an_agent_whose_gateway_stalls_is_gone_in_time() {
    let mut lab = lab!();
    lab.config(&format!("stop_timeout = {}\n", STOP.as_secs()));
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&loud(&lab), &["loud"]).await.run_id;
    gateway.api.wait_output(run, "started loud").await;
    gateway.daemon.freeze();
    let log = Lab::log(&agent, run);
    let all = || std::fs::metadata(&log).is_ok_and(|log| log.len() > 6 << 20).then_some(());
    wait::until_now(wait::SOON * 2, "it has said more than the link holds", all).await;
    stop_in_time(&mut agent).await;
    gateway.daemon.thaw();
    agent.restart();
    goes_on(&lab, &gateway, run, "loud").await;
}
